/** What a given error could have shown, and how much more data a wanted precision takes. Errors are of the logarithm of a ratio. */
import { alwaysValidDeviations } from './confidence-sequence.js';
import { twoSidedQuantile } from './student.js';

/** Share of true effects of this size that would be shown. */
const POWER = 0.8;

export interface Precision {
  readonly variance: number;
  readonly degreesOfFreedom: number;
  readonly alpha: number;
  /** Whether the interval is to hold at every look. */
  readonly sequential: boolean;
}

/** Deviations from the estimate to the end of its interval. */
export const deviationsOf = ({ variance, degreesOfFreedom, alpha, sequential }: Precision): number =>
  sequential ? alwaysValidDeviations(variance, degreesOfFreedom, alpha) : twoSidedQuantile(alpha, degreesOfFreedom);

/** (t₁₋α⸝₂ + t₀.₈) · SE (Bloom 1995, Evaluation Review 19:547), as a relative effect. */
export const minimumDetectableEffect = (precision: Precision): number =>
  Math.expm1((deviationsOf(precision) + twoSidedQuantile(2 * (1 - POWER), precision.degreesOfFreedom)) * Math.sqrt(precision.variance));

const MOST_TIMES = 1e6;

/**
 * How many times as much data make the interval reach this far: variance falls and degrees of freedom rise in proportion to it, as long
 * as what drifts forgets itself sooner than the data last. Infinity where even a million times as much would not do.
 * @param remains variance that more data do not lessen, beside that of `precision`
 */
export function timesFor(precision: Precision, remains: number, wanted: number): number {
  const reached = (times: number): number => {
    const then = { ...precision, variance: precision.variance / times + remains, degreesOfFreedom: Math.max(1, precision.degreesOfFreedom * times) };
    return deviationsOf(then) * Math.sqrt(then.variance);
  };
  const far = Math.log1p(wanted);
  if (!(far > 0) || reached(MOST_TIMES) > far) return Infinity;
  // Halving of the logarithm: 60 rounds leave no digit.
  let [low, high] = [-Math.log(MOST_TIMES), Math.log(MOST_TIMES)];
  for (let round = 0; round < 60; round += 1) {
    const middle = (low + high) / 2;
    if (reached(Math.exp(middle)) > far) low = middle;
    else high = middle;
  }
  return Math.exp(high);
}
