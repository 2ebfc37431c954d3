'use strict';

const url = '/graphql';

const request = GraphiQL.createFetcher({
  url,
  subscriptionUrl: `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}${url}`,
  enableIncrementalDelivery: false,
});

// All documents that this page sends by itself: a server that executes only trusted documents knows these.
const { introspection, standIns, examples } = JSON.parse(document.getElementById('documents').textContent);

// withRealID puts a pull's id in the place of a stand-in. Without such a pull the server says that there is none.
async function withRealID(parameters) {
  const query = standIns[parameters.variables?.id];
  const [pull] = query ? ((await request({ query })).data?.pulls ?? []) : [];
  return pull ? { ...parameters, variables: { ...parameters.variables, id: pull.id } } : parameters;
}

// GraphiQL lays out the whole answer anew for each update, which takes longer than busy subscriptions leave time for.
const displayInterval = 200; // milliseconds

// How many log lines and notices are kept in view: a batch by itself would be gone before it can be read.
const displayedLines = 100;

// withEarlierLines returns update with the log lines and notices of earlier before its own.
function withEarlierLines(earlier, update) {
  const data = {};
  for (const [field, value] of Object.entries(update.data ?? {})) {
    data[field] = { ...value };
    for (const list of ['lines', 'notices'].filter((name) => Array.isArray(value?.[name]))) {
      data[field][list] = [...(earlier?.data?.[field]?.[list] ?? []), ...value[list]].slice(-displayedLines);
    }
  }
  return update.data ? { ...update, data } : update;
}

// newestOnly yields what source has yielded last, with displayInterval between one and the next, and ends or throws as
// source does. Returning from it, even while it waits, ends source.
function newestOnly(source) {
  let newest;
  let last;
  let end;
  let wake = () => {};
  (async () => {
    try {
      for await (const update of source) {
        last = newest = withEarlierLines(last, update);
        wake();
      }
      end = () => ({ done: true, value: undefined });
    } catch (error) {
      end = () => {
        // A connection that fails is reported as an event, in which there is nothing to read.
        throw error instanceof Event ? new Error('The connection to the server failed.') : error;
      };
    }
    wake();
  })();
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      await new Promise((resolve) => setTimeout(resolve, displayInterval));
      if (!newest && !end) {
        await new Promise((resolve) => (wake = resolve));
      }
      if (!newest) {
        return end();
      }
      const value = newest;
      newest = undefined;
      return { done: false, value };
    },
    return() {
      return source.return();
    },
  };
}

async function fetcher(parameters, options) {
  if (parameters.operationName === 'IntrospectionQuery' && !options?.documentAST) { // nobody has typed it
    return request({ ...parameters, query: introspection }, options);
  }
  const result = await request(await withRealID(parameters), options);
  return Symbol.asyncIterator in result ? newestOnly(result) : result;
}

const defaultTabs = examples.map(({ query, variables }) => ({
  query,
  variables: variables && JSON.stringify(variables, null, 2),
}));
const withoutLogo = React.createElement(GraphiQL.Logo, { key: 'logo' }, '');
ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(GraphiQL, { fetcher, defaultTabs, defaultEditorToolsVisibility: 'variables' }, withoutLogo),
);
