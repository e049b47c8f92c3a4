/** What the energy of a group is worth: its sums times one worth, or as the store has weighed them. */
import { joules, JOULES_PER_KWH, microjoulesToJoules, quantity, type Joules } from '@joulebook/shared/units.js';
import { factorsOf } from '../book/valuation.js';
import type { Grams, Money } from '../figures/sums.js';
import type { Worth } from '../rates/site-rates.js';
import type { WeighedSums } from '../store/store.js';

export interface Valued {
  /** J × PUE. */
  readonly facility: Joules | null;
  readonly cost: Money | null;
  readonly location: Grams | null;
  readonly market: Grams | null;
  /** The share of joules whose price, and whose intensity, is not known, where that of others is. */
  readonly unpriced: number;
  readonly unlocated: number;
  /** The share whose intensity is the last that its provider has told, and is one that it has estimated. */
  readonly standing: number;
  readonly estimated: number;
}
export const UNVALUED: Valued = { facility: null, cost: null, location: null, market: null, unpriced: 0, unlocated: 0, standing: 0, estimated: 0 };

const perKwh = <T extends number>(value: number | null, as: (value: number) => T): T | null => (value === null ? null : as(value / JOULES_PER_KWH));

function valued([facility = null, cost = null, location = null, market = null, last = 0, estimated = 0]: readonly (number | null)[], energy: Joules, unpriced: number, unlocated: number): Valued {
  const shareOf = (part: number | null): number => (part === null || energy <= 0 ? 0 : part / energy);
  return { facility: facility === null ? null : joules(facility), cost: perKwh(cost, quantity<'money'>), location: perKwh(location, quantity<'g'>), market: perKwh(market, quantity<'g'>), unpriced, unlocated, standing: shareOf(last), estimated: shareOf(estimated) };
}

export const valuedAt = (worth: Worth, energy: Joules | null): Valued => (energy === null ? UNVALUED : valued(factorsOf(worth).map((factor) => (factor === null ? null : energy * factor)), energy, 0, 0));

export function valuedBy({ weighed }: WeighedSums, energy: Joules | null): Valued {
  if (energy === null) return UNVALUED;
  const share = (index: number): number => {
    const unknown = microjoulesToJoules(weighed[index]?.unknown ?? 0n);
    return unknown > 0 && unknown < energy ? unknown / energy : 0;
  };
  return valued(weighed.map(({ sum, unknown }) => (unknown === 0n ? sum / 1e6 : null)), energy, share(1), share(2));
}
