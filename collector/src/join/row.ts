/** One row: sums of one group in, every figure out. Pure. */
import type { Boundary, TokenKind } from '@joulebook/shared/slice.js';
import { microjoulesToJoules, quantity, seconds, tokens, type EpochMicros, type Joules, type Seconds, type Tokens } from '@joulebook/shared/units.js';
import { shareUntold } from '../figures/phases.js';
import type { Requests, Sums } from '../figures/sums.js';
import { FIGURE_NAMES, FIGURES } from '../figures/table.js';
import { allInCost } from '../figures/money.js';
import type { Worth } from '../rates/site-rates.js';
import type { EnergySums } from '../store/store.js';
import { sumOfCosts, type Costs } from './costs.js';
import { formatTime } from './times.js';
import { lowCoverage, overCoverage } from './flags.js';
import type { Flag, Row } from './report.js';
import type { PhaseEnergy } from './phases.js';
import { uncertaintyOf } from './uncertainty.js';
import type { Usefulness } from './usefulness.js';
import type { Judged } from './usefulness-parts.js';
import { spendingOf } from './waste.js';
import { UNVALUED, valuedAt, type Valued } from './worth.js';

export type Basis = 'all' | 'serving';

/** What holds for every row of a report. */
export interface Terms {
  readonly boundary: Boundary | null;
  readonly boundaries: readonly Boundary[];
  readonly basis: Basis;
  /** Of every joule; undefined where it changes over time or sites: then rows carry what theirs are worth. */
  readonly worth: Worth | undefined;
  /** Whose last intensities stand in. */
  readonly standingIn?: readonly string[];
}

/** The time a group is asked to account for, where the question named it. */
export interface Window {
  readonly from: EpochMicros;
  readonly to: EpochMicros;
}

/** Energy without a time of its own: what requests drew, or what is left of a phase without them. */
export type RowEnergy = EnergySums | { readonly microjoules: bigint };

/** `unasked`: this kind of fact can't be divided by the keys of the question, which is not the same as nothing measured. */
export interface GroupFacts {
  readonly energy: RowEnergy | undefined | 'unasked';
  /** The part of `energy` that basis `serving` counts; same as `energy` for basis `all`. */
  readonly counted: RowEnergy | undefined | 'unasked';
  readonly phases: PhaseEnergy;
  readonly tokens: ReadonlyMap<string, number> | 'unasked';
  /** What ratios are over: those of `tokens` whose energy is in the row. */
  readonly countedTokens: ReadonlyMap<string, number> | 'unasked';
  readonly requests: ReadonlyMap<string, number> | 'unasked';
  /** What `energy` and `counted` are worth, where that changes over time or sites. */
  readonly worth?: { readonly all: Valued; readonly counted: Valued } | undefined;
  /** Beside energy; null: not stated. */
  readonly costs?: Costs | null;
  /** s of GPUs that should have been seen. */
  readonly gpuSeconds?: Seconds | null;
  readonly judged?: Judged;
  /** The phase this row is about, if it is about one. */
  readonly phase: string | null;
  readonly span: Window | undefined;
  /** Present where `from`/`to` were asked for and the energy says something about time: coverage is then of the whole window. */
  readonly askedOfWindow: Seconds | undefined;
}

const isTimed = (energy: RowEnergy): energy is EnergySums => 'wallSeconds' in energy;
const timed = (energy: RowEnergy | undefined | 'unasked'): EnergySums | undefined => (energy !== undefined && energy !== 'unasked' && isTimed(energy) ? energy : undefined);

/** A group seen for no time and without a microjoule (a gap) has no joules, which is not 0 J. A run's totals have joules and no time. */
function drawn(energy: RowEnergy | undefined | 'unasked'): Joules | null {
  if (energy === undefined || energy === 'unasked' || (isTimed(energy) && energy.microjoules === 0n && energy.seconds === 0)) return null;
  return microjoulesToJoules(energy.microjoules);
}

