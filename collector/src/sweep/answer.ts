/** What a sweep is: the JSON contract, once. Null is "not known", never 0. */
import { z } from 'zod';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { flag } from '../join/report.js';

const known = z.number().nullable();
const interval = z.tuple([z.number(), z.number()]).nullable();
const reason = z.object({ code: z.string(), detail: z.string() });
const metric = z.object({ name: z.string(), title: z.string(), unit: z.string(), lowerIsBetter: z.boolean() });

const point = z.object({
  /** On the axis, as people say it: `300`, `8–15`, `fp8`. */
  name: z.string(),
  /** Mean over its time; null where the axis is no number. */
  value: known,
  /** s that it rests on, of one node or of many; null for runs. */
  seconds: known,
  blocks: z.number(),
  tokensPerSecond: known,
  /** By metric: pooled ratios of sums. */
  figures: z.record(z.string(), z.object({ estimate: known, ci95: interval })),
  /** Share of its requests inside the targets; null where none is told. */
  insideShare: known,
  /** Null without targets, or without requests that tell. */
  inside: z.boolean().nullable(),
  /** Too little to be the best, or to be held against it. */
  thin: z.boolean(),
  /** Why it can't be held against any other, as a comparison refuses a side: it is shown, and is not the best. */
  reasons: z.array(reason),
});
export type Point = z.infer<typeof point>;

const evidence = z.object({
  /** The point that the best is held against. */
  point: z.string(),
  /** Of that point against the best, at equal conditions where adjusted. */
  relative: known,
  ci95: interval,
  /** Holm's, over all points that the best is held against. */
  pValue: known,
  verdict: z.enum(['worse', 'not-told-apart', 'not-comparable']),
  reasons: z.array(reason),
  adjustments: z.array(z.string()),
});
export type Evidence = z.infer<typeof evidence>;

export const sweepAnswer = z.object({
  over: z.string(),
  axis: z.object({ title: z.string(), unit: z.string(), /** Values lie on a line. */ numeric: z.boolean() }),
  from: z.string().nullable(),
  to: z.string().nullable(),
  boundary: z.enum(BOUNDARIES).nullable(),
  currency: z.string(),
  /** s that a block lasts; null for runs. */
  step: known,
  /** The first decides what is best. */
  metrics: z.array(metric).min(1),
  /** Share of the requests of a point that has to be inside the targets; null without targets. */
  wantedInside: known,
  points: z.array(point),
  /** Null where no point is inside the targets and has enough behind it, or where their comparisons name none. */
  best: z.object({ point: z.string(), /** The next best at equal conditions, against which it is told apart or not; null where it is alone. */ runnerUp: z.string().nullable(), toldApart: z.boolean().nullable(), evidence: z.array(evidence) }).nullable(),
  /** Why none is the best, though some could be. */
  unchosen: reason.nullable(),
  /** s in no point: values on their way from one to another, or not known. */
  secondsLeftOut: z.number(),
  reasons: z.array(reason),
  flags: z.array(flag),
  sentences: z.array(z.string()),
});
export type SweepAnswer = z.infer<typeof sweepAnswer>;
