/**
 * What a spool has on disk and what became of the rest: segments, settled positions and the loss account, changed in the one
 * order in which a crash between two steps loses nothing:
 *
 *     accepted     settled ─▶ segment deleted ─▶ cursor (at most once a second)
 *     dropped      loss account, with the positions it accounts for ─▶ settled ─▶ segment deleted ─▶ cursor
 */
import { statfs } from 'node:fs/promises';
import { contentOfRecord } from './content.js';
import { CursorFile } from './cursor.js';
import { deletedFolder, lostRecords } from './damage.js';
import { syncDirectory } from './durable-file.js';
import type { LossAccount, LostBatch } from './losses.js';
import type { Segment } from './segment.js';
import type { Settled } from './settled.js';
import type { Shelf, Shelves } from './shelves.js';
import type { SpoolOptions } from './spool.js';

const SEGMENT_BYTES = 8 * 1024 * 1024;
/** A quota that is small is still given up in small pieces. */
const LEAST_SEGMENTS = 8;
/** What a spool keeps on a disk with little room. */
const KEPT_SEGMENTS = 4;

export interface Found {
  readonly shelves: Shelves;
  readonly settled: Settled;
  readonly losses: LossAccount;
}

export class Holdings implements Found {
  readonly shelves: Shelves;
  readonly settled: Settled;
  readonly losses: LossAccount;
  /** Handed out, and neither acknowledged nor released: their segments stay. */
  readonly held = new Set<number>();
  readonly #directory: string;
  readonly #options: SpoolOptions;
  readonly #segmentBytes: number;
  readonly #cursor: CursorFile;
  #unsynced = false;

  constructor(directory: string, options: SpoolOptions, { shelves, settled, losses }: Found) {
    this.shelves = shelves;
    this.settled = settled;
    this.losses = losses;
    this.#directory = directory;
    this.#options = options;
    this.#segmentBytes = options.segmentBytes ?? Math.min(SEGMENT_BYTES, (options.maxBytes ?? Infinity) / LEAST_SEGMENTS);
    this.#cursor = new CursorFile(directory, options.cursorEveryMs);
  }

  get newest(): Segment {
    const { newest } = this.shelves;
    if (!newest) throw new Error('a spool has at least one segment, and the newest is open');
    return newest;
  }

  /** What is still to be accepted by the collector. */
  get pending(): { readonly records: number; readonly bytes: number } {
    let records = 0;
    let bytes = 0;
    for (const { first, end, bytes: all, segment } of this.shelves.all()) {
      const open = this.settled.countOpen(first, end);
      records += open;
      if (!segment || open === end - first) bytes += open > 0 ? all : 0;
      else for (let position = this.settled.nextOpen(first); position < end; position = this.settled.nextOpen(position + 1)) bytes += segment.bytesOf(position);
    }
    return { records, bytes };
  }

  /** At the end of the newest segment, once there is room. @throws what the file system says; then nothing was kept */
  async append(payload: Uint8Array): Promise<void> {
    await this.#makeRoom(payload.length);
    const sync = this.#options.sync !== 'handout';
    await this.newest.append(payload, sync);
    this.#unsynced = !sync;
  }

