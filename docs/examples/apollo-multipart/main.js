// Apollo Client: everything over HTTP, subscriptions as Apollo's multipart responses. It needs no other library.
import { ApolloClient, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { defer, retry } from 'rxjs';
import { ACTIVE, START, UPDATES, started } from '../operations.js';
import { fail, onStart, show } from '../page.js';

const client = new ApolloClient({ cache: new InMemoryCache(), link: new HttpLink({ uri: '/graphql' }) });

const { data } = await client.query({ query: gql(ACTIVE) });
data.activePulls.forEach(show);

// The link does not come back by itself after it has lost its connection.
const variables = {};
defer(() => client.subscribe({ query: gql(UPDATES), variables }))
  .pipe(retry({ delay: 1000 }))
  .subscribe({
    next({ data, error }) {
      if (error) {
        fail(error);
        return;
      }
      variables.after = data.pullJobUpdated.revision;
      show(data.pullJobUpdated);
    },
    error: fail,
  });

onStart(async (image) => {
  const { data } = await client.mutate({ mutation: gql(START), variables: { images: [image] } });
  show(started(data));
});
