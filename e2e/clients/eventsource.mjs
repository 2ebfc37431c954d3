// GraphQL over server-sent events: a browser's EventSource, as the package eventsource has it for Node.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { EventSource } from 'eventsource';
import { interrupted, operations } from './operations.mjs';

export function eventSources(server) {
  const checks = operations(server, connect(server.url));
  delete checks['a mutation']; // EventSource sends GET requests only
  // The demo's cluster begins anew with its server. So for 20 s the server waits to catch up with the last event's id.
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    checks[`reconnects after ${signal}`] = async () => {
      const client = connect(server.url);
      await interrupted(server, client, signal);
      client.dispose();
    };
  }
  checks['goes on where it was when its connection is lost'] = async () => {
    const id = await server.startPull('demo/slow:1');
    const client = connect(server.url);
    const revisions = [];
    const query = `subscription { pullJobUpdated(ids: ["${id}"]) { phase revision } }`;
    const ended = client.subscribe(query, ({ data }) => {
      revisions.push(data.pullJobUpdated.revision);
      if (revisions.length === 2) {
        client.cut();
        server.query(`mutation { cancelPull(id: "${id}") { id } }`);
      }
    });
    await ended;
    assert.equal(client.attempts, 2);
    assert.ok(revisions.length > 2, `${revisions.length} updates`);
    assert.equal(new Set(revisions).size, revisions.length, `updates came twice: ${revisions}`);
    assert.equal(client.lastEventIds[1], revisions[1]);
  };
  for (const [what, query] of [
    ['the end', '{ __typename }'],
    ['an error that stays', 'subscription { pullJobUpdated(ids: ["none"]) { id } }'],
  ]) {
    checks[`comes back once after ${what}`] = async () => {
      const client = connect(server.url);
      const source = client.open(query);
      const { code } = await first(source, 'error', ({ code }) => code !== undefined);
      assert.equal(code, 204);
      assert.equal(source.readyState, EventSource.CLOSED);
      assert.equal(client.attempts, 2);
    };
  }
  checks['follows updates in spite of a proxy that answers 502'] = async () => {
    const proxy = await startProxy(server.address);
    const wanted = [];
    const stop = follow(`http://127.0.0.1:${proxy.address().port}`, (result) => wanted.shift()?.(result));
    const update = () => new Promise((resolve) => wanted.push(resolve));
    await update();
    await server.stop('SIGTERM');
    await new Promise((resolve) => proxy.once('refused', resolve));
    await server.start();
    await update();
    stop();
    proxy.closeAllConnections();
    proxy.close();
  };
  return checks;
}

// What docs/clients.md shows, with the page's origin as an argument.
function follow(origin, show) {
  let after = null;
  let source;
  function open() {
    const url = new URL('/graphql', origin);
    url.searchParams.set('query', 'subscription ($after: ID) { pullJobUpdated(after: $after) { id phase } }');
    url.searchParams.set('variables', JSON.stringify({ after }));
    source = new EventSource(url);
    source.addEventListener('next', ({ data, lastEventId }) => {
      after = lastEventId || after;
      show(JSON.parse(data));
    });
    source.addEventListener('complete', ({ lastEventId }) => {
      if (lastEventId === 'complete') source.close();
    });
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 3000);
    });
  }
  open();
  return () => source.close();
}

// Resolves with the first event of a type that is accepted.
function first(source, type, accepts) {
  return new Promise((resolve) =>
    source.addEventListener(type, (event) => accepts(event) && resolve(event)),
  );
}

// A proxy that answers 502 while it does not reach the server, and then says "refused".
async function startProxy(address) {
  const proxy = createServer((from, to) => {
    const passed = request(`http://${address}${from.url}`, { headers: { ...from.headers, host: address } }, (response) => {
      to.writeHead(response.statusCode, response.headers);
      response.pipe(to);
      response.on('error', () => to.destroy());
    });
    passed.on('error', () => {
      to.writeHead(502).end();
      proxy.emit('refused');
    });
    to.on('close', () => passed.destroy());
    passed.end();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => proxy.once('listening', resolve));
  return proxy;
}

function connect(url) {
  const sources = new Set();
  let abort;
  const client = {
    attempts: 0,
    lastEventIds: [],
    // Breaks the connection of the last EventSource.
    cut: () => abort.abort(new TypeError('the connection is lost')),
    dispose: () => sources.forEach((source) => source.close()),
    open(query) {
      const source = new EventSource(`${url}?query=${encodeURIComponent(query)}`, {
        fetch(target, init) {
          client.attempts++;
          client.lastEventIds.push(init.headers['Last-Event-ID']);
          abort = new AbortController();
          return fetch(target, { ...init, signal: AbortSignal.any([init.signal, abort.signal]) });
        },
      });
      sources.add(source);
      return source;
    },
    subscribe(query, next) {
      const source = client.open(query);
      return new Promise((complete, refused) => {
        source.addEventListener('next', ({ data }) => next(JSON.parse(data)));
        source.addEventListener('complete', () => {
          source.close();
          complete();
        });
        source.addEventListener('error', ({ code }) => {
          if (source.readyState === EventSource.CLOSED) {
            refused(new Error(`closed with ${code}`));
          }
        });
      });
    },
  };
  return client;
}
