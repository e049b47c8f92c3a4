/** Batches into the embedded store: ledger entries, facts and what is kept apart, in one transaction. */
import type { DuckDBAppender, DuckDBConnection } from '@duckdb/node-api';
import type { Batch } from '@joulebook/shared/batch.js';
import type { SliceKind } from '@joulebook/shared/slice.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { cellOf, LEVELS } from './levels.js';
import { compact, hashOf, isSame, rowOf, spanOf, type Entry } from './duckdb-ledger.js';
import { Table } from './duckdb-rows.js';
import type { Ledger } from './ledger.js';
import { batchIn, claimsOf, COLUMNS, FROM_COLUMN, pack, type Packed } from './packed.js';
import { KINDS } from './rollup-schema.js';
import type { Appended } from './store.js';
import type { KeptApart, Writers } from './writers.js';

/** bigint → BIGINT, string → VARCHAR: the cell's type says which column type it fits. */
type Cell = string | bigint | null;

function appendCells(appender: DuckDBAppender, cells: readonly Cell[]): void {
  for (const cell of cells) {
    if (cell === null) appender.appendNull();
    else if (typeof cell === 'string') appender.appendVarchar(cell);
    else appender.appendBigInt(cell);
  }
}

function appendRows(appender: DuckDBAppender, rows: readonly (readonly Cell[])[]): void {
  try {
    for (const row of rows) {
      appendCells(appender, row);
      appender.endRow();
    }
  } finally {
    appender.closeSync();
  }
}

/** What is booked of a batch. */
type Booked = Pick<Packed, 'rows' | 'texts'>;

async function appendFacts(connection: DuckDBConnection, booked: readonly Booked[], { tables }: Memory): Promise<void> {
  for (const kind of KINDS) {
    const rows = booked.flatMap(({ rows: { [kind]: cells }, texts }) => (cells ? [{ cells, texts }] : []));
    if (rows.length === 0) continue;
    const appender = await connection.createAppender(kind);
    try {
      tables[kind].append(appender, rows);
    } finally {
      appender.closeSync();
    }
  }
}

interface Apart {
  readonly batch: Batch;
  readonly apart: readonly KeptApart[];
}

async function keepApart(connection: DuckDBConnection, judged: readonly Apart[]): Promise<void> {
  const rows = judged.flatMap(({ batch, apart }) =>
    apart.map(({ slice, series, rival }): Cell[] => [batch.stream, BigInt(batch.sequence), batch.node, BigInt(slice.from), BigInt(slice.to), series, rival.stream, rival.node, JSON.stringify(slice)]),
  );
  if (rows.length > 0) appendRows(await connection.createAppender('kept_apart'), rows);
}

/** Minutes whose sums are out of date by this. */
async function touch(connection: DuckDBConnection, booked: readonly Booked[]): Promise<void> {
  const minutes = new Set<number>();
  for (const { rows } of booked) {
    for (const kind of KINDS) {
      const cells = rows[kind] ?? [];
      for (let at = FROM_COLUMN; at < cells.length; at += COLUMNS[kind].length) minutes.add(cellOf(cells[at] ?? 0, LEVELS[0]));
    }
  }
  if (minutes.size > 0) appendRows(await connection.createAppender('touched'), [...minutes].map((cell): Cell[] => [LEVELS[0].name, BigInt(cell)]));
}

/** What a store remembers beside its facts: who wrote which series, and which batches it has. */
export interface Memory {
  readonly writers: Writers;
  readonly ledger: Ledger;
  readonly tables: Readonly<Record<SliceKind, Table>>;
  /** Facts that begin before were deleted; their sums are closed. */
  factsSince: number;
}

export const openTables = (): Memory['tables'] => ({ energy: new Table(COLUMNS.energy), tokens: new Table(COLUMNS.tokens), requests: new Table(COLUMNS.requests), gauge: new Table(COLUMNS.gauge), flag: new Table(COLUMNS.flag) });

