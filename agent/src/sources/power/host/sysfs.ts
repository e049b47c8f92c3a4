/**
 * Attributes of sysfs: small texts. Their descriptor is kept, since opening costs more than reading; a read from
 * position 0 makes the kernel ask the hardware anew.
 */
import { access, constants, open, readdir, readFile } from 'node:fs/promises';

export interface Attribute {
  /** Without its line end. */
  read(): Promise<string>;
  close(): Promise<void>;
}

const LONGEST = 4096;

export async function openAttribute(path: string): Promise<Attribute> {
  const handle = await open(path, 'r');
  const buffer = Buffer.alloc(LONGEST);
  return {
    async read() {
      const { bytesRead } = await handle.read(buffer, 0, LONGEST, 0);
      return buffer.toString('utf8', 0, bytesRead).trim();
    },
    close: () => handle.close(),
  };
}

/** There is one, though it may not be for this user. */
export const attributeExists = (path: string): Promise<boolean> => access(path, constants.F_OK).then(() => true, () => false);

/** @returns undefined where there is no such attribute, or none that can be read or says anything */
export async function attributeText(...paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (text.trim() !== '') return text.trim();
  }
  return undefined;
}

const numbers = (name: string): number[] => (name.match(/\d+/g) ?? []).map(Number);

/** Entries of a folder whose name the shape knows, in the order of the numbers in it; none where there is no such folder. */
export async function numbered(folder: string, shape: RegExp): Promise<string[]> {
  const names = await readdir(folder).catch((): string[] => []);
  return names
    .filter((name) => shape.test(name))
    .map((name) => ({ name, key: numbers(name) }))
    .toSorted((a, b) => compare(a.key, b.key))
    .map(({ name }) => name);
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const difference = (a[index] ?? -1) - (b[index] ?? -1);
    if (difference !== 0) return difference;
  }
  return 0;
}
