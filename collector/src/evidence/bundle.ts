/** A bundle is a folder, or that folder as one tar file. */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listed, MANIFEST } from './manifest.js';
import { isTar, packTar, unpackTar } from './tar.js';

const TAR = /\.tar$/i;
export const isTarName = (path: string): boolean => TAR.test(path);

/** Whether a path is a bundle rather than a file of batches. */
export async function isBundle(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && (found.isDirectory() || isTarName(path) || (found.isFile() && (await isTar(path))));
}

/** The manifest first, where a reader of tapes wants it. */
export async function bundleTo(folder: string, tar: string): Promise<void> {
  const { files } = await listed(folder);
  await packTar(folder, [MANIFEST, ...files.filter((file) => file !== MANIFEST)], tar);
}

/** @throws TelemetryError (`TAR_DAMAGED`) */
export async function withBundle<T>(path: string, work: (folder: string) => Promise<T>): Promise<T> {
  if ((await stat(path)).isDirectory()) return work(path);
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-bundle-'));
  try {
    await unpackTar(path, folder);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
