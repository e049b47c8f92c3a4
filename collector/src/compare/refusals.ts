/**
 * Why two sides can't be held against each other. Each is a sentence that says what to do; any one of them makes the verdict
 * `not-comparable`, whatever the figures say.
 */
import { nearest } from '@joulebook/shared/settings.js';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { keyName } from '../join/flags.js';
import type { Book } from '../book/book.js';
import { divided } from '../report/build.js';
import { percent } from '../report/columns.js';
import { scopeOf } from '../report/gather.js';
import { divides, inBoundary, type Extent, type Filter, type GroupSum, type Key, type Store } from '../store/store.js';
import type { Reason } from './answer.js';
import type { Measured, Pair } from './found.js';
import type { Block, Design } from './method/compare-blocks.js';
import type { Amount, Metric } from './metrics.js';
import { isOfPhase } from './metrics.js';
import type { Device, Glance, Told } from './sides.js';

/** Of the time asked; and how far apart the sides may be in it. */
const LEAST_COVERAGE = 0.9;
const MOST_APART = 0.05;
/** Of a phase's energy, divided by a model instead of measured. */
const MOST_MODELLED = 0.5;
/** Of a side's energy, what reading now and then may be off by. */
const MOST_SAMPLING = 0.1;

const NAMES: Pair<string> = ['A', 'B'];
const eachSide = <T>(sides: Pair<T>, of: (side: T, name: string) => readonly Reason[], names: Pair<string> = NAMES): Reason[] => sides.flatMap((side, index) => of(side, names[index === 0 ? 0 : 1]));

async function valuesOf(store: Store, key: Key): Promise<string[]> {
  const values = new Set<string>();
  for (const kind of ['booked', 'tokens'] as const) {
    if (!divides(kind, key)) continue;
    const found: readonly GroupSum<'booked' | 'tokens'>[] = kind === 'booked' ? await store.sum({ kind, by: [key, 'boundary'], where: [] }) : await store.sum({ kind, by: [key], where: [] });
    for (const { values: [value] } of found) if (value) values.add(value);
  }
  return [...values].toSorted();
}

const MOST_NAMED = 12;
const listed = (names: readonly string[]): string => (names.length <= MOST_NAMED ? names.join(', ') : `${names.slice(0, MOST_NAMED).join(', ')} and ${names.length - MOST_NAMED} more`);
const guessed = (name: string, known: readonly string[]): string => {
  const near = nearest(name, known);
  return near === undefined ? (known.length === 0 ? '' : `; there are ${listed(known)}`) : `; did you mean '${near}'?`;
};

/** Why a side has no facts: a name that never occurs, or nothing of all its names together. */
async function whyEmpty(store: Store, side: Glance, name: string): Promise<Reason[]> {
  if (side.extent) return [];
  const labels = await store.labels();
  const reasons: Reason[] = [];
  for (const { key, values } of side.text.where) {
    if (typeof key === 'object' && !labels.includes(key.label)) {
      reasons.push({ code: 'LABEL_UNKNOWN', detail: `No fact carries the label '${key.label}' of side ${name}${guessed(key.label, labels)}` });
      continue;
    }
    const known = await valuesOf(side.store, key);
    for (const value of values) if (!known.includes(value)) reasons.push({ code: 'VALUE_UNKNOWN', detail: `No fact has ${keyName(key)}=${value}, as side ${name} asks${guessed(value, known)}` });
  }
  return reasons.length > 0 ? reasons : [{ code: 'EMPTY_SIDE', detail: `There are no facts of side ${name} (${side.text.name}) in its time.` }];
}

/** Nothing more can be said of sides like these. */
export async function emptySides(store: Store, [a, b]: Pair<Glance>): Promise<Reason[]> {
  return [...(await whyEmpty(store, a, 'A')), ...(await whyEmpty(store, b, 'B'))];
}

const later = (one: EpochMicros | undefined, other: EpochMicros | undefined): EpochMicros | undefined => (one === undefined || other === undefined ? (one ?? other) : epochMicros(Math.max(one, other)));
const earlier = (one: EpochMicros | undefined, other: EpochMicros | undefined): EpochMicros | undefined => (one === undefined || other === undefined ? (one ?? other) : epochMicros(Math.min(one, other)));

const plain = ({ where, from, to, within }: Glance['text']): string => JSON.stringify([within, where.map(({ key, values }) => `${keyName(key)}=${values.toSorted().join('|')}`).toSorted(), from, to]);

/** Undefined is all of time. */
function sharedRanges(ofA: readonly Extent[] | undefined, ofB: readonly Extent[] | undefined): readonly Extent[] | undefined {
  if (!ofA || !ofB) return ofA ?? ofB;
  return ofA.flatMap((one) => ofB.map((other) => ({ from: epochMicros(Math.max(one.from, other.from)), to: epochMicros(Math.min(one.to, other.to)) }))).filter(({ from, to }) => from < to);
}

