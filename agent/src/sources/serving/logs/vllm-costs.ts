/**
 * How long an iteration takes by its work, where it does not say so itself:
 *
 *     seconds = a + b · prompt tokens + c · sequences that decode
 *
 * learnt from stretches of many iterations whose length is known (recursive least squares; what is long ago fades).
 */
import type { IterationLine } from './vllm-line.js';

export interface Costs {
  /** Seconds, or something in proportion to them. */
  of(line: IterationLine): number;
  learn(lines: readonly IterationLine[], seconds: number): void;
}

/** In these units the coefficients are of like size. */
const PROMPT_TOKENS = 256;
const SEQUENCES = 64;
/** Before anything is known: a step without work, one's worth of prompt tokens, one's worth of sequences. */
const GUESSED = [0.02, 0.02, 0.005] as const;
/** How far the guess may be off, in seconds; and a stretch of a second. */
const DOUBT = 0.02;
const NOISE = 0.03;
/** Old stretches fade to half in about 350 of them. */
const FADE = 0.998;
/** Even where the stretches say otherwise an iteration takes some time. */
const SHORTEST = 0.001;

type Three = readonly [number, number, number];

const featuresOf = ({ contextTokens, generationTokens }: IterationLine): Three => [1, contextTokens / PROMPT_TOKENS, generationTokens / SEQUENCES];
const dot = (one: Three, other: Three): number => one[0] * other[0] + one[1] * other[1] + one[2] * other[2];
const map = (each: (index: 0 | 1 | 2) => number): Three => [each(0), each(1), each(2)];

export function costs(): Costs {
  let coefficients: Three = GUESSED;
  let spread: readonly [Three, Three, Three] = [[DOUBT ** 2, 0, 0], [0, DOUBT ** 2, 0], [0, 0, DOUBT ** 2]];
  return {
    of: (line) => Math.max(SHORTEST, dot(coefficients, featuresOf(line))),
    learn(lines, seconds) {
      const sums = lines.map(featuresOf).reduce((sum, each) => map((index) => sum[index] + each[index]), [0, 0, 0]);
      const [first, second, third] = spread;
      const along = [dot(first, sums), dot(second, sums), dot(third, sums)] as const;
      const gain = map((index) => along[index] / (FADE * NOISE ** 2 + dot(sums, along)));
      const residual = seconds - dot(coefficients, sums);
      coefficients = map((index) => Math.max(0, coefficients[index] + gain[index] * residual));
      const row = (of: 0 | 1 | 2): Three => map((index) => (spread[of][index] - gain[of] * along[index]) / FADE);
      spread = [row(0), row(1), row(2)];
    },
  };
}