  /** A record that may be handed out: it is on disk. Undefined where it can't be read any more, which was reported. */
  async read(segment: Segment, position: number): Promise<Buffer | undefined> {
    if (this.#unsynced && segment === this.newest) await this.#syncNow();
    const payload = await segment.read(position);
    if (!payload) await this.lostByDamage(segment, position, position + 1);
    return payload;
  }

  async opened(shelf: Shelf): Promise<Segment> {
    if (shelf.segment) return shelf.segment;
    const segment = await this.shelves.opened(shelf.first);
    await this.lostByDamage(segment, segment.end, shelf.end);
    return segment;
  }

  /** @param writeLater calls what it is given in a turn of its own */
  async settle(position: number, writeLater: (write: () => Promise<void>) => void): Promise<void> {
    this.held.delete(position);
    this.settled.add(position);
    // Segments first: on a full disk that is what makes room for the cursor.
    await this.removeSettled();
    // A cursor that lags costs a sending, a batch that waits for it costs the live data: the next settling tries again.
    if (this.#cursor.due(() => writeLater(() => this.#writeCursor()))) await this.#writeCursor().catch(() => undefined);
  }

  async removeSettled(): Promise<void> {
    for (;;) {
      const [oldest] = this.shelves.all();
      if (!oldest || this.shelves.count < 2 || this.settled.countOpen(oldest.first, oldest.end) > 0) return;
      await this.shelves.removeOldest();
    }
  }

  /** Positions [first, end) hold nothing that can be read. */
  async lostByDamage(segment: Segment, first: number, end: number): Promise<void> {
    const lost = this.settled.countOpen(first, end);
    if (lost === 0) return;
    this.#options.report?.(lostRecords(this.#directory, segment, lost));
    await this.losses.tellAgain((position) => position >= first && position < end && !this.settled.has(position));
    this.settled.add(first, end - 1);
  }

  /** Its folder was deleted and is there again, empty: open segments are written anew, the others are gone. */
  async writeAgain(): Promise<void> {
    let lost = 0;
    for (const { first, end, segment } of this.shelves.all()) {
      if (segment) await segment.writeAgain(this.#directory);
      else {
        lost += this.settled.countOpen(first, end);
        await this.losses.tellAgain((position) => position >= first && position < end && !this.settled.has(position));
        this.settled.add(first, end - 1);
      }
    }
    await syncDirectory(this.#directory);
    this.#unsynced = false;
    await this.removeSettled();
    await this.#writeCursor();
    this.#options.report?.(deletedFolder(this.#directory, lost));
  }

  async close(): Promise<void> {
    try {
      if (this.#unsynced) await this.newest.sync();
      if (this.#cursor.behind) await this.#writeCursor().catch(() => undefined);
    } finally {
      this.#cursor.stop();
      await this.shelves.close();
    }
  }

  async #makeRoom(length: number): Promise<void> {
    const { bytes, end } = this.newest;
    if (bytes > 0 && bytes + length > this.#segmentBytes) {
      if (this.#unsynced) await this.#syncNow();
      await this.shelves.begin(end);
      await this.removeSettled();
      if (this.shelves.count > KEPT_SEGMENTS && (await this.#freeBytes()) < (this.#options.minFreeBytes ?? 0)) await this.#dropOldest();
    }
    while (this.shelves.bytes + length > (this.#options.maxBytes ?? Infinity)) if (!(await this.#dropOldest())) return;
  }

  async #freeBytes(): Promise<number> {
    if (this.#options.freeBytes) return this.#options.freeBytes(this.#directory);
    const { bavail, bsize } = await statfs(this.#directory);
    return bavail * bsize;
  }

  /** @returns false when it has to stay: it is the only one, or a batch of it is being sent */
  async #dropOldest(): Promise<boolean> {
    const [oldest] = this.shelves.all();
    if (!oldest || this.shelves.count < 2 || [...this.held].some((position) => position >= oldest.first && position < oldest.end)) return false;
    const segment = await this.opened(oldest);
    const lost: LostBatch[] = [];
    for (let position = this.settled.nextOpen(oldest.first); position < oldest.end; position = this.settled.nextOpen(position + 1)) {
      const payload = await segment.read(position);
      if (!payload) await this.lostByDamage(segment, position, position + 1);
      else if (!this.losses.carries(position)) lost.push({ reason: 'quota', content: await contentOfRecord(payload) });
    }
    const last = oldest.end - 1;
    await this.losses.add(lost, oldest.first, last);
    await this.losses.tellAgain((carriedBy) => carriedBy >= oldest.first && carriedBy <= last);
    this.settled.add(oldest.first, last);
    if (lost.length > 0) this.#options.dropped?.(lost.length);
    await this.shelves.removeOldest();
    await this.#writeCursor();
    return true;
  }

  async #syncNow(): Promise<void> {
    await this.newest.sync();
    this.#unsynced = false;
  }

  async #writeCursor(): Promise<void> {
    await this.#cursor.write(this.settled);
    this.losses.cursorWritten();
  }
}
