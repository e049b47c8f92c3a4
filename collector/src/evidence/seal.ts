/** Closes a bundle: lists what is in its folder in a manifest, and signs that where there is a key. May be done again, e.g. with another key. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { entryOf, hashOf, listed, MANIFEST, manifestText, PUBLIC_KEY, SEALS, SIGNATURE, SUMS, sumsText, type FileEntry, type Manifest } from './manifest.js';
import { fingerprintOf, publicText, signatureText } from './signature.js';

/** @param key private; undefined: not signed */
export async function seal(folder: string, open: Omit<Manifest, 'files' | 'signedBy'>, key: KeyObject | undefined): Promise<Manifest> {
  const files: FileEntry[] = [];
  for (const file of (await listed(folder)).files) if (!SEALS.includes(file)) files.push(await entryOf(folder, file));
  const publicKey = key && createPublicKey(key);
  const manifest: Manifest = { ...open, signedBy: publicKey ? fingerprintOf(publicKey) : null, files };
  const text = manifestText(manifest);
  await writeFile(join(folder, MANIFEST), text);
  await writeFile(join(folder, SUMS), sumsText(files, hashOf(text)));
  for (const [name, content] of [[SIGNATURE, key && signatureText(text, key)], [PUBLIC_KEY, publicKey && publicText(publicKey)]] as const) {
    if (content === undefined) await rm(join(folder, name), { force: true });
    else await writeFile(join(folder, name), content);
  }
  return manifest;
}
