/**
 * Files of facts, as the Parquet export writes them, into a new store in memory. They were judged when they were first appended: here they are
 * taken as they are, in the order of the file, with the batches that they came in.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { SliceKind } from '@joulebook/shared/slice.js';
import { LEVELS } from './levels.js';
import { KINDS } from './rollup-schema.js';

export type FactFiles = Readonly<Record<SliceKind, string>>;

const [MINUTE] = LEVELS;

/** @throws TelemetryError (`abort`) naming the file that holds no such facts */
export async function loadFacts(connection: DuckDBConnection, files: FactFiles): Promise<void> {
  // Doubles are added in one order: the same facts have the same sums, to the last digit.
  await connection.run('SET threads = 1');
  for (const kind of KINDS) {
    try {
      await connection.run(`INSERT INTO ${kind} BY NAME SELECT * FROM read_parquet('${files[kind].replaceAll("'", "''")}')`);
    } catch (cause) {
      throw new TelemetryError('FACTS_UNREADABLE', `${files[kind]} holds no facts of kind ${kind}: ${messageOf(cause).split('\n')[0]}`, 'abort', { cause });
    }
    // Nothing is summed yet.
    await connection.run(`INSERT INTO touched SELECT DISTINCT '${MINUTE.name}', (from_us // ${MINUTE.micros}) * ${MINUTE.micros} FROM ${kind}`);
  }
}
