// Pages in which people type operations: the server's own GraphiQL, and others with their defaults.
import { join } from 'node:path';
import altair from 'altair-static';
import { Server } from '../clients/server.mjs';

const playground = new URL('package/build/static/', import.meta.url).pathname; // unpacked beside this file

const maxTries = 10; // of an operation in a page that gives up by itself

// editor and result are where the page has the text of an operation and what came of it. title is where it then shows the name of
// the operation that it has read: until then it executes another one.
const all = {
  GraphiQL: { path: '/', editor: '.graphiql-query-editor', result: '.graphiql-response', title: (name) => `.graphiql-tab-active:has-text("${name}")` },
  'GraphQL Playground': {
    path: '/playground/',
    page: () => `<!doctype html>
<meta charset="utf-8">
<link rel="stylesheet" href="css/middleware.css">
<div id="root"></div>
<script src="js/middleware.js"></script>
<script>GraphQLPlayground.init(document.getElementById('root'), { endpoint: '/graphql' })</script>`,
    files: playground,
    editor: '.CodeMirror',
    result: 'body',
    title: (name) => `xpath=//*[text()="${name}" and not(ancestor::*[contains(@class, "CodeMirror")])]`,
    gaveUp: 'Could not connect to websocket', // after a second, which is short on a busy machine
  },
  Altair: {
    path: '/altair/',
    page: ({ socketUrl }) => altair.renderAltair({ baseURL: '/altair/', endpointURL: '/graphql', subscriptionsEndpoint: socketUrl }),
    files: altair.getDistDirectory(),
    editor: '.query-editor__input .cm-content',
    result: '.query-result__tabs',
  },
};

export async function consoles(suite) {
  const server = await Server.launch(suite.binary);
  await Promise.all(Object.entries(all).map(async ([name, console]) => {
    const tab = await suite.check(`${name}: a query, a mutation and a subscription`, async (tab) => {
      await open(tab, server, console);
      await execute(tab, console, 'query Active { activePulls { id } }', /"activePulls": \[/);
      const start = 'mutation Start { startPulls(input: { images: ["console:1"] }) { results { pull { id } } } }';
      const [id] = await execute(tab, console, start, /console-1-\w+-\w+/);
      await execute(tab, console, `subscription Followed { pullJobUpdated(ids: ["${id}"]) { phase } }`, /"SUCCEEDED"/);
    });
    await tab.context().close();
  }));
  await server.stop('SIGTERM');
}

// Opens a console under the server's address, as if the server had it.
async function open(tab, server, { path, page, files }) {
  if (page) {
    await tab.context().grantPermissions(['local-network-access']); // a page that comes from no server may not open WebSockets
    await tab.route(`**${path}**`, (route) => {
      const file = new URL(route.request().url()).pathname.slice(path.length);
      return file === '' ? route.fulfill({ contentType: 'text/html', body: page(server) }) : route.fulfill({ path: join(files, file) });
    });
  }
  await tab.goto(`http://${server.address}${path}`);
}

// Types an operation, has it executed, and waits until the result has what is expected. Returns the match.
async function execute(tab, { editor, result, title, gaveUp }, operation, expected) {
  const shown = (text) => tab.locator(result).filter({ hasText: text }).first();
  for (let tries = 1; tries <= (gaveUp ? maxTries : 1); tries++) {
    await tab.locator(editor).first().click();
    await tab.keyboard.press('Control+A');
    await tab.keyboard.insertText(operation);
    if (title) {
      const [, name] = operation.split(' ');
      await tab.locator(title(name)).waitFor();
    }
    await tab.keyboard.press('Control+Enter');
    await shown(gaveUp ? new RegExp(`${expected.source}|${gaveUp}`) : expected).waitFor();
    if (!gaveUp || (await shown(expected).isVisible())) {
      return (await shown(expected).innerText()).match(expected);
    }
    await tab.reload();
  }
  throw new Error(`${gaveUp}, ${maxTries} times`);
}
