// urql: queries and mutations over HTTP, subscriptions over a WebSocket.
import { createClient } from 'graphql-ws';
import { Client, fetchExchange, subscriptionExchange } from 'urql';
import { ACTIVE, START, UPDATES, started } from '../operations.js';
import { fail, onStart, show } from '../page.js';
import { resuming } from '../resume.js';

const socket = resuming(createClient({
  url: '/graphql',
  shouldRetry: () => true, // also while the server restarts
  retryAttempts: Infinity,
}));
const client = new Client({
  url: '/graphql',
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (sink) => ({ unsubscribe: socket.subscribe(request, sink) }),
      }),
    }),
  ],
});

const { data, error } = await client.query(ACTIVE, {});
fail(error);
data?.activePulls.forEach(show);

client.subscription(UPDATES, {}).subscribe(({ data, error }) => (error ? fail(error) : show(data.pullJobUpdated)));

onStart(async (image) => {
  const { data, error } = await client.mutation(START, { images: [image] });
  if (error) {
    throw error;
  }
  show(started(data));
});
