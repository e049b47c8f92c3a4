/** What was drawn and made for nothing, and what was not made. Null is "not known", never 0. */
import { JOULES_PER_KWH, quantity, tokens, type Joules, type Quantity, type Seconds, type Tokens } from '@joulebook/shared/units.js';
import { positiveRatio } from './energy.js';

export type KilowattHours = Quantity<'kWh'>;
/** Output tokens for each second of a GPU at work. */
export type TokensPerGpuSecond = Quantity<'token/s'>;

/** J / 3.6e6; before PUE, as joules are. */
export const kilowattHours = (energy: Joules | null): KilowattHours | null => (energy === null ? null : quantity(energy / JOULES_PER_KWH));

export function tokensPerGpuSecond(made: Tokens | null, working: Seconds | null): TokensPerGpuSecond | null {
  const value = positiveRatio(made, working);
  return value === null ? null : quantity(value);
}

/** rate × s: what a GPU would have made that made nothing at all in the time it was held back. */
export const tokensAtMost = (rate: TokensPerGpuSecond | null, throttled: Seconds): Tokens | null => (rate === null ? null : tokens(rate * throttled));

/** rate × s − T made in that time; 0 where as much was made as in time without throttling. */
export const tokensNotProduced = (rate: TokensPerGpuSecond | null, throttled: Seconds, made: Tokens): Tokens | null => (rate === null ? null : tokens(Math.max(0, rate * throttled - made)));

/** T not produced / rate / 3600: the GPU hours that they would have taken. */
export const gpuHoursLost = (missing: Tokens | null, rate: TokensPerGpuSecond | null): Quantity<'h'> | null => (missing === null || rate === null ? null : quantity(missing / rate / 3600));
