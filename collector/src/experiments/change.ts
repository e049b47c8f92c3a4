/** Switching an experiment on and off. Nothing is restarted and no fact is changed: it is written down when, where and what. */
import { isDeepStrictEqual } from 'node:util';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { nearest } from '@joulebook/shared/settings.js';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { formatTime } from '../join/times.js';
import { filters, guess, KEYS, Reading } from '../report/request.js';
import type { ExperimentMark, Filter, Store } from '../store/store.js';
import { isTimeKey } from '../store/time-classes.js';
import { experimentsOf, isRunning, markOf, type Definition, type Experiment } from './mark.js';
import { optionOf, type NameRequest, type StartRequest } from './request.js';

/** What can't be done as things stand, though it was said well. */
export const CONFLICTS = ['EXPERIMENT_RUNNING', 'EXPERIMENT_NOT_RUNNING', 'EXPERIMENT_OVERLAPS', 'EXPERIMENT_TOO_EARLY', 'EXPERIMENT_NOT_KEPT', 'MARK_TOO_LONG'] as const;
export const UNKNOWN = 'EXPERIMENT_UNKNOWN';
const conflict = (code: (typeof CONFLICTS)[number], message: string): TelemetryError => new TelemetryError(code, message, 'abort');

export async function experimentNamed(store: Store, name: string): Promise<Experiment> {
  const all = experimentsOf(await store.experimentMarks());
  const found = all.find((each) => each.name === name);
  if (found) return found;
  const names = all.map((each) => each.name);
  const near = nearest(name, names);
  const instead = near === undefined ? (names.length === 0 ? ': none was ever started.' : `; there are ${names.join(', ')}.`) : `; did you mean '${near}'?`;
  throw new TelemetryError(UNKNOWN, `There is no experiment '${name}'${instead}`, 'abort');
}

/** Clocks differ by so much between who asks and who answers. */
const FUTURE_MICROS = 5e6;

function timeOf({ at }: NameRequest, now: EpochMicros, prefix: string): EpochMicros {
  if (at !== undefined && at > now + FUTURE_MICROS) throw new UsageError([`${prefix}at: ${formatTime(at)} is still to come; say it when it has happened (it is ${formatTime(now)} now)`]);
  return at ?? now;
}

function checkNodes(asked: readonly string[], known: readonly string[], option: string): string[] {
  return asked.filter((node) => !known.includes(node)).map((node) => {
    const near = nearest(node, known);
    return `${option}: no node is called '${node}'; ${near === undefined ? (known.length === 0 ? 'none has sent anything yet' : `there are ${known.join(', ')}`) : `did you mean '${near}'?`}`;
  });
}

const filtersOf = ({ where }: Definition): Filter[] => filters(new Reading({}, ''), 'where', where);

/** A label that no fact carries is a typing error, not an experiment about nothing. */
async function checkLabels(store: Store, said: Definition, option: string): Promise<string[]> {
  const known = await store.labels();
  return filtersOf(said).flatMap(({ key }) => (typeof key === 'string' || known.includes(key.label) ? [] : [`${option}: no fact carries the label '${key.label}'; ${guess(key.label, [...KEYS, ...known])}`]));
}

/** Those that have facts of what is looked at. */
async function nodesWith(store: Store, said: Definition, at: EpochMicros): Promise<string[]> {
  const { against, before } = said;
  const found = await store.sum({ kind: 'booked', by: ['node', 'boundary'], where: filtersOf(said).filter(({ key }) => key !== 'tenant' && !isTimeKey(key)), from: epochMicros(Math.max(0, at - before * 1e6)) });
  return [...new Set(found.flatMap(({ values: [node] }) => node ?? []))].filter((node) => !against.includes(node)).toSorted();
}

/** Before its first fact nothing is known of a node: neither what it drew nor that it was there. */
async function checkMeasured(store: Store, { nodes, against }: Definition, at: EpochMicros, option: string): Promise<string[]> {
  const firsts = new Map<string, EpochMicros>();
  for (const { values: [node], from } of await store.sum({ kind: 'booked', by: ['node', 'boundary'], where: [{ key: 'node', values: [...nodes, ...against] }] })) {
    if (node) firsts.set(node, epochMicros(Math.min(from, firsts.get(node) ?? from)));
  }
  return [...firsts].filter(([, first]) => at < first).map(([node, first]) => `${option}: the first that is known of ${node} is of ${formatTime(first)}, and ${formatTime(at)} is before it; say when the change was made`);
}

const nodesIn = ({ definition: { nodes, against } }: Experiment): readonly string[] => [...nodes, ...against];

