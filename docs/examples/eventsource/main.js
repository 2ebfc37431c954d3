// No library: fetch, and the browser's EventSource.
import { ACTIVE, START, UPDATES, started } from '../operations.js';
import { fail, onStart, show } from '../page.js';

const { data } = await (await fetch(`/graphql?${new URLSearchParams({ query: ACTIVE })}`)).json();
data.activePulls.forEach(show);

// The browser comes back by itself when it loses the server, and says which event was its last. It gives up when the answer is
// an error, such as a proxy's 502 while the server restarts. Then the page has to come back.
function follow(variables) {
  const parameters = { query: UPDATES, variables: JSON.stringify(variables) };
  const source = new EventSource(`/graphql?${new URLSearchParams(parameters)}`);
  let after = variables.after;
  let completed = false;
  source.addEventListener('next', (event) => {
    after = event.lastEventId || after;
    const { data, errors } = JSON.parse(event.data);
    if (errors) {
      fail(errors[0]);
    } else {
      show(data.pullJobUpdated);
    }
  });
  // After an error that a pause may mend it has not that id, and the browser comes back.
  source.addEventListener('complete', ({ lastEventId }) => (completed = lastEventId === 'complete'));
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED && !completed) {
      setTimeout(follow, 1000, { ...variables, after });
    }
  });
}

follow({});

onStart(async (image) => {
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ query: START, variables: { images: [image] } }),
  });
  const { data, errors } = await response.json();
  if (errors) {
    throw errors[0];
  }
  follow({ ids: [started(data).id] });
});
