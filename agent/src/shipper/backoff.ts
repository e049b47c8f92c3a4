import { seconds, type Seconds } from '@joulebook/shared/units.js';

export interface Backoff {
  /** How long to wait before the next try. */
  next(): Seconds;
  /** It worked: begin again with short waits. */
  reset(): void;
}

/**
 * Full jitter: a random wait between 0 and a ceiling that doubles with each failure. After an outage of the collector
 * a thousand agents come back spread over the ceiling and not all at once (Brooker, "Exponential Backoff And Jitter", 2015).
 * The ceiling is the pace at which an agent sends when all is well: longer waits would make live data late without sparing
 * the collector anything.
 */
export function backoff({ first = seconds(1), longest = seconds(10), random = Math.random }: { first?: Seconds; longest?: Seconds; random?: () => number } = {}): Backoff {
  let ceiling: number = first;
  return {
    next() {
      const wait = seconds(random() * ceiling);
      ceiling = Math.min(longest, ceiling * 2);
      return wait;
    },
    reset() {
      ceiling = first;
    },
  };
}
