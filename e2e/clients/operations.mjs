// Operations that every client is tried with, and what has to come of them.
import assert from 'node:assert/strict';

const updates = 'subscription { pullJobUpdated { id phase revision } }';
const updatesOf = (id) => `subscription { pullJobUpdated(ids: ["${id}"]) { id phase revision } }`;
const logOf = (job) => `subscription {
  podLogs(input: {namespace: "pullwatch", job: "${job}"}) { lines { message } cursor }
}`;

// client.subscribe(query, next) resolves when the operation has completed and rejects with what ended it otherwise.
export const operations = (server, client) => ({
  async 'a query'() {
    const results = await all(client, '{ __typename }');
    assert.deepEqual(results, [{ data: { __typename: 'Query' } }]);
  },

  async 'a mutation'() {
    const [{ data, errors }] = await all(client, 'mutation { cancelPull(id: "none") { id } }');
    assert.equal(data, null);
    assert.equal(errors[0].extensions.code, 'NOT_FOUND');
  },

  async 'the updates of a pull until it has finished'() {
    const id = await server.startPull('nginx:1.27');
    const results = await all(client, updatesOf(id));
    assert.ok(results.length >= 2, `${results.length} updates`);
    assert.ok(results.every(({ data }) => data.pullJobUpdated.id === id));
    assert.equal(results.at(-1).data.pullJobUpdated.phase, 'SUCCEEDED');
  },

  async 'the log of a pull until its end'() {
    const id = await server.startPull('redis:7.4');
    const results = await all(client, logOf(id));
    const lines = results.flatMap(({ data }) => data.podLogs.lines);
    assert.ok(lines.length > 0, 'no lines');
  },

  async 'a pull that does not exist'() {
    assert.equal(await failure(client, updatesOf('none')), 'NOT_FOUND');
  },

  async 'a request that does not validate'() {
    assert.equal(await failure(client, '{ nothing }'), 'BAD_INPUT');
  },
});

// All results of an operation.
async function all(client, query) {
  const results = [];
  await client.subscribe(query, (result) => results.push(result));
  return results;
}

// The code of the error with which an operation ends: protocols differ in whether that is a result.
async function failure(client, query) {
  let errors;
  try {
    ({ errors } = (await all(client, query)).at(-1));
  } catch (thrown) {
    errors = thrown;
  }
  return errors[0].extensions.code;
}

// Resolves when a subscription has gone on after the server has ended with the signal and has come back.
export async function interrupted(server, client, signal) {
  let updated;
  const ended = client
    .subscribe(updates, () => updated())
    .then(() => Promise.reject(new Error('the subscription has completed')));
  const nextUpdate = () => Promise.race([new Promise((resolve) => (updated = resolve)), ended]);

  await nextUpdate();
  assert.equal(client.attempts, 1);
  await server.stop(signal);
  const afterwards = nextUpdate();
  await server.start();
  await afterwards;
  // One or two find no server, one finds it again. Hundreds would be an attack.
  assert.ok(client.attempts >= 2 && client.attempts <= 4, `${client.attempts} attempts to connect`);
}
