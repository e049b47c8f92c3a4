import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Replaces a small file so that after a crash at any moment either the old or the new content is there, whole:
 * written beside it, synced, renamed over it, and the rename itself synced through the directory.
 */
export async function replaceDurably(path: string, content: string | Uint8Array): Promise<void> {
  const beside = `${path}.tmp`;
  const file = await open(beside, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, path);
  await syncDirectory(dirname(path));
}

/** A name in a directory (a new file, a rename) outlives a power cut only after this. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
