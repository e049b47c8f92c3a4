/** The index of writers, from what a store holds: once per opening, one pass over the energy facts. */
import type { DuckDBConnection } from '@duckdb/node-api';
import { z } from 'zod';
import { epochMicros } from '@joulebook/shared/units.js';
import { seriesOf, UNTIMED_BEFORE_MICROS } from './series.js';
import { isBoundary } from './store.js';
import { Writers } from './writers.js';

/** Extents are taken per hour, so that an agent's pause does not read as written; within the hour it does. */
const HOUR_MICROS = 3_600_000_000;

const nodeList = z.array(z.string());
const readNodes = (text: unknown): string[] | undefined => (typeof text === 'string' ? nodeList.parse(JSON.parse(text)) : undefined);

export async function loadWriters(connection: DuckDBConnection): Promise<Writers> {
  const writers = new Writers();
  const written = await connection.runAndReadAll(
    `SELECT stream, node, device, boundary, CASE WHEN from_us < ${UNTIMED_BEFORE_MICROS} THEN source ELSE '' END AS source, contains, min(from_us), max(greatest(to_us, from_us + 1))
     FROM energy GROUP BY stream, node, device, boundary, 5, contains, from_us // ${HOUR_MICROS} ORDER BY 7`,
  );
  for (const [stream, node, device, boundary, source, contains, from, to] of written.getRows()) {
    if (!isBoundary(boundary)) continue;
    const span = { from: Number(from), to: Number(to) };
    writers.claim(seriesOf(String(node), { device: String(device), boundary, from: epochMicros(span.from), source: String(source), contains: readNodes(contains) }), { stream: String(stream), node: String(node) }, span);
  }
  const contested = await connection.runAndReadAll('SELECT DISTINCT stream, series FROM kept_apart WHERE series IS NOT NULL AND node = rival_node');
  for (const [stream, series] of contested.getRows()) writers.contest(String(stream), String(series));
  writers.keep();
  return writers;
}
