/** Facts → points of the axis with the cells of time behind them. */
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { nearest } from '@joulebook/shared/settings.js';
import { microjoulesToJoules, seconds as inSeconds, type EpochMicros } from '@joulebook/shared/units.js';
import type { Book } from '../book/book.js';
import type { Reason } from '../compare/answer.js';
import { added, pooled, type Cell } from '../compare/cells.js';
import { gridOf, stepFor } from '../compare/grid.js';
import type { Amount } from '../compare/metrics.js';
import type { CompareRequest, SideText } from '../compare/question.js';
import { cellsOfSide, glance, nodesOf, tell, type CellGrid, type Told } from '../compare/sides.js';
import { coverage } from '../figures/energy.js';
import { shown } from '../join/request-keys.js';
import { scopeOf } from '../report/gather.js';
import { guess } from '../report/request.js';
import { inBoundary, type Filter, type GroupSum, type Key, type Store } from '../store/store.js';
import { binned, type Bin, type Valued } from './bins.js';
import type { Axis, SweepRequest } from './question.js';

/** Cells of one value of the axis, and how they were measured. */
export interface Place extends Omit<Bin<Cell>, 'value'> {
  readonly value: number | null;
  readonly told: Told;
}

export interface Gathered {
  readonly told: Told;
  /** Null for runs. */
  readonly step: EpochMicros | null;
  readonly bins: readonly Place[];
  readonly left: number;
  readonly reasons: readonly Reason[];
}

const MOST_VALUES = 40;

const compared = ({ metrics, slo, price, pue, carbon, boundary, step }: SweepRequest, text: SideText): CompareRequest =>
  ({ a: text, b: text, metric: metrics[0], measures: metrics, boundary, step, adjust: undefined, sequential: false, precision: 1, slo, price, pue, carbon });

const wantedOf = ({ metrics }: SweepRequest): ReadonlySet<Amount> => new Set([...metrics.flatMap(({ numerator, denominator }) => [numerator, denominator]), 'requests', 'usefulRequests', 'output']);

const secondsOf = ({ from, to }: Cell): number => (to - from) / 1e6;

/** Of a model on several nodes one counts all tokens: such nodes have no figure each. */
function byUnit(cells: readonly Cell[]): readonly Cell[] {
  const units = new Map<string | undefined, { energy: boolean; output: boolean }>();
  for (const { unit, sums } of cells) {
    const known = units.get(unit) ?? { energy: false, output: false };
    units.set(unit, { energy: known.energy || (sums.joules ?? 0) > 0, output: known.output || (sums.output ?? 0) > 0 });
  }
  return units.size > 1 && [...units.values()].some(({ energy, output }) => !energy || !output) ? pooled(cells) : cells;
}

/** Of several nodes each has cells of its own, which are longer where they would be very many. */
function gridFor(told: Told, { step }: SweepRequest): { readonly step: EpochMicros; readonly byNode: boolean } {
  const nodes = nodesOf(told).length;
  const length = told.extent ? told.extent.to - told.extent.from : 0;
  return { step: step ?? stepFor(length, Math.max(1, nodes)), byNode: nodes > 1 };
}

const identity = (unit: string | undefined, step: number): string => `${unit ?? ''} ${step}`;

async function gaugeAt(store: Store, { told, gauge, step, byNode }: { readonly told: Told; readonly gauge: string; readonly step: EpochMicros; readonly byNode: boolean }): Promise<ReadonlyMap<string, number>> {
  const { where, from, to } = told.request;
  // A gauge carries the labels of its agent and seldom a deployment: that of the nodes on which it ran.
  const kept = where.flatMap((filter): Filter[] => (typeof filter.key === 'object' || filter.key === 'model' || filter.key === 'deployment' ? [{ ...filter, orMissing: true }] : []));
  const found = await store.sum({ kind: 'gauge', by: byNode ? ['node'] : [], step, where: [...kept, { key: 'node', values: nodesOf(told) }, { key: 'gauge', values: [gauge] }], from, to });
  return new Map(found.filter(({ sums }) => sums.seconds > 0).map((sum) => [identity(byNode ? (sum.values[0] ?? '') : undefined, sum.step), sum.sums.valueSeconds / sum.sums.seconds]));
}

