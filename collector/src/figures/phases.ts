/** What a token costs in the phase that it is made in: prompt tokens in prefill, output tokens in decode. No joule is in both. */
import { joules, type Joules, type Tokens } from '@joulebook/shared/units.js';
import { joulesPerToken, ratio, type JoulesPerToken, type Ratio } from './energy.js';

/** J of prefill / prompt tokens that were computed, not read from a cache. */
export const joulesPerPromptToken = (prefill: Joules | null, computedInput: Tokens | null): JoulesPerToken | null => joulesPerToken(prefill, computedInput);

/** J of decode / output tokens. */
export const joulesPerOutputToken = (decode: Joules | null, output: Tokens | null): JoulesPerToken | null => joulesPerToken(decode, output);

/** Cached prompt tokens × J per computed one: what they would have cost at this price. 0 where none was cached; null where either is not known. */
export const joulesSavedByCache = (cachedInput: Tokens | null, perPromptToken: JoulesPerToken | null): Joules | null =>
  cachedInput === null || perPromptToken === null ? null : joules(cachedInput * perPromptToken);

/** J of `active` / J of prefill, decode and active: how much of what was drawn for requests is not told apart. Null where nothing was drawn. */
export function shareUntold(prefill: Joules | null, decode: Joules | null, active: Joules | null): Ratio | null {
  const drawn = (prefill ?? 0) + (decode ?? 0) + (active ?? 0);
  return drawn > 0 ? ratio((active ?? 0) / drawn) : null;
}
