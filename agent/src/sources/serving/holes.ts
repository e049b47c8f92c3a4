/**
 * Where a row of a request log can't be used, a request ran that nobody knows: idle can't be claimed there. In a log
 * kept in order it ran between its neighbours.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { HoleEvidence } from '../source.js';

/** A row of the file, in its order; 'unusable' also for one whose time can't be right. */
export type PlacedRow = { readonly start: Instant; readonly end: Instant } | 'unusable';

/**
 * One hole per run of unusable rows, from the end of the request before to the start of the request after (where
 * these overlap, over the overlap); at the head or tail of the file an instant, since nothing bounds it. Rows that are
 * not in the order of their starts say nothing about their neighbours: one hole over all.
 */
export function holesOfUnusable(rows: readonly PlacedRow[], reason = 'a request here could not be used'): HoleEvidence[] {
  const hole = (from: number, to: number): HoleEvidence => ({ kind: 'hole', from: instant(Math.min(from, to)), to: instant(Math.max(from, to)), reason });
  const usable = rows.filter((row) => row !== 'unusable');
  if (usable.length === 0 || usable.length === rows.length) return [];
  if (usable.some((row, index) => row.start < (usable[index - 1]?.start ?? row.start))) {
    return [hole(usable.reduce((least, row) => Math.min(least, row.start), Infinity), usable.reduce((most, row) => Math.max(most, row.end), -Infinity))];
  }
  const holes: HoleEvidence[] = [];
  let previous: Exclude<PlacedRow, 'unusable'> | undefined;
  let open = false;
  for (const row of rows) {
    if (row === 'unusable') {
      open = true;
      continue;
    }
    if (open) holes.push(hole(previous?.end ?? row.start, row.start));
    open = false;
    previous = row;
  }
  if (open && previous) holes.push(hole(previous.end, previous.end));
  return holes;
}
