/** Which numbers of watts can be true at all. What can't is told and counted, and never becomes a reading. */
import type { Boundary } from '@joulebook/shared/slice.js';
import { watts, type Watts } from '@joulebook/shared/units.js';
import { ABSURD_GPU_WATTS } from './nvidia/nvidia-smi-row.js';

/** More than any such thing draws today, several times over. */
const MOST_WATTS: Readonly<Record<Boundary, number>> = { gpu: ABSURD_GPU_WATTS, module: 10_000, cpu: 5000, dram: 5000, server: 100_000, meter: 1e7 };

export type Plausible = { readonly kind: 'power'; readonly power: Watts } | { readonly kind: 'missing'; readonly reason: string } | { readonly kind: 'absurd'; readonly reason: string };

/** What is switched on draws something: a controller that says 0 W does not know. */
export function plausible(boundary: Boundary, value: number | undefined): Plausible {
  if (value === undefined || Number.isNaN(value)) return { kind: 'missing', reason: 'no number of watts' };
  if (value <= 0) return { kind: 'missing', reason: value === 0 ? '0 W' : 'negative' };
  const most = MOST_WATTS[boundary];
  return value > most ? { kind: 'absurd', reason: `more than ${most} W` } : { kind: 'power', power: watts(value) };
}
