// Tries a pullwatch with clients that others have written: node run.mjs PATH_OF_PULLWATCH
import { apollo } from './apollo.mjs';
import { audits } from './audits.mjs';
import { events } from './events.mjs';
import { eventSources } from './eventsource.mjs';
import { legacySockets } from './legacy.mjs';
import { Server } from './server.mjs';
import { sockets } from './sockets.mjs';
import { trustedDocuments, trustedFlags } from './trusted.mjs';

const limit = 60_000; // milliseconds for one check

async function run(name, checks, binary, ...flags) {
  const server = await Server.launch(binary, ...flags);
  let failed = 0;
  try {
    for (const [check, execute] of Object.entries(checks(server))) {
      const began = performance.now();
      let problem;
      try {
        await Promise.race([execute(), timeout()]);
      } catch (error) {
        problem = error;
        failed++;
      }
      const took = Math.round(performance.now() - began);
      console.log(`${problem ? 'FAIL' : 'ok  '} ${name}: ${check} (${took} ms)`);
      if (problem) {
        console.log(problem);
      }
    }
  } finally {
    await server.stop('SIGTERM');
  }
  return failed;
}

function timeout() {
  return new Promise((_, reject) => setTimeout(() => reject(new Error(`not done after ${limit} ms`)), limit).unref());
}

// Each with a server of its own, because some checks stop theirs.
const failed = await Promise.all([
  ...Object.entries({
    '@apollo/client': apollo,
    eventsource: eventSources,
    'graphql-http': audits,
    'graphql-sse': events,
    'graphql-ws': sockets,
    'subscriptions-transport-ws': legacySockets,
  }).map(([name, checks]) => run(name, checks, process.argv[2])),
  run('trusted documents', trustedDocuments, process.argv[2], ...trustedFlags),
]);
process.exit(failed.some((n) => n > 0) ? 1 : 0);