/** Facts that are in both sides. */
export async function overlapping(plainStore: Store, [a, b]: Pair<Glance>, book: Book): Promise<Reason[]> {
  if (plain(a.text) === plain(b.text)) return [{ code: 'SAME_SIDE', detail: `A and B are the same (${a.text.name}): say what is different about them, by a label, a node or a time.` }];
  const [from, to] = [later(a.text.from, b.text.from), earlier(a.text.to, b.text.to)];
  if (from !== undefined && to !== undefined && from >= to) return [];
  const where: readonly Filter[] = [...a.text.where, ...b.text.where];
  const within = sharedRanges(a.text.within, b.text.within);
  if (within?.length === 0) return [];
  const request = { ...a.request, where, from, to, within };
  const { store } = await divided(plainStore, request, book);
  for (const kind of ['booked', 'tokens'] as const) {
    const scope = scopeOf(kind, request);
    if (scope.where.length < where.length) continue;
    const found: readonly GroupSum<'booked' | 'tokens'>[] = kind === 'booked' ? await store.sum({ kind, by: ['boundary'], ...scope }) : await store.sum({ kind, by: [], ...scope });
    if (found.length > 0) return [{ code: 'OVERLAPPING_SELECTION', detail: 'Some facts are in A and in B: what is in both can show no difference. Part the sides by the values of one label, or by times that do not overlap.' }];
  }
  return [];
}

const setOf = ({ methods, boundary }: Glance, at: 1 | 2): string => [...new Set(methods.filter(({ values }) => values[0] === boundary).map(({ values }) => values[at] ?? ''))].toSorted().join(', ');

/** Boundaries, methods and sensors that are not the same. Tables of runs name their file as source: each its own. */
export function measuredOtherwise([a, b]: Pair<Glance>, design: Design): Reason[] {
  // One without any energy is told as such.
  if (a.boundary === null || b.boundary === null) return [];
  if (a.boundary !== b.boundary) {
    const told = [a, b].map((side, index) => `${NAMES[index === 0 ? 0 : 1]} was measured at ${side.boundary}`);
    return [{ code: 'BOUNDARY_DIFFERS', detail: `${told.join(', ')}: boundaries contain different things. Choose one that both have with --boundary.` }];
  }
  const [methods, sources] = [[setOf(a, 2), setOf(b, 2)], [setOf(a, 1), setOf(b, 1)]];
  if (methods[0] !== methods[1]) return [{ code: 'METHOD_DIFFERS', detail: `A was measured by ${methods[0]}, B by ${methods[1]}: a counter and readings of power differ by more than most changes do. Measure both sides alike.` }];
  if (design !== 'runs' && sources[0] !== sources[1]) return [{ code: 'SENSOR_DIFFERS', detail: `A was read from ${sources[0]}, B from ${sources[1]}: sensors differ by more than most changes do. Measure both sides alike.` }];
  return [];
}

export function badlyCovered([a, b]: Pair<Told>, names?: Pair<string>): Reason[] {
  const [first, second] = [a.report.coverage, b.report.coverage];
  const low = eachSide([first, second], (share, name) =>
    share !== null && share < LEAST_COVERAGE ? [{ code: 'COVERAGE_LOW', detail: `Only ${percent(share)} of side ${name} was measured; at least ${percent(LEAST_COVERAGE)} must be: what is missing may be what differs.` }] : [], names);
  const apart = first !== null && second !== null && Math.abs(first - second) > MOST_APART;
  return [...low, ...(apart ? [{ code: 'COVERAGE_DIFFERS', detail: `${percent(first)} of A was measured and ${percent(second)} of B: what one side lacks is counted against the other.` }] : [])];
}

/** The sensor says too little about so short or so divided a time. */
export function beyondTheSensor(sides: Pair<Told>, metric: Metric, names?: Pair<string>): Reason[] {
  const phase = isOfPhase(metric);
  return eachSide(sides, ({ phases, sampling }, name) => {
    const row = phase && phases.find(({ group }) => group['phase'] === phase);
    const modelled = row?.joules && row.modelledJoules !== null ? row.modelledJoules / row.joules : 0;
    const coarse = row?.flags.find(({ code }) => code === 'COARSE');
    return [
      ...(phase !== undefined && modelled > MOST_MODELLED ? [{ code: 'PHASE_MODELLED', detail: `${percent(modelled)} of the ${phase} energy of ${name} was divided by a model, not measured by itself; compare joulesPerToken, which needs no division.` }] : []),
      ...(coarse ? [{ code: 'WINDOWS_TOO_SHORT', detail: `Side ${name}, ${coarse.detail}: they are shorter than the sensor can tell apart. Read power more often, or compare joulesPerToken.` }] : []),
      ...(sampling !== null && sampling > MOST_SAMPLING ? [{ code: 'TOO_FEW_READINGS', detail: `Power was read so seldom that the energy of ${name} may be off by ±${percent(sampling)}: measure longer, or read power more often.` }] : []),
    ];
  }, names);
}

