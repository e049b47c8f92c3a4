/** Something that is constant for a while, then something else: pieces in order, half-open, none touching the next with an equal value. */
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';

export interface Span {
  readonly from: EpochMicros;
  readonly to: EpochMicros;
}
export interface Piece<T> extends Span {
  readonly value: T;
}

/** Whose value is known at every moment of a span: pieces without gaps, from its beginning to its end. */
export type Over<T> = (span: Span) => readonly Piece<T>[];

/** Neighbours with one value become one piece; empty ones go. */
export function joined<T>(pieces: readonly Piece<T>[], same: (a: T, b: T) => boolean = Object.is): Piece<T>[] {
  const result: Piece<T>[] = [];
  for (const piece of pieces) {
    if (piece.to <= piece.from) continue;
    const last = result.at(-1);
    if (last && last.to === piece.from && same(last.value, piece.value)) result[result.length - 1] = { ...last, to: piece.to };
    else result.push(piece);
  }
  return result;
}

export const always = <T>(value: T): Over<T> => ({ from, to }) => [{ from, to, value }];

/** The span without gaps: `otherwise` where none of the pieces is, which are in order and apart. */
export function filled<T>(pieces: readonly Piece<T>[], otherwise: T, { from, to }: Span): Piece<T>[] {
  const result: Piece<T>[] = [];
  let begin = from;
  for (const piece of pieces) {
    if (piece.to <= begin || piece.from >= to) continue;
    if (piece.from > begin) result.push({ from: begin, to: piece.from, value: otherwise });
    const until = epochMicros(Math.min(piece.to, to));
    result.push({ from: epochMicros(Math.max(piece.from, begin)), to: until, value: piece.value });
    begin = until;
  }
  if (begin < to) result.push({ from: begin, to, value: otherwise });
  return result;
}

/** Cut wherever one of them changes. */
export function overlay<A, B, C>(first: readonly Piece<A>[], second: readonly Piece<B>[], combine: (a: A, b: B) => C): Piece<C>[] {
  const result: Piece<C>[] = [];
  for (let a = 0, b = 0; ; ) {
    const [left, right] = [first[a], second[b]];
    if (!left || !right) return result;
    const from = epochMicros(Math.max(left.from, right.from));
    const to = epochMicros(Math.min(left.to, right.to));
    if (from < to) result.push({ from, to, value: combine(left.value, right.value) });
    if (left.to <= to) a += 1;
    if (right.to <= to) b += 1;
  }
}
