/**
 * When the lines of statistics were really written. A timer writes them every 10 s (V0: every 5 s) and drifts by about a
 * millisecond a tick, but the stamps are cut to seconds:
 *
 *     stamped      :10        :20        :31        :41         each was written in [stamp, stamp + 1 s)
 *     ticks         10.5       20.5      31.0       41.0        interval after interval, moved only as far as a stamp asks
 *
 * The interval is that of the engine until the stamps can't be explained by it (VLLM_LOG_STATS_INTERVAL).
 */
import { instant, seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';

export interface Tick {
  readonly at: Instant;
  /** The tick before; absent for the first, and when the clock was set back. */
  readonly previous?: Instant;
  /** Ticks in between of which nothing was written. */
  readonly silent: number;
}

export interface Ticks {
  readonly interval: () => Seconds;
  /** @param due no tick can have been left out since the line before: what is missing is not there, or this one is late */
  next(stamp: Instant, due: boolean): Tick;
  /** Whole intervals since the last tick, until `at`, of which nothing was written. */
  pass(at: Instant): number;
  restart(): void;
}

/** A stamp with a fraction (of a wrapper) is taken as it is. */
export const stampWidth = (stamp: Instant): number => (Number.isInteger(stamp) ? 1 : 0);
/** Nothing that the cut of a stamp explains. */
export const LATE = 1.5;
const WITHIN_STAMP = 0.999;
/** How far two gaps of the same interval may lie apart: both ends are cut to seconds. */
const SAME_GAP = 1.001;

export function ticks(usual: Seconds): Ticks {
  let interval = usual;
  let last: Instant | undefined;
  let lastStamp = instant(0);
  /** Consecutive lines of one interval: the more there are the better its length is known. */
  let run = { first: instant(0), gaps: 0 };
  let odd: number | undefined;

  function learn(stamp: Instant): void {
    const gap = stamp - lastStamp;
    if (Math.abs(gap - interval) <= SAME_GAP) {
      run = run.gaps === 0 ? { first: lastStamp, gaps: 1 } : { ...run, gaps: run.gaps + 1 };
      odd = undefined;
      interval = simplest((stamp - run.first) / run.gaps, 1 / run.gaps, usual);
      return;
    }
    // A longer gap may be a tick that came late; a shorter one, or the same again, is the interval.
    if ((run.gaps === 0 && gap < interval) || (odd !== undefined && Math.abs(gap - odd) <= SAME_GAP)) {
      interval = seconds(gap);
      run = { first: lastStamp, gaps: 1 };
      odd = undefined;
      return;
    }
    odd = gap;
    run = { ...run, gaps: 0 };
  }

  return {
    interval: () => interval,
    next(stamp, due) {
      const width = stampWidth(stamp);
      const previous = last;
      if (previous === undefined || stamp + width < previous) {
        last = instant(stamp + width / 2);
        lastStamp = stamp;
        run = { first: stamp, gaps: 0 };
        return { at: last, silent: 0 };
      }
      if (due && stamp > lastStamp) learn(stamp);
      else run = { first: stamp, gaps: 0 };
      const passed = due ? 1 : Math.max(1, Math.round((stamp + width / 2 - previous) / interval));
      const middle = stamp + width / 2;
      const expected = previous + passed * interval;
      // One that is late may have come at any time of its second.
      const nearest = Math.abs(middle - expected) > LATE ? middle : Math.min(Math.max(expected, stamp), stamp + width * WITHIN_STAMP);
      last = instant(Math.max(nearest, previous));
      lastStamp = stamp;
      return { at: last, previous, silent: passed - 1 };
    },
    pass(at) {
      const passed = last === undefined ? 0 : Math.max(0, Math.floor((at - last) / interval));
      if (last !== undefined) last = instant(last + passed * interval);
      return passed;
    },
    restart() {
      last = undefined;
      run = { first: instant(0), gaps: 0 };
      odd = undefined;
    },
  };
}

/** The simplest interval that the stamps allow: the usual one, else whole seconds, else the mean. */
function simplest(mean: number, error: number, usual: Seconds): Seconds {
  if (Math.abs(mean - usual) <= error) return usual;
  return seconds(Math.abs(mean - Math.round(mean)) <= error && mean >= 1 ? Math.round(mean) : mean);
}
