/**
 * A million random and mutated bodies over HTTP to a real collector. Goal: it answers all of them, its sums are those of what
 * it accepted, and its memory stays: each store in memory takes a part of them, and the last one's peak is near the first one's.
 */
import { parseArgs } from 'node:util';
import { attempt, Fuzz } from '@joulebook/collector/ingest/fuzz.testing.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { array, assert, asyncProperty } from 'fast-check';
import { fuzzLines } from './fuzz-lines.js';

const BODIES_PER_RUN = 1000;
const BODIES_PER_STORE = 50_000;
/** What is asked of is kept in memory, and so are the bodies under way. */
const MOST_MIB = 1500;

const rss = (): number => process.memoryUsage.rss() / 2 ** 20;

export async function fuzz(options: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({ args: [...options], options: { bodies: { type: 'string', default: '1000000' }, lines: { type: 'string', default: '1000000' }, seed: { type: 'string' } } });
  const [bodies, lines] = [Number(values.bodies), Number(values.lines)];
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  if (!(bodies >= 0) || !(lines >= 0) || !Number.isInteger(seed)) throw new UsageError(['fuzz: --bodies, --lines and --seed are whole numbers']);
  const areLinesRight = lines === 0 || (await fuzzLines(lines, seed));
  if (bodies === 0) return areLinesRight;
  const begun = performance.now();
  const answers = new Map<string, number>();
  const peaks: number[] = [];
  let fuzzing = await Fuzz.begin();
  let done = 0;

  async function endStore(): Promise<void> {
    await fuzzing.close();
    for (const [answer, count] of fuzzing.answers) answers.set(answer, (answers.get(answer) ?? 0) + count);
    process.stderr.write(`${done} bodies, ${Math.round(done / ((performance.now() - begun) / 1000))}/s, RSS ${Math.round(peaks.at(-1) ?? 0)} MiB at most\n`);
  }

  try {
    await assert(
      asyncProperty(array(attempt, { minLength: BODIES_PER_RUN, maxLength: BODIES_PER_RUN }), async (attempts) => {
        const store = Math.floor(done / BODIES_PER_STORE);
        if (store > 0 && done % BODIES_PER_STORE === 0) {
          await endStore();
          fuzzing = await Fuzz.begin();
        }
        await fuzzing.run(attempts);
        done += attempts.length;
        peaks[store] = Math.max(peaks[store] ?? 0, rss());
      }),
      { numRuns: Math.ceil(bodies / BODIES_PER_RUN), seed, endOnFailure: true },
    );
  } finally {
    await endStore();
  }
  const [first = 0, last = 0] = [peaks[0], peaks.at(-1)].map((peak) => Math.round(peak ?? 0));
  console.log(`seed ${seed}: ${done} bodies in ${Math.round((performance.now() - begun) / 1000)} s, no crash, no wrong sum; RSS at most ${first} MiB with the first store, ${last} MiB with the last of ${peaks.length}`);
  for (const [answer, count] of [...answers].toSorted(([a], [b]) => (a < b ? -1 : 1))) console.log(`  ${answer.padEnd(24)}${count}`);
  return areLinesRight && Math.max(...peaks) < MOST_MIB;
}
