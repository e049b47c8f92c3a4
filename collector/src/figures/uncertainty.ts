/**
 * How far from a figure the truth may lie, by what the sensors state. Three errors, which behave differently:
 *
 *   gain       a sensor reads low or high by up to so many percent, the same way all day: its ends add up linearly and
 *              bound the truth (nothing says where between them it is)
 *   sampling   what was missed between readings: independent from slice to slice, so variances add up; ±1.96 σ holds it
 *              in 95 of 100 cases
 *   division   energy drawn by prefill and decode together is divided between them by a model, which may be off by so many
 *              joules (95 %), the same way all day: adds up linearly. It is an error of a phase and none of their sum
 *
 * The interval of a sum is [Σ low − 1.96 √Σ variance, Σ high + 1.96 √Σ variance], never below 0; that of a phase is
 * widened by its division. Not in it: unmeasured time (that is coverage), and sensors that lie by more than they state.
 * Token counts are exact, so a ratio is as uncertain as its joules.
 */
import { joules, JOULES_PER_KWH, type Joules, type Quantity, type Tokens } from '@joulebook/shared/units.js';
import { positiveRatio } from './energy.js';
import type { Money } from './sums.js';

export type JoulesSquared = Quantity<'J²'>;
/** Low and high end. */
export type Interval<T extends number = number> = readonly [T, T];

/** Half the width of a 95 % interval in standard deviations. */
const DEVIATIONS = 1.96;

/** J. */
export function energyInterval(low: Joules, high: Joules, sampling: JoulesSquared): Interval<Joules> {
  const spread = DEVIATIONS * Math.sqrt(sampling);
  return [joules(Math.max(0, low - spread)), joules(Math.max(0, high + spread))];
}

/**
 * [E − √((E − low)² + D²), E + √((high − E)² + D²)]: sensor and division are independent, so on either side of the estimate E
 * their half-widths add by their squares. Where the sensor's interval does not hold E, its nearer end stands in for it. Never below 0.
 * @param sensor from `energyInterval`
 * @param division D, not below 0
 */
export function phaseEnergyInterval(sensor: Interval<Joules>, estimate: Joules, division: Joules): Interval<Joules> {
  const [low, high] = sensor;
  const middle = Math.min(high, Math.max(low, estimate));
  return [joules(Math.max(0, middle - Math.hypot(middle - low, division))), joules(Math.max(0, middle + Math.hypot(high - middle, division)))];
}

/** J / token; null where the ratio is. */
export const joulesPerTokenInterval = (energy: Interval<Joules>, tokens: Tokens | null): Interval | null =>
  tokens === null || tokens <= 0 || energy[1] <= 0 ? null : [energy[0] / tokens, energy[1] / tokens];

/** Tokens / J. The most energy gives the fewest tokens per joule; energy that may be 0 gives no upper end, so null. */
export function tokensPerWattSecondInterval(energy: Interval<Joules>, tokens: Tokens | null): Interval | null {
  const least = positiveRatio(tokens, energy[1]);
  const most = positiveRatio(tokens, energy[0]);
  return least === null || most === null ? null : [least, most];
}

export const tokensPerKwhInterval = (perJoule: Interval | null): Interval | null => (perJoule === null ? null : [perJoule[0] * JOULES_PER_KWH, perJoule[1] * JOULES_PER_KWH]);

/** Money / token: the cost of the estimate E, in proportion to the ends of its energy. Below zero the ends change places. */
export function costPerTokenInterval(energy: Interval<Joules>, estimate: Joules, cost: Money, tokens: Tokens | null): Interval | null {
  if (tokens === null || tokens <= 0 || estimate <= 0 || energy[1] <= 0) return null;
  const ends = energy.map((end) => (cost * end) / estimate / tokens);
  return [Math.min(...ends), Math.max(...ends)];
}
