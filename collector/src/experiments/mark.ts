/**
 * What is said of experiments, a mark each time; what an experiment is follows from its marks in order:
 *
 *   begin power-300 at 10:00 (labels, nodes, metric …)   stop power-300 at 12:00   start power-300 at 14:00   …
 *                     ├──────────── turn ────────────┤                             ├─ turn ─ …
 *
 * A mark changes no fact: nodes and times say which facts are of which side.
 */
import { z } from 'zod';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { formatTime, parseTime } from '../join/times.js';
import type { ExperimentMark } from '../store/store.js';

/** As it was said, so that a store kept for years is read by the rules of today. */
export const definition = z.object({
  /** What is different while it runs. */
  labels: z.record(z.string(), z.string()),
  /** Where; those that stay as they are, where A is not the time before. */
  nodes: z.array(z.string()).min(1),
  against: z.array(z.string()),
  /** `key=value` each: what of these nodes is looked at. */
  where: z.array(z.string()),
  metric: z.string(),
  precision: z.number(),
  guardrails: z.array(z.string()),
  /** `ttft=2s,tpot=50ms`; null: what the book says. */
  slo: z.string().nullable(),
  /** s after each switch that are of no side. */
  settle: z.number(),
  /** s that A reaches back from the beginning of a turn, at most. */
  before: z.number(),
});
export type Definition = z.infer<typeof definition>;

const time = z.string().transform((text, context) => parseTime(text) ?? context.addIssue('is no time') ?? z.NEVER);
const named = { name: z.string(), at: time };
const mark = z.discriminatedUnion('event', [z.object({ event: z.literal('begin'), ...named, definition }), z.object({ event: z.literal('start'), ...named }), z.object({ event: z.literal('stop'), ...named })]);
type Mark = z.infer<typeof mark>;

/** From when it was switched on to when it was switched off; null while it runs. */
export interface Turn {
  readonly from: EpochMicros;
  readonly to: EpochMicros | null;
}
export interface Experiment {
  readonly name: string;
  readonly definition: Definition;
  /** In order and apart; at least one. */
  readonly turns: readonly Turn[];
}

export const markOf = (said: Mark, at: EpochMicros): ExperimentMark => ({ at, text: JSON.stringify({ ...said, at: formatTime(said.at) }) });

function read({ text }: ExperimentMark): Mark {
  const found = mark.safeParse(JSON.parse(text));
  if (found.success) return found.data;
  throw new TelemetryError('EXPERIMENT_UNREADABLE', 'The store holds an experiment that this release does not know; use the release that wrote it, or a newer one.', 'abort');
}

/** Of two collectors that said the same at once, the first counts: starting what runs and stopping what does not changes nothing. */
function after(experiment: Experiment | undefined, said: Mark): Experiment | undefined {
  if (!experiment) return said.event === 'begin' ? { name: said.name, definition: said.definition, turns: [{ from: said.at, to: null }] } : undefined;
  const last = experiment.turns.at(-1);
  if (said.event === 'stop') return last?.to === null ? { ...experiment, turns: [...experiment.turns.slice(0, -1), { from: last.from, to: said.at }] } : experiment;
  return last?.to === null ? experiment : { ...experiment, turns: [...experiment.turns, { from: said.at, to: null }] };
}

/** A turn that ends when the next one begins ends first; one of no length is never said. */
const inTime = (one: Mark, other: Mark): number => one.at - other.at || Number(other.event === 'stop') - Number(one.event === 'stop');

/** In the order in which they began. Marks are taken by when they hold: the clocks of several collectors, or one that was set back, say little of when they were said. */
export function experimentsOf(marks: readonly ExperimentMark[]): readonly Experiment[] {
  const experiments = new Map<string, Experiment>();
  for (const said of marks.map(read).toSorted(inTime)) {
    const experiment = after(experiments.get(said.name), said);
    if (experiment) experiments.set(said.name, experiment);
  }
  return [...experiments.values()];
}

export const isRunning = ({ turns }: Experiment): boolean => turns.at(-1)?.to === null;
