import { seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';

/** The normal time between two looks: the median, which gaps do not move. Undefined for fewer than two. */
export function paceOf(times: readonly Instant[]): Seconds | undefined {
  const steps = times.flatMap((at, index) => {
    const before = times[index - 1];
    return before !== undefined && at > before ? [at - before] : [];
  });
  const median = steps.toSorted((a, b) => a - b)[Math.floor(steps.length / 2)];
  return median === undefined ? undefined : seconds(median);
}
