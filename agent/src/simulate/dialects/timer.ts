/** What an engine does by the clock, whatever else happens: every interval, a little late each time. */
export interface Timer {
  /** Moments up to `until`, from where the last call ended. */
  next(until: number): Generator<number, void>;
  /** The next moment, without going there. */
  readonly due: number;
}

/**
 * @param first in seconds since the start of the simulation
 * @param late how much later each time, in the mean: a sleeping loop drifts
 */
export function timer({ first, interval, late }: { readonly first: number; readonly interval: number; readonly late: () => number }): Timer {
  let due = first;
  return {
    *next(until) {
      while (due <= until) {
        const at = due;
        due += interval + late();
        yield at;
      }
    },
    get due() {
      return due;
    },
  };
}
