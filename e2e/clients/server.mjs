// A pullwatch with the demo's cluster, on a port of its own that it keeps when it is started again.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

export class Server {
  constructor(binary, port, flags) {
    this.binary = binary;
    this.address = `127.0.0.1:${port}`;
    this.flags = ['--demo', '--demo-pulls=3', `--listen=${this.address}`, '--drain-timeout=2s', '--log-level=warn', ...flags];
    this.url = `http://${this.address}/graphql`;
    this.socketUrl = `ws://${this.address}/graphql`;
  }

  // More flags may be given, and outweigh its own.
  static async launch(binary, ...flags) {
    const server = new Server(binary, await freePort(), flags);
    await server.start();
    return server;
  }

  // Returns when the server answers requests.
  async start() {
    this.process = spawn(this.binary, this.flags, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.exited = once(this.process, 'exit');
    for (;;) {
      if (this.process.exitCode !== null) {
        throw new Error('pullwatch has ended');
      }
      try {
        const { ok } = await fetch(`http://${this.address}/readyz`);
        if (ok) {
          return;
        }
      } catch {
        // It does not listen yet.
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  // SIGTERM lets it say goodbye to its clients, SIGKILL does not.
  async stop(signal) {
    this.process.kill(signal);
    await this.exited;
  }

  async query(query) {
    const response = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    const { data, errors } = await response.json();
    if (errors) {
      throw new Error(JSON.stringify(errors));
    }
    return data;
  }

  // Starts a pull of an image and returns its id.
  async startPull(image) {
    const { startPulls } = await this.query(
      `mutation { startPulls(input: {images: ["${image}"]}) { results { pull { id } error { message } } } }`,
    );
    const [{ pull, error }] = startPulls.results;
    if (!pull) {
      throw new Error(error.message);
    }
    return pull.id;
  }
}

export async function freePort() {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  listener.close();
  await once(listener, 'close');
  return port;
}
