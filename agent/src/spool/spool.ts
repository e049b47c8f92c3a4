/**
 * What the agent has measured and the collector has not yet accepted, on disk.
 *
 *     spool/
 *       lock                        one agent per spool (lock.ts)
 *       stream                      "<32 hex digits> <position of its sequence 0>"
 *       cursor                      "acknowledged <position>"
 *       0000000000000000.segment    records 0 … 611, 8 MiB; deleted once all are acknowledged
 *       0000000000000612.segment    records 612 …; appended to
 *
 * Guarantees
 * - A record whose append returned is on disk (fdatasync) and is handed out, in order, until it is acknowledged;
 *   kill -9 or a power cut at any moment loses none. With `sync: 'handout'` that holds from the moment it is handed out.
 * - (stream, sequence) names one payload for ever. A number is used again only if its append failed, which nobody saw.
 *   Where the newest records are found damaged, so that it can't be told which numbers were given out, a new stream begins.
 * - Records are handed out again after a restart if their acknowledgement did not reach the disk. Sending twice is harmless.
 * - Damage is reported (`report`), never silently skipped; the records before it are kept.
 * A disk that is full or read-only makes the call fail with a TelemetryError `retry`; what was there stays.
 *
 * Position and sequence: a position counts records over the life of the spool; a sequence counts within a stream.
 */
import { mkdir, unlink } from 'node:fs/promises';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { Flagged } from '../sources/source.js';
import { NOTHING_ACKNOWLEDGED, readCursor, writeCursor } from './cursor.js';
import { takeLock, type Lock } from './lock.js';
import { Segment, segmentPath } from './segment.js';
import { findShelves, newShelf, type Shelf } from './shelf.js';
import { newStream, readStream, type Stream } from './stream.js';

const SEGMENT_BYTES = 8 * 1024 * 1024;

export interface SpoolOptions {
  /** A segment is closed when the next record would make it longer than this. */
  readonly segmentBytes?: number;
  /** When a record must be on disk: before `append` returns (default), or only before it is handed out. */
  readonly sync?: 'append' | 'handout';
  /** Damage found, records lost. */
  readonly report?: (flagged: Flagged) => void;
}

export interface SpoolRecord {
  readonly position: number;
  readonly payload: Buffer;
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
  readonly #lock: Lock;
  readonly #segmentBytes: number;
  readonly #syncOnAppend: boolean;
  readonly #report: (flagged: Flagged) => void;
  /** Oldest first, never empty: the last one is appended to. */
  readonly #shelves: Shelf[];
  #stream: Stream;
  #acknowledged: number;
  #unsynced = false;
  #closed = false;
  /** Calls follow each other: an append never sees half a roll. */
  #turn: Promise<unknown> = Promise.resolve();
  #wake: (() => void)[] = [];

  private constructor(directory: string, options: SpoolOptions, lock: Lock, found: { shelves: Shelf[]; stream: Stream; acknowledged: number }) {
    this.directory = directory;
    this.#lock = lock;
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.#syncOnAppend = options.sync !== 'handout';
    this.#report = options.report ?? (() => undefined);
    this.#shelves = found.shelves;
    this.#stream = found.stream;
    this.#acknowledged = found.acknowledged;
  }

  /** @internal use openSpool */
  static async recover(directory: string, options: SpoolOptions, lock: Lock): Promise<Spool> {
    const acknowledged = await readCursor(directory);
    const shelves = await findShelves(directory);
    const newest = shelves.at(-1)?.segment;
    if (newest && newest.tail !== 'whole') await newest.cutTail();
    const next = Math.max(newest?.end ?? 0, acknowledged + 1);
    if (!newest || newest.end < next) shelves.push(await newShelf(directory, next));

    let stream = await readStream(directory);
    if (!stream || !newest || stream.origin > next || newest.tail === 'damaged') stream = await newStream(directory, next);
    const spool = new Spool(directory, options, lock, { shelves, stream, acknowledged });
    if (newest && newest.tail !== 'whole') spool.#reportTail(newest);
    await spool.#dropAcknowledged();
    await spool.#opened(spool.#shelves[0] ?? spool.#last, spool.#shelves[1]?.first);
    return spool;
  }

  /** Names the batches appended from now on, together with their sequence. */
  get stream(): string {
    return this.#stream.id;
  }

