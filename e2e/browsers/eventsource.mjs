// The browser's EventSource when its connection is cut, when the server restarts, and when a subscription has completed.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { Server } from '../clients/server.mjs';
import { followPull, openExample, serveExamples } from './examples.mjs';

export async function eventSource(suite) {
  const server = await Server.launch(suite.binary);
  const vite = await serveExamples(server);
  const line = await Line.open(server, vite);
  const tab = await suite.check('EventSource: stays closed after complete', async (tab) => {
    await tab.addInitScript(recordSources);
    await openExample(tab, line.url, 'eventsource');
    await followPull(tab, 'complete');
    await tab.waitForFunction(() => sources[1].readyState === EventSource.CLOSED);
    assert.deepEqual(line.returns, [{ lastEventID: 'complete', status: 204 }]);
  });
  await suite.check('EventSource: goes on where it was when its connection is cut', async () => {
    line.cut();
    await followPull(tab, 'cut');
    await checkReturn(tab, line);
  }, tab);
  await suite.check('EventSource: goes on when the server has restarted', async () => {
    await server.stop('SIGTERM');
    await server.start();
    await followPull(tab, 'restarted');
    await checkReturn(tab, line);
    assert.equal(line.returns.filter(({ lastEventID }) => lastEventID === 'complete').length, 3, 'each pull has completed once');
  }, tab);
  await tab.context().close();
  line.close();
  await vite.close();
  await server.stop('SIGTERM');
}

// Keeps what each EventSource of the page has got in the page's variable sources.
function recordSources() {
  const Native = EventSource;
  window.sources = [];
  window.EventSource = class extends Native {
    ids = [];

    constructor(url) {
      super(url);
      this.addEventListener('next', ({ lastEventId }) => this.ids.push(lastEventId));
      sources.push(this);
    }
  };
}

// Checks that the stream of all pulls came back with the id of an event that it had, and got no event twice. Waits until the
// stream of the last pull has come back after complete.
async function checkReturn(tab, line) {
  await tab.waitForFunction(() => sources.at(-1).readyState === EventSource.CLOSED);
  const ids = await tab.evaluate(() => sources[0].ids);
  assert.equal(new Set(ids).size, ids.length, 'an event came twice');
  const { lastEventID, status } = line.returns.findLast(({ lastEventID }) => lastEventID !== 'complete');
  assert.equal(status, 200);
  assert.ok(ids.includes(lastEventID), lastEventID);
}

// A way to the server, and to the examples, that can be cut.
class Line {
  returns = []; // the requests that came with the id of an event, and what they got

  static async open(server, vite) {
    const line = new Line();
    line.http = http.createServer((request, response) => {
      const target = new URL(request.url, request.url.startsWith('/graphql') ? server.url : vite.url);
      const passed = http.request(target, { method: request.method, headers: request.headers }, (answer) => {
        const lastEventID = request.headers['last-event-id'];
        if (lastEventID) {
          line.returns.push({ lastEventID, status: answer.statusCode });
        }
        response.writeHead(answer.statusCode, answer.headers);
        answer.on('error', () => response.destroy()).pipe(response);
      });
      passed.on('error', () => response.destroy()); // as if there were only the server, and it did not listen
      response.on('close', () => passed.destroy());
      request.pipe(passed);
    });
    line.http.listen(0, '127.0.0.1');
    await once(line.http, 'listening');
    line.url = `http://127.0.0.1:${line.http.address().port}`;
    return line;
  }

  cut() {
    this.http.closeAllConnections();
  }

  close() {
    this.http.close();
    this.cut();
  }
}
