/**
 * How finely the power was sampled compared with the phases: a stretch of a phase with fewer than two readings in it
 * has an energy that is more interpolation than measurement.
 */
import type { Phase } from '@joulebook/shared/slice.js';
import type { Instant } from '@joulebook/shared/units.js';
import type { Stretch } from '../attribution/work.js';

/** A run of stretches of one phase that is over. */
export interface Ended {
  readonly phase: Phase;
  readonly at: Instant;
  /** Fewer than two readings fell into it. */
  readonly coarse: boolean;
}

export interface Coarseness {
  /** A reading of the device's energy channel. Readings come in order. */
  reading(at: Instant): void;
  /** Follows the stretches of a deployment; yields each run of a busy phase that has ended. */
  follow(deployment: string, stretches: readonly Stretch[]): Ended[];
  /** Readings before this moment are in no stretch that is still to come. */
  forget(before: Instant): void;
}

const BUSY = ['prefill', 'decode', 'active'] as const;

export function coarseness(): Coarseness {
  let readings: Instant[] = [];
  const runs = new Map<string, { to: Instant; readings: number }>();

  return {
    reading(at) {
      if (at !== readings.at(-1)) readings.push(at);
    },
    follow(deployment, stretches) {
      const ended: Ended[] = [];
      for (const stretch of stretches) {
        const { from, to } = stretch;
        const within = firstAtOrAfter(readings, to) - firstAtOrAfter(readings, from);
        for (const phase of BUSY) {
          const key = `${deployment}\u0000${phase}`;
          const run = runs.get(key);
          if (isIn(stretch, phase)) {
            runs.set(key, { to, readings: (run?.readings ?? 0) + within });
          } else if (run) {
            runs.delete(key);
            ended.push({ phase, at: run.to, coarse: run.readings < 2 });
          }
        }
      }
      return ended;
    },
    forget(before) {
      const gone = firstAtOrAfter(readings, before);
      // Cutting the list costs its length: it is done when half of it is gone.
      if (gone > readings.length / 2) readings = readings.slice(gone);
    },
  };
}

const isIn = ({ state, work }: Stretch, phase: (typeof BUSY)[number]): boolean => (phase === 'active' ? state === 'active' : work.some((each) => each[phase] !== undefined));

/** Position in an ordered list, by halving. */
function firstAtOrAfter(ordered: readonly Instant[], at: Instant): number {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ordered[middle] ?? at) < at) low = middle + 1;
    else high = middle;
  }
  return low;
}
