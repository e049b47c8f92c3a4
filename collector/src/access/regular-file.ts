/** The text of a file that somebody else may have put there, of which nothing is known but its name. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { codeOf } from '@joulebook/shared/errors.js';

export type Warn = (path: string, message: string) => undefined;

/** What opening says of what is not to be read, and what that is. */
const ODD: Readonly<Record<string, string>> = { ELOOP: 'a loop of links', ENXIO: 'a socket or a device', EISDIR: 'a folder' };

/**
 * Never waits: reading a pipe would, for ever, and a device has no end.
 * @returns undefined for what is no file; `warn` is told
 */
export async function textOf(path: string, warn: Warn): Promise<string | undefined> {
  const leave = (what: string): undefined => warn(path, `${path} is ${what}, no file of a token, and is left alone. Remove it.`);
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = await file.stat();
      return stats.isFile() ? await file.readFile('utf8') : leave(stats.isFIFO() ? 'a pipe' : stats.isDirectory() ? 'a folder' : 'a device');
    } finally {
      await file.close();
    }
  } catch (error) {
    const odd = ODD[codeOf(error) ?? ''];
    if (odd === undefined) throw error;
    return leave(odd);
  }
}
