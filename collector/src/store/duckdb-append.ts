/** Batches into the embedded store: ledger entries, facts and what is kept apart, in one transaction. */
import { createHash } from 'node:crypto';
import type { DuckDBAppender, DuckDBConnection } from '@duckdb/node-api';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import type { Slice, SliceKind } from '@joulebook/shared/slice.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import type { Appended } from './store.js';
import { canonicalNodes } from './series.js';
import type { Verdict, Writers } from './writers.js';

/** bigint → BIGINT, number → DOUBLE, string → VARCHAR: the cell's type says which column type it fits. */
type Cell = string | number | bigint | null;

const text = (value: string | undefined): string | null => value ?? null;
const whole = (value: number | undefined): bigint | null => (value === undefined ? null : BigInt(value));

/** Sorted keys, so that equal labels are equal text. */
export function canonicalLabels(labels: Readonly<Record<string, string>> | undefined): string | null {
  const entries = Object.entries(labels ?? {});
  return entries.length === 0 ? null : JSON.stringify(Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

/** The columns of the slice's table after the ones that every fact has, in the order of the schema. */
function ownCells(slice: Slice): Cell[] {
  switch (slice.kind) {
    case 'energy':
      return [
        slice.device, slice.boundary, slice.phase, BigInt(slice.microjoules), BigInt(slice.modelledMicrojoules), slice.seconds, slice.askedSeconds, slice.source, slice.method,
        whole(slice.lowMicrojoules), whole(slice.highMicrojoules), slice.samplingVariance ?? null, slice.contains ? JSON.stringify(canonicalNodes(slice.contains)) : null, whole(slice.divisionMicrojoules),
      ];
    case 'tokens':
      return [text(slice.tenant), slice.token, BigInt(slice.count)];
    case 'requests':
      return [
        text(slice.tenant), slice.outcome, whole(slice.ttftBucket), whole(slice.tpotBucket), BigInt(slice.requests), BigInt(slice.inputTokens), BigInt(slice.cachedInputTokens), BigInt(slice.outputTokens),
        text(slice.request), whole(slice.inputBand), whole(slice.concurrencyBand), whole(slice.prefillMicrojoules), whole(slice.decodeMicrojoules),
      ];
    case 'gauge':
      return [text(slice.device), slice.gauge, slice.valueSeconds, slice.seconds, slice.max];
    case 'flag':
      return [text(slice.device), text(slice.phase), slice.code, slice.detail, BigInt(slice.count), whole(slice.of)];
    default:
      return slice satisfies never;
  }
}

function cells(batch: Batch, slice: Slice): Cell[] {
  const shared: Cell[] = [batch.stream, BigInt(batch.sequence), batch.node, BigInt(slice.from), BigInt(slice.to), text(slice.site), text(slice.deployment), text(slice.model), canonicalLabels(slice.labels)];
  return [...shared, ...ownCells(slice)];
}

function appendRow(appender: DuckDBAppender, row: readonly Cell[]): void {
  for (const cell of row) {
    if (cell === null) appender.appendNull();
    else if (typeof cell === 'string') appender.appendVarchar(cell);
    else if (typeof cell === 'bigint') appender.appendBigInt(cell);
    else appender.appendDouble(cell);
  }
  appender.endRow();
}

function appendRows(appender: DuckDBAppender, rows: readonly (readonly Cell[])[]): void {
  try {
    for (const row of rows) appendRow(appender, row);
  } finally {
    appender.closeSync();
  }
}

async function appendFacts(connection: DuckDBConnection, judged: readonly Judged[]): Promise<void> {
  const byKind = new Map<SliceKind, Cell[][]>();
  for (const { batch, verdict } of judged) {
    for (const slice of verdict.booked) {
      const rows = byKind.get(slice.kind) ?? [];
      if (rows.length === 0) byKind.set(slice.kind, rows);
      rows.push(cells(batch, slice));
    }
  }
  for (const [kind, rows] of byKind) appendRows(await connection.createAppender(kind), rows);
}

async function keepApart(connection: DuckDBConnection, judged: readonly Judged[]): Promise<void> {
  const rows = judged.flatMap(({ batch, verdict }) =>
    verdict.apart.map(({ slice, series, rival }): Cell[] => [batch.stream, BigInt(batch.sequence), batch.node, BigInt(slice.from), BigInt(slice.to), series, rival.stream, rival.node, JSON.stringify(slice)]),
  );
  if (rows.length > 0) appendRows(await connection.createAppender('kept_apart'), rows);
}

interface Judged {
  readonly batch: Batch;
  readonly verdict: Verdict;
}
interface Entry {
  readonly batch: Batch;
  readonly key: string;
  readonly hash: string;
}

const keyOf = (stream: string, sequence: bigint | number): string => `${stream} ${sequence}`;
const entryOf = (batch: Batch): Entry => ({ batch, key: keyOf(batch.stream, batch.sequence), hash: createHash('sha256').update(encodeBatch(batch)).digest('hex') });

const places = (count: number, after: number): string => Array.from({ length: count }, (_, index) => `$${after + index + 1}`).join(', ');

/** Content hashes of those that the ledger has, by key. */
async function knownHashes(connection: DuckDBConnection, entries: readonly Entry[]): Promise<Map<string, string>> {
  const streams = [...new Set(entries.map(({ batch }) => batch.stream))];
  const sequences = [...new Set(entries.map(({ batch }) => BigInt(batch.sequence)))];
  const sql = `SELECT stream, sequence, hash FROM ledger WHERE stream IN (${places(streams.length, 0)}) AND sequence IN (${places(sequences.length, streams.length)})`;
  const found = await connection.runAndReadAll(sql, [...streams, ...sequences]);
  return new Map(found.getRows().flatMap(([stream, sequence, hash]) => (typeof stream === 'string' && typeof sequence === 'bigint' && typeof hash === 'string' ? [[keyOf(stream, sequence), hash] as const] : [])));
}

async function store(connection: DuckDBConnection, entries: readonly Entry[], at: EpochMicros, writers: Writers): Promise<void> {
  await connection.run('BEGIN');
  try {
    const ledger: Cell[][] = entries.map(({ batch, hash }) => [batch.stream, BigInt(batch.sequence), hash, batch.node, BigInt(at), BigInt(batch.slices.length)]);
    appendRows(await connection.createAppender('ledger'), ledger);
    const hosts = entries.flatMap(({ batch: { node, host } }) => (host ? [[node, BigInt(at), JSON.stringify(host)]] : []));
    if (hosts.length > 0) appendRows(await connection.createAppender('host'), hosts);
    const judged = entries.map(({ batch }) => ({ batch, verdict: writers.judge(batch) }));
    await appendFacts(connection, judged);
    await keepApart(connection, judged);
    await connection.run('COMMIT');
    writers.keep();
  } catch (error) {
    writers.forget();
    // A failed COMMIT has ended the transaction already; the first error is the one to tell.
    await connection.run('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/**
 * All of them in one transaction, or none. Call it for one group at a time: a connection has one transaction, and
 * nobody else may write between looking into the ledger and adding to it (the ledger's key would refuse the group).
 */
export async function appendBatches(connection: DuckDBConnection, batches: readonly Batch[], at: EpochMicros, writers: Writers): Promise<Appended[]> {
  const entries = batches.map(entryOf);
  const hashes = await knownHashes(connection, entries);
  const fresh: Entry[] = [];
  const answers = entries.map((entry): Appended => {
    const known = hashes.get(entry.key);
    if (known !== undefined) return known === entry.hash ? 'duplicate' : 'conflict';
    hashes.set(entry.key, entry.hash);
    fresh.push(entry);
    return 'accepted';
  });
  if (fresh.length > 0) await store(connection, fresh, at, writers);
  return answers;
}
