/** A question → a report: boundary, worth, the rows and what is to be said of them. */
import { BOUNDARIES, type Boundary } from '@joulebook/shared/slice.js';
import { epochMicros, JOULES_PER_KWH } from '@joulebook/shared/units.js';
import { EMPTY_BOOK, type Book } from '../book/book.js';
import { valuationOf, type Doubts } from '../book/valuation.js';
import { isByRequest } from '../join/by-request.js';
import { clip, hull } from '../join/groups.js';
import { isAsked, type Question } from '../join/join.js';
import type { Flag, Report, Row } from '../join/report.js';
import type { Terms } from '../join/row.js';
import type { Worth } from '../rates/site-rates.js';
import { inBoundary, type Extent, type GroupSum, type Resolution, type Scope, type Store } from '../store/store.js';
import { UNTIMED_BEFORE_MICROS } from '../store/series.js';
import { withTenants } from '../store/tenants.js';
import { isTimeKey } from '../store/time-classes.js';
import { formatTime } from '../join/times.js';
import { boundariesOf, isWholeNodes, methodsOf, type Boundaries } from './boundaries.js';
import { withClasses } from './classes.js';
import { rowsOf, scopeOf, type Asking } from './gather.js';
import { demandOf } from './demand.js';
import { missingBatches } from './missing-batches.js';
import { checkLabels, type ReportRequest } from './request.js';

/** Labels of facts that were not measured here, and what a report says of them. */
const NOT_MEASURED_HERE = [
  { label: 'simulated', code: 'SIMULATED', detail: 'Simulated data: made up by a model, measured nowhere.' },
  { label: 'demonstration', code: 'DEMONSTRATION', detail: 'Demonstration data: not measured on this machine.' },
] as const;

/** gpu where measured, else the narrowest that is measured, else the narrowest that has facts at all. `sums` are grouped by boundary first. */
export function chooseBoundary(sums: readonly GroupSum<'booked'>[]): { chosen: Boundary | null; available: Boundary[] } {
  const available = BOUNDARIES.filter((boundary) => sums.some(({ values }) => values[0] === boundary));
  const measured = available.filter((boundary) => sums.some((group) => group.values[0] === boundary && (group.sums.seconds > 0 || group.sums.microjoules !== 0n)));
  return { chosen: measured[0] ?? available[0] ?? null, available };
}

function questionOf(request: ReportRequest): Question {
  const phases = request.where.find(({ key }) => key === 'phase')?.values ?? [];
  return { by: request.by, filtered: request.where.map(({ key }) => key), step: request.step, phase: phases.length === 1 ? (phases[0] ?? null) : null, from: request.from, to: request.to };
}

async function notMeasuredFlags(store: Store, request: ReportRequest, labels: readonly string[]): Promise<Flag[]> {
  const flags: Flag[] = [];
  for (const { label, code, detail } of NOT_MEASURED_HERE) if (labels.includes(label) && (await isAnyMarked(store, request, label))) flags.push({ code, detail });
  return flags;
}

async function isAnyMarked(store: Store, request: ReportRequest, label: string): Promise<boolean> {
  for (const kind of ['booked', 'tokens', 'requests'] as const) {
    const scope = scopeOf(kind, request);
    const by = kind === 'booked' ? (['boundary'] as const) : [];
    const found = await store.sum({ kind, by, ...scope, where: [...scope.where, { key: { label }, values: ['true'] }] });
    if (found.length > 0) return true;
  }
  return false;
}

/** Deployments whose tokens are in the total while their energy is not: the total's ratios flatter. */
async function unmeteredDeployments(store: Store, request: ReportRequest, question: Question, boundary: Boundary | null): Promise<Flag[]> {
  if (boundary === null || !isAsked('energy', question) || !isAsked('tokens', question)) return [];
  const scope = scopeOf('energy', request);
  const metered = await store.sum({ kind: 'booked', by: ['deployment'], ...scope, where: [...scope.where, inBoundary(boundary)] });
  const names = new Set(metered.filter(({ sums }) => sums.microjoules > 0n).map(({ values }) => values[0] ?? null));
  // Energy that names no deployment may be theirs; nothing measured at all is told by the rows.
  if (names.size === 0 || names.has(null)) return [];
  const counted = await store.sum({ kind: 'tokens', by: ['deployment'], ...scopeOf('tokens', request) });
  return counted.flatMap(({ values: [deployment = null] }) =>
    names.has(deployment) ? [] : [{ code: 'NO_ENERGY', detail: `${deployment === null ? 'Tokens without a deployment' : `Deployment '${deployment}'`}: tokens without energy at boundary ${boundary}, yet in the total.` }],
  );
}

/** The boundaries of a question that is not itself told by node, for who shows them beside it. */
export const measureBoundaries = (store: Store, request: ReportRequest): Promise<Boundaries> => boundariesOf(store, scopeOf('energy', request));

