// Apollo Client: operations of the same moment in one request.
import { ApolloClient, InMemoryCache, gql } from '@apollo/client';
import { BatchHttpLink } from '@apollo/client/link/batch-http';
import { ACTIVE, START, started } from '../operations.js';
import { onStart, show } from '../page.js';

const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: new BatchHttpLink({ uri: '/graphql' }),
});

const queries = [ACTIVE, 'query Failed { failedPulls(limit: 5) { id phase progress { percent } } }'];
const [active, failed] = await Promise.all(queries.map((query) => client.query({ query: gql(query) })));
[...failed.data.failedPulls, ...active.data.activePulls].forEach(show);

onStart(async (image) => {
  const { data } = await client.mutate({ mutation: gql(START), variables: { images: [image] } });
  show(started(data));
});
