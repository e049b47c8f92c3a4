/** Which rows there are: the union of the groups that energy, tokens and requests have, found by group. */
import { PHASES } from '@joulebook/shared/slice.js';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { GroupSum, Key } from '../store/store.js';
import { compareRequestValues, isRequestKey } from './request-keys.js';
import type { Window } from './row.js';

/** A row-to-be: its time step and its value per key of the question. */
export interface Group {
  readonly step: EpochMicros;
  readonly values: readonly (string | null)[];
}
export interface Found<V> extends Group, Window {
  readonly value: V;
}
/** `unasked`: this kind can't be divided by the keys of the question. */
export type Index<V> = ReadonlyMap<string, Found<V>> | 'unasked';

export const identity = ({ step, values }: Group): string => JSON.stringify([step, values]);

/** The group as seen by facts that only know the keys `onto`. */
export const project = (group: Group, by: readonly Key[], onto: readonly Key[]): Group => ({ step: group.step, values: onto.map((key) => group.values[by.indexOf(key)] ?? null) });

export function indexEnergy(sums: readonly GroupSum<'energy'>[] | 'unasked'): Index<GroupSum<'energy'>['sums']> {
  return sums === 'unasked' ? sums : new Map(sums.map((sum) => [identity(sum), { ...sum, value: sum.sums }]));
}

/** Counts by group, then by the kind's own last key (token kind, outcome). */
export function indexCounts<K extends 'tokens' | 'requests'>(sums: readonly GroupSum<K>[] | 'unasked', count: (sum: GroupSum<K>) => number): Index<Map<string, number>> {
  if (sums === 'unasked') return sums;
  const index = new Map<string, Found<Map<string, number>>>();
  for (const sum of sums) {
    const group = { step: sum.step, values: sum.values.slice(0, -1) };
    const found = index.get(identity(group));
    const counts = (found?.value ?? new Map<string, number>()).set(sum.values.at(-1) ?? '', count(sum));
    index.set(identity(group), { ...group, ...spanOf(found ? [found, sum] : [sum], sum), value: counts });
  }
  return index;
}

const spanOf = (spans: readonly Window[], first: Window): Window =>
  spans.reduce<Window>((all, { from, to }) => ({ from: from < all.from ? from : all.from, to: to > all.to ? to : all.to }), { from: first.from, to: first.to });

/** From the earliest beginning to the latest end; undefined without any. */
export function hull(spans: readonly Window[]): Window | undefined {
  const first = spans[0];
  return first && spanOf(spans, first);
}

export const stepSpan = (group: Group, step: EpochMicros): Window => ({ from: group.step, to: epochMicros(group.step + step) });

/** What was asked for where it was, else what the facts span. */
export function clip(facts: Window | undefined, { from, to }: { readonly from: EpochMicros | undefined; readonly to: EpochMicros | undefined }): Window | undefined {
  const begin = from ?? facts?.from;
  const end = to ?? facts?.to;
  return begin === undefined || end === undefined ? undefined : { from: begin, to: end };
}

const everyFound = (index: Index<unknown>): readonly (Group & Window)[] => (index === 'unasked' ? [] : [...index.values()]);

/** Every group of any kind, in order. A phase divides energy only: where energy has phases of a group, they stand for its tokens and requests. */
export function groupsOf(by: readonly Key[], energy: Index<unknown>, others: readonly Index<unknown>[]): Group[] {
  const shared = by.filter((key) => key !== 'phase');
  const groups = new Map<string, Group>();
  const covered = new Set<string>();
  const add = (group: Group): void => {
    groups.set(identity(group), group);
    covered.add(identity(project(group, by, shared)));
  };
  for (const { step, values } of everyFound(energy)) add({ step, values });
  for (const group of others.flatMap(everyFound)) if (!covered.has(identity(group))) add(project(group, shared, by));
  return [...groups.values()].toSorted(inOrder(by));
}

/** By step, then by each value: phases as they follow each other, bands as they grow, all else by name; groups without a value come last. */
export const inOrder = (by: readonly Key[]) => (a: Group, b: Group): number => {
  if (a.step !== b.step) return a.step - b.step;
  for (const [index, value] of a.values.entries()) {
    const other = b.values[index] ?? null;
    if (value === other) continue;
    if (value === null) return 1;
    if (other === null) return -1;
    const order = compareValues(by[index], value, other);
    if (order !== 0) return order;
  }
  return 0;
};

function compareValues(key: Key | undefined, a: string, b: string): number {
  if (key === 'phase') return phasePlace(a) - phasePlace(b);
  if (key !== undefined && isRequestKey(key)) return compareRequestValues(a, b);
  return a < b ? -1 : 1;
}

const phasePlace = (phase: string): number => PHASES.findIndex((known) => known === phase);
