/** Money and carbon: PUE multiplies here and only here, because joules are always shown before it. */
import { JOULES_PER_KWH, quantity, type Joules, type Quantity, type Tokens } from '@joulebook/shared/units.js';
import { positiveRatio, type Ratio } from './energy.js';

export type Dollars = Quantity<'USD'>;
export type DollarsPerKwh = Quantity<'USD/kWh'>;
export type DollarsPerToken = Quantity<'USD/token'>;
export type DollarsPerSecond = Quantity<'USD/s'>;
export type TokensPerSecond = Quantity<'token/s'>;
export type TokensPerDollar = Quantity<'token/USD'>;
export type Grams = Quantity<'g'>;
export type GramsPerKwh = Quantity<'g/kWh'>;

const kwhAtTheMeter = (energy: Joules, pue: Ratio): number => (energy * pue) / JOULES_PER_KWH;

/** J × PUE / 3.6e6 × price. DESIGN §5. Null without energy or without a price. */
export const energyCost = (energy: Joules | null, pue: Ratio, price: DollarsPerKwh | null): Dollars | null =>
  energy === null || price === null ? null : quantity(kwhAtTheMeter(energy, pue) * price);

/** (J × PUE / 3.6e6) × price / T_out. DESIGN §5: 1 kWh for 10.8 M tokens at $0.17/kWh is $1.574e-8 per token. */
export function energyCostPerToken(energy: Joules | null, pue: Ratio, price: DollarsPerKwh | null, tokens: Tokens | null): DollarsPerToken | null {
  if (positiveRatio(energy, tokens) === null) return null;
  const cost = energyCost(energy, pue, price);
  return cost === null || tokens === null ? null : quantity(cost / tokens);
}

/** kWh × PUE × grid intensity. DESIGN §5. Null without energy or without an intensity. */
export const carbonGrams = (energy: Joules | null, pue: Ratio, intensity: GramsPerKwh | null): Grams | null =>
  energy === null || intensity === null ? null : quantity(kwhAtTheMeter(energy, pue) * intensity);

/** (tokens/s) / ($/s of the whole serving stack). DESIGN §5. */
export function tokensPerDollar(rate: TokensPerSecond | null, stackCost: DollarsPerSecond | null): TokensPerDollar | null {
  const value = positiveRatio(rate, stackCost);
  return value === null ? null : quantity(value);
}
