/**
 * One append-only file of the spool.
 *
 *     0000000000000042.segment            named by the position of its first record
 *     ┌────────────┬────────────┬─────────────┐┌────────────┬─ …
 *     │ length u32 │ crc32 u32  │ payload     ││ length u32 │        little endian
 *     └────────────┴────────────┴─────────────┘└────────────┴─ …
 *       position 42                              position 43
 *
 * The checksum covers position, length and payload: a flipped length that happens to lead to the start of another
 * record does not pass, because that record was written at another position.
 *
 * What a scan finds behind the last good record:
 * - `torn`: the start of a record whose end never reached the disk (its own length leads past the end of the file).
 *   Its append never returned, so nobody has seen it.
 * - `damaged`: bytes that were whole once. What follows can't be trusted to be where it seems, so it is left unread.
 */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { TelemetryError } from '@joulebook/shared/errors.js';

const HEADER_BYTES = 8;
/** Also tells a torn length from a flipped one: nothing longer was ever written. */
export const LONGEST_PAYLOAD_BYTES = 16 * 1024 * 1024;

const NAME = /^(\d{16})\.segment$/;

export const segmentPath = (directory: string, first: number): string => join(directory, `${String(first).padStart(16, '0')}.segment`);

/** The position of a segment's first record; undefined when the file is no segment. */
export function firstPosition(fileName: string): number | undefined {
  const match = NAME.exec(fileName);
  return match ? Number(match[1]) : undefined;
}

export type Tail = 'whole' | 'torn' | 'damaged';

interface Entry {
  readonly offset: number;
  readonly length: number;
}

export class Segment {
  readonly first: number;
  /** What the scan found behind the last good record, and how many bytes. */
  readonly tail: Tail;
  readonly tailBytes: number;
  #file: FileHandle;
  readonly #entries: Entry[];
  #bytes: number;
  /** Bytes of a failed append may stand behind the last record; they are cut off before the next one. */
  #ragged = false;

  private constructor(file: FileHandle, first: number, found: Scan) {
    this.#file = file;
    this.first = first;
    this.#entries = found.entries;
    this.#bytes = found.bytes;
    this.tail = found.tail;
    this.tailBytes = found.tailBytes;
  }

  static async create(directory: string, first: number): Promise<Segment> {
    // Truncating, not exclusive: an earlier try may have left the empty file behind when the disk refused the rest.
    const file = await open(segmentPath(directory, first), constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
    return new Segment(file, first, { entries: [], bytes: 0, tail: 'whole', tailBytes: 0 });
  }

  static async open(directory: string, first: number, use: 'read' | 'append'): Promise<Segment> {
    const file = await open(segmentPath(directory, first), use === 'read' ? 'r' : 'r+');
    try {
      return new Segment(file, first, scan(await file.readFile(), first));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The position after the last good record. */
  get end(): number {
    return this.first + this.#entries.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that a record takes, its header included; 0 when it is not here. */
  bytesOf(position: number): number {
    const entry = this.#entries[position - this.first];
    return entry ? HEADER_BYTES + entry.length : 0;
  }

  /** Nothing of a failed append stays: the next one begins at the same place with the same position. */
  async append(payload: Uint8Array, sync: boolean): Promise<void> {
    const record = Buffer.concat([header(this.end, payload), payload]);
    if (this.#ragged) await this.cutTail();
    this.#ragged = true;
    let written = 0;
    while (written < record.length) {
      const { bytesWritten } = await this.#file.write(record, written, record.length - written, this.#bytes + written);
      written += bytesWritten;
    }
    if (sync) await this.#file.datasync();
    this.#entries.push({ offset: this.#bytes, length: payload.length });
    this.#bytes += record.length;
    this.#ragged = false;
  }

  sync(): Promise<void> {
    return this.#file.datasync();
  }

  /** False where somebody has deleted its file: what is written to it then, nobody finds after this process. */
  async isThere(): Promise<boolean> {
    return (await this.#file.stat()).nlink > 0;
  }

  /** Writes what the deleted file held, and this process can still read, to a new one. */
  async writeAgain(directory: string): Promise<void> {
    const content = Buffer.alloc(this.#bytes);
    const { bytesRead } = await this.#file.read(content, 0, content.length, 0);
    if (bytesRead !== content.length) throw new Error(`segment ${this.first} has ${bytesRead} bytes left of ${content.length}`);
    const path = segmentPath(directory, this.first);
    const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
    try {
      await file.appendFile(content);
      await file.datasync();
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file.close();
    this.#file = file;
    this.#ragged = false;
  }

  /** Cuts off what stands behind the last good record. */
  async cutTail(): Promise<void> {
    await this.#file.truncate(this.#bytes);
    await this.#file.datasync();
    this.#ragged = false;
  }

  /** The payload at a position; undefined when it is damaged. */
  async read(position: number): Promise<Buffer | undefined> {
    const entry = this.#entries[position - this.first];
    if (!entry) throw new RangeError(`position ${position} is not in segment ${this.first}`);
    const record = Buffer.alloc(HEADER_BYTES + entry.length);
    const { bytesRead } = await this.#file.read(record, 0, record.length, entry.offset);
    const payload = record.subarray(HEADER_BYTES);
    return bytesRead === record.length && record.subarray(0, HEADER_BYTES).equals(header(position, payload)) ? payload : undefined;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

function header(position: number, payload: Uint8Array): Buffer {
  if (payload.length === 0 || payload.length > LONGEST_PAYLOAD_BYTES) {
    throw new TelemetryError('SPOOL_RECORD_SIZE', `A batch of ${payload.length} bytes can't be spooled; the limit is ${LONGEST_PAYLOAD_BYTES}.`, 'discard');
  }
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt32LE(payload.length, 0);
  head.writeUInt32LE(checksum(position, head.subarray(0, 4), payload), 4);
  return head;
}

function checksum(position: number, length: Uint8Array, payload: Uint8Array): number {
  const place = Buffer.alloc(8);
  place.writeBigUInt64LE(BigInt(position));
  return crc32(payload, crc32(length, crc32(place)));
}

interface Scan {
  readonly entries: Entry[];
  readonly bytes: number;
  readonly tail: Tail;
  readonly tailBytes: number;
}

function scan(content: Buffer, first: number): Scan {
  const entries: Entry[] = [];
  let offset = 0;
  let tail: Tail = 'whole';
  while (offset < content.length) {
    const left = content.length - offset - HEADER_BYTES;
    const length = left < 0 ? undefined : content.readUInt32LE(offset);
    if (length === undefined || (length > left && length <= LONGEST_PAYLOAD_BYTES)) {
      tail = 'torn';
      break;
    }
    const payload = content.subarray(offset + HEADER_BYTES, offset + HEADER_BYTES + length);
    const sum = checksum(first + entries.length, content.subarray(offset, offset + 4), payload);
    if (length === 0 || length > left || sum !== content.readUInt32LE(offset + 4)) {
      // A file grown by a write that never came: some file systems leave zeros there.
      tail = content.subarray(offset).every((byte) => byte === 0) ? 'torn' : 'damaged';
      break;
    }
    entries.push({ offset, length });
    offset += HEADER_BYTES + length;
  }
  return { entries, bytes: offset, tail, tailBytes: content.length - offset };
}
