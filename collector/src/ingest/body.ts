/** Bytes of a body → text, bounded both as sent and as inflated. */
import { promisify } from 'node:util';
import { gunzip, gunzipSync } from 'node:zlib';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';

/** As sent, and what of it is inflated while everybody waits: a millisecond. */
const SMALL_BYTES = 32 * 1024;
const SMALL_INFLATED_BYTES = 512 * 1024;

const inflate = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip);

/** Gzip is told by its first two bytes: JSON can't begin with them, and headers are lost by proxies. */
export const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

export const tooLarge = (limit: number): TelemetryError => new TelemetryError('BODY_TOO_LARGE', `The batch is larger than ${limit} bytes; send smaller ones or raise the limit.`, 'discard');

/** Undefined where it is no small batch: one of an agent is, and inflating it here takes a quarter of what a thread's does. */
function inflatedHere(bytes: Buffer, limit: number): Buffer | undefined {
  if (bytes.length > SMALL_BYTES) return undefined;
  const most = Math.min(limit, SMALL_INFLATED_BYTES);
  try {
    return gunzipSync(bytes, { maxOutputLength: most, chunkSize: SMALL_BYTES });
  } catch (error) {
    if (error instanceof RangeError && most < limit) return undefined;
    throw error;
  }
}

async function inflated(bytes: Buffer, limit: number): Promise<Buffer> {
  if (!isGzip(bytes)) {
    if (bytes.length > limit) throw tooLarge(limit);
    return bytes;
  }
  try {
    return inflatedHere(bytes, limit) ?? (await inflate(bytes, { maxOutputLength: limit }));
  } catch (cause) {
    if (cause instanceof RangeError) throw tooLarge(limit);
    throw new TelemetryError('BODY_NOT_GZIP', `The body can't be decompressed: ${messageOf(cause)}.`, 'discard', { cause });
  }
}

/** @throws TelemetryError (`discard`): BODY_TOO_LARGE, BODY_NOT_GZIP, BODY_NOT_UTF8 */
export async function readBody(bytes: Buffer, maxInflatedBytes: number): Promise<string> {
  const plain = await inflated(bytes, maxInflatedBytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(plain);
  } catch (cause) {
    throw new TelemetryError('BODY_NOT_UTF8', 'The body is not UTF-8 text.', 'discard', { cause });
  }
}
