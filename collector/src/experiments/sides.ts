/**
 * Which times of an experiment are of which side. A is the time before each turn on the same nodes, or, where other nodes stay as
 * they are, the same time on those:
 *
 *     switch          on            off          on        off
 *     nodes    AAAAAAA│··BBBBBBBBBBB│··AAAAAAAAAA│··BBBBBBB│           ·· settling: of no side
 *
 *     nodes           │··BBBBBBBBBBB│            │··BBBBBBB│
 *     against         │··AAAAAAAAAAA│            │··AAAAAAA│
 *
 * Ends are moved inwards to whole minutes, which sums by minute answer.
 */
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { Extent } from '../store/store.js';
import type { Experiment } from './mark.js';

const MINUTE = 60e6;
/** What is younger may still be on its way: slices take 10 s to fill and some to arrive. */
export const YOUNGEST_MICROS = MINUTE;

export interface Sides {
  readonly a: readonly Extent[];
  readonly b: readonly Extent[];
  /** After each switch. */
  readonly settling: readonly Extent[];
}

function inward(from: number, to: number): Extent[] {
  const [first, last] = [Math.ceil(from / MINUTE) * MINUTE, Math.floor(to / MINUTE) * MINUTE];
  return first < last ? [{ from: epochMicros(first), to: epochMicros(last) }] : [];
}

export function sidesOf({ turns, definition: { settle, before, against } }: Experiment, now: EpochMicros): Sides {
  const until = now - YOUNGEST_MICROS;
  const [settling, reach] = [settle * 1e6, before * 1e6];
  const b = turns.flatMap(({ from, to }) => inward(from + settling, to ?? until));
  const switches = turns.flatMap(({ from, to }, index): number[] => [from, ...(to !== null && index < turns.length - 1 ? [to] : [])]);
  const told = settle === 0 ? [] : switches.map((at, index) => ({ from: epochMicros(at), to: epochMicros(Math.min(at + settling, switches[index + 1] ?? Infinity)) }));
  if (against.length > 0) return { a: b, b, settling: told };
  const a = turns.flatMap(({ from }, index) => {
    const off = turns[index - 1]?.to ?? undefined;
    return inward(Math.max(from - reach, off === undefined ? 0 : off + settling), from);
  });
  return { a, b, settling: told };
}

/** Without what was before. */
export const since = (ranges: readonly Extent[], first: EpochMicros): readonly Extent[] => ranges.flatMap(({ from, to }) => inward(Math.max(from, first), to));

/** Where A is other nodes: what they did before the first turn. */
export const controlBefore = ({ turns: [first], definition: { before } }: Experiment): readonly Extent[] => (first ? inward(Math.max(0, first.from - before * 1e6), first.from) : []);

/** The first and the second half of what was measured. */
export function halvesOf(ranges: readonly Extent[]): readonly [first: readonly Extent[], second: readonly Extent[]] {
  const half = ranges.reduce((sum, { from, to }) => sum + to - from, 0) / 2;
  let before = 0;
  const cut = ranges.map(({ from, to }) => {
    const at = Math.min(to, Math.max(from, Math.floor((from + half - before) / MINUTE) * MINUTE));
    before += to - from;
    return { from, at: epochMicros(at), to };
  });
  return [cut.flatMap(({ from, at }) => (from < at ? [{ from, to: at }] : [])), cut.flatMap(({ at, to }) => (at < to ? [{ from: at, to }] : []))];
}

export const secondsOf = (ranges: readonly Extent[]): number => ranges.reduce((sum, { from, to }) => sum + to - from, 0) / 1e6;