const ALLOCATED: Flag = { code: 'ALLOCATED_BY_TOKENS', detail: 'No meter tells tenants apart: each deployment’s energy is shared over those whose tokens it made, prefill by computed prompt tokens, all else by output tokens; so are costs and carbon.' };

const basisFlags = ({ basis }: ReportRequest): Flag[] =>
  basis === 'serving' ? [{ code: 'BASIS_SERVING', detail: 'Idle and unknown joules are left out of the ratios (not of joules, watts, cost and carbon).' }] : [];

/** Named, since the answer's own ends are those that were asked. */
function summedInstead({ from, to }: Resolution['moved']): string {
  const ends = [...(from === undefined ? [] : [`from ${formatTime(from)}`]), ...(to === undefined ? [] : [`to ${formatTime(to)}`])];
  return ends.length === 0 ? '' : `; summed ${ends.join(' ')}`;
}

const resolutionFlags = (resolution: Resolution | undefined): Flag[] => [
  ...(resolution?.rounded === true ? [{ code: 'RANGE_ROUNDED', detail: `Facts of some of this time are no longer kept: its ends and steps were moved back to the beginning of the minute or hour whose sum is${summedInstead(resolution.moved)}.` }] : []),
  ...(resolution?.keptSince === undefined ? [] : [{ code: 'RANGE_NOT_KEPT', detail: `Nothing of before ${formatTime(resolution.keptSince)} is kept any more; what was measured before is in no figure.` }]),
  ...(resolution?.wallTimeByCell === true ? [{ code: 'WALL_TIME_ROUNDED', detail: 'Facts of some of this time are no longer kept, and wall time (seconds, and watts by it) not for these keys: there it is that of the longest seen device of each minute or hour.' }] : []),
];

/** What is null of worth in the whole, and why, where no row can say it. */
function doubtFlags({ untold, untimed }: Doubts, { carbonGrams, carbonGramsMarket, flags, joules }: Row, { sites }: Book): Flag[] {
  const isPart = flags.some(({ code }) => code === 'INTENSITY_PARTLY_KNOWN');
  // Of what nobody is to tell, nothing is missing.
  const isMarketSaid = [...sites.values()].some(({ steady }) => steady.market === 'changes');
  return [
    ...(untold.length > 0 && !isPart && joules !== null && (carbonGrams === null || (carbonGramsMarket === null && isMarketSaid)) ? [{ code: 'INTENSITY_NOT_TOLD', detail: `${untold.join(', ')} told nothing of this time, so there is no carbon; a collector with this book asks again, and its log says why it has no answer.` }] : []),
    ...(untimed && joules !== null ? [{ code: 'WORTH_NEEDS_TIME', detail: 'Runs without a start are in this: when they drew is not known, so what changes over time (prices, PUE, intensities) is not known for them. Say one with --price, --pue or --carbon.' }] : []),
  ];
}

const unique = (flags: readonly Flag[]): Flag[] => [...new Map(flags.map((flag) => [`${flag.code} ${flag.detail}`, flag])).values()];

const withoutClasses = (scope: Scope): Scope => ({ ...scope, where: scope.where.filter(({ key }) => !isTimeKey(key) && key !== 'tenant') });

/** The time that energy and tokens of a question span, and its requests where they have energy of their own. */
async function extentOf(store: Store, request: ReportRequest, byRequest: boolean): Promise<Extent | undefined> {
  const energy = await store.sum({ kind: 'booked', by: ['boundary'], ...withoutClasses(scopeOf('energy', request)) });
  const tokens = await store.sum({ kind: 'tokens', by: [], ...withoutClasses(scopeOf('tokens', request)) });
  const requests = byRequest ? await store.sum({ kind: 'requests', by: [], ...withoutClasses(scopeOf('requests', request)) }) : [];
  return hull([...energy, ...tokens, ...requests]);
}

/** Beside facts of made-up time those of known time: between the two there may be half a century. */
async function spanOf(store: Store, request: ReportRequest, byRequest: boolean): Promise<{ readonly span: Extent | undefined; readonly isUntimed: boolean }> {
  const span = clip(await extentOf(store, request, byRequest), request);
  const isUntimed = span !== undefined && span.from < UNTIMED_BEFORE_MICROS;
  if (!isUntimed || span.to <= UNTIMED_BEFORE_MICROS) return { span, isUntimed };
  const timed = await extentOf(store, { ...request, from: epochMicros(UNTIMED_BEFORE_MICROS) }, byRequest);
  return { span: timed && { from: timed.from, to: span.to }, isUntimed };
}

