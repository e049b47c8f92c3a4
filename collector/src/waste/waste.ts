/**
 * A question → what was wasted, by kind and place, with what it was worth:
 *
 *     measured   serving                                │ idle                                   │ unknown
 *                useful │ late │ cancelled │ failed │ … │ loaded │ empty │ clocks high │ at work │
 *
 * Each measured joule is in one place. Throttling draws no more energy: it is told in seconds, tokens and GPU hours.
 */
import { epochMicros, microjoulesToJoules, seconds } from '@joulebook/shared/units.js';
import { EMPTY_BOOK, type Book } from '../book/book.js';
import { keysAsked } from '../book/fitting.js';
import { valuationOf } from '../book/valuation.js';
import { keyName } from '../join/flags.js';
import { hull } from '../join/groups.js';
import { dividing, partsOf } from '../join/subgroups.js';
import { parseTime } from '../join/times.js';
import { buildReport } from '../report/build.js';
import type { ReportRequest } from '../report/request.js';
import { remembering } from '../store/remembering.js';
import { divides, inBoundary, type Extent, type Store } from '../store/store.js';
import type { Finding, Waste } from './answer.js';
import { devicesIn, stepFor, type Device, type Entry } from './cells.js';
import { idleKinds } from './idle.js';
import { ABOUT, KINDS, NEEDS, OUTPUT_NOT_TOLD, type IdleKind, type Kind } from './kinds.js';
import { wastedOutput } from './output.js';
import { NO_AMOUNTS, sumOf, tally, type Prices, type Tally } from './tally.js';
import { missingOf, throttlingOf, type Output, type Throttled } from './throttling.js';

const SERVING = ['prefill', 'decode', 'active'] as const;

interface Asking {
  readonly store: Store;
  readonly request: ReportRequest;
  readonly book: Book;
  readonly span: Extent;
}

/** Findings by kind and group. */
class Places {
  readonly #tallies = new Map<string, { readonly kind: Kind; readonly group: Finding['group']; readonly tally: Tally }>();
  constructor(readonly names: readonly string[]) {}

  groupOf({ said }: Entry): Finding['group'] {
    return Object.fromEntries(this.names.map((name) => [name, said(name)]));
  }

  add(kind: Kind, entry: Entry): void {
    const group = this.groupOf(entry);
    const key = JSON.stringify([kind, Object.values(group)]);
    const found = this.#tallies.get(key) ?? { kind, group, tally: tally() };
    this.#tallies.set(key, found);
    found.tally.add(entry);
  }

  findings(prices: Prices): Finding[] {
    return [...this.#tallies.values()].map(({ kind, group, tally: of }) => ({ ...of.amounts(prices), kind, group }));
  }
}

const grouped = <T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> => {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const known = groups.get(key);
    if (known) known.push(item);
    else groups.set(key, [item]);
  }
  return groups;
};

/** All of a deployment, whatever it did, is what an hour of its GPUs costs. */
function hourlyCosts(devices: readonly Device[], prices: Prices): (deployment: string | null) => number | null {
  const tallies = new Map<string | null, Tally>();
  for (const entry of devices.flatMap(({ cells }) => cells).flatMap(({ entries }) => entries)) {
    const name = entry.said('deployment');
    const known = tallies.get(name) ?? tally();
    tallies.set(name, known);
    known.add(entry);
  }
  return (deployment) => {
    const { allInCost = null, gpuHours = null } = tallies.get(deployment)?.amounts(prices) ?? {};
    return allInCost === null || gpuHours === null || gpuHours <= 0 ? null : allInCost / gpuHours;
  };
}

