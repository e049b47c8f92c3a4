/**
 * Points as lines, written with InfluxDB's own client. Two of its promises are none: `close()` and `flush()` resolve while
 * batches that it sent by itself are in flight. So it is given one batch at a time, smaller than what makes it send by
 * itself, with no retries of its own: then `flush()` is the answer to exactly this batch.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpError, InfluxDB, setLogger, type WritePrecisionType } from '@influxdata/influxdb-client';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { Server } from './address.js';
import { measurementName, type Point } from './points.js';
import { onLine } from './tag.js';

const LINES_PER_REQUEST = 5000;
const TIMEOUT_MILLISECONDS = 20_000;
/** Waits between tries of one request. What outlasts them is the agent's to send again. */
const RETRY_MILLISECONDS = [100, 400] as const;
/** Worth another try at once: nobody answered, or the server said that it is busy. */
const isPassing = (error: unknown): boolean => !(error instanceof HttpError) || error.statusCode === 429 || error.statusCode >= 500;

export interface Dialect {
  readonly precision: Extract<WritePrecisionType, 'ms' | 'ns'>;
  /** How many sequences fit into one cell at this precision. */
  readonly slots: number;
  /** On every point. */
  readonly tags?: Readonly<Record<string, string>>;
  /** A field as `name=value`, several where the engine can't hold it in one. */
  readonly field: (name: string, value: number) => readonly string[];
}

export function lineOf({ measurement, tags, fields, cell, sequence }: Point, { slots, precision, tags: common, field }: Dialect): string {
  // Tables of runs begin at 0, which VictoriaMetrics takes for "now".
  const first = cell === 0 ? 1 : 0;
  const turn = Math.floor(sequence / (slots - first));
  const all = Object.entries({ ...tags, ...common, ...(turn > 0 && { turn: String(turn) }) }).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const tagText = all.map(([name, value]) => `,${onLine(name)}=${onLine(value)}`).join('');
  const fieldText = Object.entries(fields).flatMap(([name, value]) => field(name, value)).join(',');
  const slot = first + (sequence % (slots - first));
  return `${measurementName(measurement)}${tagText} ${fieldText} ${precision === 'ms' ? cell + slot : BigInt(cell) * 1_000_000n + BigInt(slot)}`;
}

/** The server's own words, which may name a measurement and never a credential; the client's would repeat headers. */
const reasonOf = (error: unknown): string => (error instanceof HttpError ? `${error.statusCode} ${(error.body ?? error.statusMessage ?? '').trim().slice(0, 300)}` : messageOf(error));

export function lineWriter({ url, bucket, org, token }: Server, dialect: Dialect): (points: readonly Point[]) => Promise<void> {
  // It prints every failure on the console otherwise; they are thrown here.
  setLogger({ error: () => undefined, warn: () => undefined });
  const agent = url.protocol === 'https:' ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
  const client = new InfluxDB({ url: url.href, ...(token !== undefined && { token }), timeout: TIMEOUT_MILLISECONDS, transportOptions: { agent } });

  async function send(lines: string[]): Promise<void> {
    const api = client.getWriteApi(org, bucket, dialect.precision, { batchSize: lines.length + 1, maxBatchBytes: Number.MAX_SAFE_INTEGER, flushInterval: 0, maxRetries: 0, gzipThreshold: 1000 });
    try {
      api.writeRecords(lines);
      await api.flush(true);
    } finally {
      api.dispose();
    }
  }

  return async (points) => {
    for (let begin = 0; begin < points.length; begin += LINES_PER_REQUEST) {
      const lines = points.slice(begin, begin + LINES_PER_REQUEST).map((point) => lineOf(point, dialect));
      for (let tries = 0; ; tries += 1) {
        try {
          await send(lines);
          break;
        } catch (cause) {
          const wait = RETRY_MILLISECONDS[tries];
          if (wait === undefined || !isPassing(cause)) throw new TelemetryError('STORE_FAILED', `The store at ${url.origin} did not take points: ${reasonOf(cause)}.`, 'retry', { cause });
          await sleep(wait * (0.5 + Math.random()));
        }
      }
    }
  };
}
