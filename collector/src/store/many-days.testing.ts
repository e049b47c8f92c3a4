/** For benches: what a fleet sends in an hour repeated over many, as if it had been sent all the time, and the rows of a store as line protocol. */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { LEVELS, type Level } from './levels.js';
import { KINDS } from './rollup-schema.js';

const [MINUTE, HOUR, DAY] = LEVELS;

async function within<T>(path: string, work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  try {
    return await work(connection);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

const repeat = (table: string, hour: number, indices: string): string => `INSERT INTO ${table} SELECT s.* REPLACE (s.from_us + h * ${HOUR.micros} AS from_us${table.startsWith('wall') ? '' : `, s.to_us + h * ${HOUR.micros} AS to_us`})
  FROM (FROM ${table} WHERE from_us >= ${hour} AND from_us < ${hour + HOUR.micros}) s, (SELECT unnest(${indices}) AS h) WHERE h > 0 ORDER BY from_us`;

/**
 * The hour's sums, a month of a fleet in seconds.
 * @param path a store that nobody holds, with one summed hour that begins at `hour`, a whole day
 * @param hours how many hours there are to be, the first included
 * @param withMinutes which of them have sums by minute, too
 */
export const repeatHour = (path: string, hour: number, hours: number, withMinutes: readonly number[]): Promise<void> =>
  within(path, async (connection) => {
    for (const kind of [...KINDS, 'wall']) await connection.run(repeat(`${kind}_${HOUR.name}`, hour, `range(${hours})`));
    for (const kind of KINDS) await connection.run(repeat(`${kind}_${MINUTE.name}`, hour, `[${withMinutes.join(', ')}]::BIGINT[]`));
    await connection.run(`INSERT INTO touched SELECT '${DAY.name}', ${hour} + d * ${DAY.micros} FROM range(${Math.ceil((hours * HOUR.micros) / DAY.micros)}) days(d)`);
  });

/** The hour's facts; nothing is summed yet. @param path a store that nobody holds, with the facts of one hour that begins at `hour` */
export const repeatFacts = (path: string, hour: number, hours: number): Promise<void> =>
  within(path, async (connection) => {
    for (const kind of KINDS) await connection.run(repeat(kind, hour, `range(${hours})`));
    await connection.run(`INSERT INTO touched SELECT '${MINUTE.name}', ${hour} + m * ${MINUTE.micros} FROM range(${(hours * HOUR.micros) / MINUTE.micros}) minutes(m)`);
  });

/** Tags and fields by kind: what tells series apart, and what a report by model and phase adds up. */
const POINTS = {
  energy: { tags: ['site', 'node', 'device', 'deployment', 'model', 'phase', 'boundary', 'source', 'method'], fields: ["'microjoules=' || microjoules || 'i'", "'seconds=' || seconds"] },
  tokens: { tags: ['site', 'node', 'deployment', 'model', 'token'], fields: ["'count=' || count || 'i'"] },
  requests: { tags: ['site', 'node', 'deployment', 'model', 'outcome', 'ttft_bucket', 'tpot_bucket'], fields: ["'requests=' || requests || 'i'"] },
} as const;

/**
 * Lines of line protocol, times in microseconds, some thousand at a time. Names in it need no escaping in a bench.
 * @param path a store that nobody holds
 * @param level undefined: the facts themselves
 * @param labels that are tags too
 */
export async function* pointsOf(path: string, level: Level | undefined, labels: readonly string[]): AsyncGenerator<readonly string[]> {
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  try {
    for (const [kind, { tags, fields }] of Object.entries(POINTS)) {
      const all = [...tags.map((tag) => `'${tag}=' || ${tag}`), ...labels.map((label) => `'${label}=' || (labels ->> '${label}')`)];
      const result = await connection.stream(`SELECT concat_ws(',', '${kind}', ${all.join(', ')}) || ' ' || concat_ws(',', ${fields.join(', ')}) || ' ' || from_us FROM ${kind}${level ? `_${level.name}` : ''} ORDER BY from_us`);
      for (let chunk = await result.fetchChunk(); chunk && chunk.rowCount > 0; chunk = await result.fetchChunk()) yield chunk.getColumnValues(0).map(String);
    }
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
export const levelNamed = (name: Level['name']): Level | undefined => LEVELS.find((level) => level.name === name);
