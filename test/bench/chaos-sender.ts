/**
 * A node of the bench `chaos`, to be killed at any moment: the agent's own outlet (batches, spool, shipper) behind a generator
 * in the place of sensors. A batch is made when the one before is on disk and its number stands, synced, in `confirmed`.
 *
 *     argv     JSON: folder, url, seed, node, begin
 *     stdin  ◀ "drain": make no more, say when all is delivered; "go". Its end is the end of this process
 *     stdout ▶ { held, confirmed } at start, { drained, lost }, { warning }
 *
 * `held` is how many numbers the spool has given out, which after a kill may be one more than were confirmed, and never less.
 */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { outlet } from '@joulebook/agent/shipper/outlet.js';
import { openSpool } from '@joulebook/agent/spool/spool.js';
import { systemClock } from '@joulebook/shared/clock.js';
import { messageOf } from '@joulebook/shared/errors.js';
import { epochMicros, seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { CELL_SECONDS, numberEnding, slicesOf } from './chaos-generator.js';

/** Small, so that segments are begun and deleted all the time. */
const SPOOL = { maxBytes: 4 * 2 ** 20, minFreeBytes: 0, sync: 'append' } as const;
/** It makes no more while so many wait: catching up after a round takes seconds, and none is dropped to keep to the quota. */
const MOST_WAITING = 80;
const PAUSE_MS = 25;
const LOOK_MS = 5;

const { folder, url, ...origin } = z.object({ folder: z.string(), url: z.string(), seed: z.number(), node: z.string(), begin: z.number().transform(epochMicros) }).parse(JSON.parse(process.argv[2] ?? ''));
const tell = (said: object): void => void process.stdout.write(`${JSON.stringify(said)}\n`);

/** How many numbers were confirmed; a last line that was cut off is none. */
async function confirmedIn(path: string): Promise<number> {
  const last = (await readFile(path, 'utf8').catch(() => '')).split('\n').at(-2);
  return last === undefined ? 0 : Number(last) + 1;
}

const spool = await openSpool(join(folder, 'spool'), SPOOL);
const state = { next: spool.nextPosition, confirmed: spool.nextPosition, draining: false };
await spool.close();
const path = join(folder, 'confirmed');
tell({ held: state.next, confirmed: await confirmedIn(path) });

const file = await open(path, 'a');
const warn = (message: string, fields?: Record<string, unknown>): void => tell({ warning: message, code: fields?.['code'] });
const fail = (error: unknown): void => {
  tell({ warning: `failed: ${messageOf(error)}` });
  process.exit(1);
};
const out = await outlet({
  node: origin.node, labels: {}, slice: seconds(CELL_SECONDS), dataDir: folder, spool: SPOOL, collectors: { urls: [url] }, catchUpRate: 500, batchAge: seconds(0), now: () => systemClock.wall(),
  log: { info: () => undefined, warn }, flag: ({ code, detail }) => warn(detail, { code }), failed: fail,
  async kept(until) {
    const number = numberEnding(origin, until);
    await file.write(`${number}\n`);
    await file.datasync();
    state.confirmed = number + 1;
  },
});

createInterface({ input: process.stdin })
  .on('line', (line) => (state.draining = line === 'drain'))
  .on('close', () => process.exit(0));

for (;;) {
  const { memoryBatches, spooledBatches, lostBatches } = out.state;
  if (!state.draining && spooledBatches < MOST_WAITING) {
    out.put(slicesOf(origin, state.next));
    state.next += 1;
    while (state.confirmed < state.next) await sleep(1);
    await sleep(Math.random() * PAUSE_MS);
  } else if (state.draining && memoryBatches + spooledBatches === 0) {
    tell({ drained: state.next, lost: lostBatches });
    while (state.draining) await sleep(LOOK_MS);
  } else await sleep(LOOK_MS);
}
