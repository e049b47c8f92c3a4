/**
 * What goes into the method of comparisons and what comes out of it. Nothing here knows of stores, labels or figures: a block is a
 * stretch of time (or one run of a benchmark) with the two sums whose ratio is the figure, and what was different about it.
 *
 *   side A  ▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮   each ▮ is e.g. a minute: 61 200 J, 4 910 output tokens, load 81.8 tokens/s, 64.2 °C
 *   side B  ▯▯▯▯▯▯▯▯▯▯▯▯▯▯▯▯   effect = (Σ J / Σ tokens of B) / (the same of A) − 1, at equal load, lengths and temperature
 */
import type { EpochMicros } from '@joulebook/shared/units.js';

/** Conditions that an answer can be adjusted for, in the order in which answers list them. */
export const COVARIATES = ['load', 'inputLength', 'outputLength', 'cachedShare', 'temperature'] as const;
/** load: tokens/s; inputLength, outputLength: tokens per request; cachedShare: cached input of all input, 0 to 1; temperature: °C. */
export type Covariate = (typeof COVARIATES)[number];

/** For people, in sentences. */
export const CONDITION_NAMES: Readonly<Record<Covariate, string>> = { load: 'load', inputLength: 'prompt length', outputLength: 'output length', cachedShare: 'cached share', temperature: 'temperature' };

export interface Block {
  readonly from: EpochMicros;
  readonly to: EpochMicros;
  /** The figure is Σ numerator / Σ denominator, e.g. J over output tokens. */
  readonly numerator: number;
  readonly denominator: number;
  /** Absent is not known. */
  readonly covariates: Readonly<Partial<Record<Covariate, number>>>;
  /** Node or group of GPUs that the block belongs to. */
  readonly unit?: string;
}

/**
 * runs: each block is a run of its own, independent of the others. parallel: both sides in the same time on different units.
 * before-after: A's time lies before B's (or after it). switchback: A and B take turns.
 */
export type Design = 'runs' | 'parallel' | 'before-after' | 'switchback';

export interface BlockQuestion {
  readonly a: readonly Block[];
  readonly b: readonly Block[];
  readonly design: Design;
  /** Whether the answer is looked at again and again while data comes in, to stop when it says something. */
  readonly sequential: boolean;
  /** Of intervals and verdict; 0.95 unless given. */
  readonly confidence?: number;
  /** Adjusted for where they are known in every block that counts and vary. */
  readonly covariates: readonly Covariate[];
  readonly lowerIsBetter: boolean;
}

export type Interval = readonly [low: number, high: number];
export type Verdict = 'b-better' | 'a-better' | 'no-difference-shown' | 'not-comparable';

export interface Side {
  /** Pooled ratio of sums of all blocks, never adjusted; null where the denominator is 0. */
  readonly estimate: number | null;
  readonly ci95: Interval | null;
  /** Blocks that were given and count (a denominator above 0). */
  readonly blocks: number;
}

export interface Effect {
  /** Of B against A: −0.03 is 3 % less. The adjusted one where adjustments were made; null where none can be told. */
  readonly relative: number | null;
  /** For one look, at a time that was set before. */
  readonly ci95: Interval | null;
  /** Holds at every moment at once, however often one looks. Wider. */
  readonly alwaysValid: Interval | null;
  /** Two-sided, of the interval that the verdict rests on. */
  readonly pValue: number | null;
  /** Of the logarithm of the ratio. */
  readonly standardError: number | null;
  readonly adjusted: boolean;
  /** Ratio of the pooled ratios − 1. */
  readonly unadjusted: number | null;
}

export interface Reason {
  readonly code: string;
  readonly detail: string;
}

export interface Adjustment {
  readonly covariate: Covariate;
  /** Elasticity for load and lengths (their logarithm is used), change of the logarithm per unit for the others. */
  readonly coefficient: number;
  readonly detail: string;
}

export interface BlockAnswer {
  readonly a: Side;
  readonly b: Side;
  readonly effect: Effect;
  readonly verdict: Verdict;
  /** Relative effect that would be seen with 80 % power at this confidence with this much data. */
  readonly minimumDetectableEffect: number | null;
  /** Blocks per side, of the size that came in, until the interval reaches this far to either side (0.02 is ± 2 %); null where it never will or nothing can be told. */
  readonly blocksFor: (wantedRelativePrecision: number) => number | null;
  /** Why not comparable, and what qualifies an answer that is given. */
  readonly reasons: readonly Reason[];
  readonly adjustments: readonly Adjustment[];
  /** Independent pieces that the error rests on, per side: the smaller side. */
  readonly effectiveBlocks: number;
}
