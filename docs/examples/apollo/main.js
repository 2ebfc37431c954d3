// Apollo Client: queries and mutations over HTTP, subscriptions over a WebSocket.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import { createClient } from 'graphql-ws';
import { ACTIVE, START, UPDATES, started } from '../operations.js';
import { fail, onStart, show } from '../page.js';
import { resuming } from '../resume.js';

const socket = createClient({
  url: '/graphql',
  shouldRetry: () => true, // also while the server restarts
  retryAttempts: Infinity,
});
const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(resuming(socket)),
    new HttpLink({ uri: '/graphql' }),
  ),
});

const { data } = await client.query({ query: gql(ACTIVE) });
data.activePulls.forEach(show);

client.subscribe({ query: gql(UPDATES) }).subscribe(({ data, error }) => (error ? fail(error) : show(data.pullJobUpdated)));

onStart(async (image) => {
  const { data } = await client.mutate({ mutation: gql(START), variables: { images: [image] } });
  show(started(data));
});
