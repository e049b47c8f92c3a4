/**
 * A side's facts, summed by cells of time, as every report sums them:
 *
 *   booked   by phase                  ┐
 *   tokens   by token                  │
 *   requests by outcome and latency    ├▶ a cell per step that any of them has: its amounts, and what was different about it
 *   gauge    temperature               ┘
 *
 * Amounts are additive, so that all cells of a side together have what a report of the side says.
 */
import { latencyBucketUpper, OUTCOMES, type Boundary } from '@joulebook/shared/slice.js';
import { joules, microjoulesToJoules, type EpochMicros } from '@joulebook/shared/units.js';
import type { Book } from '../book/book.js';
import { identity, type Group } from '../join/groups.js';
import { isAsked, type Question } from '../join/join.js';
import type { Row } from '../join/report.js';
import { partsOf } from '../join/subgroups.js';
import { isOutcome } from '../join/usefulness.js';
import { judged } from '../join/usefulness-parts.js';
import { valuedAt, valuedBy, type Valued } from '../join/worth.js';
import { judgedBy, scopeOf } from '../report/gather.js';
import type { ReportRequest } from '../report/request.js';
import type { Worth } from '../rates/site-rates.js';
import { inBoundary, type FactKind, type Filter, type GroupSum, type Key, type Store, type Weights } from '../store/store.js';
import type { Amount } from './metrics.js';

/** Amounts, and what conditions are made of: tokens as they came, requests that were answered and those that were not, °C·s and s of temperature. */
export type Summed = Amount | 'input' | 'cachedInput' | 'answeredRequests' | 'answeredInput' | 'answeredOutput' | 'unansweredRequests' | 'degreeSeconds' | 'degreeTime';
export type CellSums = Partial<Readonly<Record<Summed, number>>>;

export interface Cell {
  /** Of the grid, µs. */
  readonly step: EpochMicros;
  /** The node; undefined where the side is told as a whole. */
  readonly unit: string | undefined;
  /** Earliest beginning and latest end of its facts. */
  readonly from: EpochMicros;
  readonly to: EpochMicros;
  readonly sums: CellSums;
}

export interface SideFacts {
  /** That divides by the keys of the side. */
  readonly store: Store;
  readonly request: ReportRequest & { readonly step: EpochMicros };
  readonly boundary: Boundary | null;
  readonly book: Book;
  readonly worth: { readonly constant: Worth } | { readonly weights: Weights };
  /** The side as a report tells it in one row. */
  readonly total: Row;
  /** Gauge of temperature to read, and on which nodes; undefined where it is not known or not wanted. */
  readonly temperature: string | undefined;
  readonly nodes: readonly string[];
  /** Whether each node has cells of its own. */
  readonly byNode: boolean;
}

interface Growing extends Cell {
  from: EpochMicros;
  to: EpochMicros;
  readonly sums: Partial<Record<Summed, number>>;
}

type Place = Pick<GroupSum<FactKind>, 'step' | 'values'>;

class Cells {
  /** By node and step. */
  readonly #units = new Map<string | undefined, Map<number, Growing>>();
  constructor(readonly byNode: boolean) {}

  /** @param at whose first value is the node, where each has its own */
  add({ step, values, from, to }: Place & Pick<Cell, 'from' | 'to'>, sums: CellSums): void {
    const unit = this.byNode ? (values[0] ?? '') : undefined;
    const ofUnit = this.#units.get(unit) ?? new Map<number, Growing>();
    this.#units.set(unit, ofUnit);
    const known = ofUnit.get(step);
    const cell = known ?? { step, unit, from, to, sums: {} };
    if (!known) ofUnit.set(step, cell);
    if (from < cell.from) cell.from = from;
    if (to > cell.to) cell.to = to;
    addTo(cell.sums, sums);
  }

