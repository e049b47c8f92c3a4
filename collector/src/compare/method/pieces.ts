/**
 * Blocks next to each other are alike, so errors are not told from blocks but from longer pieces of time that are made of them
 * (batch means: Schmeiser 1982, Oper. Res. 30:556). What a piece is depends on the design:
 *
 *   runs          a│a│a│a  b│b│b│b       a run each
 *   before-after  aaaa│aaaa│aaaa  bbbb│bbbb│bbbb     stretches of one side, of one length on both
 *   parallel      aaaa│aaaa│aaaa         stretches of both sides together: what drifts on both alike cancels in each piece
 *                 bbbb│bbbb│bbbb
 *   switchback    aabb│aabb│aabb         a turn of A and the turn of B after it: the drift that both saw cancels
 */
import type { Block, Design } from './block.js';

/**
 * What neighbouring pieces may have in common: nothing (runs, nodes); what drifts; or what drifts while sides take turns, where each
 * turn lies between two of the other side, so that a piece that is too high is followed by one that is too low.
 */
export type Memory = 'none' | 'drift' | 'turns';

/** Pieces that are like each other: numbers first … first + count − 1. */
export interface Stratum {
  readonly first: number;
  readonly count: number;
}

export interface Pieces {
  /** Number of the piece of each block, of A's blocks and then of B's. */
  readonly pieceOf: Int32Array;
  readonly strata: readonly Stratum[];
  readonly count: number;
  /** Whether a piece holds blocks of both sides, which are held against each other in it. */
  readonly paired: boolean;
  readonly memory: Memory;
}

/** Enough for Student's t to be near the normal; more would be shorter, and so more alike. */
export const PIECES = 32;
/** Of the longer side, when it is much longer than the other. */
const MOST_PIECES = 96;
/** Fewer turns of both sides say little about how turns differ. */
export const LEAST_CYCLES = 8;

/** When blocks begin, in order: those of several nodes that begin together are one slot, until the next one begins or nothing is measured any more. */
interface Slot {
  readonly from: number;
  readonly length: number;
}

function slotsOf(blocks: readonly Block[]): Slot[] {
  const ends = new Map<number, number>();
  for (const { from, to } of blocks) ends.set(from, Math.max(to, ends.get(from) ?? to));
  const order = [...ends].toSorted(([one], [other]) => one - other);
  let reached = -Infinity;
  return order.map(([from, to], index) => {
    reached = Math.max(reached, to);
    return { from, length: Math.min(reached, order[index + 1]?.[0] ?? reached) - from };
  });
}

const lengthOf = (slots: readonly Slot[]): number => slots.reduce((sum, { length }) => sum + length, 0);

/** µs that were measured, however many nodes it was. */
export const durationOf = (blocks: readonly Block[]): number => lengthOf(slotsOf(blocks));

/** So many pieces at most that each holds the same whole number of slots: 48 slots in 32 pieces would be 1, 2, 1, 2 … of them. */
const evenly = (slots: number, most: number): number => Math.ceil(slots / Math.ceil(slots / most));

interface Cut {
  /** Piece of each beginning. */
  readonly pieceAt: ReadonlyMap<number, number>;
  readonly count: number;
}

/** Into stretches of equal length, of time that was measured; those that hold no slot do not count. */
function cut(slots: readonly Slot[], most: number): Cut {
  const [wanted, whole] = [evenly(slots.length, most), lengthOf(slots)];
  const pieceAt = new Map<number, number>();
  let [before, piece, last] = [0, -1, -1];
  for (const { from, length } of slots) {
    const stretch = Math.min(wanted - 1, Math.floor((wanted * (before + length / 2)) / whole));
    before += length;
    if (stretch !== last) [piece, last] = [piece + 1, stretch];
    pieceAt.set(from, piece);
  }
  return { pieceAt, count: piece + 1 };
}

const numbersOf = (blocks: readonly Block[], { pieceAt }: Cut, first = 0): number[] => blocks.map(({ from }) => first + (pieceAt.get(from) ?? 0));

