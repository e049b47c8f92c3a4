/** What a node has made, what the store says of it, and by how much the two differ. */
import { z } from 'zod';
import { NOTHING, plus, totalsOf, type Totals } from '../support/fleet.js';
import { slicesOf, startOf, type Origin } from './chaos-generator.js';

const ANSWER_MS = 60_000;

/** Of the batches with a number below. */
export class Truth {
  readonly #origin: Origin;
  readonly #below: Totals[] = [NOTHING];

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  below(number: number): Totals {
    let sum = this.#below.at(-1) ?? NOTHING;
    for (let next = this.#below.length - 1; next < number; next += 1) {
      sum = plus(sum, totalsOf({ slices: slicesOf(this.#origin, next) }));
      this.#below.push(sum);
    }
    return this.#below[number] ?? sum;
  }
}

/** Of a report as much as is compared; of nothing it has no rows and no times. */
const amount = z.number().nullable();
const reportSchema = z.object({ rows: z.array(z.object({ joules: amount, tokens: z.object({ output: amount }), requests: z.record(z.string(), amount) })) });

/** As `joulebook report` says it, to the microjoule; `below`: only of batches with a number below. */
export async function stored(collector: string, origin: Origin, below?: number): Promise<Totals> {
  const asked = new URLSearchParams({ boundary: 'gpu', where: `node=${origin.node}`, ...(below !== undefined && { to: String(startOf(origin, below) / 1e6) }) });
  const answer = await fetch(`${collector}/v1/report?${String(asked)}`, { signal: AbortSignal.timeout(ANSWER_MS) });
  const said: unknown = await answer.json();
  if (!answer.ok) throw new Error(`the report was answered ${answer.status}: ${JSON.stringify(said)}`);
  const [row] = reportSchema.parse(said).rows;
  return row ? { microjoules: BigInt(Math.round((row.joules ?? 0) * 1e6)), tokens: row.tokens.output ?? 0, requests: row.requests['ok'] ?? 0 } : NOTHING;
}

const verifiedSchema = z.object({ closed: z.boolean(), reasons: z.array(z.object({ code: z.string(), detail: z.string() })) });

/** Why the books do not close, as `joulebook verify` says it. */
export async function reasonsAgainst(collector: string): Promise<readonly string[]> {
  const answer = await fetch(`${collector}/v1/verify`, { signal: AbortSignal.timeout(ANSWER_MS) });
  return verifiedSchema.parse(await answer.json()).reasons.map(({ code, detail }) => `${code}: ${detail}`);
}

/** What `a` has more than `b`, by kind; never negative. */
export const excess = (a: Totals, b: Totals): Totals => ({
  microjoules: a.microjoules > b.microjoules ? a.microjoules - b.microjoules : 0n, tokens: Math.max(0, a.tokens - b.tokens), requests: Math.max(0, a.requests - b.requests),
});
export const isNothing = ({ microjoules, tokens, requests }: Totals): boolean => microjoules === 0n && tokens === 0 && requests === 0;
export const most = (a: Totals, b: Totals): Totals => plus(a, excess(b, a));
export const said = ({ microjoules, tokens, requests }: Totals): string => `${microjoules} µJ, ${tokens} tokens, ${requests} requests`;
