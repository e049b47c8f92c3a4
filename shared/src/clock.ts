import { instant, seconds, type Instant, type Seconds } from './units.js';

/** Time as an argument: wall time for people and other machines' logs, monotonic time for durations. */
export interface Clock {
  /** Wall time now; may step either way when the machine's clock is set. */
  wall(): Instant;
  /** Seconds since an arbitrary origin; never goes back. */
  monotonic(): Seconds;
}

export const systemClock: Clock = {
  wall: () => instant(Date.now() / 1000),
  monotonic: () => seconds(performance.now() / 1000),
};

/** A wall clock further ahead than this was set, or the machine slept: slice time jumps instead of creeping there. */
const JUMP_SECONDS = 60;
/** How fast slice time creeps towards wall time: 1 % of elapsed time, so that a slice is never more than 1 % long or short. */
const SLEW = 0.01;

/**
 * The slice clock: monotonic time, slewed towards wall time and never stepped back.
 * A wall clock set back by 30 s makes slice time run 1 % slow for 50 minutes; no slice is emitted twice.
 */
export function sliceClock(clock: Clock): () => Instant {
  let last = clock.wall();
  let lastMonotonic = clock.monotonic();
  return () => {
    const monotonic = clock.monotonic();
    const passed = monotonic - lastMonotonic;
    const error = clock.wall() - (last + passed);
    const correction = error > JUMP_SECONDS ? error : Math.max(-SLEW * passed, Math.min(SLEW * passed, error));
    lastMonotonic = monotonic;
    last = instant(last + passed + correction);
    return last;
  };
}
