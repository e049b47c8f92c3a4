/** A question → the sums that its rows are made of, asked of the store. */
import { PHASES, type Phase } from '@joulebook/shared/slice.js';
import type { Book } from '../book/book.js';
import { keysAsked } from '../book/fitting.js';
import { isByRequest, joinRequests, type JoinedRequests, type RequestAccount } from '../join/by-request.js';
import { boundsOf, isAsked, join, whyUnasked, type JoinedKind, type JudgedBy, type Question, type Spent, type Sums } from '../join/join.js';
import type { RequestWeights } from '../join/request-worth.js';
import type { Terms, Window } from '../join/row.js';
import { dividing } from '../join/subgroups.js';
import { divides, inBoundary, type FactKind, type Filter, type GroupSum, type Scope, type Store, type Weights } from '../store/store.js';
import type { ReportRequest } from './request.js';

const SERVING_PHASES = ['prefill', 'decode', 'active'] as const satisfies readonly Phase[];
/** The question's filters that this kind of fact can follow. */
export function scopeOf(kind: FactKind, request: ReportRequest): Scope {
  const where = request.where.filter(({ key }) => divides(kind, key));
  return { where, from: request.from, to: request.to, ...(request.within && { within: request.within }) };
}

/** What is asked, and what holds for all of its rows. */
export interface Asking {
  readonly store: Store;
  readonly request: ReportRequest;
  readonly question: Question;
  readonly terms: Terms;
  /** Where joules are not worth the same everywhere and always. */
  readonly weights: Weights | undefined;
  readonly book: Book;
}

const groupedFor = (request: ReportRequest, { by }: Question) => <K extends JoinedKind | 'booked' | 'asked' | 'weighed' | 'weighedRequests' | 'flag'>(kind: K) => ({ kind, by: by.filter((key) => divides(kind, key)), step: request.step, ...scopeOf(kind, request) });

/** A reservation that doesn't name what is filtered holds for it. */
async function gatherFlags(store: Store, request: ReportRequest, question: Question): Promise<Pick<Sums, 'flags' | 'flagKeys'>> {
  const query = groupedFor(request, question)('flag');
  return { flags: await store.sum({ ...query, where: query.where.map((filter) => ({ ...filter, orMissing: true })) }), flagKeys: query.by };
}

/** GPU time by what the book's costs ask about; undefined where it states none, or where time can't be divided by the question. */
async function spentOn({ store, request, question, book: { costs } }: Asking): Promise<Spent | undefined> {
  if (costs.length === 0 || !isAsked('energy', question)) return undefined;
  const extra = dividing('booked', keysAsked(costs));
  const { where, by, ...query } = groupedFor(request, question)('booked');
  return {
    entries: costs,
    extra,
    own: await store.sum({ ...query, by: [...by, ...extra], where: [...where, inBoundary('gpu')] }),
    all: await store.sum({ ...query, by: extra, where: [inBoundary('gpu')] }),
  };
}

/** @param requests by `outcome` already, which is enough where no target is asked for */
export async function judgedBy({ store, request, question, book: { slo, outcomes } }: Pick<Asking, 'store' | 'request' | 'question' | 'book'>, requests: readonly GroupSum<'requests'>[]): Promise<JudgedBy> {
  const grouped = groupedFor(request, question);
  const targeted = request.slo !== undefined || slo.length > 0;
  const names = keysAsked([...slo, ...outcomes]);
  const finer = [...(targeted ? (['ttftBucket', 'tpotBucket'] as const) : []), ...dividing('requests', names)];
  const query = grouped('requests');
  const tokenKeys = ['token' as const, ...dividing('tokens', keysAsked(outcomes))];
  const tokens = grouped('tokens');
  return {
    targets: request.slo,
    slo,
    ratios: outcomes,
    requestKeys: ['outcome', ...finer],
    requests: finer.length === 0 ? requests : await store.sum({ ...query, by: [...query.by, 'outcome', ...finer] }),
    tokenKeys,
    tokens: outcomes.length === 0 || !isAsked('tokens', question) ? [] : await store.sum({ ...tokens, by: [...tokens.by, ...tokenKeys] }),
  };
}

