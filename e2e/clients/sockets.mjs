// GraphQL over WebSockets: the client graphql-ws.
import assert from 'node:assert/strict';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { interrupted, operations } from './operations.mjs';

export function sockets(server) {
  const checks = operations(server, connect(server));
  for (const [signal, code] of [['SIGTERM', 1012], ['SIGKILL', 1006]]) {
    checks[`reconnects after ${signal}`] = async () => {
      const client = connect(server);
      await interrupted(server, client, signal);
      assert.equal(client.closes[0], code);
      client.dispose();
    };
  }
  checks['gives up when it is refused'] = async () => {
    class Stranger extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { origin: 'https://stranger.example' });
      }
    }
    const client = connect(server, { webSocketImpl: Stranger });
    await assert.rejects(client.subscribe('{ __typename }', () => {}), ({ message }) => message.includes('403'));
    assert.equal(client.attempts, 1);
    client.dispose();
  };
  return checks;
}

function connect(server, options) {
  const client = {
    attempts: 0,
    closes: [],
    dispose: () => socket.dispose(),
    subscribe: (query, next) =>
      new Promise((complete, error) => socket.subscribe({ query }, { next, error, complete })),
  };
  const socket = createClient({
    url: server.socketUrl,
    webSocketImpl: WebSocket,
    on: {
      connecting: () => client.attempts++,
      closed: ({ code }) => client.closes.push(code),
    },
    ...options,
  });
  return client;
}
