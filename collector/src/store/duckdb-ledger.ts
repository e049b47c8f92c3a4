/**
 * The ledger of the embedded store: which content came under (stream, sequence), in space that does not grow with time.
 *
 *     ledger        one row per batch, with its SHA-256: the newest 256 to 511 of each stream
 *     ledger_page   up to 256 older ones in a row: 8 bytes of each hash; of the oldest only from when to when their facts are
 *
 *     ┌ at most 64 rows ─┐┌── at most 512 rows ──┐┌ 256 … 511 rows ┐
 *     │ pages, no hashes ││ pages with hashes    ││ ledger         │──▶ next sequence
 *     └──────────────────┘└──────────────────────┘└────────────────┘
 *       > 131,000 batches ago (15 days at one in 10 s)
 *
 * A batch sent again is a duplicate however old it is. Other content under an old number (a machine image cloned with its
 * spool, a spool restored from a backup) is told by its hash; behind 131,000 batches by the time of its facts: what has
 * happened since can't have been among them.
 */
import { createHash } from 'node:crypto';
import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { Ledger, type Loss, type Lost, type Run, type Span, type StreamRuns, type Written } from './ledger.js';
import { extentOf } from './packed.js';

const PAGE_BATCHES = 256;
const PAGES_WITH_HASHES = 512;
const MOST_OLD_PAGES = 64;
/** Of a hash's text: 64 bits of 256. */
const HASH_DIGITS = 16;

export interface Entry {
  readonly stream: string;
  readonly sequence: number;
  readonly node: string;
  readonly slices: number;
  readonly hash: string;
  /** The time its facts span; null without any. */
  readonly from: number | null;
  readonly to: number | null;
}

export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');
export const entryOf = ({ batch: { stream, sequence, node, slices }, text }: Written): Entry => ({ stream, sequence, node, slices: slices.length, hash: hashOf(text), ...extentOf(slices) });

interface Mutable extends StreamRuns {
  node: string;
  lastSeen: EpochMicros;
  readonly runs: Run[];
  readonly lost: Lost[];
}

const timeOf = (value: DuckDBValue | undefined): EpochMicros | undefined => (typeof value === 'bigint' ? epochMicros(Number(value)) : undefined);
export const spanOf = ({ from, to }: Entry): Span => ({ from: from === null ? undefined : epochMicros(from), to: to === null ? undefined : epochMicros(to) });

const numberOf = (value: DuckDBValue | undefined): number | null => (typeof value === 'bigint' ? Number(value) : null);

/** Pages and rows of one stream, put together to runs. */
const RUNS = `
  WITH parts AS (SELECT stream, node, first, last, from_us, to_us, at_us, last_at_us FROM ledger_page UNION ALL SELECT stream, node, sequence, sequence, from_us, to_us, at_us, at_us FROM ledger),
  marked AS (SELECT *, max(last) OVER (PARTITION BY stream ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM parts),
  numbered AS (SELECT *, sum(CASE WHEN first > coalesce(before, -2) + 1 THEN 1 ELSE 0 END) OVER (PARTITION BY stream ORDER BY first) AS run FROM marked)
  SELECT stream, min(first), max(last), min(at_us), max(last_at_us), arg_min(node, at_us), arg_min(from_us, first), arg_max(to_us, last) FROM numbered GROUP BY stream, run ORDER BY 1, 2`;

export async function loadLedger(connection: DuckDBConnection): Promise<Ledger> {
  const streams = new Map<string, Mutable>();
  for (const [name, first, last, since, until, node, from, to] of (await connection.runAndReadAll(RUNS)).getRows()) {
    const run: Run = { first: Number(first), last: Number(last), since: epochMicros(Number(since)), from: timeOf(from), to: timeOf(to) };
    const stream = streams.get(String(name)) ?? { node: String(node), lastSeen: run.since, runs: [], lost: [] };
    streams.set(String(name), stream);
    // Earlier releases let several nodes write to one stream.
    if (stream.runs.every((other) => run.since < other.since)) stream.node = String(node);
    stream.lastSeen = epochMicros(Math.max(stream.lastSeen, Number(until)));
    stream.runs.push(run);
  }
  for (const [name, first, last, from, to, at] of (await connection.runAndReadAll('SELECT stream, first, last, from_us, to_us, at_us FROM lost')).getRows()) {
    streams.get(String(name))?.lost.push({ first: Number(first), last: Number(last), from: timeOf(from), to: timeOf(to), at: epochMicros(Number(at)) });
  }
  return new Ledger(streams);
}

const cell = (time: EpochMicros | undefined): bigint | null => (time === undefined ? null : BigInt(time));

/** In one transaction of its own. */
export async function writeLosses(connection: DuckDBConnection, ledger: Ledger, losses: readonly Loss[], at: EpochMicros): Promise<void> {
  await connection.run('BEGIN');
  try {
    for (const { stream, node, first, last, from, to } of losses) await connection.run('INSERT INTO lost VALUES ($1, $2, $3, $4, $5, $6, $7)', [stream, node, BigInt(first), BigInt(last), cell(from), cell(to), BigInt(at)]);
    await connection.run('COMMIT');
  } catch (error) {
    await connection.run('ROLLBACK').catch(() => undefined);
    throw error;
  }
  for (const { stream, first, last, from, to } of losses) ledger.lose(stream, { first, last, from, to, at });
}

