/**
 * Batches that the collector will never take, kept for a person to look at:
 *
 *     rejected/<stream>-<position>.batch     as it was spooled
 *     rejected/<stream>-<position>.reason    why
 *
 * Bounded, so that a collector which refuses everything does not fill the disk: then the oldest go, and it is said.
 */
import { mkdir, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceDurably } from '../spool/durable-file.js';

export const MOST_REJECTED = 1000;

/** @returns how many older ones had to be deleted to make room */
export async function keepRejected(directory: string, name: string, batch: Uint8Array, reason: string, most = MOST_REJECTED): Promise<number> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await replaceDurably(join(directory, `${name}.batch`), batch);
  await replaceDurably(join(directory, `${name}.reason`), `${reason}\n`);
  return deleteOldest(directory, most);
}

async function deleteOldest(directory: string, most: number): Promise<number> {
  const kept = (await readdir(directory)).filter((file) => file.endsWith('.batch'));
  if (kept.length <= most) return 0;
  const aged = await Promise.all(kept.map(async (file) => ({ path: join(directory, file), at: (await stat(join(directory, file))).mtimeMs })));
  const surplus = aged.toSorted((a, b) => a.at - b.at).slice(0, kept.length - most);
  for (const { path } of surplus) {
    await unlink(path);
    await unlink(path.replace(/batch$/, 'reason')).catch(() => undefined);
  }
  return surplus.length;
}
