/** The tokens of a store beside a copy of it: a store that is served without them lets everybody on its machine in. */
import { chmod, copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, messageOf, TelemetryError } from '@joulebook/shared/errors.js';

/** Ids, scopes and hashes; not when they were used. */
const isToken = (name: string): boolean => /^[0-9a-f]{12}\.json$/.test(name);

/**
 * The folder appears whole or not at all. One without a token in it counts too: every one was revoked.
 * @returns how many there are; undefined where none were ever made
 * @throws TelemetryError (`abort`)
 */
export async function copyTokens(from: string, to: string): Promise<number | undefined> {
  const partial = `${to}.partial`;
  try {
    if (!(await stat(from).then((found) => found.isDirectory(), notThere))) return undefined;
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { mode: 0o700 });
    const names = (await readdir(from, { withFileTypes: true })).filter((entry) => entry.isFile() && isToken(entry.name)).map(({ name }) => name);
    for (const name of names) {
      await copyFile(join(from, name), join(partial, name));
      await chmod(join(partial, name), 0o600);
    }
    await rename(partial, to);
    return names.length;
  } catch (cause) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw new TelemetryError('TOKENS_NOT_COPIED', `The tokens in ${from} can't be copied to ${to}: ${messageOf(cause)}. Copy that folder before the backup is served.`, 'abort', { cause });
  }
}

function notThere(error: unknown): false {
  if (codeOf(error) === 'ENOENT') return false;
  throw error;
}
