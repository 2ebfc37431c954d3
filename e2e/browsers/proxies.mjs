// Pages behind proxies that pass on Host and WebSockets, and behind others.
import assert from 'node:assert/strict';
import { Server, freePort } from '../clients/server.mjs';
import { developExamples, followPull, openExample } from './examples.mjs';
import { Nginx, byDefault, documented, ingress } from './nginx.mjs';

export async function proxies(suite) {
  const port = await freePort();
  // As in a cluster: on loopback it would not answer to an ingress's host.
  const server = new Server(suite.binary, port, [`--listen=0.0.0.0:${port}`, '--auth-none-anyway']);
  await server.start();
  const vite = await developExamples(server, { changeOrigin: true });
  const nginx = await Nginx.start({
    byDefault, documented, ingress: ingress('$http_host'), ingressWithHost: ingress('pullwatch.internal'),
  }, server, suite.pages);

  // Those that replace Host: streams are refused until the server is told where its pages come from.
  const replacing = {
    'nginx by default': { url: nginx.urls.byDefault, examples: ['urql-sse', 'apollo-multipart', 'eventsource'] },
    'an ingress with upstream-vhost': { url: nginx.urls.ingressWithHost, examples: ['urql', 'urql-sse'] },
    "Vite's changeOrigin": { url: vite.url, examples: ['urql', 'urql-sse'] },
  };
  const passing = {
    'nginx as documented': { url: nginx.urls.documented, examples: ['urql', 'urql-sse'] },
    'an ingress': { url: nginx.urls.ingress, examples: ['urql', 'urql-sse', 'apollo-multipart', 'eventsource'] },
  };
  await Promise.all(Object.entries(replacing).map(async ([name, { url }]) => {
    const tab = await suite.check(`${name}: queries work, and streams get 403 that names the flag`, async (tab) => {
      const refusal = tab.waitForResponse((response) => response.status() === 403);
      await openExample(tab, url, 'urql-sse');
      await refusal; // whose body the example does not read
      const message = await tab.evaluate(askForStream);
      assert.ok(message.includes(`start the server with --allowed-origin=${url},`), message);
      server.flags.push(`--allowed-origin=${url}`);
    });
    await tab.context().close();
  }));
  await server.stop('SIGTERM');
  await server.start();
  for (const [name, { url, examples }] of Object.entries({ ...replacing, ...passing })) {
    await Promise.all(examples.map(async (example) => {
      const tab = await suite.check(`${name}: ${example}`, async (tab) => {
        await openExample(tab, url, example);
        await followPull(tab, `${example}-${new URL(url).port}`);
      });
      await tab.context().close();
    }));
  }
  await nginx.stop();
  await vite.close();
  await server.stop('SIGTERM');
}

// Returns the answer to a request for a stream, as the page gets it.
async function askForStream() {
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream' },
    body: JSON.stringify({ query: 'subscription { pullJobUpdated { id } }' }),
  });
  return response.text();
}
