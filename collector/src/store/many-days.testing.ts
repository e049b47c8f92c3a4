/** One hour's sums repeated over days, as if facts had been sent all the time: a month of a fleet in seconds. For benches. */
import { DuckDBInstance } from '@duckdb/node-api';
import { LEVELS } from './levels.js';
import { KINDS } from './rollup-schema.js';

const [MINUTE, HOUR, DAY] = LEVELS;

/**
 * @param path a store that nobody holds, with one summed hour that begins at `hour`, a whole day
 * @param hours how many hours there are to be, the first included
 * @param withMinutes which of them have sums by minute, too
 */
export async function repeatHour(path: string, hour: number, hours: number, withMinutes: readonly number[]): Promise<void> {
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  const repeat = (table: string, indices: string): string => `INSERT INTO ${table} SELECT s.* REPLACE (s.from_us + h * ${HOUR.micros} AS from_us${table.startsWith('wall') ? '' : `, s.to_us + h * ${HOUR.micros} AS to_us`})
    FROM (FROM ${table} WHERE from_us >= ${hour} AND from_us < ${hour + HOUR.micros}) s, (SELECT unnest(${indices}) AS h) WHERE h > 0 ORDER BY from_us`;
  for (const kind of [...KINDS, 'wall']) await connection.run(repeat(`${kind}_${HOUR.name}`, `range(${hours})`));
  for (const kind of KINDS) await connection.run(repeat(`${kind}_${MINUTE.name}`, `[${withMinutes.join(', ')}]::BIGINT[]`));
  await connection.run(`INSERT INTO touched SELECT '${DAY.name}', ${hour} + d * ${DAY.micros} FROM range(${Math.ceil((hours * HOUR.micros) / DAY.micros)}) days(d)`);
  connection.closeSync();
  instance.closeSync();
}
