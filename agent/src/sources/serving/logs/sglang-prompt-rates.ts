/**
 * The `input throughput` of a Prefill line tells the time since the Prefill line before, to better than a second: some
 * tokens divided by it. Up to 0.5.10 they are those of the batch before, later its own; the stamps tell which.
 */
import type { PrefillLine } from './sglang-line.js';
import type { Distance, Held } from './sglang-moments.js';
import type { StreamLine } from './sglang-stream.js';

export interface PromptRates {
  /** Of a line from the one before. */
  distances(line: PrefillLine): Distance<StreamLine>[];
  saw(line: PrefillLine, held: Held<StreamLine>, stamp: number): void;
}

/** Seconds by which two stamps cut to the second may mislead. */
const STAMP = 1;
const ROUNDING = 0.005;
/** Shorter than this, lines are printed together, whatever lay between the batches. */
const TELLING_SECONDS = 0.05;

export function promptRates(): PromptRates {
  let before: { readonly line: PrefillLine; readonly held: Held<StreamLine>; readonly stamp: number } | undefined;
  let ownAgreed = 0;
  let previousAgreed = 0;

  return {
    distances(line) {
      if (before === undefined || line.inputRate === undefined || ownAgreed === previousAgreed) return [];
      const counted = ownAgreed > previousAgreed ? line.newTokens : before.line.newTokens;
      const least = counted / (line.inputRate + ROUNDING);
      return least < TELLING_SECONDS ? [] : [{ from: before.held, least, most: line.inputRate <= ROUNDING ? Infinity : counted / (line.inputRate - ROUNDING) }];
    },
    saw(line, held, stamp) {
      if (before !== undefined && line.inputRate !== undefined && line.inputRate > ROUNDING) {
        const gap = stamp - before.stamp;
        const agrees = (counted: number): boolean => Math.abs(counted / Number(line.inputRate) - gap) <= STAMP + (gap * ROUNDING) / Number(line.inputRate);
        const own = agrees(line.newTokens);
        const previous = agrees(before.line.newTokens);
        if (own && !previous) ownAgreed += 1;
        if (previous && !own) previousAgreed += 1;
      }
      before = { line, held, stamp };
    },
  };
}
