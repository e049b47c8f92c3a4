/**
 * What a store has accepted of each stream, as runs of sequences. The low-water mark is where the first run ends; what lies
 * between two runs is missing: still on its way, or lost.
 *
 *     stream 3f…  0 ──────── 611   614 ─────── 902
 *                            ↑ 612 is the mark; 612–613 are missing since 614 came
 *
 * When the facts of missing batches were is told by their neighbours: after those of 611 and before those of 614. What an admin
 * has said is lost for good is missing no more; if it comes after all it is accepted like any other, and lost no more.
 * A stream belongs to the node that began it: nobody else's batches get into its numbers.
 *
 * Contents are not kept here but beside the facts (duckdb-ledger.ts).
 */
import type { Batch } from '@joulebook/shared/batch.js';
import type { EpochMicros } from '@joulebook/shared/units.js';

/** A batch with its text as its sender wrote it: by that, its content is the same as another's or not. */
export interface Written {
  readonly batch: Batch;
  readonly text: string;
}

/** Both ends included. */
export interface Run {
  readonly first: number;
  readonly last: number;
  /** When the first batch of it was accepted. */
  readonly since: EpochMicros;
  /** When the facts of its first batch begin and of its last one end; undefined where they have none. */
  readonly from: EpochMicros | undefined;
  readonly to: EpochMicros | undefined;
}

/** Sequences that a stream numbered and the store does not have. Both ends included. */
export interface Missing {
  readonly first: number;
  readonly last: number;
  /** When a later batch was accepted, which is when these were noticed to be missing. */
  readonly since: EpochMicros;
  /** Between which times their facts are, as far as their neighbours tell; undefined: open. */
  readonly from: EpochMicros | undefined;
  readonly to: EpochMicros | undefined;
}

/** Those of which an admin has said that they will not come. */
export interface Lost extends Omit<Missing, 'since'> {
  /** When that was said. */
  readonly at: EpochMicros;
}

/** What is to be marked as lost. */
export interface Loss extends Omit<Lost, 'at'> {
  readonly stream: string;
  readonly node: string;
}

export interface StreamSeen {
  readonly stream: string;
  /** That began it: no other may add to it. */
  readonly node: string;
  /** Everything below is accepted or known to be lost. Is never forgotten. */
  readonly lowWater: number;
  /** The highest sequence accepted. */
  readonly highest: number;
  readonly lastSeen: EpochMicros;
  readonly missing: readonly Missing[];
  readonly lost: readonly Lost[];
}

/** A stream with more gaps is no agent's: it is told to begin another, so that what is kept of it stays small. */
export const MOST_RUNS = 1000;

export interface StreamRuns {
  readonly node: string;
  readonly lastSeen: EpochMicros;
  /** Sorted, apart by at least one sequence. */
  readonly runs: readonly Run[];
  /** As they were said, whatever has come since. */
  readonly lost: readonly Lost[];
}

/** What facts span; open where there are none. */
export interface Span {
  readonly from: EpochMicros | undefined;
  readonly to: EpochMicros | undefined;
}
const NO_FACTS: Span = { from: undefined, to: undefined };

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
export function joinedBy(runs: readonly Run[], sequence: number, at: EpochMicros, { from, to }: Span = NO_FACTS): readonly Run[] {
  const index = indexOf(runs, sequence);
  const behind = runs[index];
  if (behind && behind.first <= sequence) return runs;
  const before = runs[index - 1]?.last === sequence - 1 ? runs[index - 1] : undefined;
  const after = behind?.first === sequence + 1 ? behind : undefined;
  const run: Run = {
    first: before?.first ?? sequence, last: after?.last ?? sequence, since: before?.since ?? after?.since ?? at,
    from: before?.from ?? from ?? after?.from, to: after?.to ?? to ?? before?.to,
  };
  return [...runs.slice(0, before ? index - 1 : index), run, ...runs.slice(after ? index + 1 : index)];
}

function gapsIn(runs: readonly Run[]): Missing[] {
  return runs.flatMap(({ first, since, from }, index) => {
    const before = runs[index - 1];
    const next = before ? before.last + 1 : 0;
    if (next >= first) return [];
    // Flags may tell of a time long ago: then the neighbours overlap.
    const turned = before?.to !== undefined && from !== undefined && before.to > from;
    return [{ first: next, last: first - 1, since, from: turned ? from : before?.to, to: turned ? before.to : from }];
  });
}

/** The parts of a gap that none of the others has. */
function without(gap: Missing, others: readonly Lost[]): Missing[] {
  return others.reduce<Missing[]>(
    (rest, { first, last }) => rest.flatMap((each) => [{ ...each, last: Math.min(each.last, first - 1) }, { ...each, first: Math.max(each.first, last + 1) }]).filter((part) => part.first <= part.last),
    [gap],
  );
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

  /** The node that began it; undefined for a stream that was never heard of. */
  ownerOf(stream: string): string | undefined {
    return this.#streams.get(stream)?.node;
  }

  accept({ stream, sequence, node }: { readonly stream: string; readonly sequence: number; readonly node: string }, at: EpochMicros, span?: Span): void {
    const before = this.#streams.get(stream);
    this.#streams.set(stream, { node: before?.node ?? node, lastSeen: at, runs: joinedBy(before?.runs ?? [], sequence, at, span), lost: before?.lost ?? [] });
    this.#undo.push(() => (before ? this.#streams.set(stream, before) : this.#streams.delete(stream)));
  }

  /** Stands at once. Of a stream that was never heard of nothing is missing. */
  lose(stream: string, lost: Lost): void {
    const known = this.#streams.get(stream);
    if (known) this.#streams.set(stream, { ...known, lost: [...known.lost, lost] });
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
    return [...this.#streams].map(([stream, runs]) => seenOf(stream, runs)).toSorted((a, b) => compare(a.node, b.node) || compare(a.stream, b.stream));
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function seenOf(stream: string, { node, lastSeen, runs, lost }: StreamRuns): StreamSeen {
  const gaps = gapsIn(runs);
  const missing = gaps.flatMap((gap) => without(gap, lost));
  const highest = runs.at(-1)?.last ?? 0;
  const gone = gaps.flatMap((gap) => lost.map((each) => ({ ...each, first: Math.max(gap.first, each.first), last: Math.min(gap.last, each.last) })).filter(({ first, last }) => first <= last));
  return { stream, node, lastSeen, lowWater: missing[0]?.first ?? highest + 1, highest, missing, lost: gone };
}