/** What two changes did on one node at once can't be told apart. */
function checkApart(all: readonly Experiment[], { name, definition }: Pick<Experiment, 'name' | 'definition'>, at: EpochMicros): void {
  for (const other of all.filter((each) => each.name !== name)) {
    const until = other.turns.at(-1)?.to ?? null;
    const shared = nodesIn(other).filter((node) => definition.nodes.includes(node) || definition.against.includes(node));
    if (shared.length > 0 && (until === null || until > at)) {
      throw conflict('EXPERIMENT_OVERLAPS', `'${other.name}' ${until === null ? 'is running' : `ran until ${formatTime(until)}`} on ${shared.slice(0, 5).join(', ')}${shared.length > 5 ? ` and ${shared.length - 5} more` : ''}: what each of two changes did can't be told apart. Stop it first, or take other nodes.`);
    }
  }
}

/** One that goes on is what it was; what was said again has to be the same. */
function checkSame({ name, definition: known }: Experiment, { definition, said }: StartRequest, prefix: string): void {
  const faults = said.filter((field) => !isDeepStrictEqual(definition[field], known[field])).map((field) => `${prefix}${optionOf(field)}: '${name}' was begun with ${JSON.stringify(known[field])}; say nothing of it, or take another name`);
  if (faults.length > 0) throw new UsageError(faults);
}

async function begun(store: Store, { name, definition: said }: StartRequest, at: EpochMicros, prefix: string): Promise<Experiment> {
  const known = (await store.nodes()).map(({ node }) => node);
  const faults = [...checkNodes(said.nodes, known, `${prefix}nodes`), ...checkNodes(said.against, known, `${prefix}against`), ...(await checkLabels(store, said, `${prefix}where`))];
  if (Object.keys(said.labels).length === 0) faults.push(`${prefix}label: say what is different while it runs, e.g. powerLimit=300W`);
  if (faults.length > 0) throw new UsageError(faults);
  const nodes = said.nodes.length > 0 ? said.nodes : await nodesWith(store, said, at);
  if (nodes.length === 0) throw new UsageError([`${prefix}nodes: no node has facts ${said.where.length === 0 ? 'of the time before' : `with ${said.where.join(', ')}`}; name the nodes that are changed`]);
  const early = await checkMeasured(store, { ...said, nodes }, at, `${prefix}at`);
  if (early.length > 0) throw new UsageError(early);
  return { name, definition: { ...said, nodes }, turns: [{ from: at, to: null }] };
}

/** Without a time of its own what is said holds from now on, by a clock that may have been set back. */
const againLater = ({ at }: NameRequest): string => (at === undefined ? ' If the clock here was set back, say it again when it is past that time.' : '');

/** What is answered is what every later question finds: of two that say something at once the first counts. */
async function written(store: Store, wanted: Experiment, mark: ExperimentMark): Promise<Experiment> {
  await store.markExperiment(mark);
  const kept = await experimentNamed(store, wanted.name);
  if (isDeepStrictEqual(kept, wanted)) return kept;
  throw conflict('EXPERIMENT_NOT_KEPT', `Something else was said of '${wanted.name}' at the same time, which counts: ${isRunning(kept) ? 'it is running' : 'it is not running'}. Look at it with show, and say it again if need be.`);
}

/**
 * @param prefix what stands before an option's name in faults
 * @throws UsageError for what was said wrong; TelemetryError (`abort`, one of CONFLICTS) for what can't be
 */
export async function startExperiment(store: Store, request: StartRequest, now: EpochMicros, prefix: '--' | ''): Promise<Experiment> {
  const at = timeOf(request, now, prefix);
  const all = experimentsOf(await store.experimentMarks());
  const known = all.find(({ name }) => name === request.name);
  const last = known?.turns.at(-1);
  if (last?.to === null) throw conflict('EXPERIMENT_RUNNING', `'${request.name}' is running since ${formatTime(last.from)}; stop it first.`);
  if (last?.to && at < last.to) throw conflict('EXPERIMENT_TOO_EARLY', `'${request.name}' was stopped at ${formatTime(last.to)}, after ${formatTime(at)}.${againLater(request)}`);
  if (known) checkSame(known, request, prefix);
  const experiment = known ? { ...known, turns: [...known.turns, { from: at, to: null }] } : await begun(store, request, at, prefix);
  checkApart(all, experiment, at);
  return written(store, experiment, markOf(known ? { event: 'start', name: request.name, at } : { event: 'begin', name: request.name, at, definition: experiment.definition }, now));
}

/** @throws as `startExperiment` */
export async function stopExperiment(store: Store, request: NameRequest, now: EpochMicros, prefix: '--' | ''): Promise<Experiment> {
  const at = timeOf(request, now, prefix);
  const experiment = await experimentNamed(store, request.name);
  const last = experiment.turns.at(-1);
  if (!last || !isRunning(experiment)) throw conflict('EXPERIMENT_NOT_RUNNING', `'${request.name}' does not run: it was stopped at ${formatTime(last?.to ?? at)}.`);
  if (at <= last.from) throw conflict('EXPERIMENT_TOO_EARLY', `'${request.name}' was started at ${formatTime(last.from)}, not before ${formatTime(at)}.${againLater(request)}`);
  return written(store, { ...experiment, turns: [...experiment.turns.slice(0, -1), { from: last.from, to: at }] }, markOf({ event: 'stop', name: request.name, at }, now));
}
