/** What useful output costs. Whether a request was useful is decided in `join/usefulness.ts`; here it is counted already. */
import { quantity, tokens, type Joules, type Quantity, type Tokens } from '@joulebook/shared/units.js';
import { joulesPerToken, positiveRatio, type JoulesPerToken, type Ratio } from './energy.js';
import { costPerToken, type MoneyPerToken } from './money.js';
import type { Money, Requests } from './sums.js';

/**
 * raw × SLO success × accepted, for where only ratios are known; counted requests are better.
 * A 10,000 × 0.70 × 0.95 = 6,650; B 8,000 × 0.96 × 0.97 = 7,449.6.
 */
export const usefulTokensFromRatios = (raw: Tokens | null, sloSuccess: Ratio | null, accepted: Ratio | null): Tokens | null =>
  raw === null || sloSuccess === null || accepted === null ? null : tokens(raw * sloSuccess * accepted);

/** J / useful tokens: all joules, those of waste included, over what was of use. */
export const joulesPerUsefulToken = (energy: Joules | null, useful: Tokens | null): JoulesPerToken | null => joulesPerToken(energy, useful);

/** All-in cost / useful tokens. */
export const costPerUsefulToken = (cost: Money | null, useful: Tokens | null): MoneyPerToken | null => costPerToken(cost, useful);

/** Useful tokens / output tokens of the same requests. */
export function usefulShare(useful: Tokens | null, output: Tokens | null): Ratio | null {
  return useful === null || output === null || output <= 0 ? null : quantity(useful / output);
}

interface Response<PerToken> {
  /** E_t: tokens generated for one response, reasoning included, before attempts. */
  readonly outputTokens: Tokens | null;
  /** A: attempts per accepted response, ≥ 1. */
  readonly attempts: Ratio | null;
  /** C_t: what an output token costs. */
  readonly perOutputToken: PerToken | null;
  /** P_t: prompt tokens. */
  readonly promptTokens: Tokens | null;
  /** C_p: what a prompt token costs. */
  readonly perPromptToken: PerToken | null;
}

function perMeaningfulResponse(of: Response<number>): number | null {
  const { outputTokens, attempts, perOutputToken, promptTokens, perPromptToken } = of;
  if (outputTokens === null || attempts === null || perOutputToken === null || promptTokens === null || perPromptToken === null) return null;
  return outputTokens * attempts * perOutputToken + promptTokens * perPromptToken;
}

/** (E_t × A × C_t) + (P_t × C_p) in money: 150 × 1.2 × $0.00015 + 150 × $0.000002 = $0.0273. */
export function costPerMeaningfulResponse(of: Response<MoneyPerToken>): Money | null {
  const value = perMeaningfulResponse(of);
  return value === null ? null : quantity(value);
}

/** The same with joules per token: J per meaningful response. */
export function energyPerMeaningfulResponse(of: Response<JoulesPerToken>): Joules | null {
  const value = perMeaningfulResponse(of);
  return value === null ? null : quantity(value);
}

/** A: requests that ended, whatever came of them / those that were of use. */
export function attemptsPerUseful(all: Requests | null, useful: Requests | null): Ratio | null {
  const value = positiveRatio(all, useful);
  return value === null ? null : quantity(value);
}

/** E_t and P_t: tokens of a request in the mean; 0 where none were counted, null without requests. */
export const tokensPerRequest = (count: Tokens | null, requests: Requests | null): Quantity<'token'> | null => (count === null || requests === null || requests <= 0 ? null : tokens(count / requests));
