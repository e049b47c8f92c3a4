/**
 * The ledger of a server that has no transactions, kept by any number of collectors at once:
 *
 *     claim    I will write (stream, sequence), its content hashes to h      ─┐ whoever then sees another content claimed or
 *     facts    the points of the batch, durable and read back                 │ committed writes nothing: the agent is told
 *     commit   (stream, sequence) is whole, its content hashes to h          ─┘ `conflict` and opens a new stream
 *
 * Facts without a commit are in no sum, so a batch is there as a whole or not at all. A crash anywhere leaves points that
 * sending the batch again writes again. Of two collectors that are given one batch at the same moment both write the same
 * points. Of two that are given different contents under one (stream, sequence), as two machines made of one image send
 * them, the one that looks first may see only its own claim; the other then sees both. If both see both, both agents open
 * a new stream: nothing is lost and nothing mixed. This holds where a point is seen by all once `visible` has resolved,
 * which a single server promises.
 *
 * Whose a stream is stands in its commits (owners.ts).
 *
 * An entry is found by stream and `block` (1,000 sequences); `collector` keeps the claims of two collectors apart. Its time
 * is when it was written, so it stays at least as long as the facts that it is about.
 */
import { createHash } from 'node:crypto';
import { hostFacts, type Batch, type HostFacts } from '@joulebook/shared/batch.js';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { Engine } from './engine.js';
import { cellOf, type Point, type Row } from './points.js';
import { tagOf, textOf } from './tag.js';

const BLOCK = 1000;
/** Host facts are text, and text is tags: `host0`, `host1`… of so many characters, each at most three bytes when stored. */
const PIECE = 4000;
/** Streams whose entries are asked for in one request. */
export const STREAMS_PER_REQUEST = 200;

export interface BatchKey {
  readonly stream: string;
  readonly sequence: number;
}
export const keyOf = ({ stream, sequence }: BatchKey): string => `${stream} ${sequence}`;
export const blockOf = (sequence: number): string => String(Math.floor(sequence / BLOCK));

/** 52 bits: what every engine keeps exactly. */
export const hashOf = (written: string): number => Number.parseInt(createHash('sha256').update(written).digest('hex').slice(0, 13), 16);

export interface Commit extends BatchKey {
  readonly hash: number;
  readonly node: string;
  /** When a collector accepted it; commits of one collector follow each other. */
  readonly at: EpochMicros;
  readonly slices: number;
  /** What its facts span; absent without facts. */
  readonly from?: EpochMicros;
  readonly to?: EpochMicros;
  readonly host?: HostFacts | undefined;
}

interface Entry {
  readonly batch: Batch;
  readonly hash: number;
}
const entryTags = ({ stream, sequence }: BatchKey, collector: string) => ({ stream, block: blockOf(sequence), collector });

export const claimPoint = ({ batch, hash }: Entry, collector: string, now: number): Point => ({
  measurement: 'claim', tags: entryTags(batch, collector), fields: { sequence: batch.sequence, hash }, cell: cellOf(now), sequence: batch.sequence,
});

function hostTags({ host }: Batch): Record<string, string> {
  const text = host ? JSON.stringify(host) : '';
  return Object.fromEntries(Array.from({ length: Math.ceil(text.length / PIECE) }, (_, piece) => [`host${piece}`, tagOf(text.slice(piece * PIECE, (piece + 1) * PIECE))]));
}

function hostOf(tags: Row['tags']): HostFacts | undefined {
  let text = '';
  for (let piece = 0, tag = tags['host0']; tag !== undefined; piece += 1, tag = tags[`host${piece}`]) text += textOf(tag);
  return text === '' ? undefined : hostFacts.safeParse(JSON.parse(text)).data;
}

export function commitPoint({ batch, hash }: Entry, collector: string, at: EpochMicros): Point {
  const { sequence, slices } = batch;
  const span = slices.length === 0 ? {} : { from: slices.reduce((least, { from }) => Math.min(least, from), Infinity), to: slices.reduce((most, { to }) => Math.max(most, to), 0) };
  return { measurement: 'commit', tags: { ...entryTags(batch, collector), node: tagOf(batch.node), ...hostTags(batch) }, fields: { sequence, hash, at, slices: slices.length, ...span }, cell: cellOf(at), sequence };
}

/** As few requests as the blocks need: streams that are in the same block of their sequences are asked for together. */
export function* requests(keys: readonly BatchKey[]): Generator<{ stream: string[]; block: [string] }> {
  const byBlock = new Map<string, Set<string>>();
  for (const { stream, sequence } of keys) byBlock.set(blockOf(sequence), (byBlock.get(blockOf(sequence)) ?? new Set()).add(stream));
  for (const [block, streams] of byBlock) {
    const all = [...streams];
    for (let begin = 0; begin < all.length; begin += STREAMS_PER_REQUEST) yield { stream: all.slice(begin, begin + STREAMS_PER_REQUEST), block: [block] };
  }
}

function commitOf({ tags, fields: { sequence, hash, at, slices, from, to } }: Row): Commit[] {
  const { stream, node } = tags;
  if (stream === undefined || node === undefined || sequence === undefined || hash === undefined || at === undefined || slices === undefined) return [];
  return [{ stream, sequence, hash, node: textOf(node), at: epochMicros(at), slices, ...(from !== undefined && to !== undefined && { from: epochMicros(from), to: epochMicros(to) }), host: hostOf(tags) }];
}

const inOrder = (a: Commit, b: Commit): number => a.at - b.at || (keyOf(a) < keyOf(b) ? -1 : 1);

/**
 * Each batch once, as it was first committed, in that order.
 * @param keys of these alone
 * @param since entries that were written then or later, in milliseconds since 1970
 */
export async function readCommits(engine: Engine, { keys, since }: { readonly keys?: readonly BatchKey[]; readonly since?: number } = {}): Promise<Commit[]> {
  const wanted = keys && new Set(keys.map(keyOf));
  const first = new Map<string, Commit>();
  for (const where of keys === undefined ? [{}] : requests(keys)) {
    for (const row of await engine.read({ measurement: 'commit', where, from: since })) {
      for (const commit of commitOf(row)) {
        const known = first.get(keyOf(commit));
        if ((wanted?.has(keyOf(commit)) ?? true) && (!known || commit.at < known.at)) first.set(keyOf(commit), commit);
      }
    }
  }
  return [...first.values()].toSorted(inOrder);
}
