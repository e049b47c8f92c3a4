/**
 * Whether two sides ran under conditions that can be compared at all (common support: Rosenbaum and Rubin 1983, Biometrika 70:41).
 *
 *   A  ░░▒▒▓▓▓▓▒▒░░                 share of A's work inside the range that holds the middle 95 % of B's blocks, and the other way
 *   B        ░░▒▒▓▓▓▓▒▒░░           round; the larger of the two: where one side saw all that the other saw, it can be adjusted
 *
 * Of two equal normal distributions half is left when they are 2 deviations apart.
 */
export const LEAST_OVERLAP = 0.5;
const MIDDLE = 0.95;

/** Values of a condition, one per block, with the work (denominator) that was done under it. */
export interface Weighed {
  readonly values: Float64Array;
  readonly weights: Float64Array;
}

export interface Spread {
  readonly mean: number;
  readonly deviation: number;
}

export function spreadOf({ values, weights }: Weighed): Spread {
  let [weight, sum, squares] = [0, 0, 0];
  // Of differences to one of them, so that squares of large values leave digits.
  const origin = values[0] ?? 0;
  // By index: entries of typed arrays are ten times as slow, and this is done for every block of every condition.
  for (let index = 0; index < values.length; index += 1) {
    const each = weights[index] ?? 0;
    const far = (values[index] ?? 0) - origin;
    weight += each;
    sum += each * far;
    squares += each * far * far;
  }
  const shift = sum / weight;
  return { mean: origin + shift, deviation: Math.sqrt(Math.max(0, squares / weight - shift ** 2)) };
}

/** Of the blocks, whatever they weigh: the largest values of these shares of them, in rising order. */
export function quantilesOf(values: Float64Array, shares: readonly number[]): number[] {
  const order = values.toSorted();
  return shares.map((share) => order[Math.max(0, Math.ceil(share * order.length) - 1)] ?? Number.NaN);
}

function insideOf({ values, weights }: Weighed, other: Weighed): number {
  const [low = Number.NaN, high = Number.NaN] = quantilesOf(other.values, [(1 - MIDDLE) / 2, (1 + MIDDLE) / 2]);
  let [inside, all] = [0, 0];
  for (let index = 0; index < values.length; index += 1) {
    const weight = weights[index] ?? 0;
    const value = values[index] ?? Number.NaN;
    all += weight;
    if (value >= low && value <= high) inside += weight;
  }
  return inside / all;
}

/** 0 to 1. */
export const overlapOf = (a: Weighed, b: Weighed): number => Math.max(insideOf(a, b), insideOf(b, a));

/** Deviations that a condition may differ by and be left as it is, where there is no room to adjust for it. */
export const MOST_DISTANT = 1;

/** Difference of the means in deviations of both sides (Austin 2009, Stat. Med. 28:3083). */
export function distanceOf(a: Weighed, b: Weighed): number {
  const [first, second] = [spreadOf(a), spreadOf(b)];
  const apart = Math.abs(first.mean - second.mean);
  return apart === 0 ? 0 : apart / Math.sqrt((first.deviation ** 2 + second.deviation ** 2) / 2);
}
