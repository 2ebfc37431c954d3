// Relay: queries and mutations over HTTP, subscriptions over a WebSocket. relay-compiler reads the operations from this file.
import { createClient } from 'graphql-ws';
import {
  Environment, Network, Observable, RecordSource, Store, commitMutation, fetchQuery, graphql, requestSubscription,
} from 'relay-runtime';
import { started } from '../operations.js';
import { fail, onStart, show } from '../page.js';
import { resuming } from '../resume.js';

const socket = resuming(createClient({
  url: '/graphql',
  shouldRetry: () => true, // also while the server restarts
  retryAttempts: Infinity,
}));

async function request({ text: query }, variables) {
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  return response.json();
}

const subscribe = ({ text: query }, variables) =>
  Observable.create((sink) => socket.subscribe({ query, variables }, sink));

const environment = new Environment({
  network: Network.create(request, subscribe),
  store: new Store(new RecordSource()),
});

const { activePulls } = await fetchQuery(
  environment,
  graphql`
    query mainActiveQuery {
      activePulls { id phase progress { percent } }
    }
  `,
  {},
).toPromise();
activePulls.forEach(show);

requestSubscription(environment, {
  subscription: graphql`
    subscription mainUpdatesSubscription($after: ID) {
      pullJobUpdated(after: $after, history: false) { id phase revision progress { percent } }
    }
  `,
  variables: {},
  onNext: ({ pullJobUpdated }) => show(pullJobUpdated),
  onError: fail,
});

onStart((image) => {
  commitMutation(environment, {
    mutation: graphql`
      mutation mainStartMutation($images: [String!]!) {
        startPulls(input: { images: $images }) {
          results { pull { id phase progress { percent } } error { message } }
        }
      }
    `,
    variables: { images: [image] },
    onCompleted: (data) => show(started(data)),
    onError: fail,
  });
});
