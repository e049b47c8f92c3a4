/**
 * What a comparison is: the JSON contract, once. A collector answers with it and a command line that asks a collector reads it
 * back. Relative changes are of B against A: −0.03 is 3 % less. Null is "not known", never 0.
 */
import { z } from 'zod';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { flag } from '../join/report.js';
import { COVARIATES } from './method/compare-blocks.js';
import { PER } from './metrics.js';

const known = z.number().nullable();
const interval = z.tuple([z.number(), z.number()]).nullable();

export const VERDICTS = ['b-better', 'a-better', 'no-difference-shown', 'not-comparable'] as const;
const verdict = z.enum(VERDICTS);
const reason = z.object({ /** Stable and greppable, e.g. `COVERAGE_LOW`. */ code: z.string(), detail: z.string() });
export type Reason = z.infer<typeof reason>;

const side = z.object({
  /** As it was asked for, e.g. `quantization=int8`. */
  name: z.string(),
  /** Pooled ratio of sums, never adjusted: what a report says of the same facts. */
  estimate: known,
  ci95: interval,
  blocks: z.number(),
  from: z.string().nullable(),
  to: z.string().nullable(),
  coverage: known,
  watts: known,
  /** Of all that was drawn, idle included. */
  joulesPerToken: known,
  /** Over the time in which the side ran; null for runs, whose time is their own. */
  tokensPerSecond: known,
  /** The figure of its blocks, in order of size: all of them, or as many as a picture can show. */
  distribution: z.array(z.number()),
});
export type SideAnswer = z.infer<typeof side>;

const effect = z.object({
  /** Adjusted where adjustments were made. */
  relative: known,
  ci95: interval,
  /** Holds however often one looks. */
  alwaysValid: interval,
  pValue: known,
  adjusted: z.boolean(),
  /** Of the pooled estimates. */
  unadjusted: known,
});

const metric = { metric: z.string(), title: z.string(), unit: z.string(), per: z.enum(PER).nullable(), lowerIsBetter: z.boolean() };

/** The same change by another measure. Verdicts on those that nobody asked for hold for all of these together, so that many measures make no find. */
const also = z.object({ ...metric, a: known, b: known, relative: known, unadjusted: known, ci95: interval, alwaysValid: interval, pValue: known, verdict, /** Why it is not comparable by this measure alone. */ reasons: z.array(reason) });
export type Also = z.infer<typeof also>;

const amounts = z.object({ /** Before PUE. */ kwh: known, /** After PUE, in the currency of the book. */ cost: known, carbonKg: known });
export type Amounts = z.infer<typeof amounts>;

export const comparison = z.object({
  ...metric,
  a: side,
  b: side,
  effect,
  verdict,
  /** How many measures were asked for and can be told: verdicts and p-values hold for all of them together (Holm), intervals for each by itself. */
  together: z.number(),
  /** Relative effect that this much data would show in 8 of 10 cases. */
  minimumDetectableEffect: known,
  reasons: z.array(reason),
  adjustments: z.array(z.object({ covariate: z.enum(COVARIATES), coefficient: z.number(), detail: z.string() })),
  design: z.enum(['runs', 'parallel', 'before-after', 'switchback']).nullable(),
  /** s that a block lasts; null for runs. */
  step: known,
  sequential: z.boolean(),
  boundary: z.enum(BOUNDARIES).nullable(),
  currency: z.string(),
  /** Half the width of the interval as a share of B's figure, as it was asked for and as it is, and what it would take: blocks and time of either side, in all and still to come. */
  precision: z.object({ wanted: z.number(), reached: known, blocksPerSide: known, secondsPerSide: known, moreSeconds: known }),
  also: z.array(also),
  /** At the traffic that A has: of A now, and how B would change it, with both ends of the interval. */
  monthly: z.object({ tokensPerSecond: known, a: amounts, change: amounts, low: amounts, high: amounts }).nullable(),
  /** What the reports of the sides say of their facts. */
  flags: z.array(flag.extend({ side: z.enum(['a', 'b']) })),
  /** The answer in plain words, one sentence each. */
  sentences: z.array(z.string()),
});
export type Comparison = z.infer<typeof comparison>;
