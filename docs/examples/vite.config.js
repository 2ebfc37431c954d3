import { transformAsync } from '@babel/core';
import { defineConfig } from 'vite';

// Puts what relay-compiler has made in the place of Relay's graphql`…`.
const relay = {
  name: 'relay',
  transform: {
    filter: { id: /\/relay\/main\.js$/ },
    handler: (code) =>
      transformAsync(code, { cwd: import.meta.dirname, plugins: [['relay', { eagerEsModules: true }]], sourceMaps: true }),
  },
};

export default defineConfig({
  plugins: [relay],
  server: {
    proxy: {
      '/graphql': { target: process.env.PULLWATCH ?? 'http://127.0.0.1:8080', ws: true },
    },
  },
});
