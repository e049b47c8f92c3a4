/**
 * One agent per spool. The lock is a file that names its holder: process id, that process's start time (an id is
 * given out again after a crash) and its pid namespace (in another container an id says nothing).
 * - same namespace: the holder is asked for directly, so that an agent killed with -9 can be restarted at once;
 * - another namespace: the holder must have touched the file within 30 s (it does so every 10 s). Where the file's time lies ahead
 *   (a clock was set back) its age says nothing: then it is watched for that long.
 * The file appears with its content in one step (link), so nobody ever reads half a lock.
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, readlink, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { TelemetryError } from '@joulebook/shared/errors.js';

const HEARTBEAT_MS = 10_000;
const SILENT_MS = 3 * HEARTBEAT_MS;
/** Of a disk that several machines share. */
const CLOCKS_DIFFER_MS = 5000;

const holderSchema = z.object({ pid: z.int().positive(), started: z.string(), namespace: z.string() });
type Holder = z.infer<typeof holderSchema>;

export interface Lock {
  release(): Promise<void>;
}

/** @throws TelemetryError (`retry`, SPOOL_LOCKED) while another agent holds it */
export async function takeLock(directory: string, silentMs: number = SILENT_MS): Promise<Lock> {
  const path = join(directory, 'lock');
  const mine = JSON.stringify({ pid: process.pid, started: await startOf(process.pid), namespace: await pidNamespace(), nonce: randomBytes(8).toString('hex') });
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  await writeFile(draft, mine, { flag: 'wx', mode: 0o600 });
  try {
    for (;;) {
      if (await linked(draft, path)) break;
      await removeIfStale(path, silentMs);
    }
  } finally {
    await unlink(draft);
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    // A missed touch only matters to an agent in another container, which waits for three of them.
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    async release() {
      clearInterval(heartbeat);
      const held = await readFile(path, 'utf8').catch(() => '');
      if (held === mine) await unlink(path);
    },
  };
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

async function removeIfStale(path: string, silentMs: number): Promise<void> {
  const seen = await readFile(path, 'utf8').catch(() => undefined);
  if (seen === undefined) return;
  const holder = parseHolder(seen);
  if (holder ? await isAlive(holder, path, silentMs) : await touchedLately(path, silentMs)) {
    const who = holder ? `process ${holder.pid}` : 'another process';
    throw new TelemetryError('SPOOL_LOCKED', `${path} is held by ${who}: two agents can't share a spool. Stop the other one or give this one its own spool directory.`, 'retry');
  }
  // Moved away before it is removed: of two agents that both found it stale only one gets it, and what was moved is looked at again.
  const aside = `${path}.stale-${randomBytes(8).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  if ((await readFile(aside, 'utf8')) !== seen) await linked(aside, path);
  await unlink(aside);
}

function parseHolder(text: string): Holder | undefined {
  try {
    return holderSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

async function isAlive(holder: Holder, path: string, silentMs: number): Promise<boolean> {
  if (holder.namespace !== (await pidNamespace())) return touchedLately(path, silentMs);
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
  }
  return (await startOf(holder.pid)) === holder.started;
}

async function touchedLately(path: string, silentMs: number): Promise<boolean> {
  const touched = await touchedAt(path);
  const age = Date.now() - touched;
  if (age >= -CLOCKS_DIFFER_MS) return age < silentMs;
  await sleep(silentMs);
  return (await touchedAt(path)) !== touched;
}

const touchedAt = async (path: string): Promise<number> => (await stat(path).catch(() => ({ mtimeMs: 0 }))).mtimeMs;

/** Start time in clock ticks since boot: field 22 of /proc/PID/stat, counted after the name, which may hold spaces. Empty where there is no /proc. */
async function startOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

/** The boot is part of it: ticks and ids mean nothing across one. */
async function pidNamespace(): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return `${boot.trim()} ${namespace}`.trim();
}

const codeOf = (error: unknown): string | undefined => (error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined);
