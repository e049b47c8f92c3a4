/**
 * What a provider has told as a series. Where it has not told the newest time yet, its last value stands in for a while, and is known
 * to do so; a gap between values stays a gap.
 *
 *     told      ├ 380 ┤├ 395 ┤      ├ 410 ┤
 *     value     ├ 380 ┤├ 395 ┤ null ├ 410 ┤├ 410, the last ┄┄┄┄ lastGoodFor ┤ null
 */
import { isDeepStrictEqual } from 'node:util';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { always, filled, joined, type Over, type Piece } from './pieces.js';
import type { Reported } from './provider.js';
import { fromPieces } from './series.js';

/** Why a value is not as sure as one that is said or measured. */
export type Doubt =
  | { readonly kind: 'estimated' }
  /** The last one, of the time that ended at `since`. */
  | { readonly kind: 'last'; readonly of: string; readonly since: EpochMicros }
  /** There is none. */
  | { readonly kind: 'untold'; readonly of: string };

export interface Provided {
  readonly value: Over<number | null>;
  readonly doubt: Over<Doubt | null>;
}

export const sameDoubt = (a: Doubt | null, b: Doubt | null): boolean => isDeepStrictEqual(a, b);

/** Without a provider nothing is in doubt. */
export const undoubted = (value: Over<number | null>): Provided => ({ value, doubt: always(null) });

/**
 * @param reported in order and apart, as it is when it is asked
 * @param lastGoodFor s
 */
export function provided(of: string, reported: () => readonly Reported[], lastGoodFor: number): Provided {
  const last = (all: readonly Reported[]): Piece<number> | undefined => {
    const newest = all.at(-1);
    return newest && { from: newest.to, to: epochMicros(newest.to + lastGoodFor * 1e6), value: newest.grams };
  };
  return {
    value(span) {
      const all = reported();
      const tail = last(all);
      return fromPieces([...all.map(({ from, to, grams }) => ({ from, to, value: grams })), ...(tail ? [tail] : [])])(span);
    },
    doubt(span) {
      const all = reported();
      const tail = last(all);
      const pieces = all.map(({ from, to, estimated }): Piece<Doubt | null> => ({ from, to, value: estimated ? { kind: 'estimated' } : null }));
      if (tail) pieces.push({ from: tail.from, to: tail.to, value: { kind: 'last', of, since: tail.from } });
      return joined(filled<Doubt | null>(pieces, { kind: 'untold', of }, span), sameDoubt);
    },
  };
}
