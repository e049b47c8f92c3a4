/**
 * How an experiment stands: the comparison of its sides, how far it has come, and what it costs beside. It may be looked at at any
 * time and is stopped by who looked, so the verdict always rests on the interval that holds at every look.
 */
import type { Book } from '../book/book.js';
import type { Comparison } from '../compare/answer.js';
import { compare } from '../compare/compare.js';
import { DEFAULT_METRIC, METRICS, whyNoMetric } from '../compare/metrics.js';
import { requestOf, type CompareRequest, type SideText } from '../compare/question.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { seconds, type EpochMicros } from '@joulebook/shared/units.js';
import type { Row } from '../join/report.js';
import { buildReport } from '../report/build.js';
import { filters, parseTargets, Reading, type Defaults } from '../report/request.js';
import { remembering } from '../store/remembering.js';
import type { Extent, Store } from '../store/store.js';
import { isTimeKey } from '../store/time-classes.js';
import { isLatency, parseGuardrail, statusOf, valueOf } from './guardrail.js';
import { experimentsOf, isRunning, type Experiment } from './mark.js';
import { sentencesOf } from './sentence.js';
import { rangesShown, showExperiment, type ExperimentShown } from './shown.js';
import { controlBefore, halvesOf, secondsOf, sidesOf, since, type Sides } from './sides.js';

const nodeFilter = (nodes: readonly string[]) => ({ key: 'node' as const, values: nodes });

function sideOf(name: string, ranges: readonly Extent[], nodes: readonly string[], { definition: { where } }: Experiment): SideText {
  return { name, where: [nodeFilter(nodes), ...filters(new Reading({}, ''), 'where', where)], from: ranges[0]?.from, to: ranges.at(-1)?.to, within: ranges };
}

export function requestFor(experiment: Experiment, { a, b }: Sides, { price, pue, carbon }: Defaults): CompareRequest {
  const { definition } = experiment;
  const metric = METRICS.get(definition.metric) ?? METRICS.get(DEFAULT_METRIC);
  if (!metric || metric.name !== definition.metric) throw new TelemetryError('METRIC_UNKNOWN', `'${definition.metric}', which the experiment is about, ${whyNoMetric(definition.metric)}`, 'abort');
  const name = Object.entries(definition.labels).map(([key, value]) => `${key}=${value}`).join(', ');
  const parallel = definition.against.length > 0;
  return {
    a: sideOf(`without ${name}`, a, parallel ? definition.against : definition.nodes, experiment), b: sideOf(name, b, definition.nodes, experiment),
    metric, measures: [metric], boundary: undefined, step: undefined, adjust: undefined, sequential: true, precision: definition.precision,
    slo: definition.slo === null ? undefined : parseTargets(definition.slo), price: price ?? null, pue: pue ?? null, carbon: carbon ?? null,
  };
}

async function rowOf(store: Store, request: CompareRequest, side: SideText, book: Book): Promise<Row> {
  return (await buildReport(store, requestOf(request, side, request.boundary), '', book)).total;
}

const NEVER = seconds(1e9);

async function guarded(store: Store, { definition: { guardrails } }: Experiment, request: CompareRequest, book: Book): Promise<ExperimentShown['guardrails']> {
  if (guardrails.length === 0) return [];
  const [a, b] = [await rowOf(store, request, request.a, book), await rowOf(store, request, request.b, book)];
  // Without targets a report looks at no latency; with ones that nothing misses it does.
  const looked = { ...request, slo: request.slo ?? { ttft: NEVER, tpot: NEVER } };
  const isTimed = guardrails.some((text) => isLatency(parseGuardrail(text))) && (b.ttft === null || b.tpot === null);
  const [timedA, timedB] = isTimed ? [await rowOf(store, looked, request.a, book), await rowOf(store, looked, request.b, book)] : [a, b];
  return guardrails.map((text) => {
    const read = parseGuardrail(text);
    if (typeof read === 'string') return { guardrail: text, a: null, b: null, status: 'unknown' };
    const [ofA, ofB] = isLatency(read) ? [valueOf(timedA, read.figure), valueOf(timedB, read.figure)] : [valueOf(a, read.figure), valueOf(b, read.figure)];
    return { guardrail: text, a: ofA && [...ofA], b: ofB && [...ofB], status: statusOf(ofB, read) };
  });
}