function judge(packed: Packed, writers: Writers): { readonly booked: Booked; readonly judged?: Apart } {
  if (writers.claimAll(packed, claimsOf(packed))) return { booked: packed };
  const batch = batchIn(packed.text);
  const { booked, apart } = writers.judge(batch);
  return { booked: pack({ ...batch, slices: [...booked] }, packed.text), judged: { batch, apart } };
}

/**
 * DuckDB does it in the thread that is first to it, and lets who asked spin until then: as much processor again as the work itself. So its end is
 * looked for every millisecond.
 */
export async function commit(connection: DuckDBConnection): Promise<void> {
  const pending = await connection.start('COMMIT');
  try {
    await pending.runAllTasks();
  } catch (cause) {
    throw new Error(messageOf(cause).replace('Failure running pending result task: ', ''), { cause });
  }
  await pending.getResult();
}

/** One that is new. */
type Fresh = Packed & Entry;

async function store(connection: DuckDBConnection, entries: readonly Fresh[], at: EpochMicros, memory: Memory): Promise<void> {
  const { writers, ledger } = memory;
  const nextBefore = new Map(entries.map(({ stream }) => [stream, ledger.next(stream)]));
  await connection.run('BEGIN');
  try {
    appendRows(await connection.createAppender('ledger'), entries.map((entry) => rowOf(entry, at)));
    for (const entry of entries) ledger.accept(entry, at, spanOf(entry));
    const hosts = entries.flatMap(({ node, host }) => (host ? [[node, BigInt(at), JSON.stringify(host)]] : []));
    if (hosts.length > 0) appendRows(await connection.createAppender('host'), hosts);
    const judged = entries.map((entry) => judge(entry, writers));
    const booked = judged.map((each) => each.booked);
    await appendFacts(connection, booked, memory);
    await keepApart(connection, judged.flatMap((each) => each.judged ?? []));
    await touch(connection, booked);
    await compact(connection, ledger, nextBefore);
    await commit(connection);
    writers.keep();
    ledger.keep();
  } catch (error) {
    writers.forget();
    ledger.forget();
    // A failed COMMIT has ended the transaction already; the first error is the one to tell.
    await connection.run('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** Its minutes would be summed anew from what is left of them. Who takes batches in refuses such facts before (`oldestTaken`). */
function refuseClosed({ from }: Entry, { factsSince }: Memory): void {
  if (from === null || from >= factsSince) return;
  const [time, since] = [from, factsSince].map((micros) => new Date(micros / 1000).toISOString());
  throw new TelemetryError('FACTS_TOO_OLD', `The batch has facts of ${time}; facts of before ${since} are no longer kept and their sums are closed.`, 'discard');
}

/**
 * All of them in one transaction, or none. Call it for one group at a time: a connection has one transaction, and
 * nobody else may write between looking into the ledger and adding to it (the ledger's key would refuse the group).
 */
export async function appendBatches(connection: DuckDBConnection, batches: readonly Packed[], at: EpochMicros, memory: Memory): Promise<Appended[]> {
  const fresh = new Map<string, Fresh>();
  /** By those who begin them here. */
  const begun = new Map<string, string>();
  const answers: Appended[] = [];
  for (const packed of batches) {
    const entry = { ...packed, hash: hashOf(packed.text) };
    const { stream, sequence, node } = entry;
    const key = `${stream} ${sequence}`;
    const twin = fresh.get(key);
    if (twin) answers.push(twin.hash === entry.hash ? 'duplicate' : 'conflict');
    else if (memory.ledger.holds(stream, sequence)) answers.push((await isSame(connection, entry)) ? 'duplicate' : 'conflict');
    else if (!memory.ledger.hasRoomFor(stream, sequence) || (memory.ledger.ownerOf(stream) ?? begun.get(stream) ?? node) !== node) answers.push('conflict');
    else {
      refuseClosed(entry, memory);
      fresh.set(key, entry);
      begun.set(stream, node);
      answers.push('accepted');
    }
  }
  if (fresh.size > 0) await store(connection, [...fresh.values()], at, memory);
  return answers;
}
