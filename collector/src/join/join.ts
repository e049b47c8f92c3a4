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
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { divides, type GroupSum, type Key } from '../store/store.js';
import { flagsByGroup, keyName } from './flags.js';
import { clip, groupsOf, hull, identity, indexCounts, indexEnergy, project, stepSpan, type Group, type Index } from './groups.js';
import { onePhase, phasesByGroup } from './phases.js';
import type { Flag, Row } from './report.js';
import { rowOf, type Terms, type Window } from './row.js';

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
  /** Grouped by `flagKeys`. */
  readonly flags: readonly GroupSum<'flag'>[];
  readonly flagKeys: readonly Key[];
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
      },
      terms,
      [...flagsOf(group), ...unasked],
    );
  });
  return { rows, bounds: boundsOf(question, sums) };
}
