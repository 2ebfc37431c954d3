// GraphQL over HTTP alone: Apollo Client with its HttpLink, which gets subscriptions in parts.
import assert from 'node:assert/strict';
import { ApolloClient, ApolloLink, CombinedProtocolErrors, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { RetryLink } from '@apollo/client/link/retry';
import { interrupted, operations } from './operations.mjs';

// What docs/clients.md shows, but for the jitter: the number of attempts is checked.
const retries = new RetryLink({
  attempts: (count, operation) => operation.operationType === 'subscription',
  delay: { initial: 1000, max: 10_000, jitter: false },
});

export function apollo(server) {
  const checks = operations(server, connect(server));
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    checks[`reconnects after ${signal} with RetryLink`] = async () => {
      const client = connect(server, retries);
      await interrupted(server, client, signal);
      client.dispose();
    };
  }
  checks['does not try again what does not exist'] = async () => {
    const client = connect(server, retries);
    const results = [];
    await client.subscribe('subscription { pullJobUpdated(ids: ["none"]) { id } }', (result) => results.push(result));
    assert.equal(results[0].errors[0].extensions.code, 'NOT_FOUND');
    assert.equal(client.attempts, 1);
  };
  checks['learns that the server stops'] = async () => {
    const client = connect(server);
    let began;
    const beginning = new Promise((resolve) => (began = resolve));
    const results = [];
    const ended = client.subscribe('subscription { pullJobUpdated { id } }', (result) => {
      results.push(result);
      began();
    });
    await beginning;
    await server.stop('SIGTERM');
    await ended;
    await server.start();
    const { error } = results.at(-1);
    assert.ok(CombinedProtocolErrors.is(error), `${error}`);
    assert.equal(error.errors[0].extensions.code, 'UNAVAILABLE');
  };
  return checks;
}

function connect(server, ...links) {
  const client = {
    attempts: 0,
    subscriptions: [],
    dispose: () => client.subscriptions.forEach((subscription) => subscription.unsubscribe()),
    async subscribe(text, next) {
      const query = gql(text);
      const options = { errorPolicy: 'all', fetchPolicy: 'no-cache' };
      switch (query.definitions[0].operation) {
        case 'query':
          return next(plain(await cache.query({ query, ...options })));
        case 'mutation':
          return next(plain(await cache.mutate({ mutation: query, ...options })));
      }
      return new Promise((complete, error) => {
        const results = cache.subscribe({ query, ...options });
        client.subscriptions.push(results.subscribe({ next: (result) => next(plain(result)), complete, error }));
      });
    },
  };
  const http = new HttpLink({
    uri: server.url,
    fetch(...request) {
      client.attempts++;
      return fetch(...request);
    },
  });
  const cache = new ApolloClient({ link: ApolloLink.from([...links, http]), cache: new InMemoryCache() });
  return client;
}

// A result as servers send it, and the error that Apollo Client makes of its errors.
function plain({ data, error }) {
  return error ? { data: data ?? null, errors: error.errors, error } : { data };
}
