// Writes into this directory the browser builds that the page loads, and the licences of all that went into them, from
// exactly the packages in package-lock.json.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const here = import.meta.dirname;
const work = mkdtempSync(join(tmpdir(), 'pullwatch-page-'));
try {
  for (const file of ['package.json', 'package-lock.json']) {
    copyFileSync(join(here, file), join(work, file));
  }
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], {
    cwd: work,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const modules = join(work, 'node_modules');
  const read = (path) => readFileSync(join(modules, path), 'utf8');
  const write = (name, text) => writeFileSync(join(here, name), text.trimEnd() + '\n');

  // The maps are not served, so developer tools should not look for them.
  const withoutSourceMap = (script) => script.replace(/\n\/\/# sourceMappingURL=\S+\s*$/, '');
  // Embedded fonts are four fifths of the style sheet, and the system's own do as well.
  const withoutFonts = (style) => style.replace(/@font-face\s*\{[^}]*\}\s*/g, '');

  write('react.production.min.js', withoutSourceMap(read('react/umd/react.production.min.js')));
  write('react-dom.production.min.js', withoutSourceMap(read('react-dom/umd/react-dom.production.min.js')));
  write('graphiql.min.js', withoutSourceMap(read('graphiql/graphiql.min.js')));
  write('graphiql.min.css', withoutFonts(read('graphiql/graphiql.min.css')));
  write('LICENSES.txt', licences(modules));
} finally {
  rmSync(work, { recursive: true });
}

// licences returns the licence of each package below a node_modules directory, sorted by name.
function licences(modules) {
  return readdirSync(modules, { recursive: true })
    .filter((path) => /(^|node_modules\/)(@[^/]+\/)?[^/]+\/package\.json$/.test(path))
    .sort()
    .map((path) => {
      const directory = join(modules, path, '..');
      const { name, version, license, repository } = JSON.parse(readFileSync(join(modules, path), 'utf8'));
      const files = readdirSync(directory).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort();
      const texts = files.map((file) => readFileSync(join(directory, file), 'utf8').replace(/\r\n?/g, '\n').trim());
      return [`${name} ${version}: ${license}`, repository?.url ?? repository ?? '', ...texts].join('\n\n');
    })
    .join(`\n\n${'-'.repeat(80)}\n\n`);
}
