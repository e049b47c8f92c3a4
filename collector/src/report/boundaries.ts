/** All boundaries side by side, and what the widest shows beyond the rest. They overlap: nothing here is ever added up. */
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { epochMicros, microjoulesToJoules, type EpochMicros } from '@joulebook/shared/units.js';
import { coverage } from '../figures/energy.js';
import { balance, type Balance } from '../join/balance.js';
import { seriesOf, systemsOf, WIDE } from '../join/inclusion.js';
import type { MeasuredBoundary, Method } from '../join/report.js';
import { isBoundary, type GroupSum, type Scope, type Store } from '../store/store.js';
import type { ReportRequest } from './request.js';

/** A slice lies inside one such cell, so a difference of two boundaries is never finer. */
const CELL_MICROS = 10_000_000;
/** An hour is looked at by cells, longer ranges in longer steps. */
const MOST_STEPS = 360;

export interface Boundaries extends Balance {
  readonly boundariesMeasured: readonly MeasuredBoundary[];
}

/** Energy by boundary belongs to whole nodes: a part of one (a phase, a device) has no boundary around it. */
export const isWholeNodes = ({ boundary, by, where }: ReportRequest): boolean =>
  boundary === undefined && by.every((key) => key === 'node') && where.every(({ key }) => typeof key === 'object' || key === 'node' || key === 'site');

const measuredOf = (perBoundary: readonly GroupSum<'energy'>[]): MeasuredBoundary[] =>
  BOUNDARIES.flatMap((boundary) => {
    const sums = perBoundary.find(({ values }) => values[0] === boundary)?.sums;
    if (!sums) return [];
    const timed = sums.seconds > 0 || sums.askedSeconds > 0;
    const drawn = sums.microjoules === 0n && sums.seconds === 0 ? null : microjoulesToJoules(sums.microjoules);
    return [{ boundary, joules: drawn, seconds: timed ? sums.wallSeconds : null, coverage: coverage(sums.seconds, sums.askedSeconds), devices: sums.devices }];
  });

/** Whole cells, so many that the answer stays small. */
function stepOf(perBoundary: readonly GroupSum<'energy'>[]): EpochMicros {
  const range = Math.max(...perBoundary.map(({ to }) => to)) - Math.min(...perBoundary.map(({ from }) => from));
  return epochMicros(Math.ceil(Math.max(1, range / MOST_STEPS) / CELL_MICROS) * CELL_MICROS);
}

/** Costs one look at the energy of the scope, and a second one where a boundary contains another. */
export async function boundariesOf(store: Store, scope: Scope): Promise<Boundaries> {
  const perBoundary = await store.sum({ kind: 'energy', by: ['boundary'], ...scope });
  const boundariesMeasured = measuredOf(perBoundary);
  const contained = boundariesMeasured.length > 1 && boundariesMeasured.some(({ boundary }) => WIDE.some((wide) => wide === boundary));
  if (!contained) return { boundariesMeasured, other: null, flags: [] };
  const sums = await store.sum({ kind: 'energy', by: ['node', 'boundary', 'contains'], step: stepOf(perBoundary), ...scope });
  return { boundariesMeasured, ...balance(systemsOf(seriesOf(sums))) };
}

/** @param sums grouped by boundary, source and method; in the order of boundaries */
export function methodsOf(sums: readonly GroupSum<'booked'>[]): Method[] {
  const methods = sums.flatMap(({ values: [boundary, source, method] }) => (isBoundary(boundary) && source && method ? [{ boundary, source, method }] : []));
  return methods.toSorted((a, b) => BOUNDARIES.indexOf(a.boundary) - BOUNDARIES.indexOf(b.boundary));
}
