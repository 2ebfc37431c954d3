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
const ENDED = ['SUCCEEDED', 'FAILED', 'CANCELED'];
const cache = cacheExchange({
  keys: { PullProgress: () => null }, // a part of its pull
  updates: {
    Subscription: {
      // The cache changes pulls that it has by itself. New ones have to be put into the list, and ended ones taken out.
      pullJobUpdated({ pullJobUpdated: pull }, _, cache) {
        cache.updateQuery({ query: ACTIVE }, (list) => {
          const others = list?.activePulls.filter(({ id }) => id !== pull.id);
          return list && { ...list, activePulls: ENDED.includes(pull.phase) ? others : [pull, ...others] };
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
// Pulls that have ended are in the updates alone.
client.subscription(UPDATES, {}).subscribe(({ data, error }) => (error ? fail(error) : show(data.pullJobUpdated)));

onStart(async (image) => {
  const { data, error } = await client.mutation(START, { images: [image] });
  if (error) {
    throw error;
  }
  started(data);
});
