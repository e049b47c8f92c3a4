/**
 * What of a fact lies inside the window that is asked about. Cuts at one moment fit together: of windows that follow each
 * other, the parts of a fact add up to the whole, and a moment lies in one of them only.
 *
 *     fact            ├───────── 10 ─────────┤
 *     windows    ├──────────┤├───────────────────┤      4 inside and 6 behind; 6 inside and 4 before
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { Window } from '../sampler/integrator.js';

/** Which of its ends a window has in it; half-open unless said. */
export interface WindowEnds {
  readonly hasFrom?: boolean;
  readonly hasTo?: boolean;
}

/** Without an end: a live agent's, which has only begun. */
export interface OpenWindow extends WindowEnds {
  readonly from: Instant;
  readonly to?: Instant;
}

export function holds({ from, to, hasFrom = true, hasTo = false }: OpenWindow, at: Instant): boolean {
  if (to !== undefined && at === to) return hasTo;
  return at === from ? hasFrom : at > from && (to === undefined || at < to);
}

/** Whether some of this time, or its last moment, lies in the window. */
export const touches = (window: OpenWindow, from: Instant, to: Instant): boolean => holds(window, to) || clipInterval(from, to, window) !== undefined;

export function clipInterval(from: Instant, to: Instant, window: OpenWindow): Window | undefined {
  const cut = { from: from < window.from ? window.from : from, to: window.to !== undefined && to > window.to ? window.to : to };
  return cut.to > cut.from ? cut : undefined;
}

export interface ClippedCount {
  /** Where the part inside lies; undefined: the two do not meet. */
  readonly inside: Window | undefined;
  readonly count: number;
  readonly outside: number;
}

/** A whole count that is spread evenly over [from, to]. */
export function clipCount(from: Instant, to: Instant, count: number, window: OpenWindow): ClippedCount {
  if (to <= from) return holds(window, from) ? { inside: { from, to: from }, count, outside: 0 } : { inside: undefined, count: 0, outside: count };
  const inside = clipInterval(from, to, window);
  if (!inside) return { inside, count: 0, outside: count };
  const upTo = (at: Instant): number => Math.round((count * (at - from)) / (to - from));
  const part = (inside.to === to ? count : upTo(inside.to)) - upTo(inside.from);
  return { inside, count: part, outside: count - part };
}
