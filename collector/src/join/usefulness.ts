/**
 * Which requests were of use, re-judged from history for any latency target: facts hold requests in joint cells of TTFT and TPOT.
 *
 *     TPOT   ┌────────┬────┬───────
 *            │ in     │ in │ late        a cell wholly inside both targets is useful, one outside either is not; the cells
 *     target ├╌╌╌╌╌╌╌╌┼╌╌╌╌┼╌╌╌╌╌╌╌      that a target cuts are useful in part: the share of the bucket below it on the
 *            │ useful │ ? │ late         scale's own (logarithmic) axis, and none or all of it as bounds
 *            └────────┴────┴──────▶ TTFT
 *
 * Each request is in one class, so useful and every waste add up to all that ended.
 */
import { latencyBucketUpper, OUTCOMES, type Outcome } from '@joulebook/shared/slice.js';
import type { Seconds } from '@joulebook/shared/units.js';
import type { RequestCounts } from '../store/store.js';

export interface Targets {
  readonly ttft: Seconds | undefined;
  readonly tpot: Seconds | undefined;
}

/** `late`: accepted outside a target. `unjudged`: a target asks for a latency that the facts don't tell. */
export const WASTES = ['late', 'unjudged', 'aborted', 'failed', 'superseded', 'fallback', 'rejected'] as const satisfies readonly (Exclude<Outcome, 'ok'> | 'late' | 'unjudged')[];
export type Waste = (typeof WASTES)[number];

export interface Cell {
  readonly outcome: Outcome;
  readonly ttft: number | null;
  readonly tpot: number | null;
  readonly counts: RequestCounts;
}

export interface Amount {
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}
export interface Usefulness {
  readonly useful: Amount;
  /** What is useful at the least and at the most: cells that a target cuts count not at all, or wholly. */
  readonly atLeast: Amount;
  readonly atMost: Amount;
  readonly waste: Readonly<Record<Waste, Amount>>;
  readonly all: Amount;
}

const NONE: Amount = { requests: 0, inputTokens: 0, outputTokens: 0 };
const plus = (a: Amount, b: Amount, share = 1): Amount => ({ requests: a.requests + share * b.requests, inputTokens: a.inputTokens + share * b.inputTokens, outputTokens: a.outputTokens + share * b.outputTokens });

const ROUNDING = 1e-9;

/** The share of a bucket at or below a target. */
function shareWithin(bucket: number, target: Seconds): number {
  const share = 1 + 4 * Math.log2(target / latencyBucketUpper(bucket));
  return share > 1 - ROUNDING ? 1 : share < ROUNDING ? 0 : share;
}

/** Undefined where the target asks for a latency that is not told. */
function inside({ ttft, tpot, counts }: Cell, targets: Targets): number | undefined {
  const shares: number[] = [];
  if (targets.ttft !== undefined) {
    if (ttft === null) return undefined;
    shares.push(shareWithin(ttft, targets.ttft));
  }
  if (targets.tpot !== undefined) {
    // One token has no time between tokens.
    if (tpot === null && counts.outputTokens > counts.requests) return undefined;
    if (tpot !== null) shares.push(shareWithin(tpot, targets.tpot));
  }
  return shares.reduce((product, share) => product * share, 1);
}

export const isOutcome = (text: string | null): text is Outcome => OUTCOMES.some((known) => known === text);

export function judge<C extends Cell>(cells: readonly C[], targetsOf: (cell: C) => Targets): Usefulness {
  let [useful, atLeast, atMost, all] = [NONE, NONE, NONE, NONE];
  const waste = new Map<Waste, Amount>(WASTES.map((name) => [name, NONE]));
  const wasted = (name: Waste, amount: Amount, share: number): void => void waste.set(name, plus(waste.get(name) ?? NONE, amount, share));
  for (const cell of cells) {
    const { requests, inputTokens, cachedInputTokens, outputTokens } = cell.counts;
    const amount: Amount = { requests, inputTokens: inputTokens + cachedInputTokens, outputTokens };
    all = plus(all, amount);
    if (cell.outcome !== 'ok') {
      wasted(cell.outcome, amount, 1);
      continue;
    }
    const share = inside(cell, targetsOf(cell));
    if (share === undefined) {
      wasted('unjudged', amount, 1);
      atMost = plus(atMost, amount);
      continue;
    }
    useful = plus(useful, amount, share);
    wasted('late', amount, 1 - share);
    if (share > 0) atMost = plus(atMost, amount);
    if (share === 1) atLeast = plus(atLeast, amount);
  }
  const amountOf = (name: Waste): Amount => waste.get(name) ?? NONE;
  return { useful, atLeast, atMost, all, waste: { late: amountOf('late'), unjudged: amountOf('unjudged'), aborted: amountOf('aborted'), failed: amountOf('failed'), superseded: amountOf('superseded'), fallback: amountOf('fallback'), rejected: amountOf('rejected') } };
}

/** The latency below which a share of requests were, as the bounds of its bucket; null where no request tells it. */
export function percentile(cells: readonly Cell[], of: 'ttft' | 'tpot', share: number): readonly [number, number] | null {
  const byBucket = new Map<number, number>();
  for (const cell of cells) {
    const bucket = cell[of];
    if (bucket !== null) byBucket.set(bucket, (byBucket.get(bucket) ?? 0) + cell.counts.requests);
  }
  const sorted = [...byBucket].toSorted(([a], [b]) => a - b);
  const wanted = share * sorted.reduce((sum, [, requests]) => sum + requests, 0);
  if (wanted <= 0) return null;
  let seen = 0;
  for (const [bucket, requests] of sorted) {
    seen += requests;
    if (seen >= wanted - ROUNDING) return [latencyBucketUpper(bucket - 1), latencyBucketUpper(bucket)];
  }
  return null;
}