interface TokenColumns {
  readonly input: Tokens | null;
  readonly computedInput: Tokens | null;
  readonly cachedInput: Tokens | null;
  readonly output: Tokens | null;
  readonly outside: { input: Tokens | null; output: Tokens | null };
}

function tokenColumns(counts: GroupFacts['tokens']): TokenColumns {
  const count = (kind: TokenKind): Tokens | null => {
    const value = counts === 'unasked' ? undefined : counts.get(kind);
    return value === undefined ? null : tokens(value);
  };
  const computedInput = count('input');
  const cachedInput = count('cachedInput');
  return {
    computedInput,
    cachedInput,
    input: computedInput === null && cachedInput === null ? null : tokens((computedInput ?? 0) + (cachedInput ?? 0)),
    output: count('output'),
    outside: { input: count('outsideInput'), output: count('outsideOutput') },
  };
}

function requestColumns(counts: GroupFacts['requests']): Row['requests'] {
  if (counts === 'unasked' || counts.size === 0) return { ok: null, aborted: null, failed: null };
  return { ok: 0, aborted: 0, failed: 0, ...Object.fromEntries(counts) };
}

function ratioFlags(facts: GroupFacts, terms: Terms, energy: Joules | null, counted: Joules | null, over: Tokens | null): Flag[] {
  const flags: Flag[] = [];
  // What requests drew may well be nothing.
  const told = facts.energy !== undefined && facts.energy !== 'unasked' && !isTimed(facts.energy);
  const measured = terms.boundaries.length > 0 ? `energy was measured at ${terms.boundaries.join(', ')}` : 'no energy was measured at all';
  if (facts.energy !== 'unasked' && !told && (energy === null || energy <= 0)) {
    const subject = over === null ? 'No energy' : 'Tokens without energy';
    flags.push({ code: 'NO_ENERGY', detail: `${subject} at boundary ${terms.boundary ?? 'gpu'}; ${measured}.` });
  } else if (facts.counted !== 'unasked' && !told && (counted === null || counted <= 0)) {
    flags.push({ code: 'NO_SERVING_ENERGY', detail: `All joules here are idle or unknown, which basis 'serving' leaves out of ratios.` });
  }
  if (facts.tokens !== 'unasked' && energy !== null && energy > 0 && (over === null || over <= 0)) {
    const missing = facts.phase === 'prefill' ? 'computed input' : 'output';
    flags.push({ code: 'NO_TOKENS', detail: `Energy without tokens: no ${missing} tokens were counted here, so there is no ratio.` });
  }
  return flags;
}

/** More energy that is not told apart by phase than this is worth a word where figures of phases are shown. */
const MUCH_UNTOLD = 0.05;

function untoldFlags({ prefill, decode, active }: PhaseEnergy, figures: Pick<Row, 'joulesPerPromptToken' | 'joulesPerOutputToken'>): Flag[] {
  const untold = shareUntold(prefill, decode, active) ?? 0;
  const partly = untold > MUCH_UNTOLD && (figures.joulesPerPromptToken !== null || figures.joulesPerOutputToken !== null);
  return partly ? [{ code: 'PHASES_PARTLY_KNOWN', detail: `Of the energy drawn while requests ran ${(untold * 100).toFixed(1)} % is not told apart by phase; joules per prompt token and per output token leave it out.` }] : [];
}

const percentOf = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;