  /** The position that the next append gets. */
  get nextPosition(): number {
    return this.#last.segment?.end ?? this.#last.first;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** What is still to be accepted by the collector. */
  get pending(): { readonly records: number; readonly bytes: number } {
    let records = 0;
    let bytes = 0;
    for (const [index, shelf] of this.#shelves.entries()) {
      const end = shelf.segment?.end ?? this.#shelves[index + 1]?.first ?? shelf.first;
      records += Math.max(0, end - Math.max(shelf.first, this.#acknowledged + 1));
      bytes += shelf.bytes - (shelf.segment?.bytesBefore(this.#acknowledged + 1) ?? 0);
    }
    return { records, bytes };
  }

  /**
   * @param make the payload for the number it gets; called once, when the number is known
   * @returns the position
   * @throws TelemetryError `retry` when the disk refuses; nothing is kept and the number is not used up
   */
  append(make: (sequence: number, stream: string) => Uint8Array): Promise<number> {
    return this.#exclusive(async () => {
      const position = this.nextPosition;
      const payload = make(position - this.#stream.origin, this.#stream.id);
      const segment = await this.#segmentFor(payload.length);
      await segment.append(payload, this.#syncOnAppend);
      this.#last.bytes = segment.bytes;
      this.#unsynced = !this.#syncOnAppend;
      for (const wake of this.#wake.splice(0)) wake();
      return position;
    });
  }

  /** The oldest record behind a position (default: the acknowledged ones); undefined when there is none. */
  next(after: number = NOTHING_ACKNOWLEDGED): Promise<SpoolRecord | undefined> {
    return this.#exclusive(async () => {
      let position = Math.max(after, this.#acknowledged) + 1;
      for (const [index, shelf] of this.#shelves.entries()) {
        const following = this.#shelves[index + 1]?.first;
        if (following !== undefined && following <= position) continue;
        const segment = await this.#opened(shelf, following);
        for (position = Math.max(position, shelf.first); position < segment.end; position += 1) {
          if (this.#unsynced && following === undefined) await this.#syncNow(segment);
          const payload = await segment.read(position);
          if (payload) return { position, payload };
          this.#reportLost(segment, 1);
        }
      }
      return undefined;
    });
  }

  /** Everything up to and with this position was accepted. Going back changes nothing. */
  acknowledge(position: number): Promise<void> {
    return this.#exclusive(async () => {
      if (position >= this.nextPosition) throw new RangeError(`position ${position} was never given out; the next is ${this.nextPosition}`);
      if (position <= this.#acknowledged) return;
      this.#acknowledged = position;
      // Segments first: on a full disk that is what makes room for the cursor.
      await this.#dropAcknowledged();
      await writeCursor(this.directory, position);
    });
  }

  /** After a conflict at the collector: later batches get a new name, counted from 0. Those already spooled keep theirs. */
  renewStream(): Promise<string> {
    return this.#exclusive(async () => {
      this.#stream = await newStream(this.directory, this.nextPosition);
      return this.#stream.id;
    });
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

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#exclusive(async () => {
      this.#closed = true;
      if (this.#unsynced && this.#last.segment) await this.#last.segment.sync();
      for (const shelf of this.#shelves) await shelf.segment?.close();
      await this.#lock.release();
    });
  }

  get #last(): Shelf {
    const shelf = this.#shelves.at(-1);
    if (!shelf) throw new Error('a spool has at least one segment');
    return shelf;
  }

  async #segmentFor(length: number): Promise<Segment> {
    const { segment } = this.#last;
    if (!segment) throw new Error('the last segment of a spool is always open');
    if (segment.bytes === 0 || segment.bytes + length <= this.#segmentBytes) return segment;
    if (this.#unsynced) await this.#syncNow(segment);
    const shelf = await newShelf(this.directory, segment.end);
    this.#shelves.push(shelf);
    await this.#dropAcknowledged();
    return this.#segmentFor(length);
  }

  async #syncNow(segment: Segment): Promise<void> {
    await segment.sync();
    this.#unsynced = false;
  }

  async #opened(shelf: Shelf, following: number | undefined): Promise<Segment> {
    if (shelf.segment) return shelf.segment;
    const segment = await Segment.open(this.directory, shelf.first, 'read');
    shelf.segment = segment;
    const lost = (following ?? segment.end) - segment.end;
    if (lost > 0) this.#reportLost(segment, lost);
    return segment;
  }

  async #dropAcknowledged(): Promise<void> {
    for (;;) {
      const [oldest, following] = this.#shelves;
      if (!oldest || !following || following.first > this.#acknowledged + 1) return;
      await oldest.segment?.close();
      delete oldest.segment;
      await unlink(segmentPath(this.directory, oldest.first)).catch(ignoreMissing);
      this.#shelves.shift();
    }
  }

  #reportTail(segment: Segment): void {
    const where = segmentPath(this.directory, segment.first);
    if (segment.tail === 'torn') {
      this.#report({ kind: 'flagged', code: 'SPOOL_TORN_TAIL', detail: `${where}: the last write was cut short (${segment.tailBytes} bytes); it had never been confirmed.`, count: 1 });
    } else {
      this.#report({ kind: 'flagged', code: 'SPOOL_DAMAGED', detail: `${where}: ${segment.tailBytes} bytes of unsent batches are damaged and lost; check the disk. A new stream was begun.`, count: 1 });
    }
  }

  #reportLost(segment: Segment, lost: number): void {
    const where = segmentPath(this.directory, segment.first);
    this.#report({ kind: 'flagged', code: 'SPOOL_DAMAGED', detail: `${where}: ${lost} unsent batches are damaged and lost; check the disk.`, count: lost });
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => {
      if (this.#closed) throw new TelemetryError('SPOOL_CLOSED', `The spool ${this.directory} is closed.`, 'abort');
      return guarded(this.directory, work);
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

const ignoreMissing = (error: unknown): void => {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
};

/** Whatever the file system says may pass (room is made, a disk is mounted again): the caller should try again. */
async function guarded<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof Error) || !('syscall' in cause)) throw cause;
    throw new TelemetryError('SPOOL_DISK', `The spool ${directory} can't be used: ${messageOf(cause)}. Make room or check its permissions.`, 'retry', { cause });
  }
}
