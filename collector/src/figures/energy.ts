/**
 * Energy and tokens: the figures that need no price. `null` goes in for what was not measured and comes out for what
 * can't be told; a ratio with a zero on either side says nothing about efficiency and is `null` too.
 */
import { JOULES_PER_KWH, quantity, watts, type Joules, type Quantity, type Seconds, type Tokens, type Watts } from '@joulebook/shared/units.js';

/** Tokens per joule, which is tokens per watt-second ("TPW"). */
export type TokensPerJoule = Quantity<'token/J'>;
export type TokensPerKwh = Quantity<'token/kWh'>;
export type JoulesPerToken = Quantity<'J/token'>;
/** A dimensionless share. */
export type Ratio = Quantity<'1'>;

export const ratio = quantity<'1'>;

/** numerator / denominator; null unless both were measured and are above zero. */
export const positiveRatio = (numerator: number | null, denominator: number | null): number | null =>
  numerator !== null && denominator !== null && numerator > 0 && denominator > 0 ? numerator / denominator : null;

/** TPW = T / J. DESIGN §5: 3,000 tokens/s at 1,000 W are 3 tokens per watt-second. */
export function tokensPerWattSecond(tokens: Tokens | null, energy: Joules | null): TokensPerJoule | null {
  const value = positiveRatio(tokens, energy);
  return value === null ? null : quantity(value);
}

/** TPW × 3.6e6 J/kWh. DESIGN §5: 3 tokens/J are 10.8 M tokens/kWh. */
export const tokensPerKwh = (perJoule: TokensPerJoule | null): TokensPerKwh | null => (perJoule === null ? null : quantity(perJoule * JOULES_PER_KWH));

/** J / T, the inverse of TPW. DESIGN §5. */
export function joulesPerToken(energy: Joules | null, tokens: Tokens | null): JoulesPerToken | null {
  const value = positiveRatio(energy, tokens);
  return value === null ? null : quantity(value);
}

/** Mean power = J / s of wall time observed; null where energy is known but no time is (a run with totals only). */
export function meanPower(energy: Joules | null, wall: Seconds | null): Watts | null {
  return energy === null || wall === null || wall <= 0 ? null : watts(energy / wall);
}

/** Seconds observed / seconds asked. DESIGN §5. Null when nothing was asked. */
export function coverage(observed: Seconds | null, asked: Seconds | null): Ratio | null {
  if (observed === null || asked === null || asked <= 0) return null;
  const value = observed / asked;
  // Sums of doubles may pass 1 by rounding. More than that is a double booking and stays visible.
  return ratio(value > 1 && value < 1 + 1e-6 ? 1 : value);
}
