/**
 * The tokens of a store, a file for each in a folder beside it:
 *
 *     joulebook.duckdb.tokens/
 *       3f9a1c20b7de.json     id, hash, scopes, created, expires?, note?     written once, never changed
 *       3f9a1c20b7de.used     when it was last presented, to the hour
 *
 * Making a token adds a file, revoking removes one: several collectors and a command line share the folder without a lock,
 * and nothing that one of them writes brings back what another has removed. Each change of a name changes the folder's
 * time, so a collector sees with one look a second whether there is anything to read. What it can't read changes nothing.
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '@joulebook/shared/clock.js';
import { codeOf, messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { formatScope, parseScope, type Scope } from './scope.js';
import { textOf, type Warn } from './regular-file.js';
import { digest, isDigestOf, newTokenText, tokenId } from './token.js';

const LOOK_EVERY_SECONDS = 1;
/** A folder's time has steps: of a folder that changed this lately, a later change may show the same time. */
const UNSETTLED_MS = 2000;
const USED_EVERY_MS = 3600 * 1000;

const kept = z.strictObject({ id: z.string().regex(/^[0-9a-f]{12}$/), hash: z.string().regex(/^[0-9a-f]{64}$/), scopes: z.array(z.string()).min(1), created: z.iso.datetime(), expires: z.iso.datetime().optional(), note: z.string().optional() });

export interface Token {
  readonly id: string;
  readonly scopes: readonly Scope[];
  readonly created: Date;
  readonly expires: Date | undefined;
  readonly note: string | undefined;
  /** To the hour; undefined: never. */
  readonly lastUsed: Date | undefined;
}
interface Known extends Omit<Token, 'lastUsed'> {
  readonly hash: Buffer;
}

export interface NewToken {
  readonly scopes: readonly Scope[];
  readonly expires: Date | undefined;
  readonly note: string | undefined;
}

export interface Tokens {
  /** Whether tokens were ever made here: then everybody needs one, even when all are revoked. */
  areKept(): Promise<boolean>;
  /** By the text that was presented. */
  find(text: string): Promise<{ readonly kind: 'valid' | 'expired'; readonly token: Omit<Token, 'lastUsed'> } | { readonly kind: 'unknown' }>;
  list(): Promise<readonly Token[]>;
  /** The text is told this once. */
  create(wanted: NewToken): Promise<{ readonly text: string; readonly token: Token }>;
  /** False where there is none of this id. */
  revoke(id: string): Promise<boolean>;
}

const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT';
const milliseconds = (clock: Clock): number => clock.wall() * 1000;

async function readKnown(path: string, warn: Warn): Promise<Known | undefined> {
  try {
    const text = await textOf(path, warn);
    if (text === undefined) return undefined;
    const { hash, scopes, created, expires, id, note } = kept.parse(JSON.parse(text));
    if (`${id}.json` !== basename(path)) throw new Error(`it is of token ${id}`);
    return { id, note, hash: Buffer.from(hash, 'hex'), scopes: scopes.map(parseScope), created: new Date(created), expires: expires === undefined ? undefined : new Date(expires) };
  } catch (cause) {
    // Revoked by somebody else since the folder was listed.
    if (isMissing(cause)) return undefined;
    throw new TelemetryError('TOKENS_UNREADABLE', `${path} is no token: ${cause instanceof z.ZodError ? z.prettifyError(cause).replaceAll('\n', ' ') : messageOf(cause)}. Remove it (that revokes the token) or restore it.`, 'abort', { cause });
  }
}

