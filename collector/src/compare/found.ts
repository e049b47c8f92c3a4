/** What is found on the way from a question to its answer. */
import type { EpochMicros } from '@joulebook/shared/units.js';
import type { Book } from '../book/book.js';
import type { Reason } from './answer.js';
import type { Blocks } from './blocks.js';
import { added, type Cell, type CellSums } from './cells.js';
import type { Block, BlockAnswer, Design } from './method/compare-blocks.js';
import type { Metric } from './metrics.js';
import type { CompareRequest } from './question.js';
import type { Told } from './sides.js';

export type Pair<T> = readonly [a: T, b: T];

/** One side, by time. */
export interface Measured {
  readonly told: Told;
  readonly cells: readonly Cell[];
  readonly blocksOf: Blocks;
  /** Of the metric that is asked for. */
  readonly blocks: readonly Block[];
  /** Of all cells. */
  readonly sums: CellSums;
}

export interface Compared {
  readonly metric: Metric;
  readonly answer: BlockAnswer;
  /** What stands against an answer by this metric alone. */
  readonly refused: readonly Reason[];
}

export interface Found {
  readonly request: CompareRequest;
  readonly book: Book;
  readonly sides: Pair<Measured>;
  readonly design: Design;
  /** Null for runs. */
  readonly step: EpochMicros | null;
  readonly main: Compared;
  readonly others: readonly Compared[];
  /** Only qualify the answer; what a measure was refused for makes the sides not comparable by it, and of the main one by any. */
  readonly notes: readonly Reason[];
}

/** The interval that a verdict rests on: whoever looks again and again is told the one that holds at every look. */
export const restsOn = <T>({ ci95, alwaysValid }: { readonly ci95: T | null; readonly alwaysValid: T | null }, sequential: boolean): T | null => (sequential ? alwaysValid : ci95);

export const totalOf = (cells: readonly Cell[]): CellSums => cells.reduce<CellSums>((sum, cell) => added(sum, cell.sums), {});

/** s in which the side ran, on one node or on many. */
export function secondsOf({ cells }: Pick<Measured, 'cells'>): number {
  const steps = new Map<number, { readonly from: number; readonly to: number }>();
  for (const { step, from, to } of cells) {
    const known = steps.get(step);
    steps.set(step, { from: Math.min(from, known?.from ?? from), to: Math.max(to, known?.to ?? to) });
  }
  return [...steps.values()].reduce((sum, { from, to }) => sum + to - from, 0) / 1e6;
}