async function unknownGauge(store: Store, told: Told, gauge: string, prefix: string): Promise<UsageError> {
  const { from, to } = told.request;
  const known = (await store.sum({ kind: 'gauge', by: ['gauge'], where: [{ key: 'node', values: nodesOf(told) }], from, to })).flatMap(({ values: [name] }) => name ?? []).filter((name) => !name.startsWith('agent.')).toSorted();
  return new UsageError([`${prefix}over: no gauge '${gauge}' is known of these nodes in this time (a label is said as label:${gauge}); ${known.length === 0 ? 'there is none' : guess(gauge, known)}`]);
}

/** How the time of each bin was measured. What a sensor says too little of (phases, seldom readings) is known of the whole only, and holds for each. */
async function measuredAs(told: Told, bins: readonly Bin<Cell>[], { step, byNode }: { readonly step: EpochMicros; readonly byNode: boolean }): Promise<Place[]> {
  const { store, request, boundary } = told;
  if (boundary === null) return bins.map((bin) => ({ ...bin, told }));
  const scope = scopeOf('booked', request);
  const found = await store.sum({ kind: 'booked', by: ['boundary', 'source', 'method', ...(byNode ? (['node'] as const) : [])], step, ...scope, where: [...scope.where, inBoundary(boundary)] });
  const at = new Map<string, GroupSum<'booked'>[]>();
  for (const sum of found) {
    const key = identity(byNode ? (sum.values[3] ?? '') : undefined, sum.step);
    at.set(key, [...(at.get(key) ?? []), sum]);
  }
  return bins.map((bin) => {
    const methods = bin.cells.flatMap((cell) => at.get(identity(cell.unit, cell.step)) ?? []);
    const [seen, asked] = [methods.reduce((sum, { sums }) => sum + sums.seconds, 0), methods.reduce((sum, { sums }) => sum + sums.askedSeconds, 0)];
    return { ...bin, told: { ...told, methods, report: { ...told.report, coverage: coverage(inSeconds(seen), inSeconds(asked)) } } };
  });
}

async function alongTime(store: Store, request: SweepRequest, told: Told, axis: Extract<Axis, { kind: 'load' | 'gauge' }>, book: Book): Promise<Gathered> {
  const { prefix } = request;
  const grid = gridOf([told, told], request.step);
  if (grid.kind !== 'time') throw new UsageError([`${prefix}over: tables of runs tell no ${request.over}; sweep over a label of theirs`]);
  const { step, byNode } = gridFor(told, request);
  const all = byUnit(await cellsOfSide(told, book, { step, byNode, wanted: wantedOf(request), temperature: undefined }));
  const perNode = all.some(({ unit }) => unit !== undefined);
  const gauge = axis.kind === 'gauge' ? await gaugeAt(store, { told, gauge: axis.gauge, step, byNode: perNode }) : undefined;
  if (gauge?.size === 0) throw await unknownGauge(store, told, axis.kind === 'gauge' ? axis.gauge : request.over, prefix);
  const valued = all.flatMap((cell): Valued<Cell>[] => {
    const value = gauge ? gauge.get(identity(cell.unit, cell.step)) : (cell.sums.output ?? 0) / secondsOf(cell);
    return value === undefined ? [] : [{ value, seconds: secondsOf(cell), of: cell }];
  });
  const { bins, left } = binned(gauge ? valued : valued.filter(({ value }) => value > 0), request.over === 'concurrency' || /requests\.(?:running|waiting)$/.test(request.over) ? 'counts' : gauge ? 'steps' : 'even');
  const known = valued.reduce((sum, { seconds }) => sum + seconds, 0);
  const idle = gauge ? 0 : valued.filter(({ value }) => value <= 0).reduce((sum, { seconds }) => sum + seconds, 0);
  const unknown = all.reduce((sum, cell) => sum + secondsOf(cell), 0) - known;
  return {
    told, step, bins: await measuredAs(told, bins, { step, byNode: perNode }), left: left + unknown + idle,
    reasons: idle > 0 ? [{ code: 'IDLE_LEFT_OUT', detail: 'Time without any output has no load to be shown at; what was drawn in it is in no point.' }] : [],
  };
}

const numberOf = (text: string): number | null => (/^-?\d*\.?\d+$/.test(text.trim()) ? Number(text) : null);
const natural = new Intl.Collator('en', { numeric: true });

