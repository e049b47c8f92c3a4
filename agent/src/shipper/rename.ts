/** A spooled batch under another name: the same facts, another stream and sequence. */
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { decodeBatch, encodeBatch } from '@joulebook/shared/batch.js';
import type { Name } from '../spool/renamed.js';

const inflate = promisify(gunzip);
const compress = promisify(gzip);

/** @throws TelemetryError (`discard`) when the batch can't be read */
export async function underName(batch: Buffer, { stream, sequence }: Name): Promise<Buffer> {
  const plain = isGzip(batch) ? await inflate(batch) : batch;
  return compress(encodeBatch({ ...decodeBatch(plain.toString()), stream, sequence }));
}

export const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;
