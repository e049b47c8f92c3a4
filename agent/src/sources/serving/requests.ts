/**
 * A log of requests, one row each, in any table (CSV, JSON, JSON lines) whose columns the manifest names. Rows are
 * said in the order of the file, with a hole where rows could not be used: who must leave out more of them can make
 * new holes by the same rule.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { columnList } from '../dialects.js';
import { lineTally } from '../line-tally.js';
import { servingFormat, type RecordedFile, type RecordedServingEntry } from '../recorded.js';
import type { Flagged, HoleEvidence, RequestEvidence, ServingEvent } from '../source.js';
import { columnPosition, openTable, type Table, type TableRow } from '../table.js';
import { zone, type Zone } from '../timestamps.js';
import { holesOfUnusable } from './holes.js';
import { COLUMN_NAMES, readRequest, type ColumnName, type Columns } from './request-row.js';
import { supersededAttempts } from './attempts.js';
import { duplicateRows } from './duplicate-rows.js';

const NAME = 'requests';

const name = z.string().min(1);
const options = {
  /** The contract's names → the file's. */
  columns: z.strictObject({ ...optionalColumns() }).default({}),
  /** Column → what its cells must be, with * for anything: rows that do not match are left out. */
  where: z.record(name, z.union([z.string(), z.number(), z.boolean()]).transform(String)).default({}),
  /** Unit of ttft, duration, tpot and itl. */
  latencyUnit: z.enum(['s', 'ms']).default('s'),
};
type Options = z.output<z.ZodObject<typeof options>>;

function optionalColumns(): Record<ColumnName, z.ZodOptional<typeof name>> {
  const column = name.optional();
  return {
    start: column, firstToken: column, ttft: column, end: column, duration: column, inputTokens: column, outputTokens: column, totalTokens: column,
    cachedInputTokens: column, tpot: column, itl: column, status: column, tenant: column, attempt: column, id: column, model: column,
  };
}

export const requests = servingFormat({
  name: NAME,
  tokensFrom: 'requests',
  summary: 'CSV, JSON or JSON lines of requests: columns: { start, firstToken | ttft, end | duration, inputTokens, outputTokens | totalTokens, … }, where, latencyUnit',
  options,
  open(entry, chosen) {
    const local = zone(entry.tz);
    return { description: `${entry.file.label} (${NAME})`, events: () => events(entry, local, chosen) };
  },
});

async function* events(entry: RecordedServingEntry, local: Zone, { columns: names, where, latencyUnit }: Options): AsyncGenerator<ServingEvent, void> {
  const { file } = entry;
  const table = await openTable(file, NAME).catch((error: unknown) => {
    if (error instanceof TelemetryError && error.code === 'FILE_EMPTY') return undefined;
    throw error;
  });
  if (!table) {
    yield noRequests(file.label);
    return;
  }
  const columns = columnsOf(table, file, names);
  const wanted = filterOf(table, file, where);
  const tally = lineTally(file.label);
  const rows: (RequestEvidence | 'unusable')[] = [];
  const attempts = supersededAttempts();
  const notes = new Map<string, number>();
  let left = 0;

  let before: Instant | undefined;
  const told = new Set<string>();
  let repeated = 0;
  const duplicates = duplicateRows(file.label);
  for await (const row of table.rows()) {
    if (!wanted(row)) {
      left += 1;
      continue;
    }
    const read = row.flaw === undefined ? readRequest(row.cells, columns, local, latencyUnit, before) : { fault: row.flaw };
    if ('fault' in read) {
      tally.skip(row.line, read.fault);
      rows.push('unusable');
      continue;
    }
    tally.used();
    before = read.start;
    for (const note of read.notes) notes.set(note, (notes.get(note) ?? 0) + 1);
    // Rotated and concatenated logs tell a request twice: the same id at the same times is the same request.
    const same = read.id === undefined ? undefined : `${read.id}\u0000${read.start}\u0000${read.end}`;
    if (same !== undefined && told.has(same)) {
      repeated += 1;
      continue;
    }
    if (same === undefined) duplicates.see(row, read);
    else told.add(same);
    if (read.id !== undefined && read.attempt !== undefined) attempts.add(read.id, read.attempt, rows.length);
    const model = read.model ?? entry.model;
    rows.push({
      kind: 'request',
      id: read.id ?? `${file.label}:${row.line}`,
      ...(read.id !== undefined && { line: row.line }),
      start: read.start,
      ...(read.firstToken !== undefined && { firstToken: read.firstToken }),
      end: read.end,
      tokens: read.tokens,
      outcome: read.outcome,
      ...(model !== undefined && { model }),
      ...(read.tenant !== undefined && { tenant: read.tenant }),
    });
  }
  if (rows.length === 0 && left > 0) throw new TelemetryError('FILE_FORMAT', `${file.label}: none of its ${left} rows is as 'where' asks (${Object.entries(where).map(([column, pattern]) => `${column}: ${pattern}`).join(', ')}).`, 'abort');
  if (rows.length === 0) {
    yield noRequests(file.label);
    return;
  }
  tally.judge(NAME);
  const superseded = attempts.superseded();
  const said = rows.map((row, index): RequestEvidence | 'unusable' => (row !== 'unusable' && superseded.has(index) ? { ...row, outcome: 'superseded' } : row));
  yield* inFileOrder(said, `${file.label}: a request here could not be used`);
  yield* tally.flagged();
  for (const [note, count] of notes) yield noteFlag(note, count, file.label);
  if (repeated > 0) yield { kind: 'flagged', code: 'REPEATED_REQUEST', count: repeated, detail: `${file.label}: ${repeated} rows tell a request that was told before (same id, same times); each is counted once` };
  yield* duplicates.flagged();
  yield { kind: 'watermark', at: lastEnd(said) };
}

