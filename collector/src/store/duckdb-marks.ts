/** What was said of experiments, in the embedded store: a row each time, never changed. */
import type { DuckDBConnection } from '@duckdb/node-api';
import { epochMicros } from '@joulebook/shared/units.js';
import type { ExperimentMark } from './store.js';

export async function readMarks(connection: DuckDBConnection): Promise<readonly ExperimentMark[]> {
  const found = await connection.runAndReadAll('SELECT at_us, text FROM experiment ORDER BY at_us, rowid');
  return found.getRows().map(([at, text]) => ({ at: epochMicros(Number(at)), text: String(text) }));
}

export async function writeMark(connection: DuckDBConnection, { at, text }: ExperimentMark): Promise<void> {
  await connection.run('INSERT INTO experiment VALUES ($1, $2)', [BigInt(at), text]);
}
