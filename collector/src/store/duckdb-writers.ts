/**
 * The index of writers, from what a store holds: once per opening, one pass over the energy facts.
 *
 * Who takes facts in refuses those of time whose facts were deleted. So of deleted facts little can still matter, and that
 * is kept beside them:
 *
 *   claim     ├─ a run of days ──────┤       facts that reach beyond the cut, or end within a cell of it
 *   facts  ···········deleted···│ kept ──▶
 *   contest                                  which streams tell again what another one of their node told before
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { z } from 'zod';
import { epochMicros } from '@joulebook/shared/units.js';
import { seriesOf, UNTIMED_BEFORE_MICROS } from './series.js';
import { isBoundary } from './store.js';
import { CELL_MICROS, Writers } from './writers.js';

/** Extents are taken per hour, so that an agent's pause does not read as written; within the hour it does. */
const HOUR_MICROS = 3_600_000_000;

/** Rows of `kept_apart` that tell of two streams of one node. */
const CONTESTED = 'series IS NOT NULL AND node = rival_node';

const nodeList = z.array(z.string());
const readNodes = (text: unknown): string[] | undefined => (typeof text === 'string' ? nodeList.parse(JSON.parse(text)) : undefined);

const COLUMNS = 'stream, node, device, boundary, source, contains, from_us, to_us';

/** To be called in the transaction that deletes what begins before `cut`, and before it does. */
export async function keepClaims(connection: DuckDBConnection, cut: number): Promise<void> {
  await connection.run(`INSERT INTO claim SELECT DISTINCT ${COLUMNS} FROM energy WHERE from_us < ${cut} AND to_us > ${cut - CELL_MICROS}`);
  await connection.run(`INSERT INTO contest SELECT DISTINCT stream, series FROM kept_apart WHERE from_us < ${cut} AND ${CONTESTED} EXCEPT SELECT stream, series FROM contest`);
}

/** Of time that is closed for good. @param since facts that begin before are refused */
export async function dropClaims(connection: DuckDBConnection, since: number): Promise<void> {
  await connection.run(`DELETE FROM claim WHERE to_us <= ${since - CELL_MICROS}`);
}

export async function loadWriters(connection: DuckDBConnection): Promise<Writers> {
  const writers = new Writers();
  const written = await connection.runAndReadAll(
    `SELECT stream, node, device, boundary, CASE WHEN from_us < ${UNTIMED_BEFORE_MICROS} THEN source ELSE '' END AS source, contains, min(from_us), max(greatest(to_us, from_us + 1))
     FROM (SELECT ${COLUMNS} FROM energy UNION ALL SELECT ${COLUMNS} FROM claim) GROUP BY stream, node, device, boundary, 5, contains, from_us // ${HOUR_MICROS} ORDER BY 7`,
  );
  for (const [stream, node, device, boundary, source, contains, from, to] of written.getRows()) {
    if (!isBoundary(boundary)) continue;
    const span = { from: Number(from), to: Number(to) };
    writers.claim(seriesOf(String(node), { device: String(device), boundary, from: epochMicros(span.from), source: String(source), contains: readNodes(contains) }), { stream: String(stream), node: String(node) }, span);
  }
  const contested = await connection.runAndReadAll(`SELECT stream, series FROM kept_apart WHERE ${CONTESTED} UNION SELECT stream, series FROM contest`);
  for (const [stream, series] of contested.getRows()) writers.contest(String(stream), String(series));
  writers.keep();
  return writers;
}
