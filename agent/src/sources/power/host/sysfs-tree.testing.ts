/** A tree of attributes in a folder of its own, where the kernel would have /sys. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface SysfsTree {
  readonly root: string;
  /** Paths below the root and what they say. */
  set(attributes: Readonly<Record<string, string | number | bigint>>): Promise<void>;
  /** Takes an attribute away from everyone but root. */
  forbid(path: string): Promise<void>;
  remove(): Promise<void>;
}

export async function sysfsTree(attributes: Readonly<Record<string, string | number | bigint>> = {}): Promise<SysfsTree> {
  const root = await mkdtemp(join(tmpdir(), 'sysfs-'));
  await chmod(root, 0o755);
  const set: SysfsTree['set'] = async (values) => {
    for (const [path, value] of Object.entries(values)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), `${value}\n`);
    }
  };
  await set(attributes);
  return { root, set, forbid: (path) => chmod(join(root, path), 0o400), remove: () => rm(root, { recursive: true, force: true }) };
}

/** Runs something as a user who owns nothing, as a service would; where the tests are not run as root, as they are. */
export async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}
