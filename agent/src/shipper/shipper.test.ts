import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { SCHEMA_VERSION, type Batch } from '@joulebook/shared/batch.js';
import { seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openSpool, type Spool } from '../spool/spool.js';
import { backoff } from './backoff.js';
import { deliver } from './deliver.js';
import { httpTransport } from './http.js';
import { keepRejected } from './rejected.js';
import { Shipper } from './shipper.js';
import type { Transport } from './transport.js';

type Answer = { status: number; body?: string; headers?: Record<string, string> } | 'hang' | 'hang up';
interface Received {
  readonly url: string;
  readonly authorization: string | undefined;
  readonly encoding: string | undefined;
  readonly body: string;
}

let directory: string;
let server: Server;
let spool: Spool;
let transport: Transport;
let url: string;
let answers: Answer[];
let received: Received[];
let logged: string[];
const log = {
  info: (message: string, fields?: object): unknown => logged.push(`info ${message} ${JSON.stringify(fields)}`),
  warn: (message: string, fields?: object): unknown => logged.push(`warn ${message} ${JSON.stringify(fields)}`),
};
const TOKEN = 'a-secret-token';

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  const { authorization, 'content-encoding': encoding } = request.headers;
  received.push({ url: request.url ?? '', authorization, encoding, body: gunzipSync(Buffer.concat(chunks)).toString() });
  const answer = answers.shift() ?? { status: 200 };
  if (answer === 'hang') return;
  if (answer === 'hang up') return void request.socket.destroy();
  response.writeHead(answer.status, answer.headers).end(answer.body ?? '{}');
}

async function listen(): Promise<void> {
  server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('no port');
  url = `http://127.0.0.1:${address.port}`;
}

beforeEach(async () => {
  answers = [];
  received = [];
  logged = [];
  directory = await mkdtemp(join(tmpdir(), 'shipper-'));
  spool = await openSpool(join(directory, 'spool'));
  await listen();
  transport = httpTransport({ url: `${url}/base/`, token: TOKEN, timeout: seconds(0.5) });
});
afterEach(async () => {
  await transport.close();
  server.closeAllConnections();
  server.close();
  await spool.close();
  await rm(directory, { recursive: true });
});

const forever = new AbortController().signal;
const send = (): ReturnType<Transport['send']> => transport.send(Buffer.from('{"a":1}'), forever);

