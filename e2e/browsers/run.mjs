// Tries a pullwatch with the pages that people use it from, in Chromium: node run.mjs PATH_OF_PULLWATCH FOLDER_OF_SCREENSHOTS
import { eventSource } from './eventsource.mjs';
import { buildExamples, examples } from './examples.mjs';
import { consoles } from './consoles.mjs';
import { proxies } from './proxies.mjs';
import { Suite } from './suite.mjs';

const [binary, screenshots] = process.argv.slice(2);
const suite = await Suite.open(binary, screenshots, await buildExamples());
try {
  // Two at a time, because they wait for pulls. Each has a server of its own, because some stop theirs.
  await Promise.all([[examples, consoles], [eventSource, proxies]].map(async (groups) => {
    for (const group of groups) {
      await group(suite);
    }
  }));
} finally {
  await suite.close();
}
process.exit(suite.failed > 0 ? 1 : 0);
