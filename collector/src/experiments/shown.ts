/** An experiment as it is told: the JSON contract, once. */
import { z } from 'zod';
import { comparison } from '../compare/answer.js';
import { flag } from '../join/report.js';
import { formatTime } from '../join/times.js';
import type { Extent } from '../store/store.js';
import { STATUSES } from './guardrail.js';
import { definition, isRunning, type Experiment } from './mark.js';

const range = z.object({ from: z.string(), to: z.string() });
export const listed = z.object({
  name: z.string(),
  ...definition.shape,
  running: z.boolean(),
  /** When it was switched on and off; `to` null while it runs. */
  turns: z.array(z.object({ from: z.string(), to: z.string().nullable() })),
});
export const experimentsShown = z.object({ experiments: z.array(listed) });
export const experimentShown = listed.extend({
  sides: z.object({ a: z.array(range), b: z.array(range) }),
  /** After each switch: of no side. */
  settling: z.array(range),
  /** Seconds of either side so far; how long each has to last for the wanted precision, and how much of that is still to come; null: not known, or never. */
  progress: z.object({ a: z.number(), b: z.number(), wanted: z.number(), reached: z.number().nullable(), plannedPerSide: z.number().nullable(), more: z.number().nullable() }),
  /** Null before there is anything of either side. */
  comparison: comparison.nullable(),
  guardrails: z.array(z.object({
    guardrail: z.string(),
    /** Of each side; of a percentile the bucket that it is in. */
    a: z.tuple([z.number(), z.number()]).nullable(),
    b: z.tuple([z.number(), z.number()]).nullable(),
    status: z.enum(STATUSES),
  })),
  flags: z.array(flag),
  sentences: z.array(z.string()),
});
export type ExperimentListed = z.infer<typeof listed>;
export type ExperimentsShown = z.infer<typeof experimentsShown>;
export type ExperimentShown = z.infer<typeof experimentShown>;

export const rangesShown = (ranges: readonly Extent[]): { from: string; to: string }[] => ranges.map(({ from, to }) => ({ from: formatTime(from), to: formatTime(to) }));

export const showExperiment = (experiment: Experiment): ExperimentListed => ({
  name: experiment.name, ...experiment.definition, running: isRunning(experiment), turns: experiment.turns.map(({ from, to }) => ({ from: formatTime(from), to: to === null ? null : formatTime(to) })),
});
