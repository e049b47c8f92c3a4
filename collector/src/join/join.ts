/**
 * Sums of the kinds, each grouped its own way, become rows. Energy, tokens and requests meet here for the first time.
 *
 *   energy   by …keys                 ┐
 *   tokens   by …keys, token          ├▶ one row per group that any of them has
 *   requests by …keys, outcome        ┘
 *
 * A phase divides energy only: tokens and requests of the rest of the group are repeated in each of its phases. Any
 * other key that a kind lacks can't divide it: its columns are null and a flag says so.
 */
import { epochMicros, microjoulesToJoules, seconds, type EpochMicros } from '@joulebook/shared/units.js';
import { divides, type GroupSum, type Key } from '../store/store.js';
import { flagsByGroup, keyName } from './flags.js';
import { clip, groupsOf, hull, identity, indexCounts, indexEnergy, project, stepSpan, type Group, type Index } from './groups.js';
import { onePhase, phasesByGroup } from './phases.js';
import type { Flag, Row } from './report.js';
import { rowOf, type GroupFacts, type Terms, type Window } from './row.js';
import { costsOf } from './costs.js';
import { partsOf } from './subgroups.js';
import { judged, type Judging } from './usefulness-parts.js';
import { UNVALUED, valuedBy } from './worth.js';
import type { CostText } from '../book/schema.js';

export type JoinedKind = 'energy' | 'tokens' | 'requests';
const JOINED = ['energy', 'tokens', 'requests'] as const satisfies readonly JoinedKind[];

export interface Question {
  readonly by: readonly Key[];
  /** Keys of filters: a filter that a kind can't follow leaves it unasked. */
  readonly filtered: readonly Key[];
  readonly step: EpochMicros | undefined;
  /** The phase a filter pins every row to. */
  readonly phase: string | null;
  /** As asked for; either may be missing. */
  readonly from: EpochMicros | undefined;
  readonly to: EpochMicros | undefined;
}

export interface Sums {
  readonly energy: readonly GroupSum<'energy'>[] | 'unasked';
  /** What ratios divide by: `energy`, or the part of it that basis `serving` counts. */
  readonly counted: readonly GroupSum<'energy'>[] | 'unasked';
  /** Grouped by the keys of the question, of its bounds: where it names a range and energy can be divided by its keys. */
  readonly asked: readonly GroupSum<'asked'>[] | undefined;
  /** Grouped by the keys of the question, then `phase`; undefined where phase is one of them, or energy is unasked. */
  readonly phases: readonly GroupSum<'booked'>[] | undefined;
  /** Grouped by the keys tokens have, then `token`. */
  readonly tokens: readonly GroupSum<'tokens'>[] | 'unasked';
  /** Grouped by the keys requests have, then `outcome`. */
  readonly requests: readonly GroupSum<'requests'>[] | 'unasked';
  /** By the keys of the question; where joules are not worth the same at all times and sites. */
  readonly weighed?: { readonly all: readonly GroupSum<'weighed'>[]; readonly counted: readonly GroupSum<'weighed'>[] } | undefined;
  readonly spent?: Spent | undefined;
  readonly judging?: JudgedBy | undefined;
  /** Grouped by `flagKeys`. */
  readonly flags: readonly GroupSum<'flag'>[];
  readonly flagKeys: readonly Key[];
}

/** GPU time and what it is charged. */
export interface Spent {
  readonly entries: readonly CostText[];
  /** What entries ask about. */
  readonly extra: readonly Key[];
  /** By the keys of the question, then those; and of everything in the same time, by those alone. */
  readonly own: readonly GroupSum<'booked'>[];
  readonly all: readonly GroupSum<'booked'>[];
}

/** What usefulness is judged by. */
export interface JudgedBy extends Judging {
  readonly requestKeys: readonly Key[];
  /** By the keys that requests have, then `requestKeys`. */
  readonly requests: readonly GroupSum<'requests'>[];
  readonly tokenKeys: readonly Key[];
  /** By the keys that tokens have, then `tokenKeys`; empty without ratios. */
  readonly tokens: readonly GroupSum<'tokens'>[];
}

/** Keys by which facts of this kind can't be divided. */
const undividable = (kind: JoinedKind, keys: readonly Key[]): Key[] => keys.filter((key) => !divides(kind, key) && (kind === 'energy' || key !== 'phase'));

export const isAsked = (kind: JoinedKind, { by, filtered }: Question): boolean => undividable(kind, [...by, ...filtered]).length === 0;

export const whyUnasked = ({ by, filtered }: Question): Flag[] =>
  JOINED.flatMap((kind) =>
    [...new Set(undividable(kind, [...by, ...filtered]))].map((key) => ({
      code: `${kind}_not_per_${keyName(key)}`.toUpperCase(),
      detail: `${kind === 'energy' ? 'Energy' : kind === 'tokens' ? 'Tokens' : 'Requests'} can't be divided by ${keyName(key)}; these columns are empty.`,
    })),
  );

