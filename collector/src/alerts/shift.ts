/**
 * Has the distribution of token lengths shifted? Pure functions over two samples, before and now.
 *
 * Prompts in bands (2^k to 2^(k+1) − 1 tokens, where facts tell them): population stability index, from 0.25 on a shift, of 1,000 requests at
 * least on both sides. By chance alone it is about bands × (1/n + 1/m), 0.03 of 15 bands and 1,000 requests.
 *
 * Mean tokens per request of each hour: two-sample Kolmogorov–Smirnov with p < 1e-4, if medians are also apart by 20 % or more. Hours beside
 * each other are alike, so that p is smaller than the rate of false alarms; the 20 % is what keeps those away.
 */
import { distanceByChance, largestDistance, medianOf, stabilityIndex } from './statistics.js';

const SHIFTED_INDEX = 0.25;
const LEAST_REQUESTS = 1000;
const CHANCE = 1e-4;
const LEAST_CHANGE = 0.2;
const LEAST_HOURS = { before: 72, now: 12 } as const;

export interface Shift {
  readonly statistic: 'populationStabilityIndex' | 'kolmogorovSmirnov';
  readonly value: number;
  readonly limit: number;
  /** Of the medians, where they are known: 0.3 is 30 % longer. */
  readonly change: number | null;
  readonly shifted: boolean;
}

const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0);

/** Requests by band. @returns null where too few are known */
export function shiftOfBands(before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): Shift | null {
  if (sum(before.values()) < LEAST_REQUESTS || sum(now.values()) < LEAST_REQUESTS) return null;
  const bands = [...new Set([...before.keys(), ...now.keys()])];
  const counts = (of: ReadonlyMap<string, number>): number[] => bands.map((band) => Math.max(0, of.get(band) ?? 0));
  const value = stabilityIndex(counts(before), counts(now));
  return { statistic: 'populationStabilityIndex', value, limit: SHIFTED_INDEX, change: null, shifted: value >= SHIFTED_INDEX };
}

/** Mean tokens per request, by hour. @returns null where too few hours are known */
export function shiftOfMeans(before: readonly number[], now: readonly number[]): Shift | null {
  if (before.length < LEAST_HOURS.before || now.length < LEAST_HOURS.now) return null;
  const value = largestDistance(before, now);
  const limit = distanceByChance(before.length, now.length, CHANCE);
  const usual = medianOf(before);
  const change = usual > 0 ? medianOf(now) / usual - 1 : null;
  return { statistic: 'kolmogorovSmirnov', value, limit, change, shifted: value >= limit && (change === null || Math.abs(change) >= LEAST_CHANGE) };
}
