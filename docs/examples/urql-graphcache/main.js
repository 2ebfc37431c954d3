// urql with a normalized cache: the query's result follows the updates.
import { cacheExchange } from '@urql/exchange-graphcache';
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
const cache = cacheExchange({
  keys: { PullProgress: () => null }, // a part of its pull
  updates: {
    Subscription: {
      // The cache changes pulls that it has by itself. New ones have to be put into the list.
      pullJobUpdated({ pullJobUpdated: pull }, _, cache) {
        cache.updateQuery({ query: ACTIVE }, (list) => {
          if (list && !list.activePulls.some(({ id }) => id === pull.id)) {
            list.activePulls.unshift(pull);
          }
          return list;
        });
      },
    },
  },
});
const client = new Client({
  url: '/graphql',
  exchanges: [
    cache,
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (sink) => ({ unsubscribe: socket.subscribe(request, sink) }),
      }),
    }),
  ],
});

client.query(ACTIVE, {}).subscribe(({ data, error }) => (error ? fail(error) : data.activePulls.forEach(show)));
client.subscription(UPDATES, {}).subscribe(({ error }) => error && fail(error));

onStart(async (image) => {
  const { data, error } = await client.mutation(START, { images: [image] });
  if (error) {
    throw error;
  }
  started(data);
});
