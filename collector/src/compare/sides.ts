/** One side of a comparison: whether there are facts of it, how they were measured, and what a report says of them. */
import type { Boundary } from '@joulebook/shared/slice.js';
import { microjoulesToJoules, type EpochMicros } from '@joulebook/shared/units.js';
import type { Book } from '../book/book.js';
import { valuationOf } from '../book/valuation.js';
import { hull } from '../join/groups.js';
import type { Report } from '../join/report.js';
import { buildReport, chooseBoundary, divided } from '../report/build.js';
import { scopeOf } from '../report/gather.js';
import type { ReportRequest } from '../report/request.js';
import { divides, inBoundary, type Extent, type FactKind, type GroupSum, type Store } from '../store/store.js';
import { cellsOf, type Cell, type SideFacts } from './cells.js';
import type { Amount, Metric } from './metrics.js';
import { isOfPhase } from './metrics.js';
import { requestOf, type CompareRequest, type SideText } from './question.js';

/** What a first look says: everything that is needed before anything is summed by time. */
export interface Glance {
  readonly text: SideText;
  /** That divides by the side's keys; and what its joules are worth. */
  readonly store: Store;
  readonly worth: SideFacts['worth'];
  readonly request: ReportRequest;
  /** Grouped by boundary, source, method. */
  readonly methods: readonly GroupSum<'booked'>[];
  readonly boundary: Boundary | null;
  /** Undefined without facts. */
  readonly extent: Extent | undefined;
}

export async function glance(plain: Store, asked: CompareRequest, text: SideText, book: Book): Promise<Glance> {
  const request = requestOf(asked, text, asked.boundary);
  const { store, span } = await divided(plain, request, book);
  const methods = await store.sum({ kind: 'booked', by: ['boundary', 'source', 'method'], ...scopeOf('booked', request) });
  // Facts that can't follow a filter are of every side, and so of none. Divided as a report divides them, which need not ask again then.
  const follows = (kind: FactKind): boolean => request.where.every(({ key }) => divides(kind, key));
  const tokens = follows('tokens') ? await store.sum({ kind: 'tokens', by: ['token'], ...scopeOf('tokens', request) }) : [];
  const requests = follows('requests') ? await store.sum({ kind: 'requests', by: ['outcome'], ...scopeOf('requests', request) }) : [];
  const boundary = asked.boundary ?? chooseBoundary(methods).chosen;
  return { text, store, worth: valuationOf(book, request, span), request: { ...request, boundary: boundary ?? undefined }, methods, boundary, extent: hull([...methods, ...tokens, ...requests]) };
}

export interface Device {
  readonly node: string;
  readonly device: string;
}

export interface Told extends Glance {
  readonly report: Report;
  /** A row of each phase, where something is asked of one phase. */
  readonly phases: Report['rows'];
  /** Half the width of the 95 % interval that reading now and then adds, as a share of the energy; null where it is not stated. */
  readonly sampling: number | null;
  readonly devices: readonly Device[];
}

/** Wall time by minute saves a look at every fact, and only mean power needs it exactly. */
const withRoughWalls = (store: Store): Store => ({ ...store, sum: (query) => store.sum(query.kind === 'energy' ? { ...query, wallByCell: true } : query) });

const DEVIATIONS = 1.96;

async function samplingOf(store: Store, { request, boundary }: Glance): Promise<number | null> {
  if (boundary === null) return null;
  const scope = scopeOf('energy', request);
  const [all] = await store.sum({ kind: 'energy', by: [], step: undefined, ...scope, where: [...scope.where, inBoundary(boundary)] });
  const drawn = all ? microjoulesToJoules(all.sums.microjoules) : 0;
  return all?.sums.stated && drawn > 0 ? (DEVIATIONS * Math.sqrt(all.sums.stated.samplingVariance)) / drawn : null;
}

async function devicesOf({ store, request, boundary }: Glance): Promise<Device[]> {
  if (boundary === null) return [];
  const scope = scopeOf('booked', request);
  const found = await store.sum({ kind: 'booked', by: ['node', 'device'], ...scope, where: [...scope.where, inBoundary(boundary)] });
  return found.flatMap(({ values: [node, device] }) => (node && device ? [{ node, device }] : []));
}

export async function tell(plain: Store, side: Glance, measures: readonly Metric[], book: Book): Promise<Told> {
  const exact = measures.some(({ numerator, denominator }) => numerator === 'wall' || denominator === 'wall');
  const [whole, own] = exact ? [plain, side.store] : [withRoughWalls(plain), withRoughWalls(side.store)];
  const byPhase = measures.some((metric) => isOfPhase(metric) !== undefined);
  const report = await buildReport(whole, byPhase ? { ...side.request, by: ['phase'] } : side.request, '', book);
  return { ...side, report, phases: byPhase ? report.rows : [], sampling: await samplingOf(own, side), devices: await devicesOf(side) };
}

/** Inlet air is what a change can't change; what is nearest to it by name. */
const isInlet = (gauge: string): boolean => /inlet|intake|ambient/i.test(gauge) && /temp/i.test(gauge);
export const GPU_TEMPERATURE = 'gpu.temperature';

export interface Temperature {
  readonly gauge: string;
  readonly isInlet: boolean;
}

/** The one that both sides have: of the inlet, else of the GPUs. */
export async function temperatureOf(plain: Store, a: Told, b: Told): Promise<Temperature | undefined> {
  const gaugesOf = async (side: Told): Promise<readonly string[]> => {
    const { from, to } = side.request;
    const nodes = nodesOf(side);
    if (nodes.length === 0) return [];
    return (await plain.sum({ kind: 'gauge', by: ['gauge'], where: [{ key: 'node', values: nodes }], from, to })).flatMap(({ values: [gauge] }) => gauge ?? []);
  };
  const ofB = await gaugesOf(b);
  const both = (await gaugesOf(a)).filter((gauge) => ofB.includes(gauge));
  const inlet = both.find(isInlet);
  if (inlet !== undefined) return { gauge: inlet, isInlet: true };
  return both.includes(GPU_TEMPERATURE) ? { gauge: GPU_TEMPERATURE, isInlet: false } : undefined;
}

export const nodesOf = ({ devices }: Told): readonly string[] => [...new Set(devices.map(({ node }) => node))];

/** How the cells of both sides are told. */
export interface CellGrid {
  readonly step: EpochMicros;
  readonly wanted: ReadonlySet<Amount>;
  /** Gauge; undefined where none is to be read. */
  readonly temperature: string | undefined;
  readonly byNode: boolean;
}

export const cellsOfSide = (side: Told, book: Book, { step, ...grid }: CellGrid): Promise<readonly Cell[]> =>
  cellsOf({ store: side.store, request: { ...side.request, step }, boundary: side.boundary, book, worth: side.worth, total: side.report.total, nodes: nodesOf(side), temperature: grid.temperature, byNode: grid.byNode }, grid.wanted);
