/**
 * InfluxDB 1.8, 2 and 3 (1.6 behind a front that maps /api/v2/write to /write): written by the write API v2, read by
 * InfluxQL. It answers for every point and syncs its log before it answers, so a 204 is durable and nothing is read back.
 * Numbers keep their type for ever: whole ones are integers, those that may have fractions are floats even where they have none.
 */
import { z } from 'zod';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { withoutQuery, type Server } from './address.js';
import { tooMany, type Engine, type Reading } from './engine.js';
import { ask, jsonLines } from './http.js';
import { lineWriter, type Dialect } from './lines.js';
import { cellOf, FACT_KINDS, FRACTIONAL, measurementName, type Row } from './points.js';

/** All tags of a point together must stay below 64 KiB. */
const LONGEST_TAGS_BYTES = 60_000;
/** Points per piece of an answer. */
const CHUNK = 10_000;

export const INFLUXDB_DIALECT: Dialect = {
  precision: 'ns',
  // As many nanoseconds as a cell has.
  slots: 10_000_000_000,
  field: (name, value) => [FRACTIONAL.has(name) ? `${name}=${value}` : `${name}=${value}i`],
};

const cell = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const answer = z.object({
  error: z.string().optional(),
  results: z.array(z.object({ error: z.string().optional(), series: z.array(z.object({ tags: z.record(z.string(), z.string()).optional(), columns: z.array(z.string()), values: z.array(z.array(cell)) })).optional() })).optional(),
});
type Series = NonNullable<NonNullable<z.infer<typeof answer>['results']>[number]['series']>[number];

/** InfluxQL's quoting of names and texts. */
export const quoteName = (name: string): string => `"${name.replace(/["\\]/g, String.raw`\$&`).replaceAll('\n', String.raw`\n`)}"`;
export const quoteText = (text: string): string => `'${text.replace(/['\\]/g, String.raw`\$&`).replaceAll('\n', String.raw`\n`)}'`;

const oneOf = (name: string, values: readonly string[]): string => `(${values.map((value) => `${quoteName(name)} = ${quoteText(value)}`).join(' OR ')})`;

export function selectOf({ measurement, where = {}, from, to, fields }: Reading): string {
  const conditions = [
    ...(from === undefined ? [] : [`time >= ${from}ms`]),
    ...(to === undefined ? [] : [`time < ${to}ms`]),
    ...Object.entries(where).map(([name, values]) => oneOf(name, values)),
  ];
  const what = fields ? fields.map(quoteName).join(', ') : '*';
  return `SELECT ${what} FROM ${quoteName(measurementName(measurement))}${conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`} GROUP BY *`;
}

/** Tags that a point lacks come as empty texts, fields as null. */
function rowsOf({ tags = {}, columns, values }: Series): Row[] {
  const said = Object.fromEntries(Object.entries(tags).filter(([, value]) => value !== ''));
  const time = columns.indexOf('time');
  return values.map((row) => ({
    tags: said,
    cell: cellOf(Number(row[time]) * 1000),
    fields: Object.fromEntries(columns.flatMap((name, index) => (name !== 'time' && typeof row[index] === 'number' ? [[name, row[index]] as const] : []))),
  }));
}

async function* query(server: Server, statement: string): AsyncGenerator<Series> {
  const [database = '', policy] = server.bucket.split('/');
  const form = new URLSearchParams({ q: statement, db: database, ...(policy !== undefined && { rp: policy }), epoch: 'ms', chunked: 'true', chunk_size: String(CHUNK) });
  for await (const line of jsonLines(server, '/query', form)) {
    const { error, results = [] } = answer.parse(line);
    const failed = error ?? results.find((result) => result.error !== undefined)?.error;
    if (failed !== undefined) throw new TelemetryError('STORE_FAILED', `The store at ${withoutQuery(server)} can't answer: ${failed.slice(0, 300)}`, 'retry');
    for (const { series = [] } of results) yield* series;
  }
}

/** Undefined where the server is something else. */
export async function openInfluxdb(server: Server): Promise<Engine | undefined> {
  const pong = await ask(server, '/ping');
  await pong.body?.cancel();
  const version = pong.headers.get('x-influxdb-version');
  if (version === null) return undefined;
  return {
    description: `InfluxDB ${version} at ${withoutQuery(server)}`,
    answersForPoints: true,
    objection({ tags }) {
      const bytes = Buffer.byteLength(JSON.stringify(tags));
      return bytes > LONGEST_TAGS_BYTES ? `its tags are ${bytes} bytes long, and the server keeps ${LONGEST_TAGS_BYTES}` : undefined;
    },
    write: lineWriter(server, INFLUXDB_DIALECT),
    visible: async () => undefined,
    durable: async () => '',
    era: async () => '',
    async read(reading, most = Infinity) {
      const rows: Row[] = [];
      for await (const series of query(server, selectOf(reading))) {
        rows.push(...rowsOf(series));
        if (rows.length > most) throw tooMany(most);
      }
      return rows;
    },
    async tagNames() {
      const names = new Set<string>();
      for await (const { values } of query(server, `SHOW TAG KEYS FROM ${FACT_KINDS.map((kind) => quoteName(measurementName(kind))).join(', ')}`)) for (const [name] of values) if (typeof name === 'string') names.add(name);
      return [...names];
    },
    close: async () => undefined,
  };
}
