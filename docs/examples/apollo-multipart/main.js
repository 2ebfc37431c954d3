// Apollo Client: everything over HTTP, subscriptions as Apollo's multipart responses. It needs no other library.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { RetryLink } from '@apollo/client/link/retry';
import { OperationTypeNode } from 'graphql';
import { tap } from 'rxjs';
import { ACTIVE, START, UPDATES, started } from '../operations.js';
import { fail, onStart, show } from '../page.js';

// Subscribes again after the connection is lost, also while the server restarts, but not if it is refused for good.
const retry = new RetryLink({
  attempts: (_, { operationType }, { statusCode }) =>
    operationType === OperationTypeNode.SUBSCRIPTION && !(statusCode >= 400 && statusCode < 429),
  delay: { max: 10_000 },
});
// Then the subscription goes on behind the last update.
const resume = new ApolloLink((operation, forward) =>
  forward(operation).pipe(tap(({ data }) => {
    const after = data?.pullJobUpdated?.revision;
    if (after) {
      operation.variables = { ...operation.variables, after };
    }
  })),
);
const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: ApolloLink.from([retry, resume, new HttpLink({ uri: '/graphql' })]),
});

const { data } = await client.query({ query: gql(ACTIVE) });
data.activePulls.forEach(show);

client.subscribe({ query: gql(UPDATES) }).subscribe(({ data, error }) => (error ? fail(error) : show(data.pullJobUpdated)));

onStart(async (image) => {
  const { data } = await client.mutate({ mutation: gql(START), variables: { images: [image] } });
  show(started(data));
});