function worthFlags({ unpriced, unlocated, standing, estimated, location, market }: Valued, { standingIn = [] }: Terms): Flag[] {
  const isLocated = location !== null || market !== null;
  return [
    ...(isLocated && standing > 0 ? [{ code: 'INTENSITY_STALE', detail: `For ${percentOf(standing)} of the energy here the intensity of the grid is the last that was told: ${standingIn.join('; ')}.` }] : []),
    ...(isLocated && estimated > 0 ? [{ code: 'INTENSITY_ESTIMATED', detail: `For ${percentOf(estimated)} of the energy here the intensity of the grid is one that its provider has estimated, not measured.` }] : []),
    ...(unpriced > 0 ? [{ code: 'PRICE_PARTLY_KNOWN', detail: `For ${percentOf(unpriced)} of the energy here the tariff has no price, so there is no cost; fill the gap in the series.` }] : []),
    ...(unlocated > 0 ? [{ code: 'INTENSITY_PARTLY_KNOWN', detail: `For ${percentOf(unlocated)} of the energy here the intensity of the grid is not known, so there is no carbon; fill the gap in the series.` }] : []),
  ];
}

/** Requests end in a window, tokens are made in it: over a short one the two may differ by more than is worth no word. */
const MUCH_BESIDE = 0.05;

function judgedFlags({ requests, byRatio, targeted }: Judged, output: Tokens | null): Flag[] {
  const flags: Flag[] = [];
  if (byRatio !== null) flags.push({ code: 'USEFUL_FROM_RATIOS', detail: 'Useful tokens come from the ratios in the book for some deployments, not from single requests.' });
  if (!requests) return flags;
  const { waste: { unjudged }, all } = requests;
  if (unjudged.requests > 0) flags.push({ code: 'LATENCY_UNKNOWN', detail: `${unjudged.requests} of ${all.requests} requests do not tell the latency that a target asks for: they are not counted as useful.` });
  if (targeted && output !== null && output > 0 && byRatio === null && Math.abs(all.outputTokens / output - 1) > MUCH_BESIDE) {
    flags.push({ code: 'REQUESTS_BESIDE_TOKENS', detail: `The requests that ended here made ${all.outputTokens} output tokens in all their life, ${output} were made in this time: useful tokens are of the former.` });
  }
  return flags;
}

/** Corrections of requests that were never booked, or not here. */
function correctedFlags(requests: GroupFacts['requests']): Flag[] {
  const below = requests === 'unasked' ? [] : [...requests].filter(([, count]) => count < 0);
  return below.map(([outcome, count]) => ({ code: 'OUTCOMES_EXCEED_REQUESTS', detail: `More requests were taken from '${outcome}' than were booked as such here: ${-count} too many. Does the correction name another deployment, tenant, model or time than its requests?` }));
}

/** Where no request tells the latency that is asked for, nothing is known of use, which is not "none". */
const untold = ({ useful, waste: { late, unjudged } }: Usefulness): boolean => unjudged.requests > 0 && useful.requests === 0 && late.requests === 0;

/** Useful output tokens are never more than were made. */
function usefulTokens({ requests, byRatio }: Judged, output: Tokens | null): Tokens | null {
  if (byRatio === null && (!requests || untold(requests))) return null;
  const useful = (requests?.useful.outputTokens ?? 0) + (byRatio ?? 0);
  return tokens(output === null ? useful : Math.min(useful, output));
}

const NOT_JUDGED: Judged = { requests: null, byRatio: null, ttft: { p50: null, p95: null, p99: null }, tpot: { p50: null, p95: null, p99: null }, targeted: false };

const requestsOf = (count: number | undefined): Requests | null => (count === undefined ? null : quantity(count));

/** Every figure of the table, by its name. */
function figuresOf(sums: Sums): Record<(typeof FIGURE_NAMES)[number], number | null> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- FIGURE_NAMES are all of its names
  return Object.fromEntries(FIGURE_NAMES.map((name) => [name, FIGURES[name].of(sums)])) as Record<(typeof FIGURE_NAMES)[number], number | null>;
}

