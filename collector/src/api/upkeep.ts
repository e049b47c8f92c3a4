/**
 * What only the owner of an embedded store can do, for those who can't open it meanwhile:
 *
 *   GET  /v1/export   read    one file of facts: ?format=parquet|csv|ndjson &kind= &resolution= &from= &to=
 *   GET  /v1/backup   admin   the store of this moment as a file, which is a store
 *   POST /v1/retain   admin   retention now
 *
 * Each is in the audit: who, what, and how it ended. Files are made beside the store first, so that an answer that has begun is whole and its memory bounded.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { actorOf } from '../access/caller.js';
import { formatTime, parseTime } from '../join/times.js';
import type { Said } from '../report/request.js';
import { EXPORT_FORMATS, RESOLUTIONS, type ExportQuestion } from '../store/duckdb-export.js';
import { KINDS } from '../store/rollup-schema.js';
import type { Retained } from '../store/retention.js';
import type { EmbeddedStore } from '../store/upkeep.js';
import { policyOf, type UpkeepSettings } from '../upkeep/schedule.js';
import { saidOf } from './api.js';

const CONTENT_TYPES = { parquet: 'application/vnd.apache.parquet', csv: 'text/csv; charset=utf-8', ndjson: 'application/x-ndjson' } as const;

export const retainedShown = z.object({ facts: z.number(), minutes: z.number(), hours: z.number(), factsSince: z.string().nullable(), faults: z.array(z.string()) });
export type RetainedShown = z.infer<typeof retainedShown>;
export const showRetained = ({ factsSince, faults, ...rows }: Retained): RetainedShown => ({ ...rows, factsSince: factsSince === null ? null : formatTime(factsSince), faults: [...faults] });

function oneOf<T extends string>(said: Said, name: string, known: readonly T[], prefix: string, faults: string[]): T | undefined {
  const text = said[name]?.at(-1);
  const found = known.find((each) => each === text);
  if (text !== undefined && found === undefined) faults.push(`${prefix}${name}: '${text}' is unknown; write one of ${known.join(', ')}`);
  return found;
}

/** @throws UsageError with every fault */
export function parseExport(said: Said, prefix: '--' | ''): ExportQuestion {
  const faults: string[] = [];
  const format = oneOf(said, 'format', EXPORT_FORMATS, prefix, faults);
  const kind = oneOf(said, 'kind', KINDS, prefix, faults);
  const resolution = oneOf(said, 'resolution', RESOLUTIONS, prefix, faults) ?? 'facts';
  const time = (name: 'from' | 'to') => {
    const text = said[name]?.at(-1);
    const parsed = text === undefined ? undefined : parseTime(text);
    if (text !== undefined && parsed === undefined) faults.push(`${prefix}${name}: '${text}' is no time; write ISO 8601 with a zone, or epoch seconds`);
    return parsed;
  };
  const [from, to] = [time('from'), time('to')];
  if (said['format'] === undefined) faults.push(`${prefix}format: say one of ${EXPORT_FORMATS.join(', ')}`);
  if (format === 'ndjson' && resolution !== 'facts') faults.push(`${prefix}resolution: ndjson is of batches, which are facts; export ${resolution} sums as parquet or csv`);
  if (format !== undefined && format !== 'ndjson' && kind === undefined && said['kind'] === undefined) faults.push(`${prefix}kind: a ${format} file holds one kind; say one of ${KINDS.join(', ')}`);
  if (faults.length > 0 || format === undefined) throw new UsageError(faults);
  if (format === 'ndjson') return { format, kind, from, to };
  if (kind === undefined) throw new UsageError(faults);
  return { format, kind, resolution, from, to };
}

interface FileWanted {
  readonly name: string;
  readonly type: string;
  readonly make: (path: string) => Promise<unknown>;
  /** Told before the first byte is sent. */
  readonly made: (bytes: number) => void;
}

/** Makes a file in a folder of its own, sends it, and leaves nothing behind. */
export async function sendFile(reply: FastifyReply, beside: string, { name, type, make, made }: FileWanted): Promise<FastifyReply> {
  const folder = await mkdtemp(join(beside, '.joulebook-'));
  const clear = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const path = join(folder, name);
  try {
    await make(path);
    const { size } = await stat(path);
    made(size);
    const file = createReadStream(path);
    file.once('close', () => void clear());
    return await reply.headers({ 'content-type': type, 'content-length': size, 'content-disposition': `attachment; filename="${name}"` }).send(file);
  } catch (error) {
    await clear();
    throw error;
  }
}

const READ = { config: { needs: 'read' } } as const;
const ADMIN = { config: { needs: 'admin' } } as const;

export interface UpkeepApi {
  readonly store: EmbeddedStore;
  /** The path of the store. */
  readonly path: string;
  readonly settings: UpkeepSettings;
}

export function serveUpkeep(app: FastifyInstance, { store, path, settings }: UpkeepApi): void {
  const beside = path === ':memory:' ? tmpdir() : dirname(path);

  /** What fails is in the audit too: it may have been done in part. */
  async function audited<T>(request: FastifyRequest, failed: 'export-failed' | 'backup-failed' | 'retain-failed', work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      app.audit.acted({ event: failed, error: messageOf(error) }, actorOf(request));
      throw error;
    }
  }

  app.get('/v1/export', READ, async (request, reply) => {
    const question = parseExport(saidOf(request.query), '');
    const said = { ...question, from: timeOf(question.from), to: timeOf(question.to) };
    return audited(request, 'export-failed', () => sendFile(reply, beside, {
      name: `joulebook-${question.kind ?? 'batches'}.${question.format}`, type: CONTENT_TYPES[question.format],
      make: (file) => store.export(question, file),
      made: (bytes) => app.audit.acted({ event: 'exported', bytes, question: said }, actorOf(request)),
    }));
  });

  app.get('/v1/backup', ADMIN, async (request, reply) => audited(request, 'backup-failed', () => sendFile(reply, beside, {
    name: 'joulebook.duckdb', type: 'application/octet-stream',
    make: (file) => store.backup(file),
    made: (bytes) => app.audit.acted({ event: 'backed-up', bytes }, actorOf(request)),
  })));

  app.post('/v1/retain', ADMIN, async (request) => audited(request, 'retain-failed', async () => {
    const { faults, ...retained } = showRetained(await store.retain(policyOf(settings)));
    app.audit.acted({ event: 'retained', ...retained }, actorOf(request));
    return { ...retained, faults };
  }));
}

const timeOf = (at: EpochMicros | undefined): string | undefined => (at === undefined ? undefined : formatTime(at));
