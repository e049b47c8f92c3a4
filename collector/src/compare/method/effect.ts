/** An estimate of a logarithm with its error → an effect in percent, its intervals, and the verdict that rests on them. */
import type { BlockQuestion, Effect, Interval, Verdict } from './block.js';
import { alwaysValidTail } from './confidence-sequence.js';
import { reachOf, type Precision } from './power.js';
import { twoSidedTail } from './student.js';

const around = (logarithm: number, reach: number): Interval => [Math.expm1(logarithm - reach), Math.expm1(logarithm + reach)];

export function effectOf(logarithm: number, precision: Precision, adjusted: boolean, unadjusted: number): Effect {
  const { variance, degreesOfFreedom, sequential } = precision;
  const standardError = Math.sqrt(variance);
  return {
    relative: Math.expm1(logarithm),
    ci95: around(logarithm, reachOf({ ...precision, sequential: false })),
    alwaysValid: around(logarithm, reachOf({ ...precision, sequential: true })),
    pValue: sequential ? alwaysValidTail(logarithm, variance, degreesOfFreedom) : twoSidedTail(logarithm / standardError, degreesOfFreedom),
    standardError, adjusted, unadjusted,
  };
}

/** Of a side that is not comparable: what is seen, and nothing that is concluded from it. */
export const seenOnly = (unadjusted: number | null): Effect => ({ relative: null, ci95: null, alwaysValid: null, pValue: null, standardError: null, adjusted: false, unadjusted });

export function verdictOf({ ci95, alwaysValid }: Effect, { sequential, lowerIsBetter }: BlockQuestion): Verdict {
  const interval = sequential ? alwaysValid : ci95;
  if (!interval || (interval[0] <= 0 && interval[1] >= 0)) return 'no-difference-shown';
  return interval[1] < 0 === lowerIsBetter ? 'b-better' : 'a-better';
}
