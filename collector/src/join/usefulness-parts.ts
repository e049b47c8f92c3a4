/** Requests and tokens of a row → what of them was useful: judged by cells where requests are told, by ratios where the book gives those. */
import { seconds } from '@joulebook/shared/units.js';
import { fitsWhere, type Said } from '../book/fitting.js';
import type { OutcomeText, SloText } from '../book/schema.js';
import { isOutcome, judge, percentile, type Cell, type Targets, type Usefulness } from './usefulness.js';
import type { Part } from './subgroups.js';

export interface Judging {
  /** Said for all of the question, in place of what the book says. */
  readonly targets: Targets | undefined;
  readonly slo: readonly SloText[];
  readonly ratios: readonly OutcomeText[];
}

/** Bounds in s. */
export type Percentiles = Readonly<Record<'p50' | 'p95' | 'p99', readonly [number, number] | null>>;

export interface Judged {
  /** Null where no request is told. */
  readonly requests: Usefulness | null;
  /** Output tokens that are useful by the book's ratios; null where none applies. */
  readonly byRatio: number | null;
  readonly ttft: Percentiles;
  readonly tpot: Percentiles;
  /** Some target was asked for. */
  readonly targeted: boolean;
}

const NO_TARGETS: Targets = { ttft: undefined, tpot: undefined };
const asTargets = ({ ttft, tpot }: SloText): Targets => ({ ttft: ttft === undefined ? undefined : seconds(ttft), tpot: tpot === undefined ? undefined : seconds(tpot) });

const bucket = (said: string | null): number | null => (said === null ? null : Number(said));
const percentiles = (cells: readonly Cell[], of: 'ttft' | 'tpot'): Percentiles => ({ p50: percentile(cells, of, 0.5), p95: percentile(cells, of, 0.95), p99: percentile(cells, of, 0.99) });

/**
 * @param requests by `outcome`, `ttftBucket` and `tpotBucket` among others
 * @param tokens by `token` among others
 */
export function judged(requests: readonly Part<'requests'>[], tokens: readonly Part<'tokens'>[], { targets, slo, ratios }: Judging): Judged {
  const ratioOf = (said: Said): OutcomeText | undefined => ratios.find(({ where }) => fitsWhere(where, said));
  const cells = requests.flatMap(({ said, sum: { sums: counts } }): (Cell & { readonly said: Said })[] => {
    const outcome = said('outcome');
    return ratioOf(said) || !isOutcome(outcome) ? [] : [{ outcome, ttft: bucket(said('ttftBucket')), tpot: bucket(said('tpotBucket')), counts, said }];
  });
  const chosen = new Map(cells.map((cell) => [cell, targets ?? slo.find(({ where }) => fitsWhere(where, cell.said))]));
  const targetsOf = (cell: Cell & { readonly said: Said }): Targets => {
    const found = chosen.get(cell);
    return found === undefined ? NO_TARGETS : 'where' in found ? asTargets(found) : found;
  };
  const byRatio = tokens.flatMap(({ said, sum }) => {
    const ratio = said('token') === 'output' ? ratioOf(said) : undefined;
    return ratio ? [sum.sums.count * ratio.sloSuccess * ratio.accepted] : [];
  });
  return {
    requests: cells.length === 0 ? null : judge(cells, targetsOf),
    byRatio: byRatio.length === 0 ? null : byRatio.reduce((sum, count) => sum + count, 0),
    ttft: percentiles(cells, 'ttft'),
    tpot: percentiles(cells, 'tpot'),
    targeted: [...chosen.values()].some((found) => found !== undefined),
  };
}
