/** The servers of the bench `ingest`, each with its data on disk in a folder of its own, and what it says that it has stored. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { hasInfluxdb, hasVictoria, startInfluxdb, startVictoria } from '@joulebook/collector/store/influx/servers.testing.js';
import { z } from 'zod';
import { reportSchema } from '../support/report.js';
import { collectorAt } from './chaos-processes.js';
import { TICKS_PER_SECOND } from './contest.js';
import type { Truth } from './ingest-facts.js';

export const COLLECTOR = fileURLToPath(new URL('../../../collector/bin/joulebook.js', import.meta.url));
const LOOK_MS = 1000;
const SETTLED_LOOKS = 4;
const MOST_LOOKS = 60;

export interface Contestant {
  readonly name: string;
  /** False where its answer comes before it is on disk. */
  readonly durable: boolean;
  readonly form: 'batches' | 'lines-ns' | 'lines-ms' | 'remote-write';
  /** Compared with those of the same. */
  readonly size: string;
  readonly how: string;
  /** Of one node, of 10 s each. */
  readonly cellsPerBody: number;
  /** Lines or samples, of several nodes. */
  readonly perBody?: number;
  readonly connections: number;
  readonly there: boolean;
  readonly start: () => Promise<Running>;
}

export interface Running {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly pid: number;
  /** @returns when everything can be asked for and nothing is written any more */
  settle(): Promise<void>;
  stored(): Promise<Truth>;
  /** Ends it and says what its data takes on disk. */
  stop(): Promise<{ readonly bytes: number }>;
}

const run = promisify(execFile);
/** What the file system gave for it. */
const bytesOn = async (folder: string): Promise<number> => Number((await run('du', ['-s', '-B1', folder])).stdout.split('\t')[0]);

/** Looks until the folder was the same a few times in a row. */
async function quiet(folder: string, busy: () => Promise<boolean> = () => Promise.resolve(false)): Promise<void> {
  let [same, before] = [0, -1];
  for (let looks = 0; looks < MOST_LOOKS && same < SETTLED_LOOKS; looks += 1) {
    await sleep(LOOK_MS);
    // A file may be deleted between listing and looking.
    const now = await bytesOn(folder).catch(() => -1);
    same = now === before && !(await busy()) ? same + 1 : 0;
    before = now;
  }
}

