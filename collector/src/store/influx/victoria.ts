/**
 * VictoriaMetrics (single node). What it does not promise, and what is done about it:
 *
 *   204 to anything        rubbish, points beyond its retention and labels too many are dropped in silence: everything
 *                          written is read back before it counts
 *   204 before durable     points are in memory for some 5 s, their names longer; a snapshot writes both to disk, but for
 *                          what is being merged at that moment, which is there when no merge is under way (kill -9 right
 *                          after: nothing lost; after /internal/force_flush: everything lost). Many batches share one
 *   doubles                replayed points come twice from a server without -dedup.minScrapeInterval=1ms: each is taken once
 *                          here, and what answers dashboards directly should have that flag
 *   numbers are doubles    whole numbers are exact to 2^53, but fractions lose digits beside large numbers. A fraction is
 *                          stored as two whole numbers: `seconds` = m and `seconds_2exp` = e, for m × 2^e
 *   no InfluxQL            read by /api/v1/export, which gives points as they were written
 *   no buckets             the bucket is a tag
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { withoutQuery, type Server } from './address.js';
import { tooMany, type Engine, type Reading } from './engine.js';
import { askFor, jsonLines, textFrom } from './http.js';
import { lineWriter, type Dialect } from './lines.js';
import { CELL_MILLIS, cellOf, FACT_KINDS, FRACTIONAL, identityOf, measurementName, type Row } from './points.js';
import { tagOf } from './tag.js';

const EXPONENT = '_2exp';
/** Labels that it adds or that stand for other things. */
const NAME = '__name__';
const DATABASE = 'db';
const BUCKET = 'bucket';
/** The year 2100: without an end it reads up to now, and the time of a point may be up to 10 s ahead. */
const FOREVER_SECONDS = 4_102_444_800;
const DEFAULT_LABELS = 30;
const LONGEST_MERGE_MILLISECONDS = 15_000;
const LOOK_AGAIN_MILLISECONDS = 20;
/** Its limit is 16 KiB; longer values are cut off in silence. */
const LONGEST_TAG_BYTES = 16_000;

const series = z.object({ metric: z.record(z.string(), z.string()), values: z.array(z.number().nullable()), timestamps: z.array(z.number()) });
const listed = z.object({ data: z.array(z.string()) });
const snapshot = z.object({ status: z.literal('ok'), snapshot: z.string() });

/** m × 2^e with whole m; e is 0 for whole numbers. */
export function wholeParts(value: number): { readonly mantissa: number; readonly exponent: number } {
  if (Number.isSafeInteger(value)) return { mantissa: value, exponent: 0 };
  let exponent = Math.max(-1074, Math.floor(Math.log2(Math.abs(value))) - 52);
  // 2 ** −exponent may be beyond a double, its two halves never are.
  let mantissa = value * 2 ** Math.floor(-exponent / 2) * 2 ** Math.ceil(-exponent / 2);
  // The logarithm of what is just below a power of two is rounded up.
  while (!Number.isInteger(mantissa)) {
    mantissa *= 2;
    exponent -= 1;
  }
  while (mantissa % 2 === 0) {
    mantissa /= 2;
    exponent += 1;
  }
  return { mantissa, exponent };
}

const joinParts = (mantissa: number, exponent: number): number => mantissa * 2 ** Math.ceil(exponent / 2) * 2 ** Math.floor(exponent / 2);

export const victoriaDialect = ({ bucket }: Pick<Server, 'bucket'>): Dialect => ({
  precision: 'ms',
  slots: CELL_MILLIS,
  tags: { [BUCKET]: tagOf(bucket) },
  field(name, value) {
    if (!FRACTIONAL.has(name)) return [`${name}=${value}i`];
    const { mantissa, exponent } = wholeParts(value);
    return exponent === 0 ? [`${name}=${mantissa}i`] : [`${name}=${mantissa}i`, `${name}${EXPONENT}=${exponent}i`];
  },
});

function whole(fields: Readonly<Record<string, number>>): Record<string, number> {
  const plain = Object.entries(fields).filter(([name]) => !name.endsWith(EXPONENT));
  return Object.fromEntries(plain.map(([name, value]) => [name, joinParts(value, fields[`${name}${EXPONENT}`] ?? 0)]));
}

/** Of series whose names match and whose tags have one of the values. Texts are quoted as in Go, which JSON's quoting is part of. */
function selector(bucket: string, names: string, where: Reading['where'] = {}): string {
  const conditions = Object.entries(where).map(([name, values]) => `${name}=~${JSON.stringify(values.join('|'))}`);
  return `{${[`${NAME}=~${JSON.stringify(names)}`, `${BUCKET}=${JSON.stringify(tagOf(bucket))}`, ...conditions].join(',')}}`;
}
const seriesNames = ({ measurement, fields }: Pick<Reading, 'measurement' | 'fields'>): string => `${measurementName(measurement)}_${fields ? `(${fields.join('|')})` : '.+'}`;

interface ReadRow extends Row {
  readonly fields: Record<string, number>;
}

