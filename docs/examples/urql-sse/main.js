// urql: queries and mutations over HTTP, subscriptions as server-sent events.
import { createClient } from 'graphql-sse';
import { Client, fetchExchange, subscriptionExchange } from 'urql';
import { ACTIVE, START, UPDATES, started } from '../operations.js';
import { fail, onStart, show } from '../page.js';
import { resuming } from '../resume.js';

const events = resuming(createClient({
  url: '/graphql',
  retryAttempts: Infinity,
}));
const client = new Client({
  url: '/graphql',
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (sink) => ({ unsubscribe: events.subscribe(request, sink) }),
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
