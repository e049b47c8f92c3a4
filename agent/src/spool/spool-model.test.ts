import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { QUOTA_BYTES, Run, SEGMENT_BYTES, steps } from './spool-model.testing.js';

it('agrees with a model under random use, quotas and crashes: every fact is to be sent, acknowledged or accounted for, once', { timeout: 120_000 }, async () => {
  let crashes = 0;
  let dropped = 0;
  await fc.assert(
    fc.asyncProperty(steps, fc.constantFrom('append' as const, 'handout' as const), fc.constantFrom(0, 1e9), async (todo, sync, cursorEveryMs) => {
      const run = await Run.begin({ segmentBytes: SEGMENT_BYTES, maxBytes: QUOTA_BYTES, sync, cursorEveryMs, dropped: (batches) => (dropped += batches) });
      try {
        for (const [now, killedAfter] of todo) {
          if (now.do === 'restart') {
            await run.reopen(run.where);
            await run.drain();
            run.check();
          } else if (now.do === 'cut') await run.cut(now.share);
          else if (killedAfter !== null) {
            crashes += 1;
            await run.crash(now, killedAfter);
          } else {
            await run.do(now);
            run.check();
          }
        }
      } finally {
        await run.end();
      }
    }),
    { numRuns: 300 },
  );
  // It was about something.
  expect(crashes).toBeGreaterThan(300);
  expect(dropped).toBeGreaterThan(300);
});