/** Of each side by itself, pieces of one length on both, so that one correlation says how alike neighbours are. */
function stretches(a: readonly Block[], b: readonly Block[]): Pieces {
  const [ofA, ofB] = [slotsOf(a), slotsOf(b)];
  const [first, second] = [lengthOf(ofA), lengthOf(ofB)];
  const length = Math.max(Math.min(first, second) / PIECES, Math.max(first, second) / MOST_PIECES);
  const [cutA, cutB] = [cut(ofA, Math.max(1, Math.round(first / length))), cut(ofB, Math.max(1, Math.round(second / length)))];
  return {
    pieceOf: Int32Array.from([...numbersOf(a, cutA), ...numbersOf(b, cutB, cutA.count)]),
    strata: [{ first: 0, count: cutA.count }, { first: cutA.count, count: cutB.count }], count: cutA.count + cutB.count, paired: false, memory: 'drift',
  };
}

/** Of both sides together. */
function together(a: readonly Block[], b: readonly Block[]): Pieces {
  const all = [...a, ...b];
  const found = cut(slotsOf(all), PIECES);
  return { pieceOf: Int32Array.from(numbersOf(all, found)), strata: [{ first: 0, count: found.count }], count: found.count, paired: true, memory: 'drift' };
}

/** Turn 0 and 1 are the first cycle, 2 and 3 the second; one without its other belongs to the cycle before. */
function cycles(a: readonly Block[], b: readonly Block[]): Pieces {
  const all = [...a, ...b];
  const turnOf = new Int32Array(all.length);
  let [turn, last] = [-1, -1];
  const order = all.map((_, index) => index).toSorted((one, other) => (all[one]?.from ?? 0) - (all[other]?.from ?? 0));
  for (const index of order) {
    const side = index < a.length ? 0 : 1;
    if (side !== last) [turn, last] = [turn + 1, side];
    turnOf[index] = turn;
  }
  const count = Math.floor((turn + 1) / 2);
  const joined = Math.min(count, PIECES);
  const pieceOf = turnOf.map((each) => Math.floor((joined * Math.min(count - 1, Math.floor(each / 2))) / count));
  return { pieceOf, strata: [{ first: 0, count: joined }], count: joined, paired: true, memory: 'turns' };
}

const runs = (a: readonly Block[], b: readonly Block[]): Pieces =>
  ({ pieceOf: Int32Array.from([...a, ...b].keys()), strata: [{ first: 0, count: a.length }, { first: a.length, count: b.length }], count: a.length + b.length, paired: false, memory: 'none' });

function turns(a: readonly Block[], b: readonly Block[]): Pieces {
  const found = cycles(a, b);
  return found.count < LEAST_CYCLES ? stretches(a, b) : found;
}

const CUTS: Readonly<Record<Design, (a: readonly Block[], b: readonly Block[]) => Pieces>> = {
  runs,
  'before-after': stretches,
  parallel: together,
  switchback: turns,
};

export const piecesOf = (a: readonly Block[], b: readonly Block[], design: Design): Pieces => CUTS[design](a, b);

/** A number per unit, in the order in which they are met. */
function numbered(blocks: readonly Block[]): readonly (number | undefined)[] {
  const known = new Map<string, number>();
  return blocks.map(({ unit }) => {
    if (unit === undefined) return undefined;
    if (!known.has(unit)) known.set(unit, known.size);
    return known.get(unit);
  });
}

/** A piece for each unit (node) of each side; undefined unless every block names one and each side has two of them. */
export function unitsOf(a: readonly Block[], b: readonly Block[]): Pieces | undefined {
  const [ofA, ofB] = [numbered(a), numbered(b)];
  const [first, second] = [new Set(ofA).size, new Set(ofB).size];
  if (ofA.includes(undefined) || ofB.includes(undefined) || first < 2 || second < 2) return undefined;
  const pieceOf = Int32Array.from([...ofA.map((unit) => unit ?? 0), ...ofB.map((unit) => first + (unit ?? 0))]);
  return { pieceOf, strata: [{ first: 0, count: first }, { first, count: second }], count: first + second, paired: false, memory: 'none' };
}
