/** When a program looks at a sensor: every period, a little late, and sometimes not at all. */
import { duration } from '@joulebook/shared/settings.js';
import { z } from 'zod';

/** 0 ≤ value < 1 */
type Draw = () => number;

const share = z.number().min(0).max(1);

export const pollingOptions = {
  /** Time between two looks. */
  period: duration.refine((value) => value >= 0.005 && value <= 3600, 'a period is 5 ms to 1 h'),
  /** Each look is late by 0 to this. */
  jitter: duration,
  /** Share of the looks of which nothing is kept. */
  lost: share,
  /** Pauses in which nothing is kept at all: on average every so often, so long. */
  pauses: z.strictObject({ every: duration.refine((value) => value > 0, 'more than 0'), lasting: duration }).optional(),
};

export interface Polling {
  readonly period: number;
  readonly jitter: number;
  readonly lost: number;
  readonly pauses?: { readonly every: number; readonly lasting: number } | undefined;
}

export interface Looks {
  /** The looks that are kept, from where the last call ended up to `until` (exclusive), in order. */
  next(until: number): Generator<number, void>;
}

/** In seconds since the start of the simulation; the first look comes within the first period. */
export function looks({ period, jitter, lost, pauses }: Polling, draw: Draw): Looks {
  const exponential = (mean: number): number => -mean * Math.log(1 - draw());
  const first = draw() * period;
  let number = 0;
  let pause = pauses && nextPause(0);
  let at = look();

  function nextPause(after: number): { from: number; to: number } {
    if (!pauses) return { from: Infinity, to: Infinity };
    const from = after + exponential(pauses.every);
    return { from, to: from + pauses.lasting };
  }
  // A look that is later than the next one's time would be overtaken by it: a loop waits for itself.
  function look(): number {
    return first + number++ * period + draw() * Math.min(jitter, period);
  }

  return {
    *next(until) {
      for (; at < until; at = look()) {
        while (pause && at >= pause.to) pause = nextPause(pause.to);
        const kept = draw() >= lost;
        if (kept && !(pause && at >= pause.from)) yield at;
      }
    },
  };
}
