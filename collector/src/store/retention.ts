/**
 * How long what is kept. Facts are deleted only where every level above them is summed, so a sum over old time is the same
 * before and after, but for its ends and steps: those are then as coarse as what is left.
 *
 *   now ◀── facts 14 d ──▶◀── minutes 400 d ──▶◀── hours and days, for ever ──
 *
 * The file does not shrink by it: space is used again. `compact` makes a smaller one.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { dropClaims, keepClaims } from './duckdb-writers.js';
import { cellOf, LEVELS, type Standing } from './levels.js';
import { rollUp, standingOf } from './rollup.js';
import { KINDS } from './rollup-schema.js';

/** Seconds; null: for ever. */
export interface RetentionPolicy {
  readonly raw: number | null;
  readonly minute: number | null;
  readonly hour: number | null;
}
export interface Retained {
  /** Rows deleted. */
  readonly facts: number;
  readonly minutes: number;
  readonly hours: number;
  /** Facts that begin before are not kept; null: none were deleted so far. */
  readonly factsSince: EpochMicros | null;
  /** Why facts that are old enough were left. */
  readonly faults: readonly string[];
}

const [MINUTE, HOUR, DAY] = LEVELS;

/** The last beginning of a cell that is older; never after a touched cell. */
function cutOf(now: EpochMicros, keep: number | null, level: { readonly micros: number }, touched: readonly number[]): number {
  if (keep === null) return 0;
  return Math.max(0, cellOf(touched.reduce((least, cell) => Math.min(least, cell), now - keep * 1e6), level));
}

async function removeBefore(connection: DuckDBConnection, tables: readonly string[], cut: number): Promise<number> {
  let rows = 0;
  for (const table of tables) rows += (await connection.run(`DELETE FROM ${table} WHERE from_us < ${cut}`)).rowsChanged;
  return rows;
}

/**
 * Deletes what begins before the cut. Where nothing was deleted nothing is closed: an old recording may still be imported.
 * @param since what was closed before
 */
async function close(connection: DuckDBConnection, tables: readonly string[], since: number, cut: number): Promise<{ readonly rows: number; readonly since: number }> {
  const latest = Math.max(since, cut);
  const rows = await removeBefore(connection, tables, latest);
  return { rows, since: rows > 0 ? latest : since };
}

async function remove(connection: DuckDBConnection, policy: RetentionPolicy, standing: Standing, now: EpochMicros): Promise<Omit<Retained, 'faults'>> {
  const { minute, hour, day } = standing.touched;
  await connection.run('BEGIN');
  try {
    const cut = cutOf(now, policy.raw, HOUR, [...minute, ...hour]);
    await keepClaims(connection, cut);
    const facts = await close(connection, [...KINDS, 'kept_apart'], standing.factsSince, cut);
    await dropClaims(connection, facts.since);
    // Coarser rows go only where all finer ones are gone for good, or facts of such time that are yet to come would have no place.
    const minutes = await close(connection, KINDS.map((kind) => `${kind}_${MINUTE.name}`), standing.minutesSince, Math.min(facts.since, cutOf(now, policy.minute, HOUR, [])));
    const hours = await close(connection, [HOUR, DAY].flatMap(({ name }) => [...KINDS, 'wall'].map((kind) => `${kind}_${name}`)), standing.hoursSince, Math.min(cellOf(minutes.since, DAY), cutOf(now, policy.hour, DAY, day)));
    await connection.run(`UPDATE kept SET facts_since = ${facts.since}, minutes_since = ${minutes.since}, hours_since = ${hours.since}`);
    await connection.run('COMMIT');
    return { facts: facts.rows, minutes: minutes.rows, hours: hours.rows, factsSince: facts.since === 0 ? null : epochMicros(facts.since) };
  } catch (error) {
    await connection.run('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/**
 * @param roller a connection that sums
 * @param alone runs `remove` while nobody appends: a fact must not arrive between looking at what is summed and deleting
 */
export async function retain(roller: DuckDBConnection, policy: RetentionPolicy, now: EpochMicros, goesOn: () => boolean, alone: <T>(work: (writer: DuckDBConnection) => Promise<T>) => Promise<T>): Promise<Retained> {
  const { faults } = await rollUp(roller, now, goesOn);
  return { ...(await alone(async (writer) => remove(writer, policy, await standingOf(writer), now))), faults };
}
