/**
 * An engine without requests waits inside its next iteration, which then seems to last from the last token of one request
 * to the first of another. Only an iteration of nothing but prompts can have begun so. How long its work took follows
 * from the fastest pace at which this engine computed prompts before.
 */
import type { Work } from './trtllm-report.js';

export interface Waits {
  /** An iteration that can't have waited, or did not wait long, and how many seconds it took. */
  learn(work: Work, seconds: number): void;
  /** The seconds of work in an iteration that may have waited before; undefined: nothing tells. */
  busy(work: Work, seconds: number): number | undefined;
}

/** Too few prompt tokens take as long as any iteration does: they tell no pace. */
const FEWEST_TOKENS = 64;
/** The pace of prompts differs by batch and context; a wait that is shorter than this difference isn't seen. */
const SLOWER_THAN_FASTEST = 3;
const UNSEEN_SECONDS = 0.1;
/** So long a first prompt may take before any pace is known. */
const UNKNOWN_SECONDS = 1;

export function waits(): Waits {
  let secondsPerToken: number | undefined;
  let decodeSeconds: number | undefined;
  return {
    learn({ prefillTokens, prefills }, seconds) {
      if (seconds <= 0) return;
      if (prefillTokens >= FEWEST_TOKENS) secondsPerToken = Math.min(secondsPerToken ?? Infinity, seconds / prefillTokens);
      else if (prefills === 0) decodeSeconds = Math.min(decodeSeconds ?? Infinity, seconds);
    },
    busy({ prefillTokens }, seconds) {
      if (secondsPerToken === undefined) return seconds <= UNKNOWN_SECONDS ? seconds : undefined;
      const least = Math.max(decodeSeconds ?? 0, prefillTokens * secondsPerToken);
      return seconds > SLOWER_THAN_FASTEST * least + UNSEEN_SECONDS ? least : seconds;
    },
  };
}

/** Taken for work of an iteration of which nothing tells how long it waited. */
export const LEAST_KNOWN_SECONDS = UNKNOWN_SECONDS;
