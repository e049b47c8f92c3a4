/** One row: sums of one group in, every figure out. Pure. */
import type { Boundary, TokenKind } from '@joulebook/shared/slice.js';
import { microjoulesToJoules, seconds, tokens, type EpochMicros, type Joules, type Seconds, type Tokens } from '@joulebook/shared/units.js';
import { coverage, joulesPerToken, meanPower, tokensPerKwh, tokensPerWattSecond, type Ratio } from '../figures/energy.js';
import { joulesPerOutputToken, joulesPerPromptToken, joulesSavedByCache, shareUntold } from '../figures/phases.js';
import { carbonGrams, energyCost, energyCostPerToken, type DollarsPerKwh, type GramsPerKwh } from '../figures/money.js';
import type { EnergySums } from '../store/store.js';
import { formatTime } from './times.js';
import { lowCoverage, overCoverage } from './flags.js';
import type { Flag, Row } from './report.js';
import type { PhaseEnergy } from './phases.js';
import { uncertaintyOf } from './uncertainty.js';

export type Basis = 'all' | 'serving';

/** What holds for every row of a report. */
export interface Terms {
  readonly boundary: Boundary | null;
  readonly boundaries: readonly Boundary[];
  readonly basis: Basis;
  readonly price: DollarsPerKwh | null;
  readonly pue: Ratio;
  readonly carbon: GramsPerKwh | null;
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

interface PhaseFigures extends Pick<Row, 'joulesPerPromptToken' | 'joulesPerOutputToken' | 'joulesSavedByCache'> {
  readonly flags: readonly Flag[];
}

function phaseFigures({ prefill, decode, active }: PhaseEnergy, counted: TokenColumns, cachedInput: Tokens | null): PhaseFigures {
  const perPromptToken = joulesPerPromptToken(prefill, counted.computedInput);
  const perOutputToken = joulesPerOutputToken(decode, counted.output);
  const untold = shareUntold(prefill, decode, active) ?? 0;
  const partly = untold > MUCH_UNTOLD && (perPromptToken !== null || perOutputToken !== null);
  return {
    joulesPerPromptToken: perPromptToken,
    joulesPerOutputToken: perOutputToken,
    joulesSavedByCache: joulesSavedByCache(cachedInput, perPromptToken),
    flags: partly ? [{ code: 'PHASES_PARTLY_KNOWN', detail: `Of the energy drawn while requests ran ${(untold * 100).toFixed(1)} % is not told apart by phase; joules per prompt token and per output token leave it out.` }] : [],
  };
}

/** @param told flags of the facts themselves, and why kinds could not be divided */
export function rowOf(group: Row['group'], facts: GroupFacts, terms: Terms, told: readonly Flag[]): Row {
  const sums = timed(facts.energy);
  const energy = drawn(facts.energy);
  const counted = drawn(facts.counted);
  const token = tokenColumns(facts.tokens);
  const countedToken = tokenColumns(facts.countedTokens);
  const over = facts.phase === 'prefill' ? countedToken.computedInput : countedToken.output;
  const ofPhases = phaseFigures(facts.phases, countedToken, token.cachedInput);
  const perJoule = tokensPerWattSecond(over, counted);
  const wall = sums ? seconds(sums.wallSeconds) : null;
  const timeless = !sums || (sums.seconds === 0 && sums.askedSeconds === 0);
  const covered = sums ? coverage(sums.seconds, facts.askedOfWindow ?? sums.askedSeconds) : null;
  const cachedUnknown = facts.phase === 'prefill' && token.computedInput !== null && token.cachedInput === null;
  return {
    group,
    from: facts.span ? formatTime(facts.span.from) : null,
    to: facts.span ? formatTime(facts.span.to) : null,
    joules: energy,
    modelledJoules: energy === null || !sums ? null : microjoulesToJoules(sums.modelledMicrojoules),
    seconds: timeless ? null : wall,
    deviceSeconds: timeless ? null : (sums?.seconds ?? null),
    watts: meanPower(energy, wall),
    coverage: covered,
    tokens: { input: token.input, cachedInput: token.cachedInput, output: token.output, useful: null },
    tokensOutside: token.outside,
    requests: requestColumns(facts.requests),
    tokensPerWattSecond: perJoule,
    tokensPerKwh: tokensPerKwh(perJoule),
    joulesPerToken: joulesPerToken(counted, over),
    energyCost: energyCost(energy, terms.pue, terms.price),
    energyCostPerToken: energyCostPerToken(counted, terms.pue, terms.price, over),
    joulesPerPromptToken: ofPhases.joulesPerPromptToken,
    joulesPerOutputToken: ofPhases.joulesPerOutputToken,
    joulesSavedByCache: ofPhases.joulesSavedByCache,
    carbonGrams: carbonGrams(energy, terms.pue, terms.carbon),
    uncertainty: energy === null ? null : uncertaintyOf(sums, timed(facts.counted), over, facts.phase !== null, terms),
    flags: [
      ...told,
      ...ratioFlags(facts, terms, energy, counted, over),
      ...ofPhases.flags,
      ...(cachedUnknown ? [{ code: 'CACHED_UNKNOWN', detail: 'How many input tokens came from a cache is not known; the ratios are over all input tokens counted.' }] : []),
      ...lowCoverage(covered),
      ...overCoverage(covered),
    ],
  };
}