async function readPoints(server: Server, reading: Reading, most: number): Promise<Row[]> {
  const end = reading.to === undefined ? FOREVER_SECONDS : (reading.to - 1) / 1000;
  const form = new URLSearchParams({ 'match[]': selector(server.bucket, seriesNames(reading), reading.where), start: String((reading.from ?? 0) / 1000), end: String(end) });
  const prefix = `${measurementName(reading.measurement)}_`.length;
  const rows = new Map<string, Map<number, ReadRow>>();
  let found = 0;
  for await (const line of jsonLines(server, '/api/v1/export', form)) {
    const { metric: { [NAME]: name = '', [DATABASE]: _database, [BUCKET]: _bucket, ...tags }, values, timestamps } = series.parse(line);
    const identity = identityOf(tags);
    const points = rows.get(identity) ?? new Map<number, ReadRow>();
    rows.set(identity, points);
    for (const [index, time] of timestamps.entries()) {
      const value = values[index];
      if (value === undefined || value === null) continue;
      let point = points.get(time);
      if (!point) {
        point = { tags, fields: {}, cell: cellOf(time * 1000) };
        points.set(time, point);
        if ((found += 1) > most) throw tooMany(most);
      }
      point.fields[name.slice(prefix)] = value;
    }
  }
  return [...rows.values()].flatMap((points) => [...points.values()].map((point) => ({ ...point, fields: whole(point.fields) })));
}

const number = (metrics: string, pattern: RegExp): number => [...metrics.matchAll(pattern)].reduce((sum, [, value]) => sum + Number(value), 0);
/** Merges of what was in memory; big ones go on for minutes and only have what was on disk. */
const activeMerges = (metrics: string): number => number(metrics, /^vm_active_merges\{type="(?!storage\/big")[^"]*"\} (\d+)/gm);
const uptime = (metrics: string): number => number(metrics, /^vm_app_uptime_seconds (\d+)/gm);
const startTime = (metrics: string): number => number(metrics, /^process_start_time_seconds (\d+)/gm);

/** Undefined where the server is something else. */
export async function openVictoria(server: Server, metrics: string): Promise<Engine | undefined> {
  if (!metrics.includes('vm_app_version')) return undefined;
  const flags = await textFrom(server, '/flags');
  const mostLabels = Number(/^-maxLabelsPerTimeseries="?(\d+)"?/m.exec(flags)?.[1] ?? DEFAULT_LABELS);
  const look = () => textFrom(server, '/metrics');

  let removing: Promise<unknown> = Promise.resolve();
  async function takeSnapshot(): Promise<void> {
    await removing;
    const answer = await textFrom(server, '/snapshot/create');
    const made = snapshot.safeParse(JSON.parse(answer));
    if (!made.success) throw new TelemetryError('STORE_FAILED', `The store at ${withoutQuery(server)} can't write what it holds in memory to disk (/snapshot/create): ${answer.slice(0, 300)}`, 'retry');
    // Nobody waits for that, but the next one comes after it. One that stays behind costs disk space once its points are merged.
    removing = askFor(server, '/snapshot/delete', new URLSearchParams({ snapshot: made.data.snapshot })).catch(() => undefined);
  }

  async function mergesEnded(): Promise<string> {
    for (const begun = performance.now(); performance.now() - begun < LONGEST_MERGE_MILLISECONDS; await sleep(LOOK_AGAIN_MILLISECONDS)) {
      const page = await look();
      if (activeMerges(page) === 0) return page;
    }
    throw new TelemetryError('STORE_BUSY', `The store at ${withoutQuery(server)} has been merging for ${LONGEST_MERGE_MILLISECONDS / 1000} s; what it holds in memory may not be on disk.`, 'retry');
  }

  /** The start is told to the second: of a process that has lived for one, no later process can have the same. */
  async function era(): Promise<string> {
    for (;;) {
      const page = await look();
      if (uptime(page) >= 1) return String(startTime(page));
      await sleep(LOOK_AGAIN_MILLISECONDS);
    }
  }

  return {
    description: `VictoriaMetrics at ${withoutQuery(server)}`,
    answersForPoints: false,
    objection({ tags }) {
      // Its own name, the bucket, `turn` and `part` count too.
      const count = Object.keys(tags).length + 4;
      if (count > mostLabels) return `it carries ${count} tags, and the server keeps ${mostLabels} (its flag -maxLabelsPerTimeseries)`;
      const long = Object.entries(tags).find(([, value]) => Buffer.byteLength(value) > LONGEST_TAG_BYTES);
      return long && `'${long[0]}' is longer than ${LONGEST_TAG_BYTES} bytes`;
    },
    write: lineWriter(server, victoriaDialect(server)),
    async visible() {
      await askFor(server, '/internal/force_flush');
    },
    async durable() {
      await takeSnapshot();
      return String(startTime(await mergesEnded()));
    },
    era,
    close: async () => void (await removing),
    read: (reading, most = Infinity) => readPoints(server, reading, most),
    async tagNames() {
      const names = FACT_KINDS.map((measurement) => seriesNames({ measurement })).join('|');
      const form = new URLSearchParams({ 'match[]': selector(server.bucket, names), start: '0', end: String(FOREVER_SECONDS) });
      return listed.parse(JSON.parse(await textFrom(server, '/api/v1/labels', form))).data;
    },
  };
}