async function gather(asking: Asking): Promise<Sums> {
  const { store, request, question, terms: { boundary }, weights } = asking;
  const grouped = groupedFor(request, question);
  const serving: Filter = { key: 'phase', values: SERVING_PHASES };
  const energyAsked = boundary !== null && isAsked('energy', question);
  const energy = async (...more: Filter[]) => {
    if (!isAsked('energy', question)) return 'unasked' as const;
    if (boundary === null) return [];
    const query = grouped('energy');
    return store.sum({ ...query, where: [...query.where, inBoundary(boundary), ...more] });
  };
  const asked = async (window: Window | undefined): Promise<Sums['asked']> => {
    if (!energyAsked || window === undefined || (request.from === undefined && request.to === undefined)) return undefined;
    const query = grouped('asked');
    return store.sum({ ...query, where: [...query.where, inBoundary(boundary)], window });
  };
  const phases = async () => {
    if (!energyAsked || question.by.includes('phase')) return undefined;
    const query = grouped('booked');
    return store.sum({ ...query, by: [...query.by, 'phase'], where: [...query.where, inBoundary(boundary)] });
  };
  const weighed = async (): Promise<Sums['weighed']> => {
    if (!energyAsked || !weights) return undefined;
    const query = grouped('weighed');
    const where = [...query.where, inBoundary(boundary)];
    const all = await store.sum({ ...query, where, weights });
    return { all, counted: request.basis === 'all' ? all : await store.sum({ ...query, where: [...where, serving], weights }) };
  };
  const tokens = grouped('tokens');
  const requests = grouped('requests');
  const all = await energy();
  const joined = {
    energy: all,
    tokens: isAsked('tokens', question) ? await store.sum({ ...tokens, by: [...tokens.by, 'token'] }) : 'unasked',
    requests: isAsked('requests', question) ? await store.sum({ ...requests, by: [...requests.by, 'outcome'] }) : 'unasked',
  } as const;
  return {
    ...joined,
    counted: request.basis === 'all' ? all : await energy(serving),
    asked: await asked(boundsOf(question, joined)),
    phases: await phases(),
    weighed: await weighed(),
    spent: await spentOn(asking),
    judging: joined.requests === 'unasked' ? undefined : await judgedBy(asking, joined.requests),
    ...(await gatherFlags(store, request, question)),
  };
}

/** Engines that don't tell cached prompt tokens have facts of input and none of cached input. */
async function tellsCached(store: Store, request: ReportRequest): Promise<boolean> {
  const kinds = (await store.sum({ kind: 'tokens', by: ['token'], ...scopeOf('tokens', request) })).map(({ values }) => values[0]);
  return kinds.includes('cachedInput') || !kinds.includes('input');
}

async function requestWeights({ store, request, question, weights, terms: { boundary } }: Asking): Promise<RequestWeights | undefined> {
  if (!weights || boundary !== 'gpu') return undefined;
  const grouped = groupedFor(request, question);
  const energy = grouped('weighed');
  return {
    requests: await store.sum({ ...grouped('weighedRequests'), weights }),
    measured: await store.sum({ ...energy, by: [...energy.by.filter((key) => key !== 'phase'), 'phase'], where: [...energy.where, inBoundary(boundary)], weights }),
  };
}

async function gatherRequests(asking: Asking): Promise<RequestAccount> {
  const { store, request, question, book, terms: { boundary } } = asking;
  const grouped = groupedFor(request, question);
  const requests = grouped('requests');
  const energy = grouped('energy');
  const ended = await store.sum({ ...requests, by: [...requests.by, 'outcome'] });
  const kept = request.where.find(({ key }) => key === 'phase')?.values;
  return {
    requests: ended,
    measured: boundary === null ? [] : await store.sum({ ...energy, by: [...energy.by.filter((key) => key !== 'phase'), 'phase'], where: [...energy.where, inBoundary(boundary)] }),
    phases: PHASES.filter((phase) => kept?.includes(phase) ?? true),
    cachedKnown: await tellsCached(store, request),
    weights: await requestWeights(asking),
    judging: await judgedBy({ ...asking, book: { ...book, outcomes: [] } }, ended),
    charged: book.costs.length > 0,
    ...(await gatherFlags(store, request, question)),
  };
}

export async function rowsOf(asking: Asking): Promise<JoinedRequests> {
  const { question, terms } = asking;
  if (isByRequest(question)) return joinRequests(question, await gatherRequests(asking), terms);
  return { ...join(question, await gather(asking), terms), flags: whyUnasked(question) };
}
