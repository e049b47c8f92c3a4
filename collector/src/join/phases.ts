/** Energy of a group by phase, for the figures that are of one phase each. */
import { microjoulesToJoules, type Joules } from '@joulebook/shared/units.js';
import type { GroupSum } from '../store/store.js';
import { identity, type Group } from './groups.js';

/** J; null where none was measured. */
export interface PhaseEnergy {
  readonly prefill: Joules | null;
  readonly decode: Joules | null;
  readonly active: Joules | null;
}
const NONE: PhaseEnergy = { prefill: null, decode: null, active: null };

export const onePhase = (phase: string | null, microjoules: bigint | undefined): PhaseEnergy =>
  microjoules !== undefined && phase !== null && phase in NONE ? { ...NONE, [phase]: microjoulesToJoules(microjoules) } : NONE;

/** @param sums grouped by the keys of the groups, then phase */
export function phasesByGroup(sums: readonly GroupSum<'booked'>[]): (group: Group) => PhaseEnergy {
  const groups = new Map<string, PhaseEnergy>();
  for (const { step, values, sums: { microjoules } } of sums) {
    const key = identity({ step, values: values.slice(0, -1) });
    const phase = values.at(-1) ?? '';
    if (phase in NONE) groups.set(key, { ...(groups.get(key) ?? NONE), [phase]: microjoulesToJoules(microjoules) });
  }
  return (group) => groups.get(identity(group)) ?? NONE;
}
