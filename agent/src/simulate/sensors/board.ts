/**
 * What a power sensor makes of the power that a device truly draws. All kinds follow from differences of the true energy E:
 *
 *     true power   ▁▁▇▇▇▇▁▁▇▇▇▇▁▁▇▇▇▇▁▁
 *     looked at      ├──┤      ├──┤          the `window` before each refresh, `delay` late; the rest is not seen
 *     shown             ├─────────├───       its mean, until the next refresh
 *     counter       ╱╱╱╱╱╱╱╱╱╱╱╱╱╱╱          E, in steps of one refresh
 *
 * A board's gain is one factor for all that it shows, its counter included; there is no sensor that knows the truth.
 */
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import type { PowerTrace } from '../trace.js';

/** How far a board's sensor is off: constant over time, the same for every reading of it. */
export interface BoardError {
  /** What is shown = true × gain + offset. */
  readonly gain: number;
  /** W */
  readonly offset: number;
}

export interface Pace {
  /** How often the shown value changes. */
  readonly refresh: Seconds;
  /** How long what happens takes to show. */
  readonly delay: Seconds;
  /** Moment of one refresh; the others lie whole periods from it. */
  readonly phase: Seconds;
}

export interface PowerPace extends Pace {
  /** The shown value is the mean of so long before a refresh. Shorter than `refresh`: the rest is never seen. */
  readonly window: Seconds;
}

/** True joules up to a moment, from second 0; before it the device drew what it drew at second 0. */
export function trueJoules(trace: PowerTrace): (at: number) => number {
  let before: number | undefined;
  return (at) => {
    if (at >= 0) return trace.joulesUntil(seconds(at));
    before ??= trace.wattsAt(seconds(0));
    return before * at;
  };
}

const lastRefresh = ({ refresh, phase }: Pace, at: number): number => phase + Math.floor((at - phase) / refresh) * refresh;

/** The earliest moment of the true power that a look at `at` needs. */
export const reachesBack = (pace: Pace | PowerPace, at: number): number => at - pace.refresh - pace.delay - ('window' in pace ? pace.window : 0);

/** Watts that the sensor shows at a moment. */
export function shownWatts(joules: (at: number) => number, pace: PowerPace, { gain, offset }: BoardError, at: number): number {
  const to = lastRefresh(pace, at) - pace.delay;
  return Math.max(0, ((joules(to) - joules(to - pace.window)) / pace.window) * gain + offset);
}

/** Joules that a cumulative counter shows at a moment, from second 0 on, not rounded; it counts what was seen until its last refresh. */
export function shownJoules(joules: (at: number) => number, pace: Pace, { gain, offset }: BoardError, at: number): number {
  const to = lastRefresh(pace, at) - pace.delay;
  return joules(to) * gain + offset * to;
}
