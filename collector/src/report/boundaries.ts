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
/** An hour is looked at by cells, longer ranges in longer steps; and so are many sensors, since every step of each is a row. */
const MOST_STEPS = 360;
const LEAST_STEPS = 24;
const MOST_ROWS = 100_000;
/** What is summed already: longer steps are a multiple of it. */
const [MINUTE_MICROS, HOUR_MICROS] = [60_000_000, 3_600_000_000];

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
export function stepOf(perBoundary: readonly GroupSum<'energy'>[]): EpochMicros {
  const range = Math.max(...perBoundary.map(({ to }) => to)) - Math.min(...perBoundary.map(({ from }) => from));
  // On each node that a wide sensor reads for, every boundary may have rows.
  const wide = perBoundary.flatMap(({ values: [boundary], sums }) => (WIDE.some((known) => known === boundary) ? [sums.devices] : []));
  const steps = Math.min(MOST_STEPS, Math.max(LEAST_STEPS, MOST_ROWS / (Math.max(1, ...wide) * perBoundary.length)));
  const least = Math.max(1, range / steps);
  const unit = [CELL_MICROS, MINUTE_MICROS, HOUR_MICROS].findLast((micros) => least > micros) ?? CELL_MICROS;
  return epochMicros(Math.ceil(least / unit) * unit);
}

/** Costs one look at the energy of the scope, and a second one where a boundary contains another. */
export async function boundariesOf(store: Store, scope: Scope): Promise<Boundaries> {
  const perBoundary = await store.sum({ kind: 'energy', by: ['boundary'], ...scope });
  const boundariesMeasured = measuredOf(perBoundary);
  const contained = boundariesMeasured.length > 1 && boundariesMeasured.some(({ boundary }) => WIDE.some((wide) => wide === boundary));
  if (!contained) return { boundariesMeasured, other: null, flags: [] };
  const sums = await store.sum({ kind: 'energy', by: ['node', 'boundary', 'contains'], step: stepOf(perBoundary), ...scope, wallByCell: true });
  return { boundariesMeasured, ...balance(systemsOf(seriesOf(sums))) };
}

/** @param sums grouped by boundary, source and method; in the order of boundaries */
export function methodsOf(sums: readonly GroupSum<'booked'>[]): Method[] {
  const methods = sums.flatMap(({ values: [boundary, source, method] }) => (isBoundary(boundary) && source && method ? [{ boundary, source, method }] : []));
  return methods.toSorted((a, b) => BOUNDARIES.indexOf(a.boundary) - BOUNDARIES.indexOf(b.boundary));
}