async function byKey(store: Store, request: SweepRequest, told: Told, axis: Extract<Axis, { kind: 'key' }>, book: Book): Promise<Gathered> {
  const { prefix } = request;
  const key: Key = axis.key;
  const { where, from, to } = told.request;
  const values = new Set<string>();
  for (const { values: [value] } of await told.store.sum({ kind: 'booked', by: [key, 'boundary'], where, from, to })) if (value) values.add(value);
  if (values.size === 0) {
    const labels = await store.labels();
    const near = nearest(axis.name, labels);
    throw new UsageError([`${prefix}over: no fact of this carries the label '${axis.name}'; ${near === undefined ? (labels.length === 0 ? 'there are no labels' : `there are ${labels.join(', ')}`) : `did you mean '${near}'?`}`]);
  }
  if (values.size > MOST_VALUES) throw new UsageError([`${prefix}over: ${axis.name} has ${values.size} values here; at most ${MOST_VALUES} make a curve. Choose some with ${prefix}where.`]);
  const grid = gridOf([told, told], request.step);
  if (grid.kind === 'mixed') throw new UsageError([`${prefix}from: some of this is a table of runs without times, the rest was measured over time; tell them apart by a label or by a time`]);
  const { step, byNode } = grid.kind === 'time' ? gridFor(told, request) : { step: grid.step, byNode: false };
  const cellGrid: CellGrid = { step, byNode, wanted: wantedOf(request), temperature: undefined };
  const bins: Place[] = [];
  for (const name of [...values].toSorted(natural.compare)) {
    const text: SideText = { name, where: [...where, { key, values: [name] }], from, to };
    // At the boundary of all, whatever else this one has: boundaries contain different things.
    const side = await tell(store, await glance(store, { ...compared(request, text), boundary: told.boundary ?? undefined }, text, book), request.metrics, book);
    bins.push({ name, value: numberOf(name), told: side, cells: byUnit(await cellsOfSide(side, book, cellGrid)) });
  }
  return { told, step: grid.kind === 'runs' ? null : step, bins, left: 0, reasons: [] };
}

const withEnergy = (cells: readonly Cell[], sums: readonly GroupSum<'requests'>[]): Cell[] => {
  const metered = new Map(sums.map(({ step, sums: { metered: drawn } }) => [step, drawn] as const));
  return cells.flatMap((cell) => {
    const drawn = metered.get(cell.step);
    return drawn ? [{ ...cell, sums: added(cell.sums, { joules: microjoulesToJoules(drawn.prefillMicrojoules + drawn.decodeMicrojoules), output: drawn.outputTokens }) }] : [];
  });
};

/** Requests that tell what they drew themselves, which recordings have. */
async function byBand(request: SweepRequest, told: Told, book: Book): Promise<Gathered> {
  const { where, from, to } = told.request;
  const found = await told.store.sum({ kind: 'requests', by: ['concurrencyBand'], where, from, to });
  const bands = found.flatMap(({ values: [band], sums }) => (band && sums.metered ? [band] : [])).toSorted((a, b) => Number(a) - Number(b));
  if (bands.length === 0) throw new TelemetryError('NO_FACTS', 'No request of this tells how many ran beside it and what it drew: only recordings do. Sweep over concurrency instead, which is what the engine says of itself.', 'abort');
  const grid = gridOf([told, told], request.step);
  const bins: Place[] = [];
  for (const band of bands) {
    const scope = { where: [...where, { key: 'concurrencyBand' as const, values: [band] }], from, to };
    const cells = await cellsOfSide({ ...told, request: { ...told.request, where: scope.where } }, book, { step: grid.step, byNode: false, wanted: new Set(['requests', 'usefulRequests']), temperature: undefined });
    bins.push({ name: shown('concurrencyBand', band) ?? band, value: 2 ** Number(band), told, cells: withEnergy(cells, await told.store.sum({ kind: 'requests', by: [], step: grid.step, ...scope })) });
  }
  return { told, step: grid.step, bins, left: 0, reasons: [{ code: 'ENERGY_OF_REQUESTS', detail: 'Energy is that of the requests themselves: what was drawn while none ran is in no point. A request is in the band of the most that ran beside it.' }] };
}

export async function gather(store: Store, request: SweepRequest, book: Book): Promise<Gathered> {
  const { axis, where, from, to } = request;
  const text: SideText = { name: 'all', where, from, to };
  const seen = await glance(store, compared(request, text), text, book);
  if (!seen.extent) throw new TelemetryError('NO_FACTS', 'There are no facts of this.', 'abort');
  const told = await tell(store, seen, request.metrics, book);
  if (axis.kind === 'key') return byKey(store, request, told, axis, book);
  return axis.kind === 'band' ? byBand(request, told, book) : alongTime(store, request, told, axis, book);
}