const ranOn = ({ definition, turns }: Experiment, nodes: readonly string[], ranges: readonly Extent[]): boolean =>
  definition.nodes.some((node) => nodes.includes(node)) && turns.some((turn) => ranges.some(({ from, to }) => turn.from < to && (turn.to ?? Infinity) > from));

/** Another experiment that ran on nodes of a side in its time is in the figures of that side. */
function othersFlags(all: readonly Experiment[], { name, definition }: Experiment, sides: Sides): ExperimentShown['flags'] {
  const nodes = { a: definition.against.length > 0 ? definition.against : definition.nodes, b: definition.nodes };
  return all.filter((other) => other.name !== name).flatMap((other) =>
    (['a', 'b'] as const).flatMap((side) => (ranOn(other, nodes[side], sides[side]) ? [{ code: 'OTHER_EXPERIMENT', detail: `'${other.name}' ran on nodes of ${side.toUpperCase()} in some of its time: what it changed is in ${side.toUpperCase()}.` }] : [])));
}

/** Before the first fact of its nodes nothing was to be seen, which is no gap. */
async function begun(store: Store, experiment: Experiment, ranges: readonly Extent[], nodes: readonly string[]): Promise<readonly Extent[]> {
  const { where, from, to } = sideOf('', ranges, nodes, experiment);
  const found = await store.sum({ kind: 'booked', by: ['boundary'], where: where.filter(({ key }) => key !== 'tenant' && !isTimeKey(key)), from, to });
  const [first] = found.map((sum) => sum.from).toSorted((a, b) => a - b);
  return first === undefined ? [] : since(ranges, first);
}

const hasBoth = ({ a, b }: Sides): boolean => a.length > 0 && b.length > 0;

/** Before B says anything, how A varies by itself tells how long it will take: one half of it against the other. */
async function planned(store: Store, experiment: Experiment, { a }: Sides, defaults: Defaults, book: Book): Promise<number | null> {
  const [first, second] = halvesOf(a);
  if (first.length === 0 || second.length === 0) return null;
  const request = requestFor(experiment, { a: first, b: second, settling: [] }, defaults);
  const ofA = request.a.where;
  // Latency targets change nothing of how the figure varies, and looking at them takes long.
  return (await compare(store, { ...request, slo: undefined, b: { ...request.b, where: ofA } }, { ...book, slo: [] })).precision.secondsPerSide;
}

async function progressOf(store: Store, experiment: Experiment, sides: Sides, found: Comparison | null, defaults: Defaults, book: Book): Promise<ExperimentShown['progress']> {
  const measured = { a: secondsOf(sides.a), b: secondsOf(sides.b), wanted: experiment.definition.precision };
  if (found && found.precision.reached !== null) {
    const { reached, secondsPerSide: plannedPerSide, moreSeconds: more } = found.precision;
    return { ...measured, reached, plannedPerSide, more };
  }
  const { against } = experiment.definition;
  const before = against.length > 0 ? await begun(store, experiment, controlBefore(experiment), against) : sides.a;
  const plannedPerSide = await planned(store, experiment, { ...sides, a: before }, defaults, book);
  return { ...measured, reached: null, plannedPerSide, more: plannedPerSide === null ? null : Math.max(0, plannedPerSide - Math.min(measured.a, measured.b)) };
}

export async function evaluate(plain: Store, experiment: Experiment, now: EpochMicros, defaults: Defaults, book: Book): Promise<ExperimentShown> {
  const store = remembering(plain);
  const all = sidesOf(experiment, now);
  const sides = experiment.definition.against.length > 0 ? all : { ...all, a: await begun(store, experiment, all.a, experiment.definition.nodes) };
  const request = hasBoth(sides) ? requestFor(experiment, sides, defaults) : undefined;
  const found = request ? await compare(store, request, book) : null;
  const isEmpty = found === null || found.a.blocks === 0 || found.b.blocks === 0;
  const shown = {
    ...showExperiment(experiment), sides: { a: rangesShown(sides.a), b: rangesShown(sides.b) }, settling: rangesShown(sides.settling),
    progress: await progressOf(store, experiment, sides, found, defaults, book), comparison: found, guardrails: request && !isEmpty ? await guarded(store, experiment, request, book) : [],
    flags: othersFlags(experimentsOf(await store.experimentMarks()), experiment, sides),
  };
  return { ...shown, running: isRunning(experiment), sentences: sentencesOf(shown) };
}
