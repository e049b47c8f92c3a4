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

/** From the estimate to either end of its interval. */
export const reachOf = ({ variance, degreesOfFreedom, alpha, sequential }: Precision): number =>
  Math.sqrt(variance) * (sequential ? alwaysValidDeviations(variance, degreesOfFreedom, alpha) : twoSidedQuantile(alpha, degreesOfFreedom));

/** (t₁₋α⸝₂ + t₀.₈) · SE (Bloom 1995, Evaluation Review 19:547), as a relative effect. */
export const minimumDetectableEffect = (precision: Precision): number =>
  Math.expm1(reachOf(precision) + twoSidedQuantile(2 * (1 - POWER), precision.degreesOfFreedom) * Math.sqrt(precision.variance));

/** With a variance that is known instead of estimated: degrees of freedom by Welch and Satterthwaite (GUM, G.4). */
export const withKnown = (precision: Precision, variance: number): Precision => ({
  ...precision, variance: precision.variance + variance, degreesOfFreedom: precision.degreesOfFreedom * (1 + variance / precision.variance) ** 2,
});

const MOST_TIMES = 1e6;

/**
 * How many times as much data make the interval reach this far: variance falls and degrees of freedom rise in proportion to it, as long
 * as what drifts forgets itself sooner than the data last. Infinity where even a million times as much would not do.
 * @param remains variance that more data do not lessen, beside that of `precision`
 */
export function timesFor(precision: Precision, remains: number, wanted: number): number {
  const reached = (times: number): number =>
    reachOf(withKnown({ ...precision, variance: precision.variance / times, degreesOfFreedom: Math.max(1, precision.degreesOfFreedom * times) }, remains));
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
