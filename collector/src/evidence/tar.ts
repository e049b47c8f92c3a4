/**
 * A bundle as one file: tar, which every system unpacks; the same bundle is the same file. Names and sizes are guarded by the sum of each header,
 * contents by the manifest, so neither can change unseen. What else a tar file has room for, as what fills up its blocks, says nothing and may.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { codeOf, messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { extract, pack, type Header, type Pack } from 'tar-stream';
import { BUNDLE_PATH } from './manifest.js';

const BLOCK = 512;
const MAGIC_AT = 257;
/** Far more than a bundle has. */
const MOST_FILES = 10_000;

async function fill(tar: Pack, folder: string, files: readonly string[]): Promise<void> {
  for (const name of files) {
    const { size } = await stat(join(folder, name));
    await pipeline(createReadStream(join(folder, name)), tar.entry({ name, size, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) }));
  }
  tar.finalize();
}

/** @param files below the folder, in the order in which they are written */
export async function packTar(folder: string, files: readonly string[], path: string): Promise<void> {
  const tar = pack();
  const filled = fill(tar, folder, files).catch((error: unknown) => {
    tar.destroy();
    throw error;
  });
  await Promise.all([filled, pipeline(tar, createWriteStream(path))]);
}

const damaged = (what: string): TelemetryError => new TelemetryError('TAR_DAMAGED', what, 'abort');

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

const foldersOf = (name: string): string[] => name.split('/').slice(0, -1).map((_, index, parts) => parts.slice(0, index + 1).join('/'));

/** @throws TelemetryError for what no bundle has */
function checkEntry({ name, type, size }: Header, files: ReadonlySet<string>, folders: ReadonlySet<string>, most: number): void {
  const shown = `'${name.slice(0, 200)}'`;
  if (type !== 'file') throw damaged(`The tar file holds ${shown}, which is no plain file: a bundle has nothing else.`);
  if (!BUNDLE_PATH.test(name)) throw damaged(`The tar file holds ${shown}, which is no name of a file inside a bundle.`);
  if (files.has(name)) throw damaged(`The tar file holds ${shown} twice.`);
  if (folders.has(name) || foldersOf(name).some((folder) => files.has(folder))) throw damaged(`The tar file holds ${shown}, and a file that is its folder or has it for one.`);
  if (size > most) throw damaged(`The tar file holds ${shown} of ${size} bytes, which is more than all of the tar file.`);
  if (files.size >= MOST_FILES) throw damaged(`The tar file holds more than ${MOST_FILES} files, which no bundle has.`);
}

async function copyOut(entry: AsyncIterable<unknown>, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, 'wx');
  try {
    for await (const chunk of entry) if (chunk instanceof Uint8Array) await file.writeFile(chunk);
  } finally {
    await file.close();
  }
}

/** @throws TelemetryError (`TAR_DAMAGED`) saying what */
export async function unpackTar(path: string, folder: string): Promise<void> {
  const { size } = await stat(path);
  const [files, folders] = [new Set<string>(), new Set<string>()];
  const source = createReadStream(path);
  const tar = extract();
  let copying = Promise.resolve();
  const take = async (header: Header, entry: AsyncIterable<unknown>): Promise<void> => {
    checkEntry(header, files, folders, size);
    files.add(header.name);
    for (const each of foldersOf(header.name)) folders.add(each);
    await copyOut(entry, join(folder, header.name));
  };
  try {
    // By events: who iterates waits for ever where the file ends within an entry.
    await new Promise<void>((resolve, reject) => {
      tar.on('entry', (header, entry, goOn) => {
        entry.on('error', reject);
        copying = take(header, entry);
        copying.then(() => goOn(), reject);
      });
      tar.once('error', reject);
      tar.once('finish', resolve);
      source.once('error', reject);
      source.pipe(tar);
    });
    await copying;
  } catch (error) {
    // What the system says has a code: it is no fault of the tar file.
    if (error instanceof TelemetryError || codeOf(error) !== undefined) throw error;
    throw damaged(`The tar file can't be read after ${[...files].at(-1) ?? 'its beginning'}: ${messageOf(error)}`);
  } finally {
    source.destroy();
    tar.destroy();
    // Nothing is written any more when this returns.
    await copying.catch(() => undefined);
  }
}