/** Of a batch whose number was accepted before: is this the same one? */
export async function isSame(connection: DuckDBConnection, { stream, sequence, hash, from, to }: Entry): Promise<boolean> {
  const key = [stream, BigInt(sequence)];
  const [row] = (await connection.runAndReadAll('SELECT hash FROM ledger WHERE stream = $1 AND sequence = $2', key)).getRows();
  if (row) return row[0] === hash;
  const pages = await connection.runAndReadAll(
    `SELECT lower(substr(hex(hashes), (($2 - first) * ${HASH_DIGITS} + 1)::BIGINT, ${HASH_DIGITS})), from_us, to_us FROM ledger_page WHERE stream = $1 AND first <= $2 AND last >= $2`, key,
  );
  return pages.getRows().some(([kept, first, last]) => {
    if (typeof kept === 'string') return kept === hash.slice(0, HASH_DIGITS);
    const [earliest, latest] = [numberOf(first), numberOf(last)];
    return from === null || to === null || earliest === null || latest === null || (from >= earliest && to <= latest);
  });
}

/**
 * Packs what is old of the streams that have begun another page since.
 * @param before the stream's next sequence before this transaction
 */
export async function compact(connection: DuckDBConnection, ledger: Ledger, streams: ReadonlyMap<string, number>): Promise<void> {
  for (const [stream, before] of streams) {
    const page = Math.floor(ledger.next(stream) / PAGE_BATCHES);
    if (page > Math.floor(before / PAGE_BATCHES) && page > 1) await pack(connection, stream, (page - 1) * PAGE_BATCHES);
  }
}

async function pack(connection: DuckDBConnection, stream: string, before: number): Promise<void> {
  const key = [stream, BigInt(before)];
  await connection.run(
    `INSERT INTO ledger_page SELECT stream, node, min(sequence), max(sequence), sum(slices), unhex(string_agg(hash[1:${HASH_DIGITS}], '' ORDER BY sequence)), min(from_us), max(to_us), min(at_us), max(at_us)
     FROM (SELECT *, sequence - row_number() OVER (PARTITION BY node ORDER BY sequence) AS run FROM ledger WHERE stream = $1 AND sequence < $2) GROUP BY stream, node, run, sequence // ${PAGE_BATCHES}`, key,
  );
  await connection.run('DELETE FROM ledger WHERE stream = $1 AND sequence < $2', key);
  const pages = Number((await connection.runAndReadAll('SELECT count(*) FROM ledger_page WHERE stream = $1', [stream])).getRows()[0]?.[0] ?? 0);
  if (pages > PAGES_WITH_HASHES) await fold(connection, stream, pages - PAGES_WITH_HASHES);
}

/** The oldest pages lose their hashes; neighbours among them become one until they are few, or parted by gaps. */
async function fold(connection: DuckDBConnection, stream: string, old: number): Promise<void> {
  const oldest = `(SELECT first, node FROM ledger_page WHERE stream = $1 ORDER BY first LIMIT ${old})`;
  await connection.run(`UPDATE ledger_page SET hashes = NULL WHERE stream = $1 AND hashes IS NOT NULL AND (first, node) IN ${oldest}`, [stream]);
  for (let [before, now] = [Infinity, old]; now > MOST_OLD_PAGES && now < before; ) [before, now] = [now, await pairUp(connection, stream)];
}

async function pairUp(connection: DuckDBConnection, stream: string): Promise<number> {
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE paired AS
     SELECT stream, node, min(first) AS first, max(last) AS last, sum(slices)::BIGINT AS slices, NULL::BLOB AS hashes, min(from_us) AS from_us, max(to_us) AS to_us, min(at_us) AS at_us, max(last_at_us) AS last_at_us
     FROM (SELECT *, sum(starts) OVER (PARTITION BY node ORDER BY first) AS run, row_number() OVER (PARTITION BY node ORDER BY first) AS place FROM
       (SELECT *, CASE WHEN first = lag(last) OVER (PARTITION BY node ORDER BY first) + 1 THEN 0 ELSE 1 END AS starts FROM ledger_page WHERE stream = $1 AND hashes IS NULL))
     GROUP BY stream, node, run, place // 2`, [stream],
  );
  await connection.run('DELETE FROM ledger_page WHERE stream = $1 AND hashes IS NULL', [stream]);
  await connection.run('INSERT INTO ledger_page SELECT * FROM paired');
  return Number((await connection.runAndReadAll('SELECT count(*) FROM paired')).getRows()[0]?.[0] ?? 0);
}

/** For callers that only ask. */
export async function verdictOn(connection: DuckDBConnection, ledger: Ledger, written: Written): Promise<'duplicate' | 'conflict' | null> {
  if (!ledger.holds(written.batch.stream, written.batch.sequence)) return null;
  return (await isSame(connection, entryOf(written))) ? 'duplicate' : 'conflict';
}

/** A row of the ledger, in the order of its columns. */
export const rowOf = ({ stream, sequence, hash, node, slices, from, to }: Entry, at: EpochMicros): (string | bigint | null)[] =>
  [stream, BigInt(sequence), hash, node, BigInt(at), BigInt(slices), from === null ? null : BigInt(from), to === null ? null : BigInt(to)];