async function throttled({ store, request }: Asking, devices: readonly Device[], step: Extent['from'], places: Places, prices: Prices): Promise<Finding[]> {
  const where = [...request.where.filter(({ key }) => key === 'site'), { key: 'token' as const, values: ['output'] }];
  const made = await store.sum({ kind: 'tokens', by: ['deployment'], step, from: request.from, to: request.to, where });
  const byStep = new Map(made.map(({ step: at, values: [deployment = null], sums: { count } }) => [JSON.stringify([deployment, at]), count]));
  const output: Output = (deployment, at) => byStep.get(JSON.stringify([deployment, at])) ?? 0;
  const { throttled: all, rateOf } = throttlingOf(devices, output);
  const hourly = hourlyCosts(devices, prices);
  return [...grouped(all, ({ kind, entry }) => JSON.stringify([kind, entry.said('deployment')])).values()].flatMap((ofDeployment) => {
    const deployment = ofDeployment[0]?.entry.said('deployment') ?? null;
    const missing = missingOf(ofDeployment, rateOf(deployment));
    const working = ofDeployment.reduce((sum, each) => sum + each.working, 0);
    const kept = grouped(ofDeployment.filter(({ entry }) => entry.kept), ({ entry }) => JSON.stringify(Object.values(places.groupOf(entry))));
    return [...kept.values()].map((ofGroup) => findingOf(ofGroup, places, missing, working, hourly(deployment)));
  });
}

function findingOf(own: readonly Throttled[], places: Places, missing: ReturnType<typeof missingOf>, working: number, hourly: number | null): Finding {
  const [first] = own;
  if (!first) throw new Error('a group has an entry');
  const share = working > 0 ? own.reduce((sum, each) => sum + each.working, 0) / working : 0;
  const part = (whole: number | null): number | null => (whole === null ? null : whole * share);
  const gpuHours = part(missing.gpuHours);
  return {
    ...NO_AMOUNTS, kind: first.kind, group: places.groupOf(first.entry), seconds: own.reduce((sum, each) => sum + each.seconds, 0), tokens: part(missing.tokens), tokensAtMost: part(missing.atMost),
    gpuHours, allInCost: gpuHours === null || hourly === null ? null : gpuHours * hourly,
  };
}

/** What a request draws is told of all GPUs of its deployment together, so of one of them, or of a node, nothing is. */
const isOnePlace = ({ where }: ReportRequest): boolean => where.some(({ key }) => key === 'device' || key === 'node');

/** Undefined where no request is told. By what requests can be told by: they have neither a GPU nor, in a deployment of several nodes, all of them. */
async function outputOf({ store, request, book }: Asking, prefix: '--' | ''): Promise<readonly Finding[] | undefined> {
  if (isOnePlace(request)) return undefined;
  const by = request.by.filter((key) => key !== 'device' && key !== 'node' && divides('requests', key));
  const where = [...request.where, { key: 'phase' as const, values: SERVING }];
  const { rows } = await buildReport(store, { ...request, by, where }, prefix, book);
  const names = request.by.map(keyName);
  if (rows.every(({ spending }) => spending === null)) return undefined;
  return rows.flatMap((row) => wastedOutput(row, Object.fromEntries(names.map((name) => [name, row.group[name] ?? null]))));
}

function notSeen(devices: readonly Device[]): Waste['notSeen'] {
  const told = devices.filter(({ cells }) => cells.some(({ entries }) => entries.some(({ kept }) => kept)));
  return NEEDS.flatMap(({ kind, gauges }) => {
    const lacking = gauges.filter((gauge) => told.some(({ cells }) => !cells.some((cell) => cell.gauges.has(gauge))));
    const gpus = told.filter(({ cells }) => gauges.some((gauge) => !cells.some((cell) => cell.gauges.has(gauge)))).length;
    return gpus === 0 ? [] : [{ kind, gpus, of: told.length, needs: lacking, detail: `Not seen on ${gpus} of ${told.length} GPUs, which is not "none": nobody told ${lacking.join(' and ')}.` }];
  });
}

