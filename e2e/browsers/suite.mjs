// Checks, each with tabs of Chromium of its own.
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const limit = 180_000; // milliseconds for one step of a check

export class Suite {
  failed = 0;

  constructor(fields) {
    Object.assign(this, fields);
  }

  // binary is pullwatch, screenshots the folder for those of failures, and pages that of the examples.
  static async open(binary, screenshots, pages) {
    const browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: [
        '--no-sandbox', // it does not start as root with one
        '--disable-gpu',
        '--host-resolver-rules=MAP *.example 127.0.0.1',
      ],
    });
    return new Suite({ binary, screenshots, pages, browser });
  }

  close() {
    return this.browser.close();
  }

  // Runs a check and says what came of it. execute gets a tab, which stays open for later checks that are given it.
  async check(name, execute, tab) {
    const began = performance.now();
    tab ??= await this.tab();
    let problem;
    try {
      await execute(tab);
    } catch (error) {
      problem = error;
      this.failed++;
    }
    console.log(`${problem ? 'FAIL' : 'ok  '} ${name} (${Math.round(performance.now() - began)} ms)`);
    if (problem) {
      console.log(problem, '\nthe page said:', tab.said.join('\n'), '\nscreenshot:', await this.screenshot(name, tab));
    }
    return tab;
  }

  // A tab with cookies, storage and connections of its own.
  async tab() {
    const context = await this.browser.newContext({ ignoreHTTPSErrors: true });
    context.setDefaultTimeout(limit);
    const tab = await context.newPage();
    tab.said = [];
    tab.on('console', (message) => tab.said.push(message.text()));
    tab.on('pageerror', (error) => tab.said.push(error.stack));
    return tab;
  }

  async screenshot(name, tab) {
    const path = join(this.screenshots, `${name.replace(/[^a-z0-9]+/gi, '-')}.png`);
    try {
      await tab.screenshot({ path });
      return path;
    } catch (error) {
      return `none: ${error.message}`;
    }
  }
}
