// An nginx that serves the examples, and passes requests on to pullwatch in several ways.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../clients/server.mjs';

export class Nginx {
  // Each way is a function that returns directives for the http block, and the URL for browsers. pages is the folder of the examples.
  static async start(ways, server, pages) {
    const nginx = new Nginx();
    nginx.dir = mkdtempSync(join(tmpdir(), 'nginx-'));
    nginx.urls = {};
    makeCertificate(nginx.dir);
    let directives = '';
    for (const [name, way] of Object.entries(ways)) {
      const { url, http } = way(await freePort(), server.address);
      nginx.urls[name] = url;
      directives += http;
    }
    // In one process nothing outlives it. It may not become another user in a user namespace.
    writeFileSync(join(nginx.dir, 'nginx.conf'), `daemon off;
user root;
master_process off;
pid pid;
error_log error.log;
events {}
http {
  access_log off;
  include /etc/nginx/mime.types;
  root ${pages};
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((part) => `${part}_temp_path ${part};`).join(' ')}
  map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
  ${directives}
}
`);
    nginx.process = spawn('nginx', ['-p', nginx.dir, '-e', 'error.log', '-c', 'nginx.conf'], { stdio: ['ignore', 'ignore', 'inherit'] });
    nginx.exited = once(nginx.process, 'exit');
    await nginx.answers(nginx.urls.byDefault);
    return nginx;
  }

  async answers(url) {
    for (;;) {
      if (this.process.exitCode !== null) {
        throw new Error(`nginx has ended: ${readFileSync(join(this.dir, 'error.log'))}`);
      }
      try {
        return await fetch(url);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50)); // it does not listen yet
      }
    }
  }

  async stop() {
    this.process.kill('SIGTERM');
    await this.exited;
    rmSync(this.dir, { recursive: true });
  }
}

function makeCertificate(dir) {
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1', '-subj', '/CN=pulls.example',
    '-keyout', join(dir, 'key.pem'), '-out', join(dir, 'certificate.pem'),
  ], { stdio: 'ignore' });
}

export const byDefault = (port, address) => ({
  url: `http://127.0.0.1:${port}`,
  http: `server {
    listen 127.0.0.1:${port};
    location /graphql { proxy_pass http://${address}; }
  }`,
});

// The server block of docs/clients.md. Its map is in the http block already.
export function documented(port, address) {
  const [block] = readFileSync(new URL('../../docs/clients.md', import.meta.url), 'utf8').match(/(?<=```nginx\n[^`]*)^server \{[^`]*/m);
  return {
    url: `http://127.0.0.1:${port}`,
    http: block.replace('listen 80;', `listen 127.0.0.1:${port};`).replace('127.0.0.1:8080', address),
  };
}

// What ingress-nginx makes of an Ingress with TLS, as far as it bears on requests. host is what its annotation upstream-vhost
// sets; without that annotation it is $http_host.
export const ingress = (host) => (port, address) => ({
  url: `https://pulls.example:${port}`,
  http: `upstream balancer-${port} { server ${address}; keepalive 320; keepalive_timeout 60s; keepalive_requests 10000; }
  server {
    listen 127.0.0.1:${port} ssl http2;
    server_name pulls.example;
    ssl_certificate certificate.pem;
    ssl_certificate_key key.pem;
    client_max_body_size 1m;
    location /graphql {
      proxy_set_header Host ${host};
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Scheme $scheme;
      proxy_set_header Proxy "";
      proxy_connect_timeout 5s;
      proxy_send_timeout 60s;
      proxy_read_timeout 60s;
      proxy_buffering off;
      proxy_buffer_size 4k;
      proxy_buffers 4 4k;
      proxy_request_buffering on;
      proxy_http_version 1.1;
      proxy_next_upstream error timeout;
      proxy_next_upstream_tries 3;
      proxy_pass http://balancer-${port};
      proxy_redirect off;
    }
  }`,
});
