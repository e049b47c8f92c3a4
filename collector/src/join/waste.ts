/**
 * What useful and wasted output drew and cost. Of prefill each request bears the share of its prompt tokens, of all else that of its
 * output tokens; so the classes add up to the whole row, in tokens, joules and money.
 */
import type { Joules } from '@joulebook/shared/units.js';
import type { Money } from '../figures/sums.js';
import { WASTES, type Amount, type Usefulness, type Waste } from './usefulness.js';

export interface Spent extends Amount {
  readonly joules: number | null;
  /** All-in where costs are stated, else energy alone. */
  readonly cost: number | null;
}
export const CLASSES = ['useful', ...WASTES] as const satisfies readonly ('useful' | Waste)[];
export type Spending = Readonly<Record<(typeof CLASSES)[number], Spent>>;

const shareOf = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);

export function spendingOf({ useful, waste, all }: Usefulness, energy: Joules | null, prefill: Joules | null, cost: Money | null): Spending {
  const prefillShare = energy === null || energy <= 0 ? 0 : (prefill ?? 0) / energy;
  const spent = (amount: Amount): Spent => {
    const output = shareOf(amount.outputTokens, all.outputTokens);
    // Without output tokens, or without prompts, the other side bears all.
    const input = all.inputTokens > 0 ? shareOf(amount.inputTokens, all.inputTokens) : output;
    const share = prefillShare * input + (1 - prefillShare) * (all.outputTokens > 0 ? output : input);
    return { ...amount, joules: energy === null ? null : energy * share, cost: cost === null ? null : cost * share };
  };
  return {
    useful: spent(useful), late: spent(waste.late), unjudged: spent(waste.unjudged), aborted: spent(waste.aborted), failed: spent(waste.failed), superseded: spent(waste.superseded), fallback: spent(waste.fallback), rejected: spent(waste.rejected),
  };
}