async function textOf(url: string, { form, headers = {} }: { readonly form?: Readonly<Record<string, string>>; readonly headers?: Readonly<Record<string, string>> } = {}): Promise<string> {
  const response = await fetch(url, form ? { method: 'POST', headers, body: new URLSearchParams(form) } : { headers });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text.slice(0, 300)}`);
  return text;
}

/** Sums of joules are doubles that stand for whole microjoules below 2^53. */
const wholeMicrojoules = (joules: number | null): number => Math.round((joules ?? 0) * 1e6);

const nodesSchema = z.object({ nodes: z.array(z.object({ slices: z.number() })) });
export async function storedInJoulebook(address: string, headers: Readonly<Record<string, string>> = {}): Promise<Truth> {
  const { nodes } = nodesSchema.parse(JSON.parse(await textOf(`${address}/v1/nodes`, { headers })));
  const { rows } = reportSchema.parse(JSON.parse(await textOf(`${address}/v1/report?boundary=gpu`, { headers })));
  return {
    facts: nodes.reduce((sum, { slices }) => sum + slices, 0),
    gpuMicrojoules: rows.reduce((sum, { joules }) => sum + wholeMicrojoules(joules), 0),
    outputTokens: rows.reduce((sum, { tokens }) => sum + (tokens.output ?? 0), 0),
    requests: rows.reduce((sum, { requests }) => sum + Object.values(requests).reduce<number>((all, count) => all + (count ?? 0), 0), 0),
  };
}

/** Roll-ups are the upkeep of questions, which the others have not; in a round of seconds they come by chance or not at all. */
const NO_ROLL_UP = ['--roll-up-schedule', '0 0 1 1 *', '--batches-per-minute', '10000000'];

async function startJoulebook(): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-ingest-'));
  const collector = collectorAt(COLLECTOR, join(folder, 'store.duckdb'), NO_ROLL_UP);
  await collector.start();
  return {
    url: `${collector.address}/v1/batches`,
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    get pid() {
      return collector.pid;
    },
    settle: () => Promise.resolve(),
    stored: () => storedInJoulebook(collector.address),
    async stop() {
      await collector.stop();
      const bytes = await bytesOn(folder);
      await rm(folder, { recursive: true });
      return { bytes };
    },
  };
}

const series = z.object({ results: z.array(z.object({ series: z.array(z.object({ columns: z.array(z.string()), values: z.array(z.array(z.union([z.string(), z.number(), z.null()]))) })).optional() })) });
/** A field that every fact of the kind has, which is also what is summed. */
const COUNTED = { energy: 'microjoules', tokens: 'count', requests: 'requests', gauge: 'valueSeconds', flag: 'count' } as const;

/** It syncs its log before it answers: wal-fsync-delay = 0 is its default, and said here. What has rested for two seconds is written to its files. */
const INFLUXDB = { INFLUXDB_DATA_WAL_FSYNC_DELAY: '0s', INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION: '2s', INFLUXDB_DATA_COMPACT_FULL_WRITE_COLD_DURATION: '2s' };

async function startInflux(): Promise<Running> {
  const server = await startInfluxdb('joulebook', { root: tmpdir(), environment: INFLUXDB });
  const ask = async (q: string): Promise<number> => {
    const { results } = series.parse(JSON.parse(await textOf(`${server.origin}/query`, { form: { db: 'joulebook', q } })));
    return Number(results[0]?.series?.[0]?.values[0]?.[1] ?? 0);
  };
  return {
    url: `${server.origin}/write?db=joulebook&precision=n`,
    headers: { 'content-encoding': 'gzip' },
    pid: server.pid,
    settle: () => quiet(server.folder),
    async stored() {
      let facts = 0;
      for (const [kind, field] of Object.entries(COUNTED)) facts += await ask(`SELECT COUNT("${field}") FROM "joulebook_${kind}"`);
      return {
        facts, gpuMicrojoules: await ask(`SELECT SUM("microjoules") FROM "joulebook_energy" WHERE "boundary" = 'gpu'`),
        outputTokens: await ask(`SELECT SUM("count") FROM "joulebook_tokens" WHERE "token" = 'output'`), requests: await ask('SELECT SUM("requests") FROM "joulebook_requests"'),
      };
    },
    async stop() {
      const bytes = await bytesOn(server.folder);
      await server.stop();
      return { bytes };
    },
  };
}

const vector = z.object({ data: z.object({ result: z.array(z.object({ value: z.tuple([z.number(), z.string()]) })) }) });
const SELECTION = ['-search.maxUniqueTimeseries=10000000', '-search.maxQueryDuration=120s', '-search.maxSamplesPerQuery=4000000000'];
const activeMerges = (metrics: string): number => [...metrics.matchAll(/^vm_active_merges\{[^}]*\} (\d+)/gm)].reduce((sum, [, value]) => sum + Number(value), 0);

const startVictoriaAt = (path: string, headers: Readonly<Record<string, string>>) => async (): Promise<Running> => {
  const server = await startVictoria(SELECTION, { root: tmpdir() });
  /** Over all its time: a day before now and on. */
  const ask = async (query: string): Promise<number> => {
    const { data } = vector.parse(JSON.parse(await textOf(`${server.origin}/api/v1/query`, { form: { query, time: String(Math.ceil(Date.now() / 1000)), nocache: '1' } })));
    return Number(data.result[0]?.value[1] ?? 0);
  };
  const counted = Object.entries(COUNTED).map(([kind, field]) => `joulebook_${kind}_${field}`).join('|');
  return {
    url: `${server.origin}${path}`,
    headers,
    pid: server.pid,
    async settle() {
      await textOf(`${server.origin}/internal/force_flush`);
      await textOf(`${server.origin}/internal/force_merge`);
      await quiet(server.folder, async () => activeMerges(await textOf(`${server.origin}/metrics`)) > 0);
    },
    stored: async () => ({
      facts: await ask(`sum(count_over_time({__name__=~"${counted}"}[1d]))`), gpuMicrojoules: await ask('sum(sum_over_time(joulebook_energy_microjoules{boundary="gpu"}[1d]))'),
      outputTokens: await ask('sum(sum_over_time(joulebook_tokens_count{token="output"}[1d]))'), requests: await ask('sum(sum_over_time(joulebook_requests_requests[1d]))'),
    }),
    async stop() {
      const bytes = await bytesOn(server.folder);
      await server.stop();
      return { bytes };
    },
  };
};

const REMOTE_WRITE = { 'content-encoding': 'snappy', 'content-type': 'application/x-protobuf', 'x-prometheus-remote-write-version': '0.1.0' };
/** As `replay` ships: some thousand facts. */
const MANY_CELLS = 14;
const batches = { name: 'Joulebook (DuckDB)', durable: true, form: 'batches', connections: 128, there: true, start: startJoulebook } as const;
const influx = { name: 'InfluxDB 1.6', durable: true, form: 'lines-ns', there: hasInfluxdb, start: startInflux } as const;
const victoria = { name: 'VictoriaMetrics', durable: false, form: 'lines-ms', there: hasVictoria, start: startVictoriaAt('/write?precision=ms', { 'content-encoding': 'gzip' }) } as const;
/** Where many senders have little each, and where a few have much. */
export const SMALL = 'a body per node and 10 s';
export const LARGE = 'large bodies';

export const CONTESTANTS: readonly Contestant[] = [
  { ...batches, size: SMALL, how: 'wire format, gzip, one batch per node and 10 s', cellsPerBody: 1 },
  { ...influx, size: SMALL, how: 'line protocol, gzip, one body per node and 10 s', cellsPerBody: 1, connections: 128 },
  { ...victoria, size: SMALL, how: 'line protocol, gzip, one body per node and 10 s', cellsPerBody: 1, connections: 128 },
  { ...batches, size: LARGE, how: `wire format, gzip, ${MANY_CELLS * 10} s of a node per batch, as replay sends`, cellsPerBody: MANY_CELLS, connections: 16 },
  { ...influx, size: LARGE, how: 'line protocol, gzip, 5000 lines', cellsPerBody: 1, perBody: 5000, connections: 4 },
  { ...victoria, size: LARGE, how: 'line protocol, gzip, 5000 lines', cellsPerBody: 1, perBody: 5000, connections: 4 },
  { ...victoria, size: LARGE, form: 'remote-write', how: 'Prometheus remote write, snappy, 10000 samples', cellsPerBody: 1, perBody: 10_000, connections: 4, start: startVictoriaAt('/api/v1/write', REMOTE_WRITE) },
];

const field = (status: string, name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) / 1024;

/** Of the process itself, as Linux counts. */
export async function costOf(pid: number): Promise<{ readonly cpuSeconds: number; readonly rssMiB: number; readonly peakMiB: number }> {
  const [stat, status] = await Promise.all([readFile(`/proc/${pid}/stat`, 'utf8'), readFile(`/proc/${pid}/status`, 'utf8')]);
  // The name before the fields may hold spaces and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND, rssMiB: field(status, 'VmRSS'), peakMiB: field(status, 'VmHWM') };
}
