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

async function remove(connection: DuckDBConnection, policy: RetentionPolicy, standing: Standing, now: EpochMicros): Promise<Omit<Retained, 'faults'>> {
  const { minute, hour, day } = standing.touched;
  const facts = Math.max(standing.factsSince, cutOf(now, policy.raw, HOUR, [...minute, ...hour]));
  const minutes = Math.max(standing.minutesSince, Math.min(facts, cutOf(now, policy.minute, HOUR, [])));
  const hours = Math.min(minutes, cutOf(now, policy.hour, DAY, day));
  await connection.run('BEGIN');
  try {
    const removed = {
      facts: await removeBefore(connection, [...KINDS, 'kept_apart'], facts),
      minutes: await removeBefore(connection, KINDS.map((kind) => `${kind}_${MINUTE.name}`), minutes),
      hours: await removeBefore(connection, [HOUR, DAY].flatMap(({ name }) => [...KINDS, 'wall'].map((kind) => `${kind}_${name}`)), hours),
    };
    // Where nothing was deleted nothing is closed: an old recording may still be imported.
    const since = { facts: removed.facts > 0 ? facts : standing.factsSince, minutes: removed.minutes > 0 ? minutes : standing.minutesSince };
    await connection.run(`UPDATE kept SET facts_since = ${since.facts}, minutes_since = ${since.minutes}`);
    await connection.run('COMMIT');
    return { ...removed, factsSince: since.facts === 0 ? null : epochMicros(since.facts) };
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
