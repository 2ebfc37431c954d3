// Connects graphql-ws to a server that rejects every connection_init: node rejected.mjs URL
import assert from 'node:assert/strict';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const retryAttempts = 4;
let attempts = 0;
let pauses = 0;
const codes = new Set();
const client = createClient({
  url: process.argv[2],
  webSocketImpl: WebSocket,
  retryAttempts,
  retryWait: async () => {
    pauses++; // in the place of its growing pause
  },
  on: { connecting: () => attempts++, closed: ({ code }) => codes.add(code) },
});
await assert.rejects(async () => {
  for await (const _ of client.iterate({ query: '{ __typename }' }));
});
assert.deepEqual([...codes], [4403]);
assert.deepEqual({ attempts, pauses }, { attempts: retryAttempts + 1, pauses: retryAttempts });
console.log(`rejected ${attempts} times with 4403, with a pause before each but the first`);