  /** What was known beside the amounts of a cell; makes none. */
  conditions(at: Place, sums: CellSums): void {
    const cell = this.#units.get(this.byNode ? (at.values[0] ?? '') : undefined)?.get(at.step);
    if (cell) this.add({ ...at, from: cell.from, to: cell.to }, sums);
  }

  /** In order of time, of each node by its name: never as the store happened to answer. */
  all(): Cell[] {
    return [...this.#units].toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1)).flatMap(([, cells]) => [...cells.values()].toSorted((a, b) => a.step - b.step));
  }
}

function addTo(whole: Partial<Record<Summed, number>>, part: CellSums): void {
  // Called for every cell of a month: faster than entries.
  let name: Summed;
  // oxlint-disable-next-line guard-for-in -- sums are plain objects
  for (name in part) whole[name] = (whole[name] ?? 0) + (part[name] ?? 0);
}

export function added(a: CellSums, b: CellSums): CellSums {
  const sums: Partial<Record<Summed, number>> = { ...a };
  addTo(sums, b);
  return sums;
}

/** Cells of all nodes at a time as one. */
export function pooled(all: readonly Cell[]): Cell[] {
  const cells = new Cells(false);
  for (const { sums, ...cell } of all) cells.add({ ...cell, values: [] }, sums);
  return cells.all();
}

const unitOf = ({ byNode }: SideFacts): readonly Key[] => (byNode ? ['node'] : []);
const questionOf = (side: SideFacts): Question => ({ by: unitOf(side), step: side.request.step, phase: null, from: side.request.from, to: side.request.to, filtered: side.request.where.map(({ key }) => key) });

const VALUED: readonly Amount[] = ['facility', 'energyCost', 'allInCost', 'carbon'];
/** Of the scale's exponent: the middle of a bucket, in which its requests are. */
const HALF_A_BUCKET = 0.5;
const JUDGED: readonly Amount[] = ['useful', 'usefulRequests', 'requests', 'requestOutput'];

/** Other costs come to `allInCost` later. */
function sumsOfWorth({ facility, cost, location }: Valued): CellSums {
  return { ...(facility !== null && { facility }), ...(cost !== null && { energyCost: cost, allInCost: cost }), ...(location !== null && { carbon: location }) };
}

async function addEnergy(cells: Cells, side: SideFacts, wanted: ReadonlySet<Amount>): Promise<void> {
  const { store, request, boundary, worth } = side;
  if (boundary === null || !isAsked('energy', questionOf(side))) return;
  const scope = scopeOf('booked', request);
  const query = { step: request.step, ...scope, where: [...scope.where, inBoundary(boundary)] };
  const unit = unitOf(side);
  const byPhase = wanted.has('prefill') || wanted.has('decode');
  const valued = VALUED.some((amount) => wanted.has(amount));
  for (const sum of await store.sum({ kind: 'booked', by: byPhase ? [...unit, 'phase'] : unit, ...query })) {
    const drawn = microjoulesToJoules(sum.sums.microjoules);
    const phase = byPhase ? sum.values.at(-1) : undefined;
    cells.add(sum, { joules: drawn, ...((phase === 'prefill' || phase === 'decode') && { [phase]: drawn }), ...(valued && 'constant' in worth && sumsOfWorth(valuedAt(worth.constant, drawn))) });
  }
  if (valued && 'weights' in worth) {
    for (const sum of await store.sum({ kind: 'weighed', by: unit, ...query, weights: worth.weights })) cells.add(sum, sumsOfWorth(valuedBy(sum.sums, joules(0))));
  }
  if (wanted.has('wall')) for (const sum of await store.sum({ kind: 'energy', by: unit, ...query })) cells.add(sum, { wall: sum.sums.wallSeconds });
}

/** Costs beside energy follow the hours of GPUs: each cell bears its part of them. */
async function addOtherCosts(cells: Cells, side: SideFacts): Promise<void> {
  const { store, request, total } = side;
  const { costs, allInCost, energyCost } = total;
  if (costs === null || allInCost === null || energyCost === null) return;
  const scope = scopeOf('booked', request);
  const asked = await store.sum({ kind: 'booked', by: unitOf(side), step: request.step, ...scope, where: [...scope.where, inBoundary('gpu')] });
  const all = asked.reduce((sum, { sums }) => sum + sums.askedSeconds, 0);
  if (all > 0) for (const sum of asked) cells.add(sum, { allInCost: ((allInCost - energyCost) * sum.sums.askedSeconds) / all });
}

const TOKEN_SUMS: Readonly<Record<string, (count: number) => CellSums>> = {
  input: (count) => ({ computedInput: count, input: count }), cachedInput: (count) => ({ cachedInput: count, input: count }), output: (count) => ({ output: count }),
};

async function addTokens(cells: Cells, side: SideFacts): Promise<void> {
  const { store, request } = side;
  if (!isAsked('tokens', questionOf(side))) return;
  for (const sum of await store.sum({ kind: 'tokens', by: [...unitOf(side), 'token'], step: request.step, ...scopeOf('tokens', request) })) {
    const sums = TOKEN_SUMS[sum.values.at(-1) ?? '']?.(sum.sums.count);
    if (sums) cells.add(sum, sums);
  }
}

/** Whether there are targets or ratios: without them all that was accepted was useful. */
const isJudged = ({ request, book }: SideFacts): boolean => request.slo !== undefined || book.slo.length > 0 || book.outcomes.length > 0;

function addAccepted(cells: Cells, ended: readonly GroupSum<'requests'>[]): void {
  for (const sum of ended) {
    const outcome = sum.values.at(-1) ?? null;
    const { requests, outputTokens } = sum.sums;
    if (isOutcome(outcome)) cells.add(sum, outcome === 'ok' ? { requests, requestOutput: outputTokens, useful: outputTokens, usefulRequests: requests } : { requests, requestOutput: outputTokens });
  }
}

/** What was useful of each cell, judged as a report judges it. */
async function addJudged(cells: Cells, side: SideFacts, ended: readonly GroupSum<'requests'>[]): Promise<void> {
  const { store, request, book, total } = side;
  const question = questionOf(side);
  const judging = await judgedBy({ store, request, question, book }, ended);
  const width = question.by.length;
  const [requests, tokens] = [partsOf(judging.requests, width, judging.requestKeys), partsOf(judging.tokens, width, judging.tokenKeys)];
  // Where a target asks for what no request tells, nothing is known of use, which is not "none".
  const known = total.tokens.useful !== null;
  const groupOf = ({ step, values }: Place): Group => ({ step, values: values.slice(0, width) });
  const groups = new Map<string, GroupSum<FactKind>>([...judging.requests, ...judging.tokens].map((sum) => [identity(groupOf(sum)), sum]));
  for (const sum of groups.values()) {
    const group = groupOf(sum);
    const { requests: told, byRatio } = judged(requests(group), tokens(group), judging);
    cells.add(sum, {
      ...(told && { requests: told.all.requests, requestOutput: told.all.outputTokens }),
      ...(known && { useful: (told?.useful.outputTokens ?? 0) + (byRatio ?? 0), ...(told && { usefulRequests: told.useful.requests }) }),
    });
  }
}

/**
 * How long an answer was is asked of traffic only where it was given: what failed, was broken off or refused has no length, and how often that
 * happens is an outcome. A gate's word on an answer changes nothing of its length, so of `rejected` and `fallback` those with tokens count.
 */
const isAnswered = (outcome: string | null | undefined, outputTokens: number): boolean => outcome === 'ok' || ((outcome === 'rejected' || outcome === 'fallback') && outputTokens > 0);

async function addLengths(cells: Cells, side: SideFacts, ended: readonly GroupSum<'requests'>[]): Promise<void> {
  const { store, request } = side;
  // An engine refuses before the first token and a gate after the last: the time of the first parts them where one cell has both.
  const scope = scopeOf('requests', request);
  const others = ended.some(({ values, sums }) => values.at(-1) !== 'ok' && sums.outputTokens > 0)
    ? await store.sum({ kind: 'requests', step: request.step, ...scope, where: [...scope.where, { key: 'outcome', values: OUTCOMES.filter((outcome) => outcome !== 'ok') }], by: ['ttftBucket', ...unitOf(side), 'outcome'] })
    : undefined;
  const told = others ? [...ended.filter(({ values }) => values.at(-1) === 'ok'), ...others.map((sum) => ({ ...sum, values: sum.values.slice(1) }))] : ended;
  for (const sum of told) {
    const { requests, inputTokens, cachedInputTokens, outputTokens } = sum.sums;
    cells.add(sum, isAnswered(sum.values.at(-1), outputTokens) ? { answeredRequests: requests, answeredInput: inputTokens + cachedInputTokens, answeredOutput: outputTokens } : { unansweredRequests: requests });
  }
}

async function addRequests(cells: Cells, side: SideFacts, wanted: ReadonlySet<Amount>): Promise<void> {
  const { store, request } = side;
  if (!isAsked('requests', questionOf(side))) return;
  const query = { kind: 'requests', step: request.step, ...scopeOf('requests', request) } as const;
  const ended = await store.sum({ ...query, by: [...unitOf(side), 'outcome'] });
  await addLengths(cells, side, ended);
  if (JUDGED.some((amount) => wanted.has(amount))) {
    if (isJudged(side)) await addJudged(cells, side, ended);
    else addAccepted(cells, ended);
  }
  for (const latency of ['ttft', 'tpot'] as const) {
    if (!wanted.has(latency)) continue;
    for (const sum of await store.sum({ ...query, by: [...unitOf(side), `${latency}Bucket`] })) {
      const bucket = sum.values.at(-1);
      if (bucket) cells.add(sum, { [latency]: latencyBucketUpper(Number(bucket) - HALF_A_BUCKET) * sum.sums.requests, [`${latency}Requests`]: sum.sums.requests });
    }
  }
}

/** A gauge carries the labels of its agent and no deployment: that of the nodes on which the side ran. */
async function addTemperature(cells: Cells, side: SideFacts): Promise<void> {
  const { store, request, temperature, nodes } = side;
  if (temperature === undefined || nodes.length === 0) return;
  const labels = request.where.flatMap((filter): Filter[] => (typeof filter.key === 'object' ? [{ ...filter, orMissing: true }] : []));
  const where: Filter[] = [...labels, { key: 'node', values: nodes }, { key: 'gauge', values: [temperature] }];
  for (const sum of await store.sum({ kind: 'gauge', by: unitOf(side), step: request.step, where, from: request.from, to: request.to })) cells.conditions(sum, { degreeSeconds: sum.sums.valueSeconds, degreeTime: sum.sums.seconds });
}

/** Requests end in a cell, tokens are made in it: useful tokens of all cells are never more than a report counts. */
function cappedUseful(cells: readonly Cell[], { tokens: { useful } }: Row): readonly Cell[] {
  const all = cells.reduce((sum, { sums }) => sum + (sums.useful ?? 0), 0);
  if (useful === null || all <= useful) return cells;
  return cells.map((cell) => ({ ...cell, sums: { ...cell.sums, ...(cell.sums.useful !== undefined && { useful: (cell.sums.useful * useful) / all }) } }));
}

/** In order of time, of each node where they have their own. */
export async function cellsOf(side: SideFacts, wanted: ReadonlySet<Amount>): Promise<readonly Cell[]> {
  const cells = new Cells(side.byNode);
  await Promise.all([addEnergy(cells, side, wanted), ...(wanted.has('allInCost') ? [addOtherCosts(cells, side)] : []), addTokens(cells, side), addRequests(cells, side, wanted)]);
  await addTemperature(cells, side);
  return cappedUseful(cells.all(), side.total);
}
