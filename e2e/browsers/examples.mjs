// The examples of the documentation, each with queries, mutations, updates, and a restart of the server.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { build, createServer, preview } from '../../docs/examples/node_modules/vite/dist/node/index.js';
import { Server, freePort } from '../clients/server.mjs';

const root = new URL('../../docs/examples', import.meta.url).pathname;
// Those that follow pulls.
const following = ['apollo', 'apollo-multipart', 'urql', 'urql-sse', 'urql-graphcache', 'relay', 'eventsource'];

export async function examples(suite) {
  const server = await Server.launch(suite.binary);
  const vite = await serveExamples(server);
  const tabs = new Map();
  await Promise.all([
    ...following.map(async (name) => {
      tabs.set(name, await suite.check(`${name}: a query, a mutation, updates of a pull to its end`, async (tab) => {
        await openExample(tab, vite.url, name);
        await followPull(tab, `${name}-first`);
      }));
    }),
    suite.check('apollo-batch: queries and a mutation, in arrays', async (tab) => {
      const arrays = [];
      tab.on('request', (request) => request.method() === 'POST' && arrays.push(request.postDataJSON().length));
      await openExample(tab, vite.url, 'apollo-batch');
      await startPull(tab, 'apollo-batch');
      assert.deepEqual(arrays, [2, 1]);
    }).then((tab) => tab.context().close()),
  ]);
  await server.stop('SIGTERM');
  await server.start();
  await Promise.all(following.map(async (name) => {
    await suite.check(`${name}: updates go on when the server has restarted`, (tab) => followPull(tab, `${name}-second`), tabs.get(name));
    await tabs.get(name).context().close();
  }));
  await vite.close();
  await server.stop('SIGTERM');
}

// Makes files of the examples for any web server, and returns their folder.
export async function buildExamples() {
  await build({ root, logLevel: 'error' });
  return join(root, 'dist');
}

// Serves those files with Vite, which passes requests on to the server.
export async function serveExamples(server) {
  const port = await freePort();
  const vite = await preview({
    root,
    logLevel: 'silent', // it logs each request that it cannot pass on
    preview: { ...address(port), proxy: { '/graphql': { target: `http://${server.address}`, ws: true } } },
  });
  return { url: `http://127.0.0.1:${port}`, close: () => vite.close() };
}

// Serves the examples with Vite's development server, as their configuration has it. options are more of its proxy.
export async function developExamples(server, options) {
  const port = await freePort();
  const vite = await createServer({
    root,
    logLevel: 'silent',
    server: { ...address(port), watch: null, proxy: { '/graphql': { target: `http://${server.address}`, ...options } } },
  });
  await vite.listen();
  return { url: `http://127.0.0.1:${port}`, close: () => vite.close() };
}

const address = (port) => ({ host: '127.0.0.1', port, strictPort: true });

// Opens an example, and returns when its query has been answered and shown.
export async function openExample(tab, url, name) {
  await tab.goto(`${url}/?${name}`);
  await tab.locator('tbody tr').first().waitFor();
}

// Starts a pull of an image of its own with the example's button. Returns the row that shows it.
export async function startPull(tab, name) {
  await tab.fill('input', `${name}-image:1`);
  await tab.click('button');
  const row = tab.locator(`tr[id^="${name}-image-"]`);
  await row.waitFor();
  return row;
}

// Starts a pull and waits until the example has shown how it was copied.
export async function followPull(tab, name) {
  const row = await startPull(tab, name);
  await row.filter({ hasText: 'SUCCEEDED' }).waitFor();
  const [, , percent] = await row.locator('td').allTextContents();
  assert.equal(percent, '100');
  assert.equal(await tab.textContent('#error'), '');
}
