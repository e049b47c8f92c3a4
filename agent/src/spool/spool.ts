/**
 * What the agent has measured and the collector has not yet accepted, on disk.
 *
 *     spool/
 *       lock                        one agent per spool (lock.ts)
 *       stream                      "<32 hex digits> <position of its sequence 0>"
 *       cursor                      "acknowledged 41 44-612": settled positions (cursor.ts)
 *       losses                      what was dropped, until the collector knows (losses.ts)
 *       renamed                     batches that go out under another name (renamed.ts)
 *       0000000000000000.segment    records 0 … 611, 8 MiB; deleted once all are settled
 *       0000000000000612.segment    records 612 …; appended to
 *
 * Guarantees
 * - A record whose append returned is on disk (fdatasync) and is handed out until it is acknowledged; kill -9 or a power cut
 *   at any moment loses none. With `sync: 'handout'` that holds against a kill at once, against a power cut from the moment
 *   it is handed out.
 * - (stream, sequence) names one payload for ever. A number is used again only if its append failed, which nobody saw.
 *   Where the newest records are found damaged, so that it can't be told which numbers were given out, a new stream begins.
 * - Records are handed out again after a restart if their acknowledgement did not reach the disk: it is written at most once
 *   a second. Sending twice is harmless.
 * - It never holds more than `maxBytes` (and what is appended while one sending is under way): then the oldest segment goes,
 *   and what was in it stands in the loss account before it is deleted. Where the disk has less than `minFreeBytes` left, the
 *   spool keeps its size: for each new segment the oldest goes, down to four.
 * - Damage is reported (`report`), never silently skipped; the records before it are kept.
 * A disk that is full or read-only makes the call fail with a TelemetryError `retry`; what was there stays.
 *
 * Position and sequence: a position counts records over the life of the spool; a sequence counts within a stream.
 */
import { mkdir } from 'node:fs/promises';
import { messageOf } from '@joulebook/shared/errors.js';
import type { Flagged } from '../sources/source.js';
import { contentOfRecord } from './content.js';
import { readCursor } from './cursor.js';
import { badTail, damaged } from './damage.js';
import { Holdings } from './holdings.js';
import { takeLock, type Lock } from './lock.js';
import { LossAccount, type Loss, type LostBatch } from './losses.js';
import { Renamed, type Name } from './renamed.js';
import { Shelves } from './shelves.js';
import { newStream, readStream, type Stream } from './stream.js';
import { guarded, Turns } from './turns.js';

/** Entries of the loss account that one batch tells of: each may be a flag for every minute of a day. */
const LOSSES_PER_BATCH = 3;

export interface SpoolOptions {
  /** A segment is closed when the next record would make it longer than this. */
  readonly segmentBytes?: number;
  /** When a record must be on disk: before `append` returns (default), or only before it is handed out. */
  readonly sync?: 'append' | 'handout';
  /** The most it may take on disk. */
  readonly maxBytes?: number;
  /** It does not grow where the disk has less left than this. */
  readonly minFreeBytes?: number;
  /** What the disk has left; default: what the file system says. */
  readonly freeBytes?: (directory: string) => Promise<number>;
  /** The least time between two writings of the cursor. */
  readonly cursorEveryMs?: number;
  /** Damage found, records lost by it. */
  readonly report?: (flagged: Flagged) => void;
  /** So many batches were dropped to keep to the quota; they are in the loss account. */
  readonly dropped?: (batches: number) => void;
}

export interface SpoolRecord {
  readonly position: number;
  readonly payload: Buffer;
  /** The name it goes out under, where that is not its own. */
  readonly renamed?: Name;
}

