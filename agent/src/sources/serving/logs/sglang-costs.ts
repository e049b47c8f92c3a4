/**
 * What work takes, learnt from stretches of a log whose length and work are known:
 *
 *     seconds = a · decode steps + b · sequences × steps + c · prefills + d · prompt tokens
 *
 * by recursive least squares; what is long ago fades. The first stretch says about what everything takes.
 */
export interface Amount {
  readonly steps: number;
  /** Sequences that decoded, summed over the steps. */
  readonly decodes: number;
  readonly prefills: number;
  readonly promptTokens: number;
}

export interface Costs {
  /** Undefined until something was learnt. */
  seconds(amount: Amount): number | undefined;
  /** @param doubt by how many seconds the length of the stretch may be off */
  learn(amount: Amount, seconds: number, doubt: number): void;
}

/** An iteration reads all weights whatever it computes: about where computing takes as long, so that the coefficients are of like size. */
export const TOKENS_OF_A_STEP = 512;
const SEQUENCES_OF_A_STEP = 512;
/** How far a first guess may be off, in its own measure. */
const GUESS = [0.5, 0.5, 0.5, 1] as const;
/** Old stretches fade to half in about 350 of them. */
const FADE = 0.998;

const featuresOf = ({ steps, decodes, prefills, promptTokens }: Amount): readonly number[] => [steps, decodes / SEQUENCES_OF_A_STEP, prefills, promptTokens / TOKENS_OF_A_STEP];
const dot = (one: readonly number[], other: readonly number[]): number => one.reduce((sum, value, index) => sum + value * (other[index] ?? 0), 0);

interface Known {
  readonly coefficients: readonly number[];
  readonly spread: readonly (readonly number[])[];
}

/** Everything takes as many times longer than its measure as the whole stretch did. */
function guess(features: readonly number[], seconds: number): Known {
  const unit = seconds / features.reduce((sum, value) => sum + value, 0);
  return { coefficients: features.map(() => unit), spread: features.map((_, row) => features.map((__, column) => (row === column ? (unit * (GUESS[row] ?? 1)) ** 2 : 0))) };
}

export function costs(): Costs {
  let known: Known | undefined;
  return {
    seconds: (amount) => known && dot(known.coefficients, featuresOf(amount)),
    learn(amount, seconds, doubt) {
      const features = featuresOf(amount);
      if (!(seconds > 0) || !features.some((value) => value > 0)) return;
      const { coefficients, spread } = known ?? guess(features, seconds);
      const along = spread.map((row) => dot(row, features));
      const gain = along.map((value) => value / (FADE * doubt ** 2 + dot(features, along)));
      const residual = seconds - dot(coefficients, features);
      known = {
        coefficients: coefficients.map((value, index) => Math.max(0, value + (gain[index] ?? 0) * residual)),
        spread: spread.map((row, of) => row.map((value, index) => (value - (gain[of] ?? 0) * (along[index] ?? 0)) / FADE)),
      };
    },
  };
}
