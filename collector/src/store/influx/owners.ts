/**
 * Whose a stream is: of the node whose batch of it was committed first, as far as the server keeps it. Looked up once by each
 * process and stream; who began a stream does not change. Two nodes that begin one in the same moment may both get a batch in;
 * from then on it is of the one that was first.
 */
import type { Batch } from '@joulebook/shared/batch.js';
import { blockOf, STREAMS_PER_REQUEST } from './commits.js';
import type { Engine } from './engine.js';
import { textOf } from './tag.js';

/** Some 100 bytes each. */
const MOST_STREAMS = 100_000;

/** Where its first batch is, and where the ones before are if the server keeps the first no more. */
const blocksOf = (sequence: number): string[] => [...new Set(['0', String(Math.max(0, Number(blockOf(sequence)) - 1)), blockOf(sequence)])];

export class Owners {
  readonly #engine: Engine;
  readonly #known = new Map<string, string>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Undefined for a stream that nobody has begun. Looked up before. */
  of(stream: string): string | undefined {
    return this.#known.get(stream);
  }

  async lookUp(batches: readonly Batch[]): Promise<void> {
    const unknown = new Map<string, string[]>();
    for (const { stream, sequence } of batches) if (!this.#known.has(stream)) unknown.set(stream, [...(unknown.get(stream) ?? []), ...blocksOf(sequence)]);
    const streams = [...unknown.keys()];
    const first = new Map<string, { readonly node: string; readonly at: number }>();
    for (let begin = 0; begin < streams.length; begin += STREAMS_PER_REQUEST) {
      const stream = streams.slice(begin, begin + STREAMS_PER_REQUEST);
      const block = [...new Set(stream.flatMap((each) => unknown.get(each) ?? []))];
      for (const { tags, fields: { at } } of await this.#engine.read({ measurement: 'commit', where: { stream, block }, fields: ['at'] })) {
        const known = first.get(tags['stream'] ?? '');
        if (at !== undefined && tags['stream'] !== undefined && tags['node'] !== undefined && !(known && known.at <= at)) first.set(tags['stream'], { node: textOf(tags['node']), at });
      }
    }
    for (const [stream, { node }] of first) this.begun(stream, node);
  }

  begun(stream: string, node: string): void {
    if (this.#known.has(stream)) return;
    this.#known.set(stream, node);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MOST_STREAMS) return;
      this.#known.delete(oldest);
    }
  }
}
