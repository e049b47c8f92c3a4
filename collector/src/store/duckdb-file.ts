/** The embedded store, in whichever thread calls it: one DuckDB file (or `:memory:`), one owner. */
import { stat } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { encodeBatch, hostFacts, type HostFacts } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { epochMicros, toEpochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { appendBatches, openTables, type Memory } from './duckdb-append.js';
import { inGroups } from './group-commit.js';
import { copyStore, exportFacts } from './duckdb-export.js';
import { extentOf, labelsOf } from './duckdb-look.js';
import { isWallTimeByCell, readGroup, sourcesOf, sumStatement } from './duckdb-sum.js';
import { readMarks, writeMark } from './duckdb-marks.js';
import { loadFacts, type FactFiles } from './duckdb-load.js';
import { loadLedger, verdictOn, writeLosses } from './duckdb-ledger.js';
import { loadWriters } from './duckdb-writers.js';
import { Ledger, type Written } from './ledger.js';
import { resolutionOf } from './levels.js';
import { migrate } from './migrations.js';
import { batchIn, pack, type Packed } from './packed.js';
import { retain } from './retention.js';
import { rollUp, standingOf } from './rollup.js';
import type { EmbeddedStore } from './upkeep.js';
import { Writers } from './writers.js';
import type { Appended, Extent, FactKind, GroupSum, NodeSeen, SumQuery } from './store.js';

export const MEMORY = ':memory:';

const OPTIONS = {
  // Small checkpoints stall appends for 80 ms; closing takes 0.4 s longer instead.
  checkpoint_threshold: '256MB',
  // Nothing is ever fetched from the network: json is built in and nothing else is needed.
  autoinstall_known_extensions: 'false',
};

/** Of this machine's, for a store in a file: what needs more goes to disk. One in memory has all there is. */
const MEMORY_SHARE = 0.5;
const MOST_MEMORY = 2 * 2 ** 30;
const memoryLimit = (): string => `${Math.floor(Math.min(MOST_MEMORY, MEMORY_SHARE * totalmem()) / 2 ** 20)}MiB`;

/** A batch comes from another thread packed. */
export interface DuckdbFile extends EmbeddedStore {
  appendPacked(packed: Packed): Promise<Appended>;
  seenText(text: string): ReturnType<EmbeddedStore['seen']>;
}

export interface Opening {
  /** A file path, or `:memory:`. */
  readonly path: string;
  readonly readOnly: boolean;
  /** Of a store in memory: files of facts to begin with. */
  readonly facts?: FactFiles | undefined;
}

/** As much as a batch has; nobody reads it. Two transactions: what is written and deleted in one leaves no trace on the disk. */
const FILLER_BYTES = 2 ** 20;
async function writeFiller(connection: DuckDBConnection): Promise<void> {
  await connection.run(`INSERT INTO filler VALUES (repeat('x', ${FILLER_BYTES}))`);
  await connection.run('DELETE FROM filler');
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

/** Several statements that see the same facts. */
async function atOneMoment<T>(connection: DuckDBConnection, work: () => Promise<T>): Promise<T> {
  await connection.run('BEGIN');
  try {
    return await work();
  } finally {
    // Nothing was written.
    await connection.run('ROLLBACK');
  }
}

function explainOpening(path: string, cause: unknown): TelemetryError {
  const message = messageOf(cause);
  const holder = /held in (.*?) \(PID (\d+)\)/.exec(message);
  if (holder || message.includes('Could not set lock')) {
    const who = holder ? `${holder[1]} (PID ${holder[2]})` : 'another process';
    return new TelemetryError('STORE_HELD', `The store ${path} is held by ${who}. A store has one owner; ask the collector with --collector URL.`, 'abort', { cause });
  }
  // Its log of what was not yet in the file is of the store that stood here before.
  const hint = message.includes('replaying WAL') ? ` Was a backup put in its place? Then ${path}.wal is of the store before: move it away.` : '';
  return new TelemetryError('STORE_UNREADABLE', `The store ${path} can't be opened: ${message.split('\n')[0]}${hint}`, 'abort', { cause });
}

async function openInstance({ path, readOnly }: Opening): Promise<DuckDBInstance> {
  if (readOnly && path !== MEMORY && !(await stat(path).then(() => true, () => false))) {
    throw new TelemetryError('STORE_MISSING', `There is no store at ${path}.`, 'abort');
  }
  try {
    return await DuckDBInstance.create(path, { ...OPTIONS, ...(path === MEMORY ? {} : { memory_limit: memoryLimit() }), ...(readOnly ? { access_mode: 'READ_ONLY' } : {}) });
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
export async function openDuckdbFile(opening: Opening, clock: Clock): Promise<DuckdbFile> {
  const { path, readOnly } = opening;
  const instance = await openInstance(opening);
  const writer = await instance.connect();
  let writers = new Writers();
  let ledger = new Ledger();
  try {
    await migrate(writer, path, readOnly);
    if (opening.facts) await loadFacts(writer, opening.facts);
    ledger = await loadLedger(writer);
    if (!readOnly) writers = await loadWriters(writer);
  } catch (error) {
    instance.closeSync();
    throw error;
  }
  const memory: Memory = { writers, ledger, tables: openTables(), factsSince: (await standingOf(writer)).factsSince };
  const reader = await instance.connect();
  const writing = turns();
  const append = inGroups((group: readonly Packed[]) => writing(() => appendBatches(writer, group, toEpochMicros(clock.wall()), memory)), ({ slices }) => slices);
  const seen = (written: Written) => writing(() => verdictOn(writer, ledger, written));
  const reading = turns();
  const rows = (connection: DuckDBConnection, sql: string, parameters: string[] = []) =>
    reading(async () => (await connection.runAndReadAll(sql, parameters)).getRows());
  // Its own connection and turn: neither appends nor reads wait for it.
  const keeper = await instance.connect();
  const keeping = turns();
  let closing = false;
  const now = (): EpochMicros => toEpochMicros(clock.wall());

  return {
    append: (batch, text = encodeBatch(batch)) => append(pack(batch, text)),
    appendPacked: append,
    seen: (batch, text = encodeBatch(batch)) => seen({ batch, text }),
    seenText: (text) => seen({ batch: batchIn(text), text }),
    streams: () => writing(async () => ledger.seen()),
    markLost: (losses) => writing(() => writeLosses(writer, ledger, losses, now())),
    experimentMarks: () => reading(() => readMarks(reader)),
    markExperiment: (mark) => writing(() => writeMark(writer, mark)),
    probe: () => writing(() => writeFiller(writer)),
    async sum<K extends FactKind>(query: SumQuery<K>): Promise<readonly GroupSum<K>[]> {
      return reading(() =>
        atOneMoment(reader, async () => {
          const { sql, parameters } = sumStatement(query, sourcesOf(query, await standingOf(reader)));
          return (await reader.runAndReadAll(sql, parameters)).getRows().map((row) => readGroup(query, row));
        }),
      );
    },
    async resolution(query) {
      const sources = sourcesOf(query, await reading(() => standingOf(reader)));
      const known = await reading(() => atOneMoment(reader, () => extentOf(reader)));
      return { ...resolutionOf(sources.facts, known ?? { from: 0, to: 0 }), wallTimeByCell: query.kind === 'energy' && isWallTimeByCell(sources) };
    },
    labels: () => reading(() => atOneMoment(reader, () => labelsOf(reader))),
    async nodes(): Promise<NodeSeen[]> {
      const found = await rows(reader, `WITH parts AS (SELECT node, at_us, 1 AS batches, slices FROM ledger UNION ALL SELECT node, last_at_us, last - first + 1, slices FROM ledger_page)
        SELECT node, max(at_us), sum(batches), sum(slices), (SELECT arg_max(facts, at_us) FROM host WHERE host.node = parts.node) FROM parts GROUP BY node ORDER BY node`);
      return found.map(([node, lastSeen, batches, slices, facts]) => ({ node: String(node), lastSeen: epochMicros(Number(lastSeen)), batches: Number(batches), slices: Number(slices), host: readHost(facts) }));
    },
    extent: (before?: EpochMicros): Promise<Extent | null> => reading(() => atOneMoment(reader, () => extentOf(reader, before))),
    rollUp: (seconds) =>
      keeping(() => {
        const begun = performance.now();
        return rollUp(keeper, now(), () => !closing && performance.now() - begun < seconds * 1000);
      }),
    retain: (policy) =>
      keeping(() =>
        retain(keeper, policy, now(), () => !closing, (work) =>
          writing(async () => {
            try {
              return await work(writer);
            } finally {
              memory.factsSince = (await standingOf(writer)).factsSince;
            }
          }),
        ),
      ),
    export: (question, file) => keeping(() => exportFacts(keeper, question, file)),
    backup: (file) => keeping(() => copyStore(keeper, file)),
    close() {
      closing = true;
      // What it was summing or copying is begun anew some other time.
      keeper.interrupt();
      return keeping(() => writing(() => reading(async () => {
          keeper.closeSync();
          if (!readOnly && path !== MEMORY) await writer.run('CHECKPOINT');
          reader.closeSync();
          writer.closeSync();
          instance.closeSync();
      })));
    },
  };
}
