/**
 * How decode goes on while prompts are computed, told by requests alone. Between its first token and its end a request sees
 * time in which only decode ran and iterations that computed prompts; its tokens came from both:
 *
 *     tokens − 1 = time of decode alone ÷ step + μ · iterations with prompts        fitted over many requests
 *
 * μ is 1 where an engine mixes both in its iterations (chunked prefill), 0 where prompts hold decode up, and more than 1
 * where its chunks are smaller than was thought.
 */
import { regression } from './regression.js';

export interface Pace {
  /** Time passes in which these were on. @param promptIterations per second */
  pass(seconds: number, decoding: boolean, promptIterations: number): void;
  /** A request has its first token now. @returns what to hand to `ended` */
  began(): Began;
  ended(began: Began, outputTokens: number): void;
  /** Seconds of a decode step that is not held up. */
  step(): number | undefined;
  /** Decode steps per iteration with prompts; above 1 where prompts are cut into more iterations than was thought. */
  mixing(): number;
}

export interface Began {
  readonly alone: number;
  readonly iterations: number;
}

const ENOUGH_REQUESTS = 20;
/** Old requests fade to half in about so many. */
const FADE = 0.5 ** (1 / 5_000);
/** Too few tokens to tell a pace by. */
const LEAST_TOKENS = 8;

export function pace(): Pace {
  const fit = regression(2);
  let requests = 0;
  /** Requests beside which prompts were computed. */
  let beside = 0;
  let alone = 0;
  let iterations = 0;

  const known = (): readonly number[] | undefined => (requests >= ENOUGH_REQUESTS ? fit.solution()?.coefficients : undefined);
  return {
    pass(seconds, decoding, promptIterations) {
      if (!decoding) return;
      if (promptIterations > 0) iterations += promptIterations * seconds;
      else alone += seconds;
    },
    began: () => ({ alone, iterations }),
    ended(before, outputTokens) {
      const time = alone - before.alone;
      if (outputTokens < LEAST_TOKENS || time <= 0) return;
      // Per second of decode alone, so that long requests do not outweigh all others.
      requests = requests * FADE + 1;
      beside = beside * FADE + (iterations > before.iterations ? 1 : 0);
      fit.fade(FADE);
      fit.add([(iterations - before.iterations) / time, 1], (outputTokens - 1) / time, Math.min(time, 10));
    },
    step() {
      const [, perSecond = 0] = known() ?? [];
      return perSecond > 0 ? 1 / perSecond : undefined;
    },
    mixing: () => (beside >= ENOUGH_REQUESTS ? (known()?.[0] ?? 1) : 1),
  };
}
