import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';

/** Programs that run in real time, for a minute and more: they begin first, and others are done while they wait. */
const LIVE = ['test/e2e/{live,live-logs,start}.test.ts'];
/** Twenty seconds and more each: begun last, one of them would keep one processor while the other has nothing left. */
const LONG = ['test/recordings.test.ts', 'collector/src/evidence/*.test.ts', 'collector/src/store/{rollup,influx/influx}.test.ts', 'test/e2e/bad-*.test.ts'];
/** They look at what their process holds, or load a library into it. */
const ALONE = ['agent/src/sources/power/power-contract.test.ts', 'test/nvml/*.test.ts'];

export default defineConfig({
  // Unit tests run on the sources of every package, never on a stale build; end-to-end tests start the built programs.
  resolve: { conditions: ['source'] },
  // Not `import`: it would be a condition of `require` too, which then finds modules where packages keep a function for it.
  ssr: { resolve: { conditions: ['source', 'node', 'module'] } },
  test: {
    testTimeout: 20_000,
    pool: 'forks',
    // The default is one less, which on two processors leaves one of them idle.
    maxWorkers: availableParallelism(),
    // Begun in the order of their names.
    projects: [
      { extends: true, test: { name: '1 live', include: LIVE } },
      { extends: true, test: { name: '2 alone', include: ALONE } },
      { extends: true, test: { name: '3 long', include: LONG, isolate: false } },
      {
        extends: true,
        test: {
          name: '4 others',
          include: ['{shared,agent,collector,deploy}/{src,local}/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, '**/dist/**', ...LIVE, ...ALONE, ...LONG],
          // Many small files in few processes: most of their time would go into starting one and loading what they test.
          isolate: false,
        },
      },
    ],
  },
});