describe('a collector over http', () => {
  it('gets gzip JSON at /v1/batches with the token, compressed once', async () => {
    expect(await send()).toEqual({ kind: 'accepted' });
    expect(await transport.send(gzipSync('{"a":2}'), forever)).toEqual({ kind: 'accepted' });
    expect(received).toEqual([
      { url: '/base/v1/batches', authorization: `Bearer ${TOKEN}`, encoding: 'gzip', body: '{"a":1}' },
      { url: '/base/v1/batches', authorization: `Bearer ${TOKEN}`, encoding: 'gzip', body: '{"a":2}' },
    ]);
  });

  it.each([
    [400, 'rejected', 'BATCH_REJECTED'],
    [413, 'rejected', 'BATCH_REJECTED'],
    [409, 'rejected', 'STREAM_CONFLICT'],
    [401, 'retry', 'COLLECTOR_REFUSES_TOKEN'],
    [403, 'retry', 'COLLECTOR_REFUSES_TOKEN'],
    [429, 'retry', 'COLLECTOR_BUSY'],
    [503, 'retry', 'COLLECTOR_BUSY'],
    [500, 'retry', 'COLLECTOR_BUSY'],
    [404, 'retry', 'NOT_A_COLLECTOR'],
    [204, 'retry', 'NOT_A_COLLECTOR'],
    [302, 'retry', 'NOT_A_COLLECTOR'],
  ])('that answers %i means %s', async (status, kind, code) => {
    answers = [{ status, body: status === 204 ? '' : JSON.stringify({ message: `because ${TOKEN}` }), headers: { location: '/elsewhere' } }];
    const outcome = await send();
    expect(outcome).toMatchObject({ kind, code });
    expect(JSON.stringify(outcome)).not.toContain(TOKEN);
    expect(received).toHaveLength(1);
  });

  it('says how long to wait, in seconds or by a date, within reason', async () => {
    answers = [
      { status: 503, headers: { 'retry-after': '7' } },
      { status: 429, headers: { 'retry-after': new Date(Date.now() + 30_000).toUTCString() } },
      { status: 503, headers: { 'retry-after': '99999999' } },
      { status: 503, headers: { 'retry-after': 'soon' } },
    ];
    expect(await send()).toMatchObject({ after: 7 });
    const dated = await send();
    expect('after' in dated ? dated.after : undefined).toBeGreaterThan(25);
    expect(await send()).toMatchObject({ after: 900 });
    expect(await send()).not.toHaveProperty('after');
  });

  it('that does not answer, hangs up or is not there is tried again', async () => {
    answers = ['hang', 'hang up'];
    expect(await send()).toMatchObject({ kind: 'retry', code: 'COLLECTOR_UNREACHABLE', reason: 'no answer within 0.5 s' });
    expect(await send()).toMatchObject({ kind: 'retry', code: 'COLLECTOR_UNREACHABLE' });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(await send()).toMatchObject({ kind: 'retry', code: 'COLLECTOR_UNREACHABLE' });
  });

  it('must have an http address, which is not repeated in the complaint', () => {
    expect(() => httpTransport({ url: 'ftp://user:password@host' })).toThrow(/^(?!.*password).*http:\/\//);
  });
});

const fast = (): ReturnType<typeof backoff> => backoff({ first: seconds(0.005), longest: seconds(0.02) });
const words = async (...payloads: string[]): Promise<void> => {
  for (const payload of payloads) await spool.append(() => Buffer.from(payload));
};
const bodies = (): string[] => received.map((request) => request.body);

async function shipUntil(done: () => boolean): Promise<Shipper> {
  const shipper = new Shipper({ spool, transport, log, backoff: fast() });
  const stop = new AbortController();
  const running = shipper.run(stop.signal);
  await vi.waitFor(() => expect(done()).toBe(true), { timeout: 5000, interval: 5 });
  stop.abort();
  await running;
  return shipper;
}

describe('a shipper', () => {
  it('ships in order and acknowledges only what was accepted', async () => {
    await words('1', '2', '3');
    answers = [{ status: 200 }, { status: 503 }, 'hang up', { status: 200 }];
    const shipper = await shipUntil(() => spool.pending.records === 0);
    expect(bodies()).toEqual(['1', '2', '2', '2', '3']);
    expect(shipper.counts).toEqual({ accepted: 3, rejected: 0, retried: 2 });
  });

  it('ships what is appended while it waits', async () => {
    const shipped = shipUntil(() => received.length === 2);
    await words('1');
    await vi.waitFor(() => expect(received).toHaveLength(1));
    await words('2');
    await shipped;
    expect(bodies()).toEqual(['1', '2']);
  });

  it('says once that the collector is lost and once that it is back, without the token', async () => {
    await words('1', '2');
    answers = [{ status: 401, body: TOKEN }, { status: 200 }];
    const shipper = new Shipper({ spool, transport: { ...transport, send: (batch, signal) => transport.send(batch, signal).then((outcome) => (outcome.kind === 'retry' ? { kind: 'retry', code: outcome.code, reason: outcome.reason } : outcome)) }, log, backoff: fast() });
    answers = [{ status: 401 }, { status: 401 }, { status: 503 }, { status: 503 }, { status: 200 }, { status: 200 }];
    const stop = new AbortController();
    const running = shipper.run(stop.signal);
    await vi.waitFor(() => expect(spool.pending.records).toBe(0));
    stop.abort();
    await running;
    expect(logged.map((line) => line.slice(0, 4))).toEqual(['warn', 'warn', 'info']);
    expect(logged.join()).not.toContain(TOKEN);
  });

  it('keeps a rejected batch with the reason beside the spool and goes on with the next', async () => {
    await words('bad', 'worse', 'good');
    answers = [{ status: 400, body: '{"message":"slices.0.kind: unknown"}' }, { status: 413 }, { status: 200 }];
    const shipper = await shipUntil(() => spool.pending.records === 0);
    expect(shipper.counts).toMatchObject({ accepted: 1, rejected: 2 });
    const kept = (await readdir(join(directory, 'rejected'))).toSorted();
    expect(kept).toEqual([`${spool.stream}-0.batch`, `${spool.stream}-0.reason`, `${spool.stream}-1.batch`, `${spool.stream}-1.reason`]);
    expect(await readFile(join(directory, 'rejected', kept[0] ?? ''), 'utf8')).toBe('bad');
    expect(await readFile(join(directory, 'rejected', kept[1] ?? ''), 'utf8')).toContain('slices.0.kind');
    expect(logged).toHaveLength(1);
  });

  it('begins a new stream after a conflict, once for all batches of the old one', async () => {
    const old = spool.stream;
    await words('1', '2');
    answers = [{ status: 409 }, { status: 409 }];
    await shipUntil(() => spool.pending.records === 0);
    const names: string[] = [];
    const first = spool.stream;
    await spool.append((sequence, stream) => Buffer.from(String(names.push(`${stream}/${sequence}`))));
    expect(first).not.toBe(old);
    expect(names).toEqual([`${first}/0`]);
    expect(logged.filter((line) => line.includes('new stream'))).toHaveLength(1);
  });

  it('flushes once at the end: all that goes out, and no second try', async () => {
    await words('1', '2', '3');
    answers = [{ status: 200 }, { status: 503 }];
    const shipper = new Shipper({ spool, transport, log, backoff: fast() });
    expect(await shipper.flushOnce(seconds(5))).toEqual({ pending: 2 });
    expect(bodies()).toEqual(['1', '2']);
    expect(await shipper.flushOnce(seconds(5))).toEqual({ pending: 0 });
  });

  it('keeps to the time limit of the last flush', async () => {
    await words('1');
    answers = ['hang'];
    const shipper = new Shipper({ spool, transport: httpTransport({ url, timeout: seconds(30) }), log, backoff: fast() });
    const began = performance.now();
    expect(await shipper.flushOnce(seconds(0.2))).toEqual({ pending: 1 });
    expect(performance.now() - began).toBeLessThan(2000);
    expect(logged).toEqual([]);
  });
});

it('keeps no more rejected batches than asked, and says how many went', async () => {
  const rejected = join(directory, 'rejected');
  expect(await keepRejected(rejected, 'a', Buffer.from('a'), 'r', 2)).toBe(0);
  expect(await keepRejected(rejected, 'b', Buffer.from('b'), 'r', 2)).toBe(0);
  expect(await keepRejected(rejected, 'c', Buffer.from('c'), 'r', 2)).toBe(1);
  expect((await readdir(rejected)).toSorted()).toEqual(['b.batch', 'b.reason', 'c.batch', 'c.reason']);
});

it('waits a random time under a ceiling that doubles up to a limit and starts again after success', () => {
  const waits = backoff({ first: seconds(1), longest: seconds(8), random: () => 0.5 });
  expect(Array.from({ length: 5 }, () => waits.next())).toEqual([0.5, 1, 2, 4, 4]);
  waits.reset();
  expect(waits.next()).toBe(0.5);
});

async function* recording(): AsyncGenerator<Batch> {
  for (const sequence of [0, 1]) yield { schema: SCHEMA_VERSION, stream: 'ab'.repeat(16), sequence, node: 'n', slices: [] };
}

describe('a delivery', () => {
  it('sends every batch, again where the collector was busy', async () => {
    answers = [{ status: 503, headers: { 'retry-after': '0' } }];
    expect(await deliver(recording(), { url, token: TOKEN })).toBe(2);
    expect(received).toHaveLength(3);
  });

  it('gives up with the reason when a batch is rejected or the collector stays away', async () => {
    answers = [{ status: 400, body: '{"message":"bad"}' }, { status: 401 }];
    await expect(deliver(recording(), { url })).rejects.toMatchObject({ code: 'BATCH_REJECTED', remedy: 'abort' });
    await expect(deliver(recording(), { url, patience: seconds(1) })).rejects.toMatchObject({ code: 'COLLECTOR_REFUSES_TOKEN' });
  });
});
