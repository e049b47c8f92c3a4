/** What a change means per month: A's energy, money and carbon at the traffic that it has, and how B would change them. */
import { JOULES_PER_KWH } from '@joulebook/shared/units.js';
import type { Amounts, Comparison } from './answer.js';
import type { CellSums } from './cells.js';
import { restsOn } from './found.js';
import type { BlockAnswer } from './method/compare-blocks.js';
import { drawnOf, type Amount, type Metric } from './metrics.js';
import type { Told } from './sides.js';

/** A twelfth of 365.25 days. */
export const MONTH_SECONDS = 2_629_800;

const GRAMS_PER_KG = 1000;

/** Which part of what the side drew the metric is about: all of it, or one phase's. */
function partOf(amount: Amount, sums: CellSums): number {
  const own = amount === 'prefill' || amount === 'decode' ? sums[amount] : sums.joules;
  return own === undefined || !sums.joules ? 0 : own / sums.joules;
}

/** A price that falls changes no energy: of a metric of money or carbon, that alone is told. */
const TOLD: Partial<Readonly<Record<Amount, readonly (keyof Amounts)[]>>> = { energyCost: ['cost'], allInCost: ['cost'], carbon: ['carbonKg'] };
const ALL: readonly (keyof Amounts)[] = ['kwh', 'cost', 'carbonKg'];

/**
 * @param sums of all of A
 * @param seconds that A ran
 */
export function monthlyOf(metric: Metric, { report: { total } }: Told, sums: CellSums, seconds: number, { effect }: BlockAnswer, sequential: boolean): Comparison['monthly'] {
  const drawn = drawnOf(metric);
  const interval = restsOn(effect, sequential);
  if (!drawn || seconds <= 0 || effect.relative === null || interval === null || !sums.joules) return null;
  const part = (partOf(drawn.amount, sums) * MONTH_SECONDS) / seconds;
  const cost = drawn.amount === 'allInCost' ? total.allInCost : total.energyCost;
  const whole: Amounts = { kwh: sums.joules / JOULES_PER_KWH, cost, carbonKg: total.carbonGrams === null ? null : total.carbonGrams / GRAMS_PER_KG };
  const told = TOLD[drawn.amount] ?? ALL;
  const times = (factor: number): Amounts => {
    const of = (name: keyof Amounts): number | null => (whole[name] === null || !told.includes(name) ? null : whole[name] * factor);
    return { kwh: of('kwh'), cost: of('cost'), carbonKg: of('carbonKg') };
  };
  // Twice the tokens per joule is half the joules for the tokens that there are.
  const change = (relative: number): number => (drawn.inverse ? 1 / (1 + relative) - 1 : relative);
  const ends = interval.map(change).toSorted((x, y) => x - y);
  return {
    tokensPerSecond: sums.output === undefined ? null : sums.output / seconds,
    a: times(part), change: times(part * change(effect.relative)), low: times(part * (ends[0] ?? 0)), high: times(part * (ends[1] ?? 0)),
  };
}
