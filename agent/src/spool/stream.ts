/** Under which name batches are numbered: made at random with the spool, kept in it, and given up only after a conflict or damage. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceDurably } from './durable-file.js';

export interface Stream {
  /** 128 bits in hex. */
  readonly id: string;
  /** The position in the spool of its sequence 0. */
  readonly origin: number;
}

const LINE = /^([0-9a-f]{32}) (\d{1,15})\n$/;

/** Undefined when there is none, or none that can be read: then a new one begins, which is always safe. */
export async function readStream(directory: string): Promise<Stream | undefined> {
  const text = await readFile(join(directory, 'stream'), 'utf8').catch(() => '');
  const [, id, origin] = LINE.exec(text) ?? [];
  return id === undefined ? undefined : { id, origin: Number(origin) };
}

export async function newStream(directory: string, origin: number): Promise<Stream> {
  const id = randomBytes(16).toString('hex');
  await replaceDurably(join(directory, 'stream'), `${id} ${origin}\n`);
  return { id, origin };
}
