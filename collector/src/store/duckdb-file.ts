/** The embedded store, in whichever thread calls it: one DuckDB file (or `:memory:`), one owner. */
import { stat } from 'node:fs/promises';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { hostFacts, type HostFacts } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { epochMicros, toEpochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { appendBatches } from './duckdb-append.js';
import { inGroups } from './group-commit.js';
import { readGroup, sumStatement } from './duckdb-sum.js';
import { loadWriters } from './duckdb-writers.js';
import { migrate } from './migrations.js';
import { Writers } from './writers.js';
import { DIMENSIONS, type Extent, type FactKind, type GroupSum, type NodeSeen, type Store, type SumQuery } from './store.js';

export const MEMORY = ':memory:';
const TABLES = Object.keys(DIMENSIONS).filter((kind) => kind !== ('booked' satisfies FactKind));

const OPTIONS = {
  // Small checkpoints stall appends for 80 ms; closing takes 0.4 s longer instead.
  checkpoint_threshold: '256MB',
  // Nothing is ever fetched from the network: json is built in and nothing else is needed.
  autoinstall_known_extensions: 'false',
};

export interface Opening {
  /** A file path, or `:memory:`. */
  readonly path: string;
  readonly readOnly: boolean;
}

/** A connection has one transaction and one statement at a time: callers take turns. */
function turns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return mine;
  };
}

function explainOpening(path: string, cause: unknown): TelemetryError {
  const message = messageOf(cause);
  const holder = /held in (.*?) \(PID (\d+)\)/.exec(message);
  if (holder || message.includes('Could not set lock')) {
    const who = holder ? `${holder[1]} (PID ${holder[2]})` : 'another process';
    return new TelemetryError('STORE_HELD', `The store ${path} is held by ${who}. A store has one owner; ask the collector with --collector URL.`, 'abort', { cause });
  }
  return new TelemetryError('STORE_UNREADABLE', `The store ${path} can't be opened: ${message.split('\n')[0]}`, 'abort', { cause });
}

async function openInstance({ path, readOnly }: Opening): Promise<DuckDBInstance> {
  if (readOnly && path !== MEMORY && !(await stat(path).then(() => true, () => false))) {
    throw new TelemetryError('STORE_MISSING', `There is no store at ${path}.`, 'abort');
  }
  try {
    return await DuckDBInstance.create(path, { ...OPTIONS, ...(readOnly ? { access_mode: 'READ_ONLY' } : {}) });
  } catch (error) {
    throw explainOpening(path, error);
  }
}

function readHost(text: unknown): HostFacts | null {
  if (typeof text !== 'string') return null;
  const parsed = hostFacts.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data : null;
}

/** @throws TelemetryError (`abort`) when the file is held by another process, newer than this program, or unreadable */
export async function openDuckdbFile(opening: Opening, clock: Clock): Promise<Store> {
  const { path, readOnly } = opening;
  const instance = await openInstance(opening);
  const writer = await instance.connect();
  let writers = new Writers();
  try {
    await migrate(writer, path, readOnly);
    if (!readOnly) writers = await loadWriters(writer);
  } catch (error) {
    instance.closeSync();
    throw error;
  }
  const reader = await instance.connect();
  const writing = turns();
  const append = inGroups((batches) => writing(() => appendBatches(writer, batches, toEpochMicros(clock.wall()), writers)));
  const reading = turns();
  const rows = (connection: DuckDBConnection, sql: string, parameters: string[] = []) =>
    reading(async () => (await connection.runAndReadAll(sql, parameters)).getRows());

  return {
    append,
    async sum<K extends FactKind>(query: SumQuery<K>): Promise<readonly GroupSum<K>[]> {
      const { sql, parameters } = sumStatement(query);
      return (await rows(reader, sql, parameters)).map((row) => readGroup(query, row));
    },
    async labels() {
      const all = TABLES.map((table) => `SELECT DISTINCT labels FROM ${table}`).join(' UNION ');
      return (await rows(reader, `SELECT DISTINCT unnest(json_keys(labels)) AS name FROM (${all}) WHERE labels IS NOT NULL ORDER BY name`)).map(([name]) => String(name));
    },
    async nodes(): Promise<NodeSeen[]> {
      const found = await rows(reader, `SELECT node, max(at_us), count(*), sum(slices), (SELECT arg_max(facts, at_us) FROM host WHERE host.node = ledger.node) FROM ledger GROUP BY node ORDER BY node`);
      return found.map(([node, lastSeen, batches, slices, facts]) => ({ node: String(node), lastSeen: epochMicros(Number(lastSeen)), batches: Number(batches), slices: Number(slices), host: readHost(facts) }));
    },
    async extent(before?: EpochMicros): Promise<Extent | null> {
      const range = before === undefined ? '' : ` WHERE from_us < ${before}`;
      const all = TABLES.map((table) => `SELECT min(from_us) AS first, max(to_us) AS last FROM ${table}${range}`).join(' UNION ALL ');
      const [first, last] = (await rows(reader, `SELECT min(first), max(last) FROM (${all})`))[0] ?? [];
      return first === null || first === undefined ? null : { from: epochMicros(Number(first)), to: epochMicros(Number(last)) };
    },
    close: () =>
      writing(() =>
        reading(async () => {
          if (!readOnly && path !== MEMORY) await writer.run('CHECKPOINT');
          reader.closeSync();
          writer.closeSync();
          instance.closeSync();
        }),
      ),
  };
}
