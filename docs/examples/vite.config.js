import { transformAsync } from '@babel/core';
import { defineConfig } from 'vite';

// Puts what relay-compiler has made in the place of Relay's graphql`…`.
const relay = {
  name: 'relay',
  transform: (code, id) =>
    /\/relay\/main\.js$/.test(id)
      ? transformAsync(code, { cwd: import.meta.dirname, plugins: [['relay', { eagerEsModules: true }]], sourceMaps: true })
      : null,
};

export default defineConfig({
  plugins: [relay],
  server: {
    proxy: {
      '/graphql': { target: process.env.PULLWATCH ?? 'http://127.0.0.1:8080', ws: true },
    },
  },
});
