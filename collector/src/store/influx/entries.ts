/**
 * What this collector has read of the ledger, so that it does not read a thousand entries for every batch: of a block that it
 * knows it asks only for what was written since. Entries are only ever added, but a server that was killed may have lost
 * some that were not on its disk: then everything is read again.
 */
import type { Engine, Reading } from './engine.js';
import { blockOf, keyOf, requests, type BatchKey } from './commits.js';

/** By which clocks of collectors may be apart; http.ts refuses to work with half of it. */
export const SKEW_MILLIS = 60_000;
/** A block that was not looked at for longer is read again: what was written since may be more. */
const STALE_MILLIS = 600_000;
/** Some 40 kB each. */
const MOST_BLOCKS = 4000;

/** What is known of one (stream, sequence). */
export interface Known {
  /** Hashes of contents that someone wants to write; kept until one of them is committed. */
  readonly claimed: readonly number[];
  readonly committed: number | undefined;
}
export const NOTHING: Known = { claimed: [], committed: undefined };

interface Block {
  readonly claimed: Map<number, number[]>;
  readonly committed: Map<number, number>;
  /** Milliseconds since 1970: everything that was written before is here. */
  readUntil: number;
}

export class Entries {
  readonly #engine: Engine;
  #era = '';
  readonly #blocks = new Map<string, Block>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Of another process than before nothing is known. */
  begin(era: string): void {
    if (era !== this.#era) this.#blocks.clear();
    this.#era = era;
  }

  /** @param now milliseconds since 1970 */
  async lookUp(keys: readonly BatchKey[], now: number): Promise<Map<string, Known>> {
    const recent = (key: BatchKey): boolean => (this.#blocks.get(nameOf(key))?.readUntil ?? -Infinity) > now - STALE_MILLIS;
    for (const where of requests(keys.filter((key) => !recent(key)))) await this.#read(where, undefined, now);
    for (const where of requests(keys.filter(recent))) {
      const since = Math.min(...where.stream.map((stream) => this.#blocks.get(`${stream} ${where.block[0]}`)?.readUntil ?? 0));
      await this.#read(where, since - SKEW_MILLIS, now);
    }
    const found = new Map(keys.map((key) => [keyOf(key), this.#known(key)]));
    this.#forgetOldest();
    return found;
  }

  #known(key: BatchKey): Known {
    const block = this.#blocks.get(nameOf(key));
    return { claimed: block?.claimed.get(key.sequence) ?? [], committed: block?.committed.get(key.sequence) };
  }

  async #read(where: NonNullable<Reading['where']> & { readonly stream: readonly string[]; readonly block: readonly [string] }, from: number | undefined, now: number): Promise<void> {
    const read = (measurement: 'claim' | 'commit') => this.#engine.read({ measurement, where, from, fields: ['sequence', 'hash'] });
    const [claims, commits] = await Promise.all([read('claim'), read('commit')]);
    for (const stream of where.stream) {
      const name = `${stream} ${where.block[0]}`;
      const block = this.#blocks.get(name) ?? { claimed: new Map<number, number[]>(), committed: new Map<number, number>(), readUntil: now };
      block.readUntil = now;
      // The one that was read last stands at the end.
      this.#blocks.delete(name);
      this.#blocks.set(name, block);
    }
    for (const { tags: { stream = '' }, fields: { sequence, hash } } of commits) {
      if (sequence !== undefined && hash !== undefined) this.#blocks.get(nameOf({ stream, sequence }))?.committed.set(sequence, hash);
    }
    for (const { tags: { stream = '' }, fields: { sequence, hash } } of claims) {
      if (sequence !== undefined && hash !== undefined) this.#claim({ stream, sequence }, hash);
    }
  }

  #claim(key: BatchKey, hash: number): void {
    const block = this.#blocks.get(nameOf(key));
    if (block?.committed.has(key.sequence)) block.claimed.delete(key.sequence);
    else block?.claimed.set(key.sequence, [...new Set([...(block.claimed.get(key.sequence) ?? []), hash])]);
  }

  #forgetOldest(): void {
    for (const name of this.#blocks.keys()) {
      if (this.#blocks.size <= MOST_BLOCKS) return;
      this.#blocks.delete(name);
    }
  }
}

const nameOf = ({ stream, sequence }: BatchKey): string => `${stream} ${blockOf(sequence)}`;
