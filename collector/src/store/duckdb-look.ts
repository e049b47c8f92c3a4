/** What a store has, without a look at every fact: roll-ups tell it for all that they cover. */
import type { DuckDBConnection } from '@duckdb/node-api';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { planOf } from './levels.js';
import { standingOf } from './rollup.js';
import { KINDS } from './rollup-schema.js';
import { byLevel } from './duckdb-sum.js';
import type { Extent } from './store.js';

/** @param columns of rows of every kind that begin before */
async function everyKind(connection: DuckDBConnection, columns: string, before?: EpochMicros): Promise<string> {
  const { segments } = planOf({ to: before }, await standingOf(connection), ['minute', 'hour', 'day']);
  return byLevel(segments).flatMap(([level, range]) => KINDS.map((kind) => `SELECT ${columns} FROM ${kind}${level ? `_${level.name}` : ''} WHERE ${range}`)).join(' UNION ALL ');
}

/** Names, sorted. */
export async function labelsOf(connection: DuckDBConnection): Promise<string[]> {
  const sql = `SELECT DISTINCT unnest(json_keys(labels)) AS name FROM (SELECT DISTINCT labels FROM (${await everyKind(connection, 'labels')})) WHERE labels IS NOT NULL ORDER BY name`;
  return (await connection.runAndReadAll(sql)).getRows().map(([name]) => String(name));
}

export async function extentOf(connection: DuckDBConnection, before?: EpochMicros): Promise<Extent | null> {
  const [[first, last] = []] = (await connection.runAndReadAll(`SELECT min(first), max(last) FROM (${await everyKind(connection, 'min(from_us) AS first, max(to_us) AS last', before)})`)).getRows();
  return typeof first === 'bigint' ? { from: epochMicros(Number(first)), to: epochMicros(Number(last)) } : null;
}
