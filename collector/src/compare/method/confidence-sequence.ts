/**
 * An interval that holds at every look at once, so that one may look as often as one likes and stop when one likes.
 *
 * β̂ of variance V carries the information I = 1/V, and β̂·I is a Brownian motion with drift β in the time I, for the estimates of
 * a growing set of data of any regular model (Scharfstein, Tsiatis and Robins 1997, JASA 92:1342). Mixing the likelihood ratio
 * over effects N(0, τ²) gives a martingale that exceeds 1/α with probability α at most (Ville), and so the normal mixture
 * boundary (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, Ann. Stat. 49:1055), here with an estimated variance, which
 * makes it asymptotic (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Ann. Stat. 52:2613):
 *
 *   |β̂ − β| ≤ √V · z,   z² = (1 + rV) · ln((1 + 1/(rV)) / α²),   r = 1/τ²
 *
 * That the variance was estimated from few pieces is made up for by the t that is as rare as z.
 */
import { normalOf, studentOf } from './student.js';

/** Effects of a few percent are what is looked for: where the interval is tightest. It must not depend on the data. */
const EXPECTED_EFFECT = 0.05;
const R = 1 / EXPECTED_EFFECT ** 2;

/** Deviations that the interval reaches to either side. */
export function alwaysValidDeviations(variance: number, degreesOfFreedom: number, alpha: number): number {
  const rv = R * variance;
  return studentOf(Math.sqrt((1 + rv) * Math.log((1 + 1 / rv) / alpha ** 2)), degreesOfFreedom);
}

/** The smallest α whose interval leaves out 0; p-values of any look, the smallest of all looks included, are valid. */
export function alwaysValidTail(effect: number, variance: number, degreesOfFreedom: number): number {
  const rv = R * variance;
  const z = normalOf(Math.abs(effect) / Math.sqrt(variance), degreesOfFreedom);
  return Math.min(1, Math.sqrt((1 + rv) / rv) * Math.exp((-z * z) / (2 * (1 + rv))));
}
