// GraphQL over server-sent events: the client graphql-sse.
import { createClient } from 'graphql-sse';
import { interrupted, operations } from './operations.mjs';

export function events(server) {
  const checks = operations(server, connect(server));
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    checks[`reconnects after ${signal}`] = async () => {
      const client = connect(server);
      await interrupted(server, client, signal);
      client.dispose();
    };
  }
  return checks;
}

function connect(server) {
  const client = {
    attempts: 0,
    dispose: () => sse.dispose(),
    subscribe: (query, next) =>
      new Promise((complete, error) => sse.subscribe({ query }, { next, error, complete })),
  };
  const sse = createClient({
    url: server.url,
    fetchFn(...request) {
      client.attempts++;
      return fetch(...request);
    },
  });
  return client;
}
