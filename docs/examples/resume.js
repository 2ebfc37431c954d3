// Lets a client of graphql-ws or graphql-sse go on where it was after it has lost its connection. It subscribes again by itself,
// with the variables that it was given: so they are given the revision of each update.
export function resuming(client) {
  return {
    ...client,
    subscribe(request, sink) {
      const variables = { ...request.variables };
      return client.subscribe({ ...request, variables }, {
        ...sink,
        next(result) {
          variables.after = result.data?.pullJobUpdated?.revision ?? variables.after;
          sink.next(result);
        },
      });
    },
  };
}
