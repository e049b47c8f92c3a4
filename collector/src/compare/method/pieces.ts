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

export const durationOf = (blocks: readonly Block[]): number => blocks.reduce((sum, { from, to }) => sum + to - from, 0);

/** So many pieces at most that each holds the same whole number of things: 48 things in 32 pieces would be 1, 2, 1, 2 … of them. */
const evenly = (things: number, most: number): number => Math.ceil(things / Math.ceil(things / most));

/** Indices of blocks in order of time. */
const inOrder = (blocks: readonly Block[]): number[] => blocks.map((_, index) => index).toSorted((one, other) => (blocks[one]?.from ?? 0) - (blocks[other]?.from ?? 0));

/** The blocks in order of time, cut into stretches of equal length; those that hold no block do not count. @returns how many there are */
function cut(blocks: readonly Block[], wanted: number, assign: (index: number, piece: number) => void): number {
  const whole = durationOf(blocks);
  let [before, piece, last] = [0, -1, -1];
  for (const index of inOrder(blocks)) {
    const block = blocks[index];
    if (!block) continue;
    const length = block.to - block.from;
    const stretch = Math.min(wanted - 1, Math.floor((wanted * (before + length / 2)) / whole));
    before += length;
    if (stretch !== last) [piece, last] = [piece + 1, stretch];
    assign(index, piece);
  }
  return piece + 1;
}

/** Each side by itself. */
function apart(a: readonly Block[], b: readonly Block[], wanted: readonly [number, number]): Pieces {
  const pieceOf = new Int32Array(a.length + b.length);
  const ofA = cut(a, wanted[0], (index, piece) => (pieceOf[index] = piece));
  const ofB = cut(b, wanted[1], (index, piece) => (pieceOf[a.length + index] = ofA + piece));
  return { pieceOf, strata: [{ first: 0, count: ofA }, { first: ofA, count: ofB }], count: ofA + ofB, paired: false, memory: 'drift' };
}

/** Pieces of one length on both sides, so that one correlation says of both how alike neighbours are. */
function stretches(a: readonly Block[], b: readonly Block[]): Pieces {
  const [first, second] = [durationOf(a), durationOf(b)];
  const length = Math.max(Math.min(first, second) / PIECES, Math.max(first, second) / MOST_PIECES);
  const wanted = (duration: number, blocks: readonly Block[]): number => evenly(blocks.length, Math.max(1, Math.round(duration / length)));
  return apart(a, b, [wanted(first, a), wanted(second, b)]);
}

/** Blocks that begin together are never parted. */
function together(a: readonly Block[], b: readonly Block[]): Pieces {
  const all = [...a, ...b];
  const begins = [...new Set(all.map(({ from }) => from))].toSorted((one, other) => one - other);
  const count = evenly(begins.length, PIECES);
  const pieceAt = new Map(begins.map((from, index) => [from, Math.floor((count * index) / begins.length)]));
  return { pieceOf: Int32Array.from(all, ({ from }) => pieceAt.get(from) ?? 0), strata: [{ first: 0, count }], count, paired: true, memory: 'drift' };
}

/** Turn 0 and 1 are the first cycle, 2 and 3 the second; one without its other belongs to the cycle before. */
function cycles(a: readonly Block[], b: readonly Block[]): Pieces {
  const all = [...a, ...b];
  const turnOf = new Int32Array(all.length);
  let [turn, last] = [-1, -1];
  for (const index of inOrder(all)) {
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
