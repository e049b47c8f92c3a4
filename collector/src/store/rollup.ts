/**
 * Summing facts into roll-ups. Every append notes the minutes it adds to (`touched`, in its own transaction); a roll-up
 * takes some touched cells, throws their rows away, sums them anew and strikes them off, all in one transaction:
 *
 *   touched minute ──▶ *_minute, touched hour ──▶ *_hour and wall_hour, touched day ──▶ *_day and wall_day
 *
 * So it may be killed at any moment and repeated at will. What is appended meanwhile is not in the transaction's view, and
 * neither is its note, which stays for the next round. Cells that are still being filled wait until they are over.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { messageOf } from '@joulebook/shared/errors.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { cellOf, LEVELS, runsOf, type Level, type Standing } from './levels.js';
import { KINDS, SUMMING, UNSTATED } from './rollup-schema.js';
import { sumWalls, wallsOfWalls } from './walls.js';

/** After the end of a cell its last facts are still on their way. */
const SETTLE_MICROS = 30e6;
/** Of one transaction: so many cells, and no more facts than this where there are several. */
const MOST_CELLS = 60;
const MOST_ROWS = 2_000_000;

export interface RolledUp {
  /** Cells summed. */
  readonly cells: number;
  /** Cells that are due and were not summed: time was up, or they could not be. */
  readonly left: number;
  readonly faults: readonly string[];
}

const numbers = async (connection: DuckDBConnection, sql: string): Promise<number[][]> => (await connection.runAndReadAll(sql)).getRows().map((row) => row.map(Number));

/** One statement, so that it is of one moment. */
export async function standingOf(connection: DuckDBConnection): Promise<Standing> {
  const touched: Record<Level['name'], number[]> = { minute: [], hour: [], day: [] };
  const since = new Map<string, number>();
  const found = await connection.runAndReadAll(`SELECT DISTINCT level, cell_us FROM touched UNION ALL SELECT 'facts', facts_since FROM kept UNION ALL SELECT 'minutes', minutes_since FROM kept UNION ALL SELECT 'hours', hours_since FROM kept`);
  for (const [name, value] of found.getRows()) {
    const level = LEVELS.find((known) => known.name === name);
    if (level) touched[level.name].push(Number(value));
    else since.set(String(name), Number(value));
  }
  return { touched, factsSince: since.get('facts') ?? 0, minutesSince: since.get('minutes') ?? 0, hoursSince: since.get('hours') ?? 0 };
}

const within = (cells: readonly number[], { micros }: Pick<Level, 'micros'>): string => `(${runsOf(cells, micros).map(({ from, to }) => `(from_us >= ${from} AND from_us < ${to})`).join(' OR ')})`;

/** @param finer undefined: facts */
function summing(level: Level, finer: Level | undefined, range: string): string[] {
  return KINDS.flatMap((kind) => {
    const { dimensions, apart, sums } = SUMMING[kind];
    const source = finer ? `${kind}_${finer.name}` : kind === 'energy' ? `(SELECT *, ${UNSTATED} AS unstated FROM energy)` : kind;
    const columns = [...dimensions, 'min(from_us) AS from_us', 'max(to_us) AS to_us', ...Object.entries(sums).map(([column, sum]) => `${sum} AS ${column}`)];
    return [
      `DELETE FROM ${kind}_${level.name} WHERE ${range}`,
      `INSERT INTO ${kind}_${level.name} BY NAME SELECT ${columns.join(', ')} FROM ${source} WHERE ${range} GROUP BY ${[...dimensions, ...(apart === undefined ? [] : [apart]), `from_us // ${level.micros}`].join(', ')}`,
    ];
  });
}