export async function openSpool(directory: string, options: SpoolOptions = {}): Promise<Spool> {
  return guarded(directory, async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const lock = await takeLock(directory);
    try {
      return await Spool.recover(directory, options, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  });
}

export class Spool {
  readonly directory: string;
  #lock: Lock;
  readonly #holdings: Holdings;
  readonly #renamed: Renamed;
  readonly #turns: Turns;
  #stream: Stream;
  #wake: (() => void)[] = [];

  private constructor(directory: string, lock: Lock, found: { readonly holdings: Holdings; readonly renamed: Renamed; readonly stream: Stream }) {
    this.directory = directory;
    this.#lock = lock;
    this.#holdings = found.holdings;
    this.#renamed = found.renamed;
    this.#stream = found.stream;
    this.#turns = new Turns(directory);
  }

  /** @internal use openSpool */
  static async recover(directory: string, options: SpoolOptions, lock: Lock): Promise<Spool> {
    const report = options.report ?? (() => undefined);
    const settled = await readCursor(directory);
    const losses = await LossAccount.open(directory, (error) => report(damaged(`${directory}/losses`, `the account of lost batches can't be read (${messageOf(error)}); a new one was begun`)));
    settled.addAll(losses.accounted);
    const shelves = await Shelves.find(directory);
    const { newest } = shelves;
    if (newest && newest.tail !== 'whole') await newest.cutTail();
    // What stood before the oldest segment was settled, or the segment would be there.
    settled.add(0, (shelves.all()[0]?.first ?? 0) - 1);
    const next = Math.max(newest?.end ?? 0, settled.highest + 1);
    if (!newest || newest.end < next) await shelves.begin(next);

    const renamed = await Renamed.open(directory, (position) => position >= next || settled.has(position));
    let stream = await readStream(directory);
    if (!stream || !newest || stream.origin > next || newest.tail === 'damaged') stream = await newStream(directory, next);
    const holdings = new Holdings(directory, options, { shelves, settled, losses });
    if (newest && newest.tail !== 'whole') report(badTail(directory, newest));
    if (newest) await holdings.lostByDamage(newest, newest.end, next);
    await losses.recover({ lost: (position) => position >= next, settled: (position) => settled.has(position) });
    await holdings.removeSettled();
    return new Spool(directory, lock, { holdings, renamed, stream });
  }

  /** Names the batches appended from now on, together with their sequence. */
  get stream(): string {
    return this.#stream.id;
  }

  /** The position that the next append gets. */
  get nextPosition(): number {
    return this.#holdings.newest.end;
  }

  /** The oldest position that is still to be settled, and those after it may be. */
  get firstOpen(): number {
    return this.#holdings.settled.nextOpen(this.#holdings.shelves.all()[0]?.first ?? 0);
  }

  /** What is still to be accepted by the collector. */
  get pending(): { readonly records: number; readonly bytes: number } {
    return this.#holdings.pending;
  }

  /** What it takes on disk. */
  get bytes(): number {
    return this.#holdings.shelves.bytes;
  }

  /** Batches lost over its life, and those of which the collector has not been told. */
  get losses(): { readonly batches: number; readonly account: readonly Loss[] } {
    return { batches: this.#losses.batches, account: this.#losses.all };
  }

  /**
   * @param make the payload for the number it gets; called once, when the number is known
   * @returns the position
   * @throws TelemetryError `retry` when the disk refuses; nothing is kept and the number is not used up
   */
  append(make: (sequence: number, stream: string) => Uint8Array): Promise<number> {
    return this.#turns.take(async () => {
      await this.#makeAgainIfDeleted();
      return this.#append(make);
    });
  }

  /**
   * A batch that may be at the collector already, under a name that is not of this spool: it keeps that name. What is appended
   * after it gets a new stream, so that none of the old one's numbers is left out.
   */
  appendNamed(payload: Uint8Array): Promise<number> {
    return this.#turns.take(async () => {
      await this.#makeAgainIfDeleted();
      this.#stream = await newStream(this.directory, this.nextPosition + 1);
      return this.#put(() => payload);
    });
  }

  /**
   * The oldest record of [from, below) that is neither settled nor handed out; undefined when there is none. It is in hand
   * until it is acknowledged, refused or released.
   */
  take({ from = 0, below = Infinity }: { readonly from?: number; readonly below?: number } = {}): Promise<SpoolRecord | undefined> {
    return this.#turns.take(async () => {
      const { shelves, settled, held } = this.#holdings;
      for (const shelf of shelves.all()) {
        let position = settled.nextOpen(Math.max(from, shelf.first));
        if (position >= shelf.end) continue;
        if (position >= below) return undefined;
        const segment = await this.#holdings.opened(shelf);
        for (; position < Math.min(segment.end, below); position = settled.nextOpen(position + 1)) {
          const payload = held.has(position) ? undefined : await this.#holdings.read(segment, position);
          if (!payload) continue;
          held.add(position);
          const renamed = this.#renamed.nameOf(position);
          return { position, payload, ...(renamed && { renamed }) };
        }
      }
      return undefined;
    });
  }

  /** It was not accepted: it may be handed out again. */
  release(position: number): void {
    this.#holdings.held.delete(position);
  }

  /** The collector has it. */
  acknowledge(position: number): Promise<void> {
    return this.#turns.take(async () => {
      if (position >= this.nextPosition) throw new RangeError(`position ${position} was never given out; the next is ${this.nextPosition}`);
      await this.#settle(position);
      await this.#losses.told(position);
    });
  }

  /** The collector will never take it: it goes into the loss account. */
  refuse(position: number, payload: Buffer): Promise<void> {
    return this.#turns.take(async () => {
      if (this.#losses.carries(position)) await this.#losses.refused(position);
      else await this.#losses.add([{ reason: 'rejected', content: await contentOfRecord(payload) }], position, position);
      await this.#settle(position);
    });
  }

  /** What was never in the spool, because the disk or the memory before it had no room. */
  lost(batches: readonly LostBatch[]): Promise<void> {
    return this.#turns.take(() => this.#losses.addUnwritten(batches));
  }

  /**
   * Puts what the collector has not been told of the losses into a batch.
   * @returns its position; undefined where there is nothing to tell
   */
  tellLosses(make: (sequence: number, stream: string, losses: readonly Loss[]) => Uint8Array): Promise<number | undefined> {
    return this.#turns.take(async () => {
      const told = this.#losses.untold.slice(0, LOSSES_PER_BATCH);
      if (told.length === 0) return undefined;
      const position = this.nextPosition;
      await this.#losses.carry(told, position);
      try {
        return await this.#append((sequence, stream) => make(sequence, stream, told));
      } catch (error) {
        await this.#losses.tellAgain((carriedBy) => carriedBy === position);
        throw error;
      }
    });
  }

  /** After a conflict at the collector: later batches get a new name, counted from 0. Those already spooled keep theirs. */
  renewStream(): Promise<string> {
    return this.#turns.take(async () => {
      this.#stream = await newStream(this.directory, this.nextPosition);
      return this.#stream.id;
    });
  }

  /** After a conflict: the name that this one goes out under from now on. */
  rename(position: number): Promise<Name> {
    return this.#turns.take(() => this.#renamed.give(position, (each) => this.#holdings.settled.has(each)));
  }

  /** Resolves when something stands at a position (see `nextPosition`), or when the signal aborts. */
  appended(position: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted || this.nextPosition > position) return resolve();
      const done = (): void => {
        signal.removeEventListener('abort', done);
        resolve();
      };
      signal.addEventListener('abort', done, { once: true });
      this.#wake.push(done);
    });
  }

  close(): Promise<void> {
    return this.#turns.close(async () => {
      try {
        await this.#holdings.close();
      } finally {
        await this.#lock.release();
      }
    });
  }

  get #losses(): LossAccount {
    return this.#holdings.losses;
  }

  async #append(make: (sequence: number, stream: string) => Uint8Array): Promise<number> {
    // One was begun for what follows a batch with a name of its own, and that batch was not written.
    if (this.#stream.origin > this.nextPosition) this.#stream = await newStream(this.directory, this.nextPosition);
    return this.#put(make);
  }

  async #put(make: (sequence: number, stream: string) => Uint8Array): Promise<number> {
    // Until the account on disk says so, a batch at this position would be taken for one that tells of losses.
    await this.#losses.write();
    const position = this.nextPosition;
    await this.#holdings.append(make(position - this.#stream.origin, this.#stream.id));
    for (const wake of this.#wake.splice(0)) wake();
    return position;
  }

  /** Somebody may have deleted the folder. Should making it fail, the next append tries again. */
  async #makeAgainIfDeleted(): Promise<void> {
    if (await this.#holdings.newest.isThere()) return;
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    await this.#lock.release();
    this.#lock = await takeLock(this.directory);
    await this.#holdings.writeAgain();
    this.#stream = await newStream(this.directory, this.nextPosition);
  }

  /** Should the writing of the cursor fail, the next one tries again. */
  #settle(position: number): Promise<void> {
    return this.#holdings.settle(position, (write) => void this.#turns.take(write).catch(() => undefined));
  }
}