const lookUp = <V>(index: Index<V>, group: Group) => (index === 'unasked' ? index : index.get(identity(group)));
const present = <T extends object>(found: T | undefined | 'unasked'): T[] => (found === undefined || found === 'unasked' ? [] : [found]);
const valueOf = <V>(found: { readonly value: V } | undefined | 'unasked', none: V): V | 'unasked' => (found === 'unasked' ? found : (found?.value ?? none));

export interface Joined {
  readonly rows: readonly Row[];
  /** As asked, where not asked what the facts span; undefined without facts and question. */
  readonly bounds: Window | undefined;
}

/** As asked, where not asked what the facts span. */
export const boundsOf = (question: Question, { energy, tokens, requests }: Pick<Sums, JoinedKind>): Window | undefined =>
  clip(hull([energy, tokens, requests].flatMap((sums): readonly Window[] => (sums === 'unasked' ? [] : sums))), question);

type Extras = Pick<GroupFacts, 'worth' | 'costs' | 'gpuSeconds' | 'judged'>;

/** What a row has beside energy, tokens and requests: worth, costs and usefulness. */
function extrasOf({ by, step }: Question, { weighed, spent, judging, energy }: Sums, bounds: Window | undefined): (group: Group, rest: Group) => Extras {
  const all = indexEnergy(energy);
  const [weighedAll, weighedCounted] = [weighed?.all ?? [], weighed?.counted ?? []].map((sums) => new Map(sums.map((sum) => [identity(sum), sum.sums])));
  const width = by.length;
  const shared = by.filter((key) => key !== 'phase').length;
  const own = spent && partsOf(spent.own, width, spent.extra);
  const everything = spent && partsOf(spent.all, 0, spent.extra);
  const requests = judging && partsOf(judging.requests, shared, judging.requestKeys);
  const tokens = judging && partsOf(judging.tokens, shared, judging.tokenKeys);
  return (group, rest) => {
    const key = identity(group);
    const found = all === 'unasked' ? undefined : all.get(key)?.value;
    const drawn = found ? microjoulesToJoules(found.microjoules) : null;
    const [wholeWorth, countedWorth] = [weighedAll?.get(key), weighedCounted?.get(key)];
    const parts = own?.(group) ?? [];
    const span = step === undefined ? bounds : stepSpan(group, step);
    return {
      worth: weighed && { all: wholeWorth ? valuedBy(wholeWorth, drawn) : UNVALUED, counted: countedWorth ? valuedBy(countedWorth, drawn) : UNVALUED },
      costs: spent && span ? costsOf(spent.entries, parts, everything?.({ step: group.step, values: [] }) ?? [], seconds((span.to - span.from) / 1e6)) : null,
      gpuSeconds: spent ? seconds(parts.reduce((sum, { sum: { sums: { askedSeconds } } }) => sum + askedSeconds, 0)) : null,
      ...(judging && { judged: judged(requests?.(rest) ?? [], tokens?.(rest) ?? [], judging) }),
    };
  };
}

export function join(question: Question, sums: Sums, terms: Terms): Joined {
  const { by, step } = question;
  const energy = indexEnergy(sums.energy);
  const counted = indexEnergy(sums.counted);
  const tokens = indexCounts(sums.tokens, ({ sums: { count } }) => count);
  const requests = indexCounts(sums.requests, ({ sums: { requests: ended } }) => ended);
  const phasesOf = phasesByGroup(sums.phases ?? []);
  const unasked = whyUnasked(question);
  const shared = by.filter((key) => key !== 'phase');
  const askedOf = new Map(sums.asked?.map((asked) => [identity(asked), asked.sums.askedOfWindow]));
  const flagsOf = flagsByGroup(sums.flags, sums.flagKeys, by);
  const bounds = boundsOf(question, sums);
  const extras = extrasOf(question, sums, bounds);
  // The whole without time steps is a row even when nothing was measured: it says so.
  const groups: Group[] = by.length === 0 && step === undefined ? [{ step: epochMicros(0), values: [] }] : groupsOf(by, energy, [tokens, requests]);

  const rows = groups.map((group) => {
    const values = new Map(by.map((key, index) => [key, group.values[index] ?? null]));
    const rest = project(group, by, shared);
    const own = { energy: lookUp(energy, group), tokens: lookUp(tokens, rest), requests: lookUp(requests, rest) };
    const span = step === undefined ? clip(hull([...present(own.energy), ...present(own.tokens), ...present(own.requests)]), question) : stepSpan(group, step);
    return rowOf(
      Object.fromEntries([...values].map(([key, value]) => [keyName(key), value])),
      {
        energy: valueOf(own.energy, undefined),
        counted: valueOf(lookUp(counted, group), undefined),
        tokens: valueOf(own.tokens, new Map()),
        countedTokens: valueOf(own.tokens, new Map()),
        phases: by.includes('phase') ? onePhase(values.get('phase') ?? null, own.energy === 'unasked' ? undefined : own.energy?.value.microjoules) : phasesOf(group),
        requests: valueOf(own.requests, new Map()),
        phase: values.get('phase') ?? question.phase,
        span,
        askedOfWindow: askedOf.get(identity(group)),
        ...extras(group, rest),
      },
      terms,
      [...flagsOf(group), ...unasked],
    );
  });
  return { rows, bounds };
}
