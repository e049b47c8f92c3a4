/** Quantiles and tails of Student's t and of the normal distribution, two-sided as intervals need them. */
import jstat from 'jstat';

/** Below this the tail has no digits left (the library's normal cdf is 0 beyond 8 deviations). */
const SMALLEST_TAIL = 1e-14;

/** Of degrees of freedom: more are as good as the normal distribution, and beyond it the library loses digits. */
const MOST = 1e6;

/** The t with P(|T| > t) = p. */
export const twoSidedQuantile = (p: number, degreesOfFreedom: number): number => -jstat.studentt.inv(p / 2, Math.min(MOST, degreesOfFreedom));

/** P(|T| > |t|), by the incomplete beta function: the library's cdf has no digits left where t is large. */
export function twoSidedTail(t: number, degreesOfFreedom: number): number {
  const freedom = Math.min(MOST, degreesOfFreedom);
  return Number(jstat.ibeta(freedom / (freedom + t * t), freedom / 2, 1 / 2));
}

/** The z with P(|Z| > z) = p. */
export const normalQuantile = (p: number): number => -jstat.normal.inv(p / 2, 0, 1);

/** P(|Z| > z); 0 beyond 8. */
export const normalTail = (z: number): number => 2 * jstat.normal.cdf(-z, 0, 1);
const FURTHEST = normalQuantile(SMALLEST_TAIL);

/**
 * A boundary for normal errors → one for errors whose variance was estimated with few degrees of freedom: the t that is exceeded as
 * seldom as z. Beyond the last tail with digits both grow in proportion.
 */
export function studentOf(z: number, degreesOfFreedom: number): number {
  if (z > FURTHEST) return (z / FURTHEST) * twoSidedQuantile(SMALLEST_TAIL, degreesOfFreedom);
  return twoSidedQuantile(normalTail(z), degreesOfFreedom);
}

/** The other way round. */
export function normalOf(t: number, degreesOfFreedom: number): number {
  const furthest = twoSidedQuantile(SMALLEST_TAIL, degreesOfFreedom);
  if (t > furthest) return (t / furthest) * FURTHEST;
  return normalQuantile(twoSidedTail(t, degreesOfFreedom));
}
