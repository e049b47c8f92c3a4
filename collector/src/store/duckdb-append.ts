/** Batches into the embedded store: ledger entries, facts and what is kept apart, in one transaction. */
import type { DuckDBAppender, DuckDBConnection } from '@duckdb/node-api';
import type { Batch } from '@joulebook/shared/batch.js';
import type { Slice, SliceKind } from '@joulebook/shared/slice.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { cellOf, LEVELS } from './levels.js';
import { compact, entryOf, isSame, rowOf, spanOf, type Entry } from './duckdb-ledger.js';
import type { Ledger, Written } from './ledger.js';
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

type Labels = Slice['labels'];

function isSameLabels(a: Labels, b: Labels): boolean {
  if (a === undefined || b === undefined) return a === b;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** Nearly all facts of a batch have the labels of the one before. */
function labelTexts(): (labels: Labels) => string | null {
  let [last, said]: [Labels, string | null] = [undefined, null];
  return (labels) => {
    if (!isSameLabels(labels, last)) [last, said] = [labels, canonicalLabels(labels)];
    return said;
  };
}

const sharedCells = (batch: Batch, slice: Slice, labels: string | null): Cell[] =>
  [batch.stream, BigInt(batch.sequence), batch.node, BigInt(slice.from), BigInt(slice.to), text(slice.site), text(slice.deployment), text(slice.model), labels];

function appendCells(appender: DuckDBAppender, cells: readonly Cell[]): void {
  for (const cell of cells) {
    if (cell === null) appender.appendNull();
    else if (typeof cell === 'string') appender.appendVarchar(cell);
    else if (typeof cell === 'bigint') appender.appendBigInt(cell);
    else appender.appendDouble(cell);
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

async function appendFacts(connection: DuckDBConnection, judged: readonly Judged[]): Promise<void> {
  const appenders = new Map<SliceKind, DuckDBAppender>();
  const kinds = new Set(judged.flatMap(({ verdict }) => verdict.booked.map(({ kind }) => kind)));
  const labelsOf = labelTexts();
  try {
    for (const kind of kinds) appenders.set(kind, await connection.createAppender(kind));
    for (const { batch, verdict } of judged) {
      for (const slice of verdict.booked) {
        const appender = appenders.get(slice.kind);
        if (!appender) throw new Error(`no table for facts of kind ${slice.kind}`);
        appendCells(appender, sharedCells(batch, slice, labelsOf(slice.labels)));
        appendCells(appender, ownCells(slice));
        appender.endRow();
      }
    }
  } finally {
    for (const appender of appenders.values()) appender.closeSync();
  }
}

async function keepApart(connection: DuckDBConnection, judged: readonly Judged[]): Promise<void> {
  const rows = judged.flatMap(({ batch, verdict }) =>
    verdict.apart.map(({ slice, series, rival }): Cell[] => [batch.stream, BigInt(batch.sequence), batch.node, BigInt(slice.from), BigInt(slice.to), series, rival.stream, rival.node, JSON.stringify(slice)]),
  );
  if (rows.length > 0) appendRows(await connection.createAppender('kept_apart'), rows);
}

/** Minutes whose sums are out of date by this. */
async function touch(connection: DuckDBConnection, judged: readonly Judged[]): Promise<void> {
  const minutes = new Set(judged.flatMap(({ verdict }) => verdict.booked.map(({ from }) => cellOf(from, LEVELS[0]))));
  if (minutes.size > 0) appendRows(await connection.createAppender('touched'), [...minutes].map((cell): Cell[] => [LEVELS[0].name, BigInt(cell)]));
}

interface Judged {
  readonly batch: Batch;
  readonly verdict: Verdict;
}
/** What a store remembers beside its facts: who wrote which series, and which batches it has. */
export interface Memory {
  readonly writers: Writers;
  readonly ledger: Ledger;
  /** Facts that begin before were deleted; their sums are closed. */
  factsSince: number;
}

async function store(connection: DuckDBConnection, entries: readonly Entry[], at: EpochMicros, { writers, ledger }: Memory): Promise<void> {
  const nextBefore = new Map(entries.map(({ batch: { stream } }) => [stream, ledger.next(stream)]));
  await connection.run('BEGIN');
  try {
    appendRows(await connection.createAppender('ledger'), entries.map((entry) => rowOf(entry, at)));
    for (const entry of entries) ledger.accept(entry.batch, at, spanOf(entry));
    const hosts = entries.flatMap(({ batch: { node, host } }) => (host ? [[node, BigInt(at), JSON.stringify(host)]] : []));
    if (hosts.length > 0) appendRows(await connection.createAppender('host'), hosts);
    const judged = entries.map(({ batch }) => ({ batch, verdict: writers.judge(batch) }));
    await appendFacts(connection, judged);
    await keepApart(connection, judged);
    await touch(connection, judged);
    await compact(connection, ledger, nextBefore);
    await connection.run('COMMIT');
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
export async function appendBatches(connection: DuckDBConnection, batches: readonly Written[], at: EpochMicros, memory: Memory): Promise<Appended[]> {
  const fresh = new Map<string, Entry>();
  /** By those who begin them here. */
  const begun = new Map<string, string>();
  const answers: Appended[] = [];
  for (const entry of batches.map(entryOf)) {
    const { stream, sequence, node } = entry.batch;
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