function statements(index: number, cells: readonly number[]): string[] {
  const level = LEVELS[index];
  if (!level) return [];
  const finer = index === 0 ? undefined : LEVELS[index - 1];
  const coarser = LEVELS[index + 1];
  const range = within(cells, level);
  const walls = level.name === 'minute' ? [] : [`DELETE FROM wall_${level.name} WHERE ${range}`, ...(level.name === 'day' ? [wallsOfWalls('hour', level, range)] : [])];
  const upward = coarser ? [...new Set(cells.map((cell) => cellOf(cell, coarser)))].map((cell) => `('${coarser.name}', ${cell})`) : [];
  return [
    `DELETE FROM touched WHERE level = '${level.name}' AND cell_us IN (${cells.join(', ')})`,
    ...(coarser ? [`DELETE FROM touched WHERE level = '${coarser.name}' AND cell_us IN (${cells.map((cell) => cellOf(cell, coarser)).join(', ')})`, `INSERT INTO touched VALUES ${upward.join(', ')}`] : []),
    ...summing(level, finer, range),
    ...walls,
  ];
}

async function sumCells(connection: DuckDBConnection, index: number, cells: readonly number[]): Promise<void> {
  const level = LEVELS[index];
  await connection.run('BEGIN');
  try {
    for (const sql of statements(index, cells)) await connection.run(sql);
    if (level?.name === 'hour') await sumWalls(connection, within(cells, level), level.micros);
    await connection.run('COMMIT');
  } catch (error) {
    await connection.run('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** Cells that are over, with everything of a finer level in them summed; oldest first. */
function dueCells(index: number, { touched }: Standing, now: EpochMicros): number[] {
  const level = LEVELS[index];
  if (!level) return [];
  const waiting = new Set(LEVELS.slice(0, index).flatMap(({ name }) => touched[name].map((cell) => cellOf(cell, level))));
  return touched[level.name].filter((cell) => cell + level.micros + SETTLE_MICROS <= now && !waiting.has(cell)).toSorted((a, b) => a - b);
}

/** Few enough for one transaction, which holds memory and, at its end, the disk. */
async function portions(connection: DuckDBConnection, cells: readonly number[], level: Level): Promise<number[][]> {
  const portion: number[][] = [];
  for (let begin = 0; begin < cells.length; begin += MOST_CELLS) {
    const some = cells.slice(begin, begin + MOST_CELLS);
    const rows = new Map((await numbers(connection, `SELECT (from_us // ${level.micros}) * ${level.micros}, count(*) FROM energy${level.name === 'day' ? '_hour' : ''} WHERE ${within(some, level)} GROUP BY 1`)).map(([cell = 0, count = 0]) => [cell, count]));
    let held = Number.POSITIVE_INFINITY;
    for (const cell of some) {
      const count = rows.get(cell) ?? 0;
      if (held + count > MOST_ROWS) portion.push([]);
      held = held + count > MOST_ROWS ? count : held + count;
      portion.at(-1)?.push(cell);
    }
  }
  return portion;
}

/**
 * Sums what is due. For one caller at a time.
 * A cell that can't be summed (its sums exceed 64 bits) stays as facts and is told; the others go on.
 * @param goesOn is asked before each transaction
 */
export async function rollUp(connection: DuckDBConnection, now: EpochMicros, goesOn: () => boolean): Promise<RolledUp> {
  const faults: string[] = [];
  let [cells, left] = [0, 0];
  for (const [index, level] of LEVELS.entries()) {
    const due = dueCells(index, await standingOf(connection), now);
    let done = 0;
    for (const portion of await portions(connection, due, level)) {
      if (!goesOn()) break;
      done += await settle(portion, (some) => sumCells(connection, index, some), level, faults);
      cells += portion.length;
    }
    left += due.length - done;
  }
  return { cells: cells - faults.length, left, faults };
}

/** All of them at once; if that fails, each on its own. @returns how many were summed */
async function settle(cells: readonly number[], sum: (cells: readonly number[]) => Promise<void>, level: Level, faults: string[]): Promise<number> {
  try {
    await sum(cells);
    return cells.length;
  } catch (error) {
    if (cells.length > 1) {
      let done = 0;
      for (const cell of cells) done += await settle([cell], sum, level, faults);
      return done;
    }
    faults.push(`The ${level.name} of ${new Date((cells[0] ?? 0) / 1000).toISOString()} can't be summed and is read as facts: ${messageOf(error).split('\n')[0]}`);
    return 0;
  }
}