/** @param told flags of the facts themselves, and why kinds could not be divided */
export function rowOf(group: Row['group'], facts: GroupFacts, terms: Terms, told: readonly Flag[]): Row {
  const sums = timed(facts.energy);
  const energy = drawn(facts.energy);
  const counted = drawn(facts.counted);
  const token = tokenColumns(facts.tokens);
  const countedToken = tokenColumns(facts.countedTokens);
  const over = facts.phase === 'prefill' ? countedToken.computedInput : countedToken.output;
  const wall = sums ? seconds(sums.wallSeconds) : null;
  const timeless = !sums || (sums.seconds === 0 && sums.askedSeconds === 0);
  const asked = sums ? (facts.askedOfWindow ?? sums.askedSeconds) : null;
  const cachedUnknown = facts.phase === 'prefill' && token.computedInput !== null && token.cachedInput === null;
  const worth = facts.worth?.all ?? (terms.worth ? valuedAt(terms.worth, energy) : UNVALUED);
  const countedWorth = facts.worth?.counted ?? (terms.worth ? valuedAt(terms.worth, counted) : UNVALUED);
  const costs = facts.costs ?? null;
  const judged = facts.judged ?? NOT_JUDGED;
  const useful = usefulTokens(judged, token.output);
  const figures = figuresOf({
    joules: energy,
    counted,
    prefill: facts.phases.prefill,
    decode: facts.phases.decode,
    wall,
    observed: sums?.seconds ?? null,
    asked,
    gpu: facts.gpuSeconds ?? null,
    facility: worth.facility,
    energyCost: worth.cost,
    countedCost: countedWorth.cost,
    location: worth.location,
    market: worth.market,
    otherCost: sumOfCosts(costs),
    over,
    output: countedToken.output,
    computedInput: countedToken.computedInput,
    cachedInput: countedToken.cachedInput,
    cachedInputAll: token.cachedInput,
    useful,
    usefulRequests: useful === null ? null : requestsOf(judged.requests?.useful.requests),
    requests: requestsOf(judged.requests?.all.requests),
    requestOutput: judged.requests ? tokens(judged.requests.all.outputTokens) : null,
  });
  const spent = allInCost(worth.cost, sumOfCosts(costs)) ?? worth.cost;
  return {
    ...figures,
    group,
    from: facts.span ? formatTime(facts.span.from) : null,
    to: facts.span ? formatTime(facts.span.to) : null,
    joules: energy,
    modelledJoules: energy === null || !sums ? null : microjoulesToJoules(sums.modelledMicrojoules),
    seconds: timeless ? null : wall,
    deviceSeconds: timeless ? null : (sums?.seconds ?? null),
    tokens: { input: token.input, cachedInput: token.cachedInput, output: token.output, useful },
    usefulBounds: judged.requests && judged.byRatio === null ? [judged.requests.atLeast.outputTokens, judged.requests.atMost.outputTokens] : null,
    tokensOutside: token.outside,
    requests: requestColumns(facts.requests),
    spending: judged.requests ? spendingOf(judged.requests, energy, facts.phases.prefill, spent) : null,
    costs: costs === null ? null : { ...costs, energy: worth.cost },
    ttft: percentilesOf(judged.ttft),
    tpot: percentilesOf(judged.tpot),
    uncertainty: energy === null ? null : uncertaintyOf(sums, timed(facts.counted), over, facts.phase !== null, countedWorth.cost),
    flags: [
      ...told,
      ...ratioFlags(facts, terms, energy, counted, over),
      ...untoldFlags(facts.phases, figures),
      ...(cachedUnknown ? [{ code: 'CACHED_UNKNOWN', detail: 'How many input tokens came from a cache is not known; the ratios are over all input tokens counted.' }] : []),
      ...worthFlags(worth, terms),
      ...judgedFlags(judged, token.output),
      ...correctedFlags(facts.requests),
      ...lowCoverage(figures.coverage),
      ...overCoverage(figures.coverage),
    ],
  };
}

const percentilesOf = ({ p50, p95, p99 }: Judged['ttft']): Row['ttft'] => (p50 === null ? null : { p50: bounds(p50), p95: bounds(p95), p99: bounds(p99) });
const bounds = (pair: readonly [number, number] | null): [number, number] | null => (pair === null ? null : [pair[0], pair[1]]);
