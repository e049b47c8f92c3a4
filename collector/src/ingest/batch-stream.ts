/** A file or pipe of batches: NDJSON, one batch per line, gzip or not; as `joulebook-agent replay` writes them. */
import { createGunzip } from 'node:zlib';
import { Readable } from 'node:stream';
import { decodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { Store } from '../store/store.js';
import { isGzip, tooLarge } from './body.js';

const NEWLINE = 0x0a;
/** Enough for the store to commit in groups. */
const MOST_IN_HAND = 64;

async function* joined(first: Buffer, rest: AsyncIterator<unknown>): AsyncGenerator<Buffer> {
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield asBuffer(next.value);
}

function asBuffer(chunk: unknown): Buffer {
  return chunk instanceof Uint8Array ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength) : Buffer.from(String(chunk));
}

/** Inflates where the first bytes say gzip. */
async function plainOf(source: Readable): Promise<AsyncIterable<unknown>> {
  const chunks: AsyncIterator<unknown> = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < 2) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = Buffer.concat([head, asBuffer(next.value)]);
  }
  if (!isGzip(head)) return joined(head, chunks);
  const input = Readable.from(joined(head, chunks));
  const gunzip = createGunzip();
  input.on('error', (error) => gunzip.destroy(error));
  return input.pipe(gunzip);
}

interface Line {
  readonly number: number;
  readonly text: string;
  /** False for a last line without its newline: it may be cut short. */
  readonly whole: boolean;
}

/** Lines as they come, none of which is much longer than allowed. @throws TelemetryError BODY_TOO_LARGE */
export async function* lines(source: Readable, maxLineBytes: number): AsyncGenerator<Line> {
  let number = 0;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for await (const piece of await plainOf(source)) {
    const chunk = asBuffer(piece);
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      yield { number: (number += 1), text: Buffer.concat([...pending, chunk.subarray(start, end)]).toString('utf8'), whole: true };
      pending = [];
      pendingBytes = 0;
      start = end + 1;
    }
    pending.push(chunk.subarray(start));
    pendingBytes += chunk.length - start;
    if (pendingBytes > maxLineBytes) throw tooLarge(maxLineBytes);
  }
  if (pendingBytes > 0) yield { number: number + 1, text: Buffer.concat(pending).toString('utf8'), whole: false };
}

function decodeLine({ number, text, whole }: Line, name: string): Batch {
  try {
    return decodeBatch(text);
  } catch (cause) {
    const torn = whole ? '' : ' It is the last line and has no newline: the stream was cut short.';
    throw new TelemetryError('BATCHES_UNREADABLE', `${name}, line ${number}: ${messageOf(cause)}${torn}`, 'abort', { cause });
  }
}

/**
 * Puts every batch of the stream into the store, the same way that ingest does.
 * @param name what to call the stream in errors
 * @returns how many slices were new
 * @throws TelemetryError (`abort`) naming the line; what came before it stays in the store
 */
export async function appendStream(source: Readable, store: Store, name: string, maxLineBytes: number): Promise<number> {
  let slices = 0;
  const inHand: Promise<void>[] = [];
  const append = async (batch: Batch, number: number): Promise<void> => {
    const appended = await store.append(batch);
    if (appended === 'conflict') throw new TelemetryError('BATCHES_CONFLICT', `${name}, line ${number}: stream ${batch.stream} has other content under sequence ${batch.sequence} on an earlier line.`, 'abort');
    if (appended === 'accepted') slices += batch.slices.length;
  };
  try {
    for await (const line of lines(source, maxLineBytes)) {
      if (line.text.trim() === '') continue;
      inHand.push(append(decodeLine(line, name), line.number));
      if (inHand.length >= MOST_IN_HAND) await Promise.all(inHand.splice(0));
    }
    await Promise.all(inHand);
  } catch (cause) {
    // What is still under way ends before the caller closes the store.
    await Promise.allSettled(inHand);
    if (cause instanceof TelemetryError) throw cause;
    throw new TelemetryError('BATCHES_UNREADABLE', `${name} can't be read: ${messageOf(cause)}.`, 'abort', { cause });
  }
  return slices;
}
