/**
 * Statements written to a folder by themselves: of each month and week once, a day after it is over everywhere, when late batches are in.
 *
 *     monthly-2026-10.json  .html .csv      weekly-2026-W43.json  .html .csv
 *
 * The JSON is the statement: once it is there it is never made again, and what lacks beside it is rendered from it. A file appears under its
 * name when it is whole, and only where nothing has that name: two collectors with one folder write each statement once.
 */
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { schedule } from 'node-cron';
import type { FastifyBaseLogger } from 'fastify';
import { z } from 'zod';
import type { Clock } from '@joulebook/shared/clock.js';
import { codeOf, messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { epochMicros, toEpochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { Book } from '../book/book.js';
import type { Defaults } from '../report/request.js';
import type { Store } from '../store/store.js';
import { monthlyStatementOf } from './monthly.js';
import { lastMonth, lastWeek, zoneOf } from './period.js';
import { renderStatement, type Statement, type StatementFormat } from './render.js';
import { weeklyReview } from './review.js';
import { monthlyStatement } from './statement.js';
import { weeklyReviewOf } from './weekly.js';

/** Batches may be a day late. */
const LATE_MICROS = 86_400e6;
const RENDERED = ['html', 'csv'] as const satisfies readonly StatementFormat[];
const either = z.discriminatedUnion('statement', [monthlyStatement, weeklyReview]);

export interface StatementParts {
  readonly folder: string;
  readonly schedule: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly defaults: Defaults;
  /** As it is now. */
  readonly book: () => Book;
  readonly log: Pick<FastifyBaseLogger, 'error' | 'info'>;
}

/** @returns false where something has that name already */
async function appear(path: string, text: string): Promise<boolean> {
  const partial = `${path}.${randomUUID()}.partial`;
  try {
    await writeFile(partial, text);
    // A rename would put itself in another's place.
    await link(partial, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(partial, { force: true });
  }
}

const readText = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch((error: unknown) => (codeOf(error) === 'ENOENT' ? undefined : Promise.reject(error)));

function parsed(path: string, text: string): Statement {
  try {
    return either.parse(JSON.parse(text));
  } catch (cause) {
    throw new TelemetryError('STATEMENT_DAMAGED', `${path} is no statement. Move it away, and what was rendered from it: then it is made anew, of the facts that there are now.`, 'abort', { cause });
  }
}

async function write(folder: string, name: string, make: () => Promise<Statement>): Promise<string[]> {
  const path = (format: string): string => join(folder, `${name}.${format}`);
  const written: string[] = [];
  if ((await readText(path('json'))) === undefined && (await appear(path('json'), renderStatement(await make(), 'json')))) written.push(path('json'));
  // Whoever wrote it.
  const statement = parsed(path('json'), (await readText(path('json'))) ?? '');
  for (const format of RENDERED) if ((await readText(path(format))) === undefined && (await appear(path(format), renderStatement(statement, format)))) written.push(path(format));
  return written;
}

/** The month and week that were over a day ago in every zone of the book. */
function due({ book, clock }: StatementParts): { readonly month: string; readonly week: string; readonly zone: string } {
  const at = epochMicros(toEpochMicros(clock.wall()) - LATE_MICROS);
  const earliest = (of: (zone: string, time: EpochMicros) => string, zones: readonly string[]): string => zones.map((zone) => of(zone, at)).toSorted()[0] ?? of('UTC', at);
  const current = book();
  const zones = [zoneOf(current, null), ...[...current.sites.keys()].map((site) => zoneOf(current, site))];
  return { month: earliest(lastMonth, zones), week: lastWeek(zoneOf(current, null), at), zone: zoneOf(current, null) };
}

/** @returns the files that were written; what can't be made is logged, and tried again the next time */
export async function writeStatements(parts: StatementParts): Promise<string[]> {
  const { folder, store, defaults, book, log } = parts;
  const { month, week, zone } = due(parts);
  const rest = { price: defaults.price, pue: defaults.pue, carbon: defaults.carbon, site: undefined, boundary: undefined };
  const work = [
    { name: `monthly-${month}`, make: (): Promise<Statement> => monthlyStatementOf(store, book(), { ...rest, period: month }) },
    { name: `weekly-${week}`, make: (): Promise<Statement> => weeklyReviewOf(store, book(), { ...rest, week, zone }) },
  ];
  const written: string[] = [];
  for (const { name, make } of work) {
    try {
      await mkdir(folder, { recursive: true });
      written.push(...(await write(folder, name, make)));
    } catch (error) {
      // A collector that is younger than a month has none to tell of.
      if (!(error instanceof TelemetryError && error.code === 'NO_FACTS')) log.error({ statement: name, error: messageOf(error) }, 'a statement was not written; it is tried again at the next time');
    }
  }
  if (written.length > 0) log.info({ files: written }, 'statements were written');
  return written;
}

/** @returns what stops it */
export function scheduleStatements(parts: StatementParts): () => Promise<void> {
  const quiet = { info: () => undefined, warn: () => undefined, debug: () => undefined, error: (message: string | Error) => parts.log.error({ error: String(message) }, 'a schedule failed') };
  let running: Promise<unknown> = Promise.resolve();
  const task = schedule(parts.schedule, () => (running = writeStatements(parts)), { name: 'statements', timezone: 'UTC', noOverlap: true, unref: true, logger: quiet, suppressMissedWarning: true });
  return async () => {
    await task.destroy();
    // The store is closed next.
    await running;
  };
}
