// Trusted documents: clients that send ids, and a server that executes nothing else.
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient as createEventsClient } from 'graphql-sse';
import { createClient as createSocketsClient } from 'graphql-ws';
import WebSocket from 'ws';

const file = join(mkdtempSync(join(tmpdir(), 'pullwatch-trusted-')), 'persisted-documents.json');
const documents = {
  active: 'query Active { activePulls { id } }',
  updates: 'subscription Updates { pullJobUpdated { id phase } }',
};
const write = (manifest) => writeFileSync(file, JSON.stringify(manifest));
write(documents);

export const trustedFlags = [`--trusted-documents=${file}`, '--only-trusted'];

export const trustedDocuments = (server) => ({
  async 'an id in the place of the document'() {
    const { data } = await post(server, { documentId: 'active' });
    assert.ok(Array.isArray(data.activePulls));
  },

  async 'ids over a WebSocket of graphql-ws'() {
    const client = createSocketsClient({ url: server.socketUrl, webSocketImpl: WebSocket });
    await updated(client.iterate({ documentId: 'updates', query: '' }));
    await client.dispose();
  },

  async 'ids over the events of graphql-sse'() {
    const client = createEventsClient({ url: server.url });
    await updated(client.iterate({ documentId: 'updates' }));
    client.dispose();
  },

  async 'no other document'() {
    const { errors } = await post(server, { query: '{ activePulls { phase } }' });
    assert.equal(errors[0].extensions.code, 'FORBIDDEN');
  },

  async 'a changed file at SIGHUP'() {
    write({ ...documents, failed: '{ failedPulls { id } }' });
    server.process.kill('SIGHUP');
    for (;;) {
      const { data, errors } = await post(server, { documentId: 'failed' });
      if (data) {
        return;
      }
      assert.equal(errors[0].extensions.code, 'NOT_FOUND'); // the signal has not come yet
    }
  },
});

async function post(server, body) {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(server.url, { method: 'POST', headers, body: JSON.stringify(body) });
  return response.json();
}

async function updated(results) {
  for await (const { data } of results) {
    assert.ok(data.pullJobUpdated.id);
    return;
  }
  assert.fail('no update');
}
