// GraphQL over WebSockets as of old: the client subscriptions-transport-ws.
import assert from 'node:assert/strict';
import transport from 'subscriptions-transport-ws';
import WebSocket from 'ws';
import { interrupted, operations } from './operations.mjs';

export function legacySockets(server) {
  const checks = operations(server, connect(server));
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    checks[`reconnects after ${signal}`] = async () => {
      const client = connect(server);
      await interrupted(server, client, signal);
      client.dispose();
    };
  }
  checks['stays connected without operations'] = async () => {
    const client = connect(server, { timeout: 12_000 }); // it closes a connection on which no ka comes for so long
    await client.subscribe('{ __typename }', () => {});
    await new Promise((resolve) => setTimeout(resolve, 25_000));
    await client.subscribe('{ __typename }', () => {});
    assert.equal(client.attempts, 1);
    client.dispose();
  };
  checks['stops a subscription'] = async () => {
    const client = connect(server);
    const updates = new Promise((first) => {
      const { unsubscribe } = client.request('subscription { pullJobUpdated { id } }').subscribe({
        next() {
          unsubscribe();
          first();
        },
      });
    });
    await updates;
    await client.subscribe('{ __typename }', () => {});
    client.dispose();
  };
  return checks;
}

function connect(server, options) {
  const client = {
    attempts: 0,
    dispose: () => socket.close(),
    request: (query) => socket.request({ query }),
    subscribe: (query, next) =>
      new Promise((complete, error) =>
        client.request(query).subscribe({ next, complete, error: (first) => error([first]) }),
      ),
  };
  class Counted extends WebSocket {
    constructor(...parameters) {
      super(...parameters);
      client.attempts++;
    }
  }
  const socket = new transport.SubscriptionClient(
    server.socketUrl,
    { lazy: true, reconnect: true, ...options },
    Counted,
  );
  return client;
}
