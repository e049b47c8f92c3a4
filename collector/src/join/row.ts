/** One row: sums of one group in, every figure out. Pure. */
import type { Boundary, TokenKind } from '@joulebook/shared/slice.js';
import { microjoulesToJoules, seconds, tokens, type EpochMicros, type Joules, type Seconds, type Tokens } from '@joulebook/shared/units.js';
import { coverage, joulesPerToken, meanPower, tokensPerKwh, tokensPerWattSecond, type Ratio } from '../figures/energy.js';
import { carbonGrams, energyCost, energyCostPerToken, type DollarsPerKwh, type GramsPerKwh } from '../figures/money.js';
import type { EnergySums } from '../store/store.js';
import { formatTime } from './times.js';
import { lowCoverage } from './flags.js';
import type { Flag, Row } from './report.js';
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

/** `unasked`: this kind of fact can't be divided by the keys of the question, which is not the same as nothing measured. */
export interface GroupFacts {
  readonly energy: EnergySums | undefined | 'unasked';
  /** The part of `energy` that basis `serving` counts; same as `energy` for basis `all`. */
  readonly counted: EnergySums | undefined | 'unasked';
  readonly tokens: ReadonlyMap<string, number> | 'unasked';
  readonly requests: ReadonlyMap<string, number> | 'unasked';
  /** The phase this row is about, if it is about one. */
  readonly phase: string | null;
  readonly span: Window | undefined;
  /** Present where `from`/`to` were asked for and the energy says something about time: coverage is then of the whole window. */
  readonly askedOfWindow: Seconds | undefined;
}

const present = (sums: EnergySums | undefined | 'unasked'): EnergySums | undefined => (sums === 'unasked' ? undefined : sums);

/** A group seen for no time and without a microjoule (a gap) has no joules, which is not 0 J. A run's totals have joules and no time. */
function drawn(sums: EnergySums | undefined): Joules | null {
  if (!sums || (sums.microjoules === 0n && sums.seconds === 0)) return null;
  return microjoulesToJoules(sums.microjoules);
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
  const measured = terms.boundaries.length > 0 ? `energy was measured at ${terms.boundaries.join(', ')}` : 'no energy was measured at all';
  if (facts.energy !== 'unasked' && (energy === null || energy <= 0)) {
    const subject = over === null ? 'No energy' : 'Tokens without energy';
    flags.push({ code: 'NO_ENERGY', detail: `${subject} at boundary ${terms.boundary ?? 'gpu'}; ${measured}.` });
  } else if (facts.counted !== 'unasked' && (counted === null || counted <= 0)) {
    flags.push({ code: 'NO_SERVING_ENERGY', detail: `All joules here are idle or unknown, which basis 'serving' leaves out of ratios.` });
  }
  if (facts.tokens !== 'unasked' && energy !== null && energy > 0 && (over === null || over <= 0)) {
    const missing = facts.phase === 'prefill' ? 'computed input' : 'output';
    flags.push({ code: 'NO_TOKENS', detail: `Energy without tokens: no ${missing} tokens were counted here, so there is no ratio.` });
  }
  return flags;
}

/** @param told flags of the facts themselves, and why kinds could not be divided */
export function rowOf(group: Row['group'], facts: GroupFacts, terms: Terms, told: readonly Flag[]): Row {
  const sums = present(facts.energy);
  const energy = drawn(sums);
  const counted = drawn(present(facts.counted));
  const token = tokenColumns(facts.tokens);
  const over = facts.phase === 'prefill' ? token.computedInput : token.output;
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
    carbonGrams: carbonGrams(energy, terms.pue, terms.carbon),
    uncertainty: energy === null ? null : uncertaintyOf(sums, present(facts.counted), over, terms),
    flags: [
      ...told,
      ...ratioFlags(facts, terms, energy, counted, over),
      ...(cachedUnknown ? [{ code: 'CACHED_UNKNOWN', detail: 'How many input tokens came from a cache is not known; the ratios are over all input tokens counted.' }] : []),
      ...lowCoverage(covered),
    ],
  };
}