const WHY_MISSING: Readonly<Record<Amount, string>> = {
  joules: 'no energy was measured', prefill: 'no energy was told apart as prefill', decode: 'no energy was told apart as decode', facility: 'no PUE is known for all of its energy', wall: 'its runs tell no time',
  energyCost: 'no price is known for all of its energy: say --price, or give a book', allInCost: 'its price or its other costs are not known: give a book that has both', carbon: 'no carbon intensity is known for all of its energy: say --carbon, or give a book',
  output: 'no output tokens were counted', computedInput: 'no computed prompt tokens were counted', useful: 'nothing tells which of its tokens were useful', requestOutput: 'no request is told', requests: 'no request is told, tokens alone are',
  usefulRequests: 'nothing tells which of its requests were accepted inside their targets', ttft: 'no request tells its first token', ttftRequests: 'no request tells its first token', tpot: 'no request tells its time per token', tpotRequests: 'no request tells its time per token',
};

export function withoutFigure(sides: Pair<Pick<Measured, 'sums'>>, { numerator, denominator, name: metric }: Metric, names?: Pair<string>): Reason[] {
  return eachSide(sides, ({ sums }, name) => {
    const missing = [...new Set([numerator, denominator])].filter((amount) => sums[amount] === undefined);
    if (missing.length > 0) return missing.map((amount) => ({ code: 'NOT_MEASURED', detail: `There is no ${metric} of side ${name}: ${WHY_MISSING[amount]}.` }));
    const below = sums[numerator] ?? 0;
    if ((sums[denominator] ?? 0) <= 0) return [{ code: 'ZERO_DENOMINATOR', detail: `There is no ${metric} of side ${name}: ${WHY_MISSING[denominator]}.` }];
    return below > 0 ? [] : [{ code: 'NOTHING_TO_COMPARE', detail: `${metric} of side ${name} is ${below < 0 ? 'below zero' : 'zero'}: there is no ratio to it.` }];
  }, names);
}

/** A run that made nothing is a failed one; the others alone would flatter. */
export const emptyRuns = (sides: Pair<readonly Block[]>, names?: Pair<string>): Reason[] =>
  eachSide(sides, (blocks, name) => {
    const empty = blocks.filter(({ denominator }) => denominator <= 0).length;
    return empty > 0 && empty < blocks.length ? [{ code: 'RUNS_WITHOUT_TOKENS', detail: `${empty} of the ${blocks.length} runs of ${name} drew energy and made nothing to divide it by. Leave them out of both sides by a label, or repair the table.` }] : [];
  }, names);

const keyOf = ({ node, device }: Device): string => JSON.stringify([node, device]);

/** No refusal. Of sides in the same time the method says it, and what several nodes a side tell of it is in its error. */
export function otherMachines([a, b]: Pair<Told>, design: Design): Reason[] {
  const ofB = new Set(b.devices.map(keyOf));
  const apart = a.devices.length > 0 && b.devices.length > 0 && !a.devices.some((device) => ofB.has(keyOf(device)));
  return apart && design !== 'parallel' ? [{ code: 'OTHER_MACHINES', detail: 'A and B ran on different GPUs, and boards of one kind differ by some percent: what they differ by is in the answer and in no interval. Let them take turns on the same GPUs.' }] : [];
}

/** More devices than these need not be looked at to see that they are shared. */
const LOOKED_AT = 4;
const MOST_SHARED = 0.2;

/** One GPU at work for both sides at once: its energy was divided over them by a rule, and a rule is no measurement. */
export async function sharedDevices([a, b]: Pair<Told>, step: EpochMicros): Promise<Reason[]> {
  const ofB = new Set(b.devices.map(keyOf));
  const common = a.devices.filter((device) => ofB.has(keyOf(device)));
  for (const { node, device } of common.slice(0, LOOKED_AT)) {
    const steps = async ({ store, request, boundary }: Told): Promise<Set<number>> => {
      const scope = scopeOf('booked', request);
      const where: Filter[] = [...scope.where, ...(boundary === null ? [] : [inBoundary(boundary)]), { key: 'node', values: [node] }, { key: 'device', values: [device] }];
      return new Set((await store.sum({ kind: 'booked', by: [], step, ...scope, where })).filter(({ sums }) => sums.seconds > 0).map((sum) => sum.step));
    };
    const [ofA, others] = [await steps(a), await steps(b)];
    const both = [...ofA].filter((at) => others.has(at)).length;
    if (both > MOST_SHARED * Math.min(ofA.size, others.size)) {
      return [{ code: 'SHARED_DEVICE', detail: `${device} of ${node} worked for A and B at the same time: what it drew was divided over them by a rule, which is no measurement of either. Let them take turns, or give each its own GPU.` }];
    }
  }
  return [];
}
