/**
 * What entries of a book ask about may be finer than the rows of a question: sums are asked by the keys of both, and each row
 * is made of parts.
 */
import type { Said } from '../book/fitting.js';
import { DIMENSIONS, type FactKind, type GroupSum, type Key } from '../store/store.js';
import { keyName } from './flags.js';
import { identity, type Group } from './groups.js';

export interface Part<K extends FactKind> {
  readonly said: Said;
  readonly sum: GroupSum<K>;
}

const isDimension = (name: string): boolean => Object.values(DIMENSIONS).some((names: readonly string[]) => names.includes(name));

/** A key of a book's `where`; undefined where facts of this kind can't be divided by it. */
export function keyOf(kind: FactKind, name: string): Key | undefined {
  const known = DIMENSIONS[kind].find((dimension) => dimension === name);
  return known ?? (isDimension(name) ? undefined : { label: name });
}

export const dividing = (kind: FactKind, names: readonly string[]): Key[] => names.flatMap((name) => keyOf(kind, name) ?? []);

/** @param sums grouped by the keys of the rows, of which there are `width`, then by `extra` */
export function partsOf<K extends FactKind>(sums: readonly GroupSum<K>[], width: number, extra: readonly Key[]): (group: Group) => readonly Part<K>[] {
  const names = extra.map(keyName);
  const groups = new Map<string, Part<K>[]>();
  for (const sum of sums) {
    const key = identity({ step: sum.step, values: sum.values.slice(0, width) });
    // A key that was not asked for says nothing: before the first of `extra` are the row's own.
    const part: Part<K> = { sum, said: (name) => (names.includes(name) ? (sum.values[width + names.indexOf(name)] ?? null) : null) };
    const found = groups.get(key);
    if (found) found.push(part);
    else groups.set(key, [part]);
  }
  return (group) => groups.get(identity(group)) ?? [];
}