const worthOf = ({ allInCost, energyCost, joules }: Finding): readonly number[] => [allInCost ?? energyCost ?? 0, joules ?? 0];
const dearestFirst = (a: Finding, b: Finding): number => {
  const [[money = 0, energy = 0], [otherMoney = 0, otherEnergy = 0]] = [worthOf(a), worthOf(b)];
  return otherMoney - money || otherEnergy - energy || KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind);
};

function accountOf(devices: readonly Device[], idle: ReadonlyMap<Entry, IdleKind>, wasted: readonly Finding[] | undefined): Waste['account'] {
  const sums = { serving: 0n, idle: 0n, unknown: 0n };
  for (const entry of devices.flatMap(({ cells }) => cells).flatMap(({ entries }) => entries).filter(({ kept }) => kept)) {
    sums[idle.has(entry) ? 'idle' : entry.phase === 'unknown' ? 'unknown' : 'serving'] += entry.sum.sums.microjoules;
  }
  return { joules: microjoulesToJoules(sums.serving + sums.idle + sums.unknown), serving: microjoulesToJoules(sums.serving), idle: microjoulesToJoules(sums.idle), unknown: microjoulesToJoules(sums.unknown), wastedOutput: wasted ? sumOf(wasted).joules : null };
}

/** @throws UsageError for a label that no fact carries */
export async function findWaste(kept: Store, request: ReportRequest, prefix: '--' | '', book: Book = EMPTY_BOOK): Promise<Waste> {
  const store = remembering(kept);
  const whole = await buildReport(store, { ...request, by: [], where: request.where }, prefix, book);
  const told = { from: whole.from, to: whole.to, currency: whole.currency, flags: isOnePlace(request) ? [...whole.flags, OUTPUT_NOT_TOLD] : whole.flags };
  const scope = { where: [inBoundary('gpu'), ...request.where.filter(({ key }) => key === 'site')], from: request.from, to: request.to };
  const gpus = await store.sum({ kind: 'booked', by: ['node', 'device'], ...scope });
  const facts = hull(gpus);
  const [from, to] = [parseTime(whole.from ?? '') ?? facts?.from, parseTime(whole.to ?? '') ?? facts?.to];
  if (!facts || from === undefined || to === undefined) return { ...told, step: 0, account: { joules: 0, serving: 0, idle: 0, unknown: 0, wastedOutput: null }, kinds: [], findings: [], notSeen: [] };

  const asking: Asking = { store, request, book, span: { from, to } };
  const valuation = valuationOf(book, request, asking.span);
  const extra = dividing('booked', keysAsked(book.costs));
  const step = await stepFor(store, scope, asking.span, gpus.length);
  const devices = await devicesIn(store, { ...request, keys: [...request.by, ...extra], step, weights: 'weights' in valuation ? valuation.weights : undefined });
  const everything = partsOf(await store.sum({ kind: 'booked', by: extra, where: [inBoundary('gpu')], from: request.from, to: request.to }), 0, extra);
  const prices: Prices = { worth: 'constant' in valuation ? valuation.constant : undefined, entries: book.costs, all: everything({ step: epochMicros(0), values: [] }), length: seconds((to - from) / 1e6) };

  const places = new Places(request.by.map(keyName));
  const idle = new Map(devices.flatMap((device) => [...idleKinds(device, step)]));
  for (const [entry, kind] of idle) if (entry.kept) places.add(kind, entry);
  const output = await outputOf(asking, prefix);
  const findings = [...places.findings(prices), ...(await throttled(asking, devices, step, places, prices)), ...(output ?? [])].toSorted(dearestFirst);
  return {
    ...told,
    step: step / 1e6,
    account: accountOf(devices, idle, output),
    kinds: KINDS.flatMap((kind) => {
      const own = findings.filter((each) => each.kind === kind);
      return own.length === 0 ? [] : [{ kind, findings: own.length, ...sumOf(own), remedy: ABOUT[kind].remedy }];
    }),
    findings,
    notSeen: notSeen(devices),
  };
}
