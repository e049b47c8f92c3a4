/** Which entry of a book a fact belongs to: every key that an entry names has one of its values. */
import type { Where } from './where.js';

/** What a group of facts says of itself, by dimension or label. */
export type Said = (key: string) => string | null;

export const fitsWhere = (where: Where, said: Said): boolean => Object.entries(where).every(([key, values]) => values.includes(said(key) ?? ''));

/** Keys that entries ask for: sums have to be grouped by them before an entry can be chosen. */
export const keysAsked = (entries: readonly { readonly where: Where }[]): string[] => [...new Set(entries.flatMap(({ where }) => Object.keys(where)))].toSorted();
