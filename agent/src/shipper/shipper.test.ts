import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { decodeBatch, encodeBatch, SCHEMA_VERSION, type Batch } from '@joulebook/shared/batch.js';
import { messageOf } from '@joulebook/shared/errors.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Loss } from '../spool/losses.js';
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
  readonly sent: number;
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
  received.push({ url: request.url ?? '', authorization, encoding, body: gunzipSync(Buffer.concat(chunks)).toString(), sent: Number(request.headers['x-joulebook-sent']) });
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
    expect(received).toMatchObject([
      { url: '/base/v1/batches', authorization: `Bearer ${TOKEN}`, encoding: 'gzip', body: '{"a":1}' },
      { url: '/base/v1/batches', authorization: `Bearer ${TOKEN}`, encoding: 'gzip', body: '{"a":2}' },
    ]);
  });

  it('is told the wall clock of the sending, in seconds', async () => {
    const set = httpTransport({ url, clock: { wall: () => instant(1_800_000_000.125) } });
    await set.send(Buffer.from('{}'), forever);
    await set.close();
    await send();
    expect(received[0]?.sent).toBe(1_800_000_000.125);
    expect(Math.abs((received[1]?.sent ?? 0) - Date.now() / 1000)).toBeLessThan(5);
  });

  it.each([
    [400, 'rejected', 'BATCH_REJECTED'],
    [413, 'rejected', 'BATCH_REJECTED'],
    [409, 'rejected', 'STREAM_CONFLICT'],
    [401, 'retry', 'COLLECTOR_REFUSES_TOKEN'],
    [403, 'retry', 'COLLECTOR_REFUSES_TOKEN'],
    [429, 'retry', 'COLLECTOR_LIMITS'],
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
/** What it tells of, readable. */
const lossBatch = (_sequence: number, _stream: string, losses: readonly Loss[]): Uint8Array => Buffer.from(losses.map(({ reason, batches }) => `${batches} ${reason}`).join());
const words = async (...payloads: string[]): Promise<void> => {
  for (const payload of payloads) await spool.append(() => Buffer.from(payload));
};
const bodies = (): string[] => received.map((request) => request.body);

async function shipUntil(done: () => boolean): Promise<Shipper> {
  const shipper = new Shipper({ spool, transport, log, lossBatch, backoff: fast, catchUpRate: 1000 });
  const stop = new AbortController();
  const running = shipper.run(stop.signal);
  await vi.waitFor(() => expect(done()).toBe(true), { timeout: 5000, interval: 5 });
  stop.abort();
  await running;
  return shipper;
}

const named = (sequence: number, stream: string): Buffer => Buffer.from(encodeBatch({ schema: SCHEMA_VERSION, stream, sequence, node: 'n', slices: [] }));

describe('a shipper', () => {
  it('ships in order and acknowledges only what was accepted', async () => {
    await words('1', '2', '3');
    answers = [{ status: 200 }, { status: 503 }, 'hang up', { status: 200 }];
    const shipper = await shipUntil(() => spool.pending.records === 0);
    // One that fails is passed over until the others were tried.
    expect(bodies()).toEqual(['1', '2', '3', '2', '3']);
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
    const shipper = new Shipper({ spool, transport: { ...transport, send: (batch, signal) => transport.send(batch, signal).then((outcome) => (outcome.kind === 'retry' ? { kind: 'retry', code: outcome.code, reason: outcome.reason } : outcome)) }, log, lossBatch, backoff: fast, catchUpRate: 1000 });
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
    const shipper = await shipUntil(() => bodies().length === 4 && spool.pending.records === 0);
    expect(shipper.counts).toMatchObject({ accepted: 2, rejected: 2 });
    expect(bodies()).toEqual(['bad', 'worse', 'good', '2 rejected']);
    expect(spool.losses).toEqual({ batches: 2, account: [] });
    const kept = (await readdir(join(directory, 'rejected'))).toSorted();
    expect(kept).toEqual([`${spool.stream}-0.batch`, `${spool.stream}-0.reason`, `${spool.stream}-1.batch`, `${spool.stream}-1.reason`]);
    expect(await readFile(join(directory, 'rejected', kept[0] ?? ''), 'utf8')).toBe('bad');
    expect(await readFile(join(directory, 'rejected', kept[1] ?? ''), 'utf8')).toContain('slices.0.kind');
    expect(logged).toHaveLength(1);
  });

  it('sends a batch under another name after a conflict, for good, and begins a new stream once', async () => {
    const old = spool.stream;
    for (let count = 0; count < 3; count += 1) await spool.append(named);
    answers = [{ status: 200 }, { status: 409 }, { status: 503 }, { status: 409 }];
    const shipper = await shipUntil(() => spool.pending.records === 0);
    expect(shipper.counts).toMatchObject({ accepted: 3, rejected: 0 });
    const names = bodies().map((body) => decodeBatch(body)).map(({ stream, sequence }) => `${stream === old ? 'old' : stream}/${sequence}`);
    const other = names.at(-1)?.split('/')[0];
    expect(names).toEqual(['old/0', 'old/1', `${other}/0`, 'old/2', `${other}/1`, `${other}/0`]);
    expect(new Set([old, other, spool.stream]).size).toBe(3);
    expect(logged.filter((line) => line.includes('new stream'))).toHaveLength(1);
    await spool.append((sequence, stream) => {
      expect([sequence, stream]).toEqual([0, spool.stream]);
      return Buffer.from('x');
    });
  });

  it('gives up on a collector that finds a conflict under every name', async () => {
    await spool.append(named);
    answers = Array.from({ length: 4 }, () => ({ status: 409 }));
    const shipper = await shipUntil(() => spool.pending.records === 0);
    expect(shipper.counts).toMatchObject({ rejected: 1 });
    expect(await readdir(join(directory, 'rejected'))).toHaveLength(2);
  });

  it('sends the newest first when the collector comes back, and live batches at once while it catches up', async () => {
    const backlog = Array.from({ length: 60 }, (_, index) => `old ${index}`);
    await words(...backlog);
    answers = Array.from({ length: 6 }, () => 'hang up' as const);
    const running = shipUntil(() => spool.pending.records === 0);
    await vi.waitFor(() => expect(received.length).toBeGreaterThan(1));
    await words('made while it was away', 'newest');
    answers.splice(0);
    const seen = received.length;
    await vi.waitFor(() => expect(bodies().slice(seen).filter((body) => body.startsWith('old')).length).toBeGreaterThan(5), { interval: 1 });
    for (let count = 0; count < 3; count += 1) {
      const before = received.length;
      await words(`live ${count}`);
      await vi.waitFor(() => expect(bodies()).toContain(`live ${count}`), { interval: 1 });
      // Two of the backlog may have been on their way already, and one began meanwhile.
      expect(received.length - before).toBeLessThanOrEqual(4);
    }
    expect(bodies().filter((body) => body === 'old 59')).toHaveLength(0);
    await running;
    expect(new Set(bodies())).toEqual(new Set([...backlog, 'made while it was away', 'newest', 'live 0', 'live 1', 'live 2']));
  });

  it('puts what was made before the last failure behind the backlog, and what was made since before it', async () => {
    await words('old 0', 'old 1', 'old 2');
    let away = true;
    const taken: string[] = [];
    const choosy: Transport = {
      description: 'collector',
      async send(batch) {
        const word = Buffer.from(batch).toString();
        if (away && word === 'missed too') {
          // It fails once more; while the shipper waits the collector comes back and another is made.
          setTimeout(() => void words('fresh', 'newest').then(() => (away = false)), 5);
        }
        if (away) return { kind: 'retry', code: 'COLLECTOR_UNREACHABLE', reason: 'away' };
        taken.push(word);
        return { kind: 'accepted' };
      },
      close: () => Promise.resolve(),
    };
    const shipper = new Shipper({ spool, transport: choosy, log, lossBatch, backoff: () => ({ next: () => seconds(0.5), reset: () => undefined }), catchUpRate: 10 });
    await words('missed', 'missed too');
    const stop = new AbortController();
    const running = shipper.run(stop.signal);
    await vi.waitFor(() => expect(spool.pending.records).toBe(0), { timeout: 10_000 });
    stop.abort();
    await running;
    expect(taken.indexOf('newest')).toBeLessThan(taken.indexOf('fresh'));
    expect(taken.indexOf('fresh')).toBeLessThan(taken.indexOf('missed'));
    expect(taken.indexOf('missed')).toBeGreaterThan(taken.indexOf('old 2'));
  });

  it('keeps to the pace of catching up', async () => {
    await words('1', '2', '3');
    const shipper = new Shipper({ spool, transport, log, lossBatch, catchUpRate: 2 });
    const stop = new AbortController();
    const began = performance.now();
    const running = shipper.run(stop.signal);
    await vi.waitFor(() => expect(spool.pending.records).toBe(0), { timeout: 10_000 });
    expect(performance.now() - began).toBeGreaterThan(950);
    stop.abort();
    await running;
  });

  it('flushes once at the end: all that goes out, and no second try', async () => {
    await words('1', '2', '3');
    answers = [{ status: 200 }, { status: 503 }];
    const shipper = new Shipper({ spool, transport, log, lossBatch, backoff: fast, catchUpRate: 1000 });
    expect(await shipper.flushOnce(seconds(5))).toEqual({ pending: 2 });
    expect(bodies()).toEqual(['1', '2']);
    expect(await shipper.flushOnce(seconds(5))).toEqual({ pending: 0 });
  });

  it('keeps to the time limit of the last flush', async () => {
    await words('1');
    answers = ['hang'];
    const shipper = new Shipper({ spool, transport: httpTransport({ url, timeout: seconds(30) }), log, lossBatch, backoff: fast, catchUpRate: 1000 });
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
    expect(await deliver(recording(), { collectors: { urls: [url], token: TOKEN } })).toEqual({ batches: 2, duplicates: 0 });
    expect(received).toHaveLength(3);
  });

  it('counts what the collector had already', async () => {
    answers = [{ status: 200, body: '{"accepted":true,"duplicate":true}' }, { status: 200, body: '{"accepted":true,"duplicate":false}' }];
    expect(await deliver(recording(), { collectors: { urls: [url] } })).toEqual({ batches: 2, duplicates: 1 });
  });

  it('says what to do about facts that are no longer kept, where sending them again is of no use', async () => {
    answers = [{ status: 200 }, { status: 400, body: '{"error":"FACTS_TOO_OLD","message":"facts of before 2026 are no longer kept."}' }];
    const failed = await deliver(recording(), { collectors: { urls: [url] } }).catch(messageOf);
    expect(failed).toMatch(/are no longer kept\. 1 batches did\. That collector will not take them: leave them out with --from, .*retentionRaw: forever.*joulebook report -$/);
    expect(failed).not.toMatch(/\.\.|again/);
  });

  it('gives up with the reason when a batch is rejected or the collector stays away', async () => {
    answers = [{ status: 400, body: '{"message":"bad"}' }, { status: 401 }];
    await expect(deliver(recording(), { collectors: { urls: [url] } })).rejects.toMatchObject({ code: 'BATCH_REJECTED', remedy: 'abort', message: expect.stringMatching(/: bad\. 0 batches did\. It would be rejected again/) as unknown });
    await expect(deliver(recording(), { collectors: { urls: [url] }, patience: seconds(1) })).rejects.toMatchObject({ code: 'COLLECTOR_REFUSES_TOKEN', message: expect.stringMatching(/Run the same replay again to send the rest\.$/) as unknown });
  });
});
