import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Unit tests run on the sources of every package, never on a stale build; end-to-end tests start the built programs.
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node', 'import', 'module', 'default'] } },
  test: {
    include: ['{shared,agent,collector,deploy}/{src,local}/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    testTimeout: 20_000,
    pool: 'forks',
  },
});
