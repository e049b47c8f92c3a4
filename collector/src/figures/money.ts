/**
 * Money and carbon. Joules are always shown before PUE; what is here is after it, with each joule at the price, PUE and
 * intensity of the time at which it was drawn (the sums come weighted, see `sums.ts`).
 */
import { JOULES_PER_KWH, quantity, type Joules, type Quantity, type Seconds, type Tokens } from '@joulebook/shared/units.js';
import { positiveRatio, type Ratio } from './energy.js';
import type { Grams, Money } from './sums.js';

export type MoneyPerKwh = Quantity<'money/kWh'>;
export type MoneyPerToken = Quantity<'money/token'>;
export type MoneyPerMillionTokens = Quantity<'money/Mtoken'>;
export type TokensPerMoney = Quantity<'token/money'>;
export type GramsPerKwh = Quantity<'g/kWh'>;
export type GramsPerToken = Quantity<'g/token'>;
/** Tokens per second for each megawatt that a site draws, which is tokens per megajoule. */
export type TokensPerSecondPerMegawatt = Quantity<'token/s/MW'>;

const kwhAtTheMeter = (energy: Joules, pue: Ratio): number => (energy * pue) / JOULES_PER_KWH;

/** J × PUE / 3.6e6 × price. Null without energy or without a price. */
export const energyCost = (energy: Joules | null, pue: Ratio, price: MoneyPerKwh | null): Money | null => (energy === null || price === null ? null : quantity(kwhAtTheMeter(energy, pue) * price));

/** kWh × PUE × intensity of the grid, in g. Null without energy or without an intensity. */
export const carbonGrams = (energy: Joules | null, pue: Ratio, intensity: GramsPerKwh | null): Grams | null =>
  energy === null || intensity === null ? null : quantity(kwhAtTheMeter(energy, pue) * intensity);

/** Cost / tokens; below zero where prices were. 1 kWh for 10.8 M tokens at 0.17 is 1.574e-8 per token. */
export const costPerToken = (cost: Money | null, tokens: Tokens | null): MoneyPerToken | null => (cost === null || tokens === null || tokens <= 0 ? null : quantity(cost / tokens));

/** Cost / tokens × 1e6, as price lists give it. */
export const costPerMillionTokens = (cost: Money | null, tokens: Tokens | null): MoneyPerMillionTokens | null => (cost === null || tokens === null || tokens <= 0 ? null : quantity((cost / tokens) * 1e6));

/** Energy and everything else. Null where either is not known: the rest alone would flatter. */
export const allInCost = (energy: Money | null, other: Money | null): Money | null => (energy === null || other === null ? null : quantity(energy + other));

/** Tokens / cost of the whole serving stack; both rates over one period give the same. */
export function tokensPerMoney(tokens: Tokens | null, cost: Money | null): TokensPerMoney | null {
  const value = positiveRatio(tokens, cost);
  return value === null ? null : quantity(value);
}

/** Tokens / (J × PUE) × 1e6: what a megawatt of site power makes in a second. */
export function tokensPerMegawatt(tokens: Tokens | null, facility: Joules | null): TokensPerSecondPerMegawatt | null {
  const value = positiveRatio(tokens, facility);
  return value === null ? null : quantity(value * 1e6);
}

/** g / token. */
export const gramsPerToken = (carbon: Grams | null, tokens: Tokens | null): GramsPerToken | null => (carbon === null || tokens === null || tokens <= 0 ? null : quantity(carbon / tokens));

/** Device seconds that should have been seen / 3600: an hour of a GPU is paid for whether it was seen or not. */
export const gpuHours = (asked: Seconds | null): Quantity<'h'> | null => (asked === null ? null : quantity(asked / 3600));
