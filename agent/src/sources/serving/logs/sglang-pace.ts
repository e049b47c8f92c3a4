/**
 * How fast an SGLang engine works, learnt from the stretches of its log whose work is known: seconds per decode step and per
 * prefill, and steps per Decode line.
 */
import { costs, TOKENS_OF_A_STEP, type Amount } from './sglang-costs.js';

export interface Pace {
  /** A decode step was seen: before that its length is a guess. */
  readonly knowsStep: boolean;
  /** Seconds of one decode iteration of so many sequences. */
  stepSeconds(sequences: number): number;
  /** Decode iterations per Decode line. */
  readonly interval: number;
  readonly knowsInterval: boolean;
  /** How long so many prompt tokens take in one iteration. */
  prefillSeconds(tokens: number): number;
  readonly knowsPrefill: boolean;
  /** @param doubt by how many seconds it may be off */
  learn(amount: Amount, seconds: number, doubt: number): void;
  /** KV tokens that each of a number of unchanged sequences gained from one Decode line to the next. */
  learnInterval(steps: number): void;
}

/** Slow, so that an idle claim made before anything is known comes late rather than early. */
const GUESSED_STEP = 0.05;
/** Prompts of fewer tokens tell of overheads, not of speed. */
const TELLING_TOKENS = 256;
/** Nothing takes less. */
const SHORTEST = 1e-4;
/** `--decode-log-interval` of nobody is longer. */
const MAX_INTERVAL = 10_000;
/** So many lines in a row must say so before a known interval is given up. */
const SURE = 3;

/** @param configured steps per Decode line, where the configuration or the log says so */
export function pace(configured: number | undefined): Pace {
  let learnt = costs();
  let knowsStep = false;
  let knowsPrefill = false;
  let interval = configured ?? 40;
  let candidate: { readonly steps: number; readonly seen: number } | undefined;
  let intervalKnown = configured !== undefined;

  const stepSeconds = (sequences: number): number => (knowsStep ? Math.max(SHORTEST, learnt.seconds({ steps: 1, decodes: sequences, prefills: 0, promptTokens: 0 }) ?? 0) : GUESSED_STEP);
  return {
    get knowsStep() {
      return knowsStep;
    },
    stepSeconds,
    get interval() {
      return interval;
    },
    get knowsInterval() {
      return intervalKnown;
    },
    prefillSeconds: (tokens) =>
      knowsPrefill ? Math.max(SHORTEST, learnt.seconds({ steps: 0, decodes: 0, prefills: 1, promptTokens: tokens }) ?? 0) : stepSeconds(1) * Math.max(1, tokens / TOKENS_OF_A_STEP),
    get knowsPrefill() {
      return knowsPrefill;
    },
    learn(amount, seconds, doubt) {
      if (!(seconds > 0)) return;
      learnt.learn(amount, seconds, doubt);
      knowsStep ||= amount.steps > 0;
      knowsPrefill ||= amount.promptTokens >= TELLING_TOKENS;
    },
    learnInterval(steps) {
      if (configured !== undefined || !Number.isInteger(steps) || steps < 1 || steps > MAX_INTERVAL) return;
      candidate = candidate?.steps === steps ? { steps, seen: candidate.seen + 1 } : { steps, seen: 1 };
      if (intervalKnown && candidate.seen < SURE) return;
      intervalKnown = true;
      if (steps === interval) return;
      interval = steps;
      // What was learnt was of another number of steps.
      learnt = costs();
      knowsStep = false;
      knowsPrefill = false;
    },
  };
}
