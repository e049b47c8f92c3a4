/**
 * What single requests drew, or requests of one size. Their energy stands in the request facts; what was measured beside it
 * gets rows of its own, so that the rows add up to what was measured, in whole microjoules:
 *
 *   measured   prefill  decode    active     idle     unknown
 *   Σ requests prefill  decode
 *   the rest  (other requests)   (active)   (idle)   (unknown)
 *
 * A request's energy is drawn over all its life and stands where it ended. So requests that began before the window may
 * have drawn more than was measured in it: then the rest is below zero, stays so (else the rows would not add up), and says so.
 */
import type { Phase } from '@joulebook/shared/slice.js';
import { microjoulesToJoules, type Joules } from '@joulebook/shared/units.js';
import { divides, type GroupSum, type Key, type RequestCounts } from '../store/store.js';
import { flagsByGroup, keyName } from './flags.js';
import { clip, hull, inOrder, stepSpan } from './groups.js';
import type { Joined, JudgedBy, Question } from './join.js';
import type { Flag, Row } from './report.js';
import { cellsOf, NOBODY, ofPhase, REQUEST_PHASES, type Cell, type Draft, type Keys, type RequestPhase } from './request-cells.js';
import { isRequestKey, shown } from './request-keys.js';
import { restDrafts } from './request-rest.js';
import { PRICED_AT_END, requestWorth, type RequestWeights, type RequestWorth } from './request-worth.js';
import { rowOf, type RowEnergy, type Terms } from './row.js';
import { partsOf } from './subgroups.js';
import { judged, type Judged } from './usefulness-parts.js';

export const isByRequest = ({ by, filtered }: Question): boolean => [...by, ...filtered].some(isRequestKey);

export interface RequestAccount {
  /** Grouped by the keys of the question but phase, then `outcome`. */
  readonly requests: readonly GroupSum<'requests'>[];
  /** At the report's boundary: grouped by those keys of the question that divide energy, but phase; then `phase`. */
  readonly measured: readonly GroupSum<'energy'>[];
  /** The phases that the question keeps. */
  readonly phases: readonly Phase[];
  /** Facts tell cached prompt tokens apart, so that a 0 is a 0. */
  readonly cachedKnown: boolean;
  /** Grouped by `flagKeys`. */
  readonly flags: readonly GroupSum<'flag'>[];
  readonly flagKeys: readonly Key[];
  /** Where joules are not worth the same at all times and sites. */
  readonly weights: RequestWeights | undefined;
  /** Grouped by the keys of the question but phase, then its own. */
  readonly judging: JudgedBy;
  /** The book charges GPU time, which is not told by request. */
  readonly charged: boolean;
}

export interface JoinedRequests extends Joined {
  readonly flags: readonly Flag[];
}

const tokensOf = ({ inputTokens, cachedInputTokens, outputTokens }: RequestCounts, cachedKnown: boolean): ReadonlyMap<string, number> =>
  new Map([['input', inputTokens], ['output', outputTokens], ...(cachedKnown || cachedInputTokens !== 0 ? [['cachedInput', cachedInputTokens] as const] : [])]);

function unmetered({ counts, metered }: Cell): Flag[] {
  const without = counts.requests - (metered?.requests ?? 0);
  return without > 0 ? [{ code: 'REQUESTS_WITHOUT_ENERGY', detail: `${without} of ${counts.requests} requests here do not tell what they drew; it is in the row (other requests), and their tokens are in no ratio, nor is it told which were useful.` }] : [];
}

/** @param rowPhase of a row that is about one phase */
function factsOfRequests(cell: Cell, phases: readonly RequestPhase[], rowPhase: Phase | null, { cachedKnown }: RequestAccount, atGpu: boolean, worth: RequestWorth | undefined): Draft['facts'] {
  const { counts, metered, outcomes } = cell;
  const told = atGpu ? metered : null;
  const energy: RowEnergy | 'unasked' = told ? { microjoules: phases.reduce((sum, phase) => sum + ofPhase(told, phase), 0n) } : 'unasked';
  const joulesOf = (phase: RequestPhase): Joules | null => (told && phases.includes(phase) ? microjoulesToJoules(ofPhase(told, phase)) : null);
  return {
    energy,
    counted: energy,
    phases: { prefill: joulesOf('prefill'), decode: joulesOf('decode'), active: null },
    tokens: outcomes.size === 0 ? 'unasked' : tokensOf(counts, cachedKnown),
    countedTokens: told ? tokensOf(told, cachedKnown) : 'unasked',
    requests: outcomes,
    phase: rowPhase,
    ...(worth && energy !== 'unasked' && { worth: worth.ofRequests(cell, phases, energy.microjoules) }),
  };
}

/** Useful tokens over all of the row's energy, or none: where some requests tell none, those of the others would flatter. */
function judgedOf(keys: Keys, { judging }: RequestAccount): (cell: Cell) => Judged | undefined {
  const parts = partsOf(judging.requests, keys.requests.length, judging.requestKeys);
  return (cell) => (cell.metered && cell.metered.requests < cell.counts.requests ? undefined : judged(parts(cell), [], judging));
}

