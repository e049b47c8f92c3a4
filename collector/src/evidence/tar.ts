/**
 * A bundle as one file: tar (ustar), which every system unpacks. Read strictly: each header by its checksum, each byte of padding as 0, so
 * that no byte of it can change unseen.
 *
 *     ┌ header 512 ┐┌ content ┐┌ zeros to 512 ┐ … ┌ 1024 zeros ┐
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TelemetryError } from '@joulebook/shared/errors.js';

const BLOCK = 512;
const MAGIC_AT = 257;
const CHECKSUM = { from: 148, to: 156 } as const;
/** Eleven digits of octal. */
const MOST_BYTES = 8 ** 11 - 1;
const NAME_BYTES = 100;
const CHUNK = 1024 * 1024;
const SAFE = /^(?:[\w-][\w.-]*\/)*[\w-][\w.-]*$/;

const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
const padding = (bytes: number): number => (BLOCK - (bytes % BLOCK)) % BLOCK;

/** Its own field counts as spaces. */
const checksumOf = (header: Uint8Array): number => header.reduce((sum, byte, index) => sum + (index >= CHECKSUM.from && index < CHECKSUM.to ? 0x20 : byte), 0);

function headerOf(name: string, bytes: number): Buffer {
  if (Buffer.byteLength(name) > NAME_BYTES || bytes > MOST_BYTES) throw new TelemetryError('TAR_TOO_LARGE', `${name} does not fit into a tar file (8 GiB): let --out name a folder.`, 'abort');
  const header = Buffer.alloc(BLOCK);
  // Owner, time and mode say nothing: the same bundle is the same file.
  header.write(name, 0);
  header.write(`${octal(0o644, 7)}${octal(0, 7)}${octal(0, 7)}${octal(bytes, 11)}${octal(0, 11)}`, NAME_BYTES);
  header.write('0ustar\u000000', 156);
  header.write(`${checksumOf(header).toString(8).padStart(6, '0')}\0 `, CHECKSUM.from);
  return header;
}

async function* entries(folder: string, files: readonly string[]): AsyncGenerator<Buffer> {
  for (const file of files) {
    const { size } = await stat(join(folder, file));
    yield headerOf(file, size);
    for await (const chunk of createReadStream(join(folder, file))) yield Buffer.from(chunk);
    yield Buffer.alloc(padding(size));
  }
  yield Buffer.alloc(2 * BLOCK);
}

/** @param files below the folder, in the order in which they are written */
export const packTar = (folder: string, files: readonly string[], path: string): Promise<void> => pipeline(Readable.from(entries(folder, files)), createWriteStream(path));

const damaged = (what: string): TelemetryError => new TelemetryError('TAR_DAMAGED', what, 'abort');

async function block(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, at);
  if (bytesRead < length) throw damaged(`The tar file ends at byte ${at + bytesRead}, in the middle of what it holds.`);
  return buffer;
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

const field = (header: Buffer, from: number, length: number): string => (/^[^\0]*/.exec(header.toString('latin1', from, from + length))?.[0] ?? '').trim();

/** Whether a file is tar by its first header. */
export async function isTar(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const header = Buffer.alloc(BLOCK);
    const { bytesRead } = await file.read(header, 0, BLOCK, 0);
    return bytesRead === BLOCK && header.toString('latin1', MAGIC_AT, MAGIC_AT + 5) === 'ustar';
  } finally {
    await file.close();
  }
}

async function copyOut(file: FileHandle, at: number, bytes: number, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const target = await open(path, 'wx');
  try {
    for (let done = 0; done < bytes; done += CHUNK) await target.write(await block(file, at + done, Math.min(CHUNK, bytes - done)));
  } finally {
    await target.close();
  }
}

/** @throws TelemetryError (`TAR_DAMAGED`) saying where */
export async function unpackTar(path: string, folder: string): Promise<void> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    let at = 0;
    let last = 'its beginning';
    for (;;) {
      const header = await block(file, at, BLOCK);
      if (isZero(header)) break;
      if (Number.parseInt(field(header, CHECKSUM.from, 8), 8) !== checksumOf(header)) throw damaged(`The header after ${last} (byte ${at}) of the tar file is not as it was written.`);
      const [name, bytes, kind] = [field(header, 0, NAME_BYTES).replace(/^\.\//, ''), Number.parseInt(field(header, 124, 12), 8), field(header, 156, 1)];
      at += BLOCK;
      // Who packed a folder anew may have its folders in it.
      if (kind === '5') continue;
      if (!SAFE.test(name) || name.includes('..') || !['0', ''].includes(kind) || !Number.isSafeInteger(bytes)) throw damaged(`The tar file holds '${name}', which no bundle has.`);
      await copyOut(file, at, bytes, join(folder, name));
      at += bytes;
      if (!isZero(await block(file, at, padding(bytes)))) throw damaged(`What fills up the tar file after ${name} (byte ${at}) is not as it was written.`);
      at += padding(bytes);
      last = name;
    }
    for (; at < size; at += Math.min(CHUNK, size - at)) if (!isZero(await block(file, at, Math.min(CHUNK, size - at)))) throw damaged(`The end of the tar file (after byte ${at}) is not as it was written.`);
  } finally {
    await file.close();
  }
}
