/**
 * What a store has accepted of each stream, as runs of sequences. The low-water mark is where the first run ends; what lies
 * between two runs is missing: still on its way, or lost.
 *
 *     stream 3f…  0 ──────── 611   614 ─────── 902
 *                            ↑ 612 is the mark; 612–613 are missing since 614 came
 *
 * Contents are not kept here but beside the facts (duckdb-ledger.ts).
 */
import type { EpochMicros } from '@joulebook/shared/units.js';

/** Both ends included. */
export interface Run {
  readonly first: number;
  readonly last: number;
  /** When the first batch of it was accepted. */
  readonly since: EpochMicros;
}

/** Sequences that a stream numbered and the store does not have. Both ends included. */
export interface Missing {
  readonly first: number;
  readonly last: number;
  /** When a later batch was accepted, which is when these were noticed to be missing. */
  readonly since: EpochMicros;
}

export interface StreamSeen {
  readonly stream: string;
  /** That sent it last. */
  readonly node: string;
  /** Everything below is accepted. Never goes back and is never forgotten. */
  readonly lowWater: number;
  /** The highest sequence accepted. */
  readonly highest: number;
  readonly lastSeen: EpochMicros;
  readonly missing: readonly Missing[];
}

/** A stream with more gaps is no agent's: it is told to begin another, so that what is kept of it stays small. */
export const MOST_RUNS = 1000;

export interface StreamRuns {
  readonly node: string;
  readonly lastSeen: EpochMicros;
  /** Sorted, apart by at least one sequence. */
  readonly runs: readonly Run[];
}

/** The run that holds the sequence, or where one would be put in: `runs[index]` ends at or behind it. */
function indexOf(runs: readonly Run[], sequence: number): number {
  let [low, high] = [0, runs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((runs[middle]?.last ?? Infinity) < sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function holds(runs: readonly Run[], sequence: number): boolean {
  const run = runs[indexOf(runs, sequence)];
  return run !== undefined && run.first <= sequence;
}

/** @returns the same runs where the sequence is in one of them already */
export function joinedBy(runs: readonly Run[], sequence: number, at: EpochMicros): readonly Run[] {
  const index = indexOf(runs, sequence);
  const behind = runs[index];
  if (behind && behind.first <= sequence) return runs;
  const before = runs[index - 1]?.last === sequence - 1 ? runs[index - 1] : undefined;
  const after = behind?.first === sequence + 1 ? behind : undefined;
  const run: Run = { first: before?.first ?? sequence, last: after?.last ?? sequence, since: before?.since ?? after?.since ?? at };
  return [...runs.slice(0, before ? index - 1 : index), run, ...runs.slice(after ? index + 1 : index)];
}

export function missingIn(runs: readonly Run[]): Missing[] {
  return runs.flatMap(({ first, since }, index) => {
    const next = index === 0 ? 0 : (runs[index - 1]?.last ?? 0) + 1;
    return next < first ? [{ first: next, last: first - 1, since }] : [];
  });
}

export interface Lacking {
  readonly count: number;
  readonly since: EpochMicros;
}

/** Only nodes of which something is missing. */
export function missingByNode(streams: readonly StreamSeen[]): Map<string, Lacking> {
  const nodes = new Map<string, Lacking>();
  for (const { node, missing } of streams) {
    for (const { first, last, since } of missing) {
      const known = nodes.get(node);
      nodes.set(node, { count: (known?.count ?? 0) + last - first + 1, since: known && known.since < since ? known.since : since });
    }
  }
  return nodes;
}

/** The marks of all streams of a store. What is accepted stands once `keep` was called; `forget` takes it back. */
export class Ledger {
  readonly #streams: Map<string, StreamRuns>;
  #undo: (() => void)[] = [];

  constructor(streams: Iterable<readonly [string, StreamRuns]> = []) {
    this.#streams = new Map(streams);
  }

  holds(stream: string, sequence: number): boolean {
    return holds(this.#streams.get(stream)?.runs ?? [], sequence);
  }

  /** False where it would tear the stream into more runs than are kept. */
  hasRoomFor(stream: string, sequence: number): boolean {
    const runs = this.#streams.get(stream)?.runs ?? [];
    return runs.length < MOST_RUNS || holds(runs, sequence - 1) || holds(runs, sequence + 1);
  }

  /** The sequence after the highest one accepted; 0 for a stream that was never heard of. */
  next(stream: string): number {
    return (this.#streams.get(stream)?.runs.at(-1)?.last ?? -1) + 1;
  }

  accept({ stream, sequence, node }: { readonly stream: string; readonly sequence: number; readonly node: string }, at: EpochMicros): void {
    const before = this.#streams.get(stream);
    this.#streams.set(stream, { node, lastSeen: at, runs: joinedBy(before?.runs ?? [], sequence, at) });
    this.#undo.push(() => (before ? this.#streams.set(stream, before) : this.#streams.delete(stream)));
  }

  keep(): void {
    this.#undo = [];
  }

  /** Storing failed: nothing was accepted since the last `keep`. */
  forget(): void {
    for (const undo of this.#undo.toReversed()) undo();
    this.#undo = [];
  }

  seen(): StreamSeen[] {
    return [...this.#streams].map(([stream, { node, lastSeen, runs }]) => seenOf(stream, node, lastSeen, runs)).toSorted((a, b) => compare(a.node, b.node) || compare(a.stream, b.stream));
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const seenOf = (stream: string, node: string, lastSeen: EpochMicros, runs: readonly Run[]): StreamSeen => ({
  stream, node, lastSeen, lowWater: runs[0]?.first === 0 ? runs[0].last + 1 : 0, highest: runs.at(-1)?.last ?? 0, missing: missingIn(runs),
});