function requestDrafts(cells: readonly Cell[], keys: Keys, account: RequestAccount, phases: readonly RequestPhase[], atGpu: boolean, worth: RequestWorth | undefined): Draft[] {
  const valuesOf = (cell: Cell, phase: Phase | null): (string | null)[] => keys.all.map((key) => (key === 'phase' ? phase : (cell.values[keys.requests.indexOf(key)] ?? null)));
  const judgedIn = judgedOf(keys, account);
  return cells.flatMap((cell): Draft[] => {
    const useful = judgedIn(cell);
    const draft = (own: readonly RequestPhase[], values: Draft['values'], rowPhase: Phase | null): Draft =>
      ({ step: cell.step, from: cell.from, to: cell.to, values, facts: { ...factsOfRequests(cell, own, rowPhase, account, atGpu, worth), ...(useful && { judged: useful }) }, flags: atGpu ? unmetered(cell) : [] });
    if (keys.all.includes('phase')) return phases.map((phase) => draft([phase], valuesOf(cell, phase), phase));
    const [only] = phases;
    return only === undefined ? [] : [draft(phases, valuesOf(cell, null), phases.length === 1 ? only : null)];
  });
}

/** Why the question has less of an answer than it asks for. */
function reservations(question: Question, { requests, flags: told, weights, charged }: RequestAccount, restTold: boolean, { boundary, boundaries }: Terms, atGpu: boolean): Flag[] {
  const { by, filtered } = question;
  const flags: Flag[] = [];
  const elsewhere = told.find(({ sums }) => sums.code === 'REQUESTS_NOT_COUNTED')?.sums.detail ?? undefined;
  if (requests.length === 0) flags.push({ code: 'NO_REQUESTS', detail: elsewhere === undefined ? 'No request fits the question.' : `No request is counted here: ${elsewhere}.` });
  for (const key of by.filter(isRequestKey)) {
    const index = by.filter((each) => each !== 'phase').indexOf(key);
    if (requests.some(({ values }) => values[index] !== null)) continue;
    if (elsewhere !== undefined && requests.length > 0) flags.push({ code: 'NO_SINGLE_REQUESTS', detail: `No single request is counted here: ${elsewhere}.` });
    if (elsewhere !== undefined) continue;
    if (key === 'request' || key === 'cached') flags.push({ code: 'NO_SINGLE_REQUESTS', detail: `No fact here is about a single request: only recordings tell them ('joulebook-agent replay'), where the source that has them counts the tokens ('tokens: count'); a live store keeps their sums. Ask by inputBand or concurrencyBand.` });
    else flags.push({ code: `NO_${keyName(key)}`.toUpperCase(), detail: `No request here tells its ${keyName(key)}: what reads the serving engine does not see single requests, or the agent is older.` });
  }
  if (!atGpu) {
    const measured = boundaries.includes('gpu') ? '' : '; none was measured';
    flags.push({ code: 'REQUEST_ENERGY_AT_GPU_ONLY', detail: `What a request drew is told at boundary gpu only${measured}: at ${boundary ?? 'no boundary'} the energy columns are empty.` });
  } else if (!restTold) {
    const alone = [...new Set(filtered.filter((key) => !divides('energy', key)).map(keyName))];
    flags.push({ code: 'REQUESTS_ALONE', detail: `What was measured beside these requests can't be told by ${alone.join(', ')}: it is in no row.` });
  }
  if (charged) flags.push({ code: 'COSTS_NOT_PER_REQUEST', detail: 'What the book charges beside energy goes by the time of GPUs, which no request has for itself: all-in costs are empty here; ask by deployment.' });
  if (atGpu && weights && requests.some(({ sums }) => sums.metered !== null)) flags.push(PRICED_AT_END);
  return flags;
}

export function joinRequests(question: Question, account: RequestAccount, terms: Terms): JoinedRequests {
  const { by, step, filtered } = question;
  const shared = by.filter((key) => key !== 'phase');
  const keys: Keys = { all: by, requests: shared, energy: shared.filter((key) => divides('energy', key)) };
  const atGpu = terms.boundary === 'gpu';
  const restTold = atGpu && filtered.every((key) => divides('energy', key));
  const phases = REQUEST_PHASES.filter((phase) => account.phases.includes(phase));
  const cells = cellsOf(account.requests);
  const worth = account.weights && requestWorth(account.weights, keys);
  const drafts = [
    ...requestDrafts(by.length === 0 && step === undefined && cells.length === 0 ? [NOBODY] : cells, keys, account, phases, atGpu, worth),
    ...(restTold ? restDrafts(account.measured, cells, keys, phases, terms, worth) : []),
  ].toSorted(inOrder(by));
  // No flag is about a single request.
  const flags = by.includes('request') ? () => [] : flagsByGroup(account.flags, account.flagKeys, by);
  const rows = drafts.map((draft): Row => {
    const group = Object.fromEntries(by.map((key, index) => [keyName(key), shown(key, draft.values[index] ?? null)]));
    const span = draft.to === draft.from ? undefined : step === undefined ? clip(draft, question) : stepSpan(draft, step);
    return rowOf(group, { ...draft.facts, span, askedOfWindow: undefined }, terms, [...flags(draft), ...draft.flags]);
  });
  return { rows, bounds: clip(hull(drafts.filter(({ from, to }) => to > from)), question), flags: reservations(question, account, restTold, terms, atGpu) };
}
