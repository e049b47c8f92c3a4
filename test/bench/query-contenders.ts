/**
 * One question, asked of three stores over HTTP: joules and seconds by model and phase, tokens by model and kind, requests by
 * model and outcome, of all facts that begin in a range. Each answer is read into the same form:
 *
 *   joules model-0 decode → 1.2e9    seconds model-0 decode → 3.1e5    tokens model-0 output → 4.4e7    requests model-0 ok → 9.1e5
 *
 * Joulebook is asked twice: for these very sums, from its store in a thread, and for its report, which tells more than any of
 * them was asked (coverage, wall time, intervals, flags, the total).
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { report } from '@joulebook/collector/join/report.js';
import { inBoundary, type Store } from '@joulebook/collector/store/store.js';
import type { TestServer } from '@joulebook/collector/store/influx/servers.testing.js';
import { epochMicros, microjoulesToJoules } from '@joulebook/shared/units.js';
import { TICKS_PER_SECOND } from './contest.js';

/** Seconds since 1970. */
export interface Range {
  readonly from: number;
  readonly to: number;
}
export type Answer = ReadonlyMap<string, number>;
export interface Contender {
  readonly name: string;
  /** How it is asked. */
  readonly asks: string;
  readonly pid: number;
  answer(range: Range): Promise<Answer>;
}

async function get(url: string): Promise<unknown> {
  const response = await fetch(url);
  const body = await response.text();
  if (!response.ok) throw new Error(`${response.status} of ${url.split('?')[0]}: ${body.slice(0, 500)}`);
  return JSON.parse(body);
}

/** Its store's sums, without the report around them. */
export const sumsAlone = (store: Store): Contender => ({
  name: 'Joulebook',
  asks: 'the same sums, of its store',
  pid: process.pid,
  async answer(range) {
    const [from, to] = [epochMicros(range.from * 1e6), epochMicros(range.to * 1e6)];
    const energy = store.sum({ kind: 'booked', by: ['model', 'phase'], where: [inBoundary('gpu')], from, to });
    const tokens = store.sum({ kind: 'tokens', by: ['model', 'token'], where: [], from, to });
    const requests = store.sum({ kind: 'requests', by: ['model', 'outcome'], where: [], from, to });
    const found = new Map<string, number>();
    for (const { values: [model, phase], sums } of await energy) {
      found.set(`joules ${model} ${phase}`, microjoulesToJoules(sums.microjoules));
      found.set(`seconds ${model} ${phase}`, sums.seconds);
    }
    for (const { values: [model, token], sums } of await tokens) found.set(`tokens ${model} ${token}`, sums.count);
    for (const { values: [model, outcome], sums } of await requests) found.set(`requests ${model} ${outcome}`, sums.requests);
    return found;
  },
});

export const joulebook = (address: string, pid: number): Contender => ({
  name: 'Joulebook',
  asks: 'GET /v1/report?by=model,phase',
  pid,
  async answer({ from, to }) {
    const { rows } = report.parse(await get(`${address}/v1/report?${String(new URLSearchParams({ from: String(from), to: String(to), by: 'model,phase' }))}`));
    const found = new Map<string, number>();
    for (const { group: { model, phase }, joules, deviceSeconds, tokens, requests } of rows) {
      found.set(`joules ${model} ${phase}`, joules ?? Number.NaN);
      found.set(`seconds ${model} ${phase}`, deviceSeconds ?? Number.NaN);
      // Rows of phases repeat what their model has of these.
      found.set(`tokens ${model} input`, tokens.input ?? Number.NaN);
      found.set(`tokens ${model} output`, tokens.output ?? Number.NaN);
      found.set(`requests ${model} ok`, requests.ok ?? Number.NaN);
    }
    return found;
  },
});

const influxAnswer = z.object({ results: z.array(z.object({ error: z.string().optional(), series: z.array(z.object({ name: z.string(), tags: z.record(z.string(), z.string()), columns: z.array(z.string()), values: z.array(z.array(z.number().nullable())) })).optional() })) });