/** A server that nobody asked anything has such a log; a log that nobody wrote to looks the same, so nothing is idle by it. */
const noRequests = (label: string): Flagged => ({ kind: 'flagged', code: 'NO_REQUESTS', count: 1, detail: `${label} holds no request: none is counted, and nothing tells that none ran` });

const lastEnd = (rows: readonly (RequestEvidence | 'unusable')[]): Instant => instant(rows.reduce((latest, row) => (row === 'unusable' ? latest : Math.max(latest, row.end)), -Infinity));

/** Each run of unusable rows as its hole, where it stood; where the rows are in no order each is the hole over all. */
function* inFileOrder(rows: readonly (RequestEvidence | 'unusable')[], reason: string): Generator<RequestEvidence | HoleEvidence, void> {
  const holes = holesOfUnusable(rows, reason);
  let next = 0;
  for (const [index, row] of rows.entries()) {
    if (row !== 'unusable') {
      yield row;
      continue;
    }
    if (rows[index - 1] === 'unusable') continue;
    const hole = holes[next++] ?? holes.at(-1);
    if (hole) yield hole;
  }
}

const NOTES: Readonly<Record<string, string>> = {
  NO_DURATION: 'rows say neither end, duration nor pace: their tokens are booked at one moment',
  NO_TOKENS: 'rows say no number of tokens; name the columns inputTokens and outputTokens (or totalTokens)',
  UNKNOWN_STATUS: "rows have a status that is none of ok, aborted, failed: counted as failed",
};
const noteFlag = (code: string, count: number, label: string): Flagged => ({ kind: 'flagged', code, count, detail: `${label}: ${count} ${NOTES[code] ?? 'rows'}` });

/** @throws TelemetryError FILE_FORMAT for a column that is named but not there, and without a start */
function columnsOf(table: Table, file: RecordedFile, names: Options['columns']): Columns {
  const columns: { -readonly [name in ColumnName]?: number } = {};
  for (const column of COLUMN_NAMES) {
    const named = names[column];
    if (named !== undefined) columns[column] = columnPosition(table, file, named, `columns.${column}`);
    else if (table.columns.includes(column)) columns[column] = table.columns.indexOf(column);
  }
  if (columns.start === undefined) {
    throw new TelemetryError('FILE_FORMAT', `${file.label} has no column 'start': say which one it is with columns: { start: … }; it has ${columnList(table.columns)}.`, 'abort');
  }
  return { ...columns, start: columns.start };
}

function filterOf(table: Table, file: RecordedFile, where: Readonly<Record<string, string>>): (row: TableRow) => boolean {
  const conditions = Object.entries(where).map(([column, pattern]) => {
    const shape = new RegExp(`^${pattern.split('*').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('.*')}$`, 's');
    return { position: columnPosition(table, file, column, 'where'), shape };
  });
  // A row that was cut off before the column may be one of those that are asked for.
  return ({ cells, flaw }) => conditions.every(({ position, shape }) => (flaw !== undefined && position >= cells.length) || shape.test(String(cells[position] ?? '')));
}