async function readUsed(path: string, warn: Warn): Promise<Date | undefined> {
  const text = await textOf(path, warn).catch(() => undefined);
  const at = new Date(text?.trim() ?? '');
  return Number.isNaN(at.getTime()) ? undefined : at;
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** After a power cut the file is there, whole, or not there. */
async function writeNew(folder: string, name: string, content: string): Promise<void> {
  const beside = join(folder, `.${name}.tmp`);
  const file = await open(beside, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, join(folder, name));
  await syncFolder(folder);
}

/** What `readdir` and the folder's time say; null where there is no folder. */
interface Look {
  readonly stamp: string | undefined;
  readonly known: ReadonlyMap<string, Known>;
}

const stampOf = async (folder: string): Promise<{ readonly stamp: string; readonly changed: number } | null> => {
  try {
    const { ino, mtimeNs, mtimeMs } = await stat(folder, { bigint: true });
    return { stamp: `${ino} ${mtimeNs}`, changed: Number(mtimeMs) };
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
};

async function lookInto(folder: string, now: number, warn: Warn): Promise<Look | null> {
  const before = await stampOf(folder);
  if (before === null) return null;
  const names = (await readdir(folder)).filter((name) => name.endsWith('.json') && !name.startsWith('.'));
  const read = await Promise.all(names.map((name) => readKnown(join(folder, name), warn)));
  return { stamp: Math.abs(now - before.changed) < UNSETTLED_MS ? undefined : before.stamp, known: new Map(read.flatMap((token) => (token ? [[token.id, token] as const] : []))) };
}

/**
 * @param folder undefined: none are kept, e.g. because the store itself keeps nothing
 * @param onFault told once when the folder can't be read any more; what was known holds on
 * @param onOdd told once of each name in the folder that is no file
 * @throws TelemetryError (`abort`) for a token that can't be read
 */
export async function openTokens(folder: string | undefined, clock: Clock, onFault: (error: unknown) => void, onOdd: (message: string) => void = () => undefined): Promise<Tokens> {
  const odd = new Set<string>();
  const warn: Warn = (path, message) => {
    if (!odd.has(path)) onOdd(message);
    odd.add(path);
  };
  let look: Look | null = folder === undefined ? null : await lookInto(folder, milliseconds(clock), warn);
  let everKept = look !== null;
  let looked: number = clock.monotonic();
  let looking: Promise<void> | undefined;
  let faulty = false;
  const used = new Map<string, number>();

  async function lookAgain(path: string): Promise<void> {
    try {
      const { stamp } = (await stampOf(path)) ?? {};
      if (stamp === undefined || look?.stamp !== stamp) look = await lookInto(path, milliseconds(clock), warn);
      everKept ||= look !== null;
      faulty = false;
    } catch (error) {
      if (!faulty) onFault(error);
      faulty = true;
    } finally {
      looked = clock.monotonic();
      looking = undefined;
    }
  }

  async function refresh(now: boolean): Promise<void> {
    if (folder === undefined || (!now && clock.monotonic() - looked < LOOK_EVERY_SECONDS)) return;
    // A look under way may have begun before what must be seen now.
    if (now) await looking;
    looking ??= lookAgain(folder);
    await looking;
  }

  function where(): string {
    if (folder !== undefined) return folder;
    throw new TelemetryError('TOKENS_NOT_KEPT', 'This store keeps no tokens; name a folder for them with --token-folder or JOULEBOOK_TOKEN_FOLDER.', 'abort');
  }

  function noteUse(id: string): void {
    const now = milliseconds(clock);
    if (now - (used.get(id) ?? 0) < USED_EVERY_MS) return;
    used.set(id, now);
    // A disk that can't be written keeps nobody out.
    writeFile(join(where(), `${id}.used`), `${new Date(now).toISOString()}\n`, { mode: 0o600, flag: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NONBLOCK }).catch(() => undefined);
  }

  return {
    async areKept() {
      if (!everKept) await refresh(false);
      return everKept;
    },
    async find(text) {
      const id = tokenId(text);
      if (id === undefined) return { kind: 'unknown' };
      await refresh(false);
      const found = look?.known.get(id);
      if (!found || !isDigestOf(found.hash, text)) return { kind: 'unknown' };
      if (found.expires !== undefined && found.expires.getTime() <= milliseconds(clock)) return { kind: 'expired', token: found };
      noteUse(id);
      return { kind: 'valid', token: found };
    },
    async list() {
      await refresh(true);
      const known = [...(look?.known.values() ?? [])].toSorted((a, b) => a.created.getTime() - b.created.getTime() || a.id.localeCompare(b.id));
      return Promise.all(known.map(async ({ hash: _hash, ...token }) => ({ ...token, lastUsed: await readUsed(join(where(), `${token.id}.used`), warn) })));
    },
    async create({ scopes, expires, note }) {
      const path = where();
      const text = newTokenText();
      const id = tokenId(text) ?? '';
      const created = new Date(milliseconds(clock));
      try {
        await mkdir(path, { recursive: true, mode: 0o700 });
        await writeNew(path, `${id}.json`, `${JSON.stringify({ id, hash: digest(text).toString('hex'), scopes: scopes.map(formatScope), created, expires, note })}\n`);
      } catch (cause) {
        throw new TelemetryError('TOKENS_UNWRITABLE', `The token can't be kept in ${path}: ${messageOf(cause)}. Run this as the user that the collector runs as, or name another folder with --token-folder.`, 'abort', { cause });
      }
      await refresh(true);
      return { text, token: { id, scopes, created, expires, note, lastUsed: undefined } };
    },
    async revoke(id) {
      if (!/^[0-9a-f]{12}$/.test(id)) return false;
      const path = where();
      try {
        await rm(join(path, `${id}.json`));
        await rm(join(path, `${id}.used`), { force: true });
        await syncFolder(path);
      } catch (cause) {
        if (isMissing(cause)) return false;
        throw new TelemetryError('TOKENS_UNWRITABLE', `Token ${id} can't be removed from ${path}: ${messageOf(cause)}.`, 'abort', { cause });
      }
      await refresh(true);
      return true;
    },
  };
}