export const influxql = (server: TestServer, database: string): Contender => ({
  name: 'InfluxDB 1.6',
  asks: 'InfluxQL, 3 statements side by side',
  pid: server.pid,
  async answer({ from, to }) {
    const during = `time >= ${from}s AND time < ${to}s`;
    const statements = [`SELECT sum(microjoules) AS joules, sum(seconds) AS seconds FROM energy WHERE boundary = 'gpu' AND ${during} GROUP BY model, phase`, `SELECT sum(count) AS tokens FROM tokens WHERE ${during} GROUP BY model, token`, `SELECT sum(requests) AS requests FROM requests WHERE ${during} GROUP BY model, outcome`];
    const found = new Map<string, number>();
    for (const { results } of await Promise.all(statements.map(async (q) => influxAnswer.parse(await get(`${server.origin}/query?${String(new URLSearchParams({ db: database, epoch: 'ms', q }))}`))))) {
      for (const { error, series } of results) {
        if (error !== undefined) throw new Error(error);
        for (const { tags, columns, values } of series ?? []) columns.forEach((column, index) => {
          const value = values[0]?.[index] ?? Number.NaN;
          if (column !== 'time') found.set(`${column} ${tags['model']} ${tags['phase'] ?? tags['token'] ?? tags['outcome']}`, column === 'joules' ? value / 1e6 : value);
        });
      }
    }
    return found;
  },
});

const promAnswer = z.object({ data: z.object({ result: z.array(z.object({ metric: z.record(z.string(), z.string()), value: z.tuple([z.number(), z.string()]) })) }) });

export const metricsql = (server: TestServer): Contender => ({
  name: 'VictoriaMetrics',
  asks: 'PromQL, 4 queries side by side',
  pid: server.pid,
  async answer({ from, to }) {
    const asked = [['joules', 'energy_microjoules{boundary="gpu"}', 'phase'], ['seconds', 'energy_seconds{boundary="gpu"}', 'phase'], ['tokens', 'tokens_count', 'token'], ['requests', 'requests_requests', 'outcome']] as const;
    const found = new Map<string, number>();
    await Promise.all(asked.map(async ([name, series, by]) => {
      // Its ranges leave out their beginning and have their end: a millisecond earlier they are those of facts.
      const parameters = { query: `sum(sum_over_time(${series}[${to - from}s])) by (model, ${by})`, time: (to - 0.001).toFixed(3), nocache: '1' };
      const { data } = promAnswer.parse(await get(`${server.origin}/api/v1/query?${String(new URLSearchParams(parameters))}`));
      for (const { metric, value: [, text] } of data.result) found.set(`${name} ${metric['model']} ${metric[by]}`, name === 'joules' ? Number(text) / 1e6 : Number(text));
    }));
    return found;
  },
});

const LINES_PER_REQUEST = 10_000;
/** Two are on their way while the next is made. */
const REQUESTS = 2;

/** @returns how many points */
export async function load(url: string, points: AsyncIterable<readonly string[]>): Promise<number> {
  let count = 0;
  let lines: string[] = [];
  const open: Promise<void>[] = [];
  const send = async (body: string): Promise<void> => {
    const response = await fetch(url, { method: 'POST', body });
    const said = await response.text();
    if (!response.ok) throw new Error(`${response.status} of ${url}: ${said.slice(0, 500)}`);
  };
  const flush = async (): Promise<void> => {
    count += lines.length;
    open.push(send(lines.join('\n')));
    lines = [];
    if (open.length >= REQUESTS) await open.shift();
  };
  for await (const some of points) {
    for (const line of some) lines.push(line);
    if (lines.length >= LINES_PER_REQUEST) await flush();
  }
  if (lines.length > 0) await flush();
  await Promise.all(open);
  return count;
}

/** Seconds of processor that a process has used, in all its threads. */
export async function processorOf(pid: number): Promise<number> {
  const said = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = said.slice(said.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** A server deletes files while they are counted. */
export async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(entries.filter((entry) => entry.isFile()).map((entry) => stat(join(entry.parentPath, entry.name)).then(({ size }) => size, () => 0)));
  return sizes.reduce((sum, size) => sum + size, 0);
}
