/**
 * Real servers for tests, as Debian packages them (victoria-metrics, influxdb), as child processes on loopback with their
 * data in a folder of their own. InfluxDB 1.6 stands behind a front that gives it the write API v2: it only rewrites paths.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

const START_MILLISECONDS = 15_000;
/** Memory where there is some: what a killed process has written stays there as on a disk, and syncing costs nothing. */
const ROOT = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export interface TestServer {
  /** What `--store` takes. */
  readonly address: string;
  /** Of the server itself, where a front stands before it. */
  readonly origin: string;
  /** Where its data is. */
  readonly folder: string;
  readonly pid: number;
  /** Kills it with SIGKILL and starts it again on the same data and port. */
  killAndRestart(): Promise<void>;
  /** Ends it and deletes its data. */
  stop(): Promise<void>;
}

const has = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;
export const hasVictoria = has('victoria-metrics');
export const hasInfluxdb = has('influxd');
/** For names of tests that are skipped. */
export const unless = (there: boolean, what: string): string => (there ? '' : ` (skipped: ${what} is not installed)`);

async function freePort(): Promise<number> {
  const socket = createSocket().listen(0, '127.0.0.1');
  await once(socket, 'listening');
  const address = socket.address();
  socket.close();
  await once(socket, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_MILLISECONDS;
  while (performance.now() < deadline && child.exitCode === null) {
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return;
    await sleep(10);
  }
  throw new Error(`${child.spawnfile} did not start`);
}

/** Where a server keeps its data and what else its environment says: a bench wants a disk, on which syncing costs what it costs. */
export interface Place {
  readonly root?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

interface Program {
  readonly origin: string;
  readonly folder: string;
  readonly health: string;
  readonly start: () => ChildProcess;
}

async function run({ origin, folder, health, start }: Program, address: string, ended: () => Promise<void>): Promise<TestServer> {
  let child = start();
  await answers(health, child);
  const kill = async (): Promise<void> => {
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  };
  return {
    address,
    origin,
    folder,
    get pid() {
      return child.pid ?? 0;
    },
    async killAndRestart() {
      await kill();
      child = start();
      await answers(health, child);
    },
    async stop() {
      await kill();
      await ended();
    },
  };
}

export async function startVictoria(flags: readonly string[] = [], { root = ROOT }: Place = {}): Promise<TestServer> {
  const folder = await mkdtemp(join(root, 'joulebook-victoria-'));
  const origin = `http://127.0.0.1:${await freePort()}`;
  const args = ['-storageDataPath', folder, '-httpListenAddr', new URL(origin).host, '-retentionPeriod=100y', '-loggerLevel=ERROR', '-memory.allowedBytes=256MB', ...flags];
  return run({ origin, folder, health: `${origin}/health`, start: () => spawn('victoria-metrics', args, { stdio: 'ignore' }) }, origin, () => rm(folder, { recursive: true }));
}

/** `/api/v2/write?bucket=db/rp&precision=ns` → `/write?db=db&rp=rp&precision=n`; everything else as it is. */
function rewritten(url: string): string {
  const asked = new URL(url, 'http://front');
  if (asked.pathname !== '/api/v2/write') return url;
  const [db = '', rp] = (asked.searchParams.get('bucket') ?? '').split('/');
  const precision = asked.searchParams.get('precision') ?? 'ns';
  return `/write?${String(new URLSearchParams({ db, ...(rp !== undefined && { rp }), precision: precision === 'ns' ? 'n' : precision }))}`;
}

function frontOf(port: number) {
  return createServer((incoming: IncomingMessage, answer: ServerResponse) => {
    const { host: _host, ...headers } = incoming.headers;
    const onward = request({ host: '127.0.0.1', port, method: incoming.method, path: rewritten(incoming.url ?? '/'), headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      // A server that is killed leaves its answer unfinished, and so does the front.
      pipeline(response, answer, () => undefined);
    });
    onward.on('error', () => answer.destroy());
    incoming.pipe(onward);
  });
}

export async function startInfluxdb(database = 'joulebook', { root = ROOT, environment = {} }: Place = {}): Promise<TestServer> {
  const folder = await mkdtemp(join(root, 'joulebook-influxdb-'));
  const [port, backup] = [await freePort(), await freePort()];
  const config = join(folder, 'influxdb.conf');
  await writeFile(config, '');
  const said = {
    INFLUXDB_META_DIR: join(folder, 'meta'), INFLUXDB_DATA_DIR: join(folder, 'data'), INFLUXDB_DATA_WAL_DIR: join(folder, 'wal'), INFLUXDB_REPORTING_DISABLED: 'true',
    INFLUXDB_HTTP_BIND_ADDRESS: `127.0.0.1:${port}`, INFLUXDB_BIND_ADDRESS: `127.0.0.1:${backup}`, INFLUXDB_HTTP_LOG_ENABLED: 'false', INFLUXDB_MONITOR_STORE_ENABLED: 'false', ...environment,
  };
  const front = frontOf(port).listen(0, '127.0.0.1');
  await once(front, 'listening');
  const bound = front.address();
  const origin = `http://127.0.0.1:${port}`;
  const start = () => spawn('influxd', ['run', '-config', config], { stdio: 'ignore', env: { ...process.env, ...said } });
  const address = `http://127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}?bucket=${database}`;
  const server = await run({ origin, folder, health: `${origin}/ping`, start }, address, async () => {
    front.closeAllConnections();
    front.close();
    await rm(folder, { recursive: true });
  });
  await makeDatabase(server, database);
  return server;
}

/** @returns the address of a store of its own on the same server */
export async function makeDatabase({ address }: Pick<TestServer, 'address'>, database: string): Promise<string> {
  const { origin } = new URL(address);
  await fetch(`${origin}/query`, { method: 'POST', body: new URLSearchParams({ q: `CREATE DATABASE "${database}"` }) });
  return `${origin}?bucket=${database}`;
}
