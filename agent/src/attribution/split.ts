/** Dividing what was measured once, so that the parts add up to the whole exactly. */
import type { Phase } from '@joulebook/shared/slice.js';

/** What the energy of a stretch is divided by; the shares add up to 1. */
export interface Shares {
  readonly of: ReadonlyMap<Phase, number>;
  /** True when more than one phase ran and a rule, not an observation, divides them. */
  readonly modelled: boolean;
}

const single = (phase: Phase): Shares => ({ of: new Map([[phase, 1]]), modelled: false });
const PURE: Readonly<Record<Phase, Shares>> = {
  prefill: single('prefill'),
  decode: single('decode'),
  active: single('active'),
  idle: single('idle'),
  unknown: single('unknown'),
};
export const pure = (phase: Phase): Shares => PURE[phase];

/** Prefill and decode at the same time: in proportion to the requests in each phase, that is, by request time. */
export const byRequestTime = (prefill: number, decode: number): Shares => ({
  of: new Map<Phase, number>([
    ['prefill', prefill / (prefill + decode)],
    ['decode', decode / (prefill + decode)],
  ]),
  modelled: true,
});

/**
 * Divides a whole number in proportion to weights, in whole numbers that add up to it (largest remainder).
 * @param weights not negative, not all zero
 */
export function divideWhole(total: number, weights: readonly number[]): number[] {
  if (total < 0) return divideWhole(-total, weights).map((part) => 0 - part);
  const sum = weights.reduce((a, b) => a + b, 0);
  const exact = weights.map((weight) => (total * weight) / sum);
  const parts = exact.map(Math.floor);
  let left = total - parts.reduce((a, b) => a + b, 0);
  const byRemainder = exact.map((value, index) => ({ index, remainder: value - Math.floor(value) })).toSorted((a, b) => b.remainder - a.remainder);
  for (const { index } of byRemainder) {
    if (left <= 0) break;
    parts[index] = (parts[index] ?? 0) + 1;
    left -= 1;
  }
  return parts;
}