/** What a question is asked of: the store that divides by its keys as well, and the time that it spans where that matters. */
export interface Divided {
  readonly store: Store;
  readonly span: Extent | undefined;
  /** Runs without a start are in it. */
  readonly isUntimed: boolean;
}

export async function divided(plain: Store, request: ReportRequest, book: Book): Promise<Divided> {
  const keys = [...request.by, ...request.where.map(({ key }) => key)];
  const { span, isUntimed } = book.sites.size > 0 || keys.some(isTimeKey) ? await spanOf(plain, request, isByRequest(questionOf(request))) : { span: undefined, isUntimed: false };
  const byTenant = keys.includes('tenant') ? withTenants(plain) : plain;
  return { store: await withClasses(byTenant, request, withoutClasses(scopeOf('tokens', request)), book, span), span, isUntimed };
}

/** What holds for all energy; where it changes, the mean over the energy that is in the total. */
function meanWorth(worth: Worth | undefined, { joules, facilityJoules, energyCost, carbonGrams }: Row): Pick<Report, 'price' | 'pue' | 'carbon'> {
  if (worth) return { price: worth.price, pue: worth.pue, carbon: worth.location };
  const perKwh = (sum: number | null): number | null => (sum === null || facilityJoules === null || facilityJoules <= 0 ? null : sum / (facilityJoules / JOULES_PER_KWH));
  return { price: perKwh(energyCost), pue: facilityJoules === null || joules === null || joules <= 0 ? null : facilityJoules / joules, carbon: perKwh(carbonGrams) };
}

/**
 * @param prefix what stands before an option's name in faults
 * @throws UsageError for a label that no fact carries
 */
export async function buildReport(plain: Store, request: ReportRequest, prefix: '--' | '', book: Book = EMPTY_BOOK): Promise<Report> {
  const labels = await plain.labels();
  if ((await plain.extent()) !== null) checkLabels(request, labels, prefix);
  const question = questionOf(request);
  const byTenant = [...request.by, ...request.where.map(({ key }) => key)].includes('tenant');
  const { store, span, isUntimed } = await divided(plain, request, book);
  const scope = scopeOf('energy', request);
  const perMethod = await store.sum({ kind: 'booked', by: ['boundary', 'source', 'method'], ...scope });
  const { chosen, available } = chooseBoundary(perMethod);
  const boundaries = isWholeNodes(request) ? await boundariesOf(store, scope) : undefined;
  const boundary = request.boundary ?? chosen;
  const valuation = valuationOf(book, request, span, isUntimed);
  const terms: Terms = { boundary, boundaries: available, basis: request.basis, worth: 'constant' in valuation ? valuation.constant : undefined, standingIn: valuation.doubts.last };
  const asking: Asking = { store, request, question, terms, book, weights: 'weights' in valuation ? valuation.weights : undefined };

  const whole: Question = { ...question, by: [], step: undefined };
  const all = await rowsOf({ ...asking, request: { ...request, by: [], step: undefined }, question: whole });
  const total = all.rows[0];
  if (!total) throw new Error('the whole is always a row');
  const own = request.by.length === 0 && request.step === undefined ? all : await rowsOf(asking);

  const demand = await demandOf(plain, request, boundary, book, span);
  const resolution = await store.resolution?.({ kind: 'energy', by: question.by, step: request.step, ...scope });
  const { from = all.bounds?.from, to = all.bounds?.to } = request;
  return {
    from: from === undefined ? null : formatTime(from),
    to: to === undefined ? null : formatTime(to),
    boundary,
    boundaries: available,
    basis: request.basis,
    step: request.step === undefined ? null : request.step / 1e6,
    ...meanWorth(terms.worth, total),
    currency: book.currency,
    slo: request.slo ? { ttft: request.slo.ttft ?? null, tpot: request.slo.tpot ?? null } : null,
    ...(demand && { demand: [...demand.charges] }),
    coverage: total.coverage,
    uncertainty: total.uncertainty,
    methods: methodsOf(perMethod),
    ...(boundaries && { boundariesMeasured: [...boundaries.boundariesMeasured], other: boundaries.other }),
    tokensOutside: total.tokensOutside,
    ...(resolution && { resolution: [...resolution.read] }),
    flags: unique([
      ...resolutionFlags(resolution),
      // Asked last: facts that came in the meantime are in the sums.
      ...(await notMeasuredFlags(store, request, await store.labels())),
      ...(await missingBatches(store, { where: request.where, from, to })),
      ...basisFlags(request),
      ...(demand?.flags ?? []),
      ...(byTenant && boundary !== null ? [ALLOCATED] : []),
      ...total.flags,
      ...doubtFlags(valuation.doubts, total, book),
      ...(boundaries?.flags ?? []),
      ...own.flags,
      ...(await unmeteredDeployments(store, request, question, boundary)),
    ]),
    total,
    rows: [...own.rows],
  };
}
