/**
 * A log file as it grows. The file that the path names is read through to its end before one that took its place:
 *
 *   path ─▶ (dev 1, inode 7) ──────── renamed ──┐ read on while the new one is empty
 *   path ─▶ (dev 1, inode 9) created ───────────┴▶ read from its beginning
 *   size < what was read: truncated in place (copytruncate), read from its beginning
 *
 * What is polled always works; where the system tells of changes, they are seen sooner.
 */
import { watch } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { TextDecoder } from 'node:util';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { lineBuffer } from '../../line-buffer.js';
import type { LiveContext } from '../../source.js';
import { MAX_LINE_CHARACTERS } from '../../text-lines.js';

/** What one look found. */
export interface Batch {
  /** Undefined: one that was too long to be kept. */
  readonly lines: readonly (string | undefined)[];
  /** Before it was looked: what was written until then is in this batch or in one before, if it says `caughtUp`. */
  readonly at: Instant;
  readonly caughtUp: boolean;
  /** They were there before the start; the last was written about then. */
  readonly old?: Instant;
  /** Something may have been printed since this moment that nobody can read any more. */
  readonly missedSince?: Instant;
}

export interface TailOptions {
  readonly file: string;
  /** So many bytes from before the start are read as well. */
  readonly readBack: number;
  readonly pollMs?: number;
}

const POLL_MS = 250;
/** Of a log that is written to all the time; each look costs some system calls. */
const SHORTEST_PAUSE_MS = 25;
const CHUNK = 64 * 1024;

/** Ends when the signal aborts. @throws TelemetryError (`disable`) for what is no file */
export async function* tail({ file, readBack, pollMs = POLL_MS }: TailOptions, { now, signal, log }: LiveContext): AsyncGenerator<Batch> {
  const changes = changesOf(file, signal);
  let followed: Followed | undefined;
  let atStart = true;
  let trouble = false;
  try {
    while (!signal.aborted) {
      try {
        const there = await identity(file);
        if (!followed && there) {
          followed = await follow(file);
          if (atStart) yield await followed.before(readBack);
          if (trouble) log.info(`${file}: is read again.`);
          trouble = false;
        }
        // A file that appears later is read whole.
        atStart = false;
        if (followed) yield* followed.rest(now);
        if (followed && there && there.id !== followed.id && there.size > 0) {
          yield* followed.rest(now);
          await followed.close();
          followed = undefined;
          continue;
        }
        if (!followed) yield { lines: [], at: now(), caughtUp: true };
      } catch (error) {
        if (error instanceof TelemetryError) throw error;
        await followed?.close();
        followed = undefined;
        if (!trouble) log.warn(`${file}: can't be read: ${messageOf(error)}`);
        trouble = true;
        yield { lines: [], at: now(), caughtUp: false };
      }
      await changes.next(pollMs);
    }
  } finally {
    changes.close();
    await followed?.close();
  }
}

interface Identity {
  readonly id: string;
  readonly size: number;
}

async function identity(file: string): Promise<Identity | undefined> {
  try {
    const found = await stat(file, { bigint: true });
    if (!found.isFile()) throw new TelemetryError('LOG_NOT_A_FILE', `${file} is not a file: name the file that the engine writes its log to.`, 'disable');
    return { id: `${found.dev}:${found.ino}`, size: Number(found.size) };
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

const isGone = (error: unknown): boolean => error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

interface Followed {
  readonly id: string;
  /** The last whole lines within so many bytes of the end; what follows is read by `rest`. */
  before(bytes: number): Promise<Batch>;
  /** Everything up to the end, in batches of bounded size; at least one, the last of which has caught up. */
  rest(now: () => Instant): AsyncGenerator<Batch>;
  close(): Promise<void>;
}

async function follow(file: string): Promise<Followed> {
  const handle = await open(file);
  const lines = lineBuffer(MAX_LINE_CHARACTERS);
  const buffer = Buffer.alloc(CHUNK);
  let decoder = new TextDecoder();
  let offset = 0;
  const restart = (): void => {
    offset = 0;
    lines.clear();
    decoder = new TextDecoder();
  };
  /** Whole lines of the next chunk; undefined at the end (of the file, or of what is asked for). */
  async function next(until = Number.POSITIVE_INFINITY): Promise<readonly (string | undefined)[] | undefined> {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(CHUNK, until - offset), offset);
    offset += bytesRead;
    return bytesRead === 0 ? undefined : lines.push(decoder.decode(buffer.subarray(0, bytesRead), { stream: true }));
  }
  const found = await handle.stat({ bigint: true }).catch(async (error: unknown) => {
    await handle.close();
    throw error;
  });

  return {
    id: `${found.dev}:${found.ino}`,
    async before(bytes) {
      const size = Number(found.size);
      offset = Math.max(0, size - bytes);
      const cut = offset > 0;
      const read: (string | undefined)[] = [];
      for (let chunk = offset < size ? await next(size) : undefined; chunk; chunk = offset < size ? await next(size) : undefined) for (const line of chunk) read.push(line);
      return { lines: cut ? read.slice(1) : read, at: instant(Number(found.mtimeMs) / 1000), caughtUp: false, old: instant(Number(found.mtimeMs) / 1000) };
    },
    async *rest(now) {
      for (;;) {
        const at = now();
        if ((await handle.stat()).size < offset) restart();
        const chunk = await next();
        yield { lines: chunk ?? [], at, caughtUp: chunk === undefined };
        if (chunk === undefined) return;
      }
    },
    close: () => closed(handle),
  };
}

/** On a file system that went away, closing fails too. */
const closed = (handle: FileHandle): Promise<void> => handle.close().catch(() => undefined);

interface Changes {
  /** A change, or so many milliseconds, or the end. */
  next(atMostMs: number): Promise<void>;
  close(): void;
}

function changesOf(file: string, signal: AbortSignal): Changes {
  let changed = false;
  let wake: (() => void) | undefined;
  const told = (): void => {
    changed = true;
    wake?.();
  };
  const watcher = watcherOf(file, told);
  signal.addEventListener('abort', told, { once: true });
  const pause = (ms: number, untilTold: boolean): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      if (!untilTold) return;
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (changed) wake();
    });
  return {
    async next(atMostMs) {
      if (!signal.aborted) await pause(SHORTEST_PAUSE_MS, false);
      if (!signal.aborted) await pause(atMostMs - SHORTEST_PAUSE_MS, true);
      changed = false;
      wake = undefined;
    },
    close: () => watcher?.close(),
  };
}

/** Of the folder: the file itself comes and goes. Where there is no folder, or nothing tells of changes, polling is enough. */
function watcherOf(file: string, told: () => void): { close(): void } | undefined {
  try {
    const watcher = watch(dirname(file), { persistent: false }, (_, name) => {
      if (name === basename(file)) told();
    });
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
