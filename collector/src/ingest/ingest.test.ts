/** What ingest answers to what no honest agent sends, and what it knows of those who send: over HTTP, into a real store. */
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { fromEpochMicros, seconds } from '@joulebook/shared/units.js';
import { parseScope } from '../access/scope.js';
import { openTokens } from '../access/tokens.js';
import { runningCollector, type RunningCollector } from '../collector.testing.js';
import { at, batchOf, energyFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { joulesIn, tokensIn } from '../store/writers-contract.js';

const NOW = 1000;
const HOUR = 3600;
/** Seconds after 2026-01-01, as the collector's clock has it; a test moves it. */
let now = NOW;
/** Seconds that a test does not wait for. */
let skipped = 0;
let running: RunningCollector | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
  now = NOW;
});

const clock: Clock = { wall: () => fromEpochMicros(at(now)), monotonic: () => seconds(performance.now() / 1000 + skipped) };

async function started(flags: Record<string, unknown> = {}, change?: (store: Store) => Store): Promise<RunningCollector> {
  return (running = await runningCollector(flags, clock, change));
}

const refusal = z.object({ error: z.string().optional(), message: z.string().optional() });

interface Answer {
  readonly status: number;
  readonly error: unknown;
  readonly message: string;
  readonly retryAfter: string | null;
}
async function post(address: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(`${address}/v1/batches`, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
  const answer: unknown = await response.json();
  const said = refusal.parse(answer);
  return { status: response.status, error: said.error, message: said.message ?? '', retryAfter: response.headers.get('retry-after') };
}
const send = (address: string, batch: Batch, headers: Record<string, string> = {}): Promise<Answer> => post(address, encodeBatch(batch), headers);
const sentAt = (after: number): Record<string, string> => ({ 'x-joulebook-sent': (at(after) / 1e6).toFixed(3) });
const nodesOf = async (address: string): Promise<unknown> => (await fetch(`${address}/v1/nodes`)).json();
const metricsOf = async (address: string): Promise<string> => (await fetch(`${address}/metrics`)).text();

describe('the time of facts', () => {
  it('may be a little ahead; further on the batch is to come again, and very far it is refused', async () => {
    const { address, store } = await started();
    expect((await send(address, batchOf([tokensFact({ from: NOW + 290, to: NOW + 299 })]))).status).toBe(200);
    const early = batchOf([tokensFact({ from: NOW + 400, to: NOW + 410 })], { sequence: 1 });
    expect(await send(address, early)).toMatchObject({ status: 425, error: 'FACTS_TOO_EARLY', retryAfter: '110', message: expect.stringContaining("410 s ahead of the clock of node 'node-1'") as unknown });
    expect(await send(address, batchOf([tokensFact({ from: NOW + 40 * HOUR })], { sequence: 2 }))).toMatchObject({ status: 400, error: 'FACTS_IN_FUTURE', message: expect.stringContaining('Set that clock') as unknown });
    expect(await tokensIn(store)).toBe(10);
    now += 110;
    expect((await send(address, early)).status).toBe(200);
    expect(await metricsOf(address)).toContain('result="early"} 1\n');
  });

  it('is held against the clock of the sender, which is believed within an hour', async () => {
    const { address } = await started();
    expect((await send(address, batchOf([tokensFact({ from: NOW + 1200 })]), sentAt(NOW + 1200))).status).toBe(200);
    expect(await send(address, batchOf([tokensFact({ from: NOW + 1600 })], { sequence: 1 }), sentAt(NOW + 1200))).toMatchObject({ status: 425 });
    expect(await send(address, batchOf([tokensFact({ from: NOW + 3 * HOUR })], { node: 'node-2', stream: 'b'.repeat(32) }), sentAt(NOW + 3 * HOUR))).toMatchObject({ status: 425 });
  });

  it('may be any past, unless a setting says otherwise', async () => {
    const { address } = await started();
    expect((await send(address, batchOf([tokensFact({ from: -40e6 })]))).status).toBe(200);
    await running?.close();
    const strict = await started({ maxAge: '1h' });
    expect((await send(strict.address, batchOf([tokensFact({ from: NOW - HOUR, to: NOW - HOUR + 1 })]))).status).toBe(200);
    expect(await send(strict.address, batchOf([tokensFact(), tokensFact({ from: NOW - HOUR - 2 })], { sequence: 1 }))).toMatchObject({ status: 400, error: 'FACTS_TOO_OLD', message: expect.stringContaining('older than 3600 s (maxAge)') as unknown });
    // What was stored in time is a duplicate for ever, and no loss.
    now += HOUR;
    expect((await send(strict.address, batchOf([tokensFact({ from: NOW - HOUR, to: NOW - HOUR + 1 })]))).status).toBe(200);
    expect(await tokensIn(strict.store)).toBe(10);
  });

  it('is refused by the store where its sums are closed, by the code that the store gives', async () => {
    const closed = new TelemetryError('FACTS_TOO_OLD', 'Facts of before … are no longer kept.', 'discard');
    const { address } = await started({}, (store) => ({ ...store, append: () => Promise.reject(closed) }));
    expect(await send(address, batchOf([tokensFact()]))).toMatchObject({ status: 400, error: 'FACTS_TOO_OLD', message: closed.message });
  });
});

describe('clocks of nodes', () => {
  it('are told by the shortest of many ways, and flagged where they are off', async () => {
    const { address } = await started();
    for (const [index, way] of [0.4, 0.05, 2].entries()) await send(address, batchOf([], { sequence: index }), sentAt(NOW + 5 - way));
    await send(address, batchOf([], { node: 'node-2', stream: 'b'.repeat(32) }), sentAt(NOW - 0.3));
    await send(address, batchOf([], { node: 'node-3', stream: 'c'.repeat(32) }), { 'x-joulebook-sent': 'yesterday' });
    expect(await nodesOf(address)).toMatchObject({
      nodes: [
        { node: 'node-1', clockOffsetSeconds: expect.closeTo(4.95, 2) as unknown, flags: [{ code: 'CLOCK_OFFSET', detail: expect.stringMatching(/node-1 is (?:4\.9|5\.0) s ahead/) as unknown }] },
        { node: 'node-2', clockOffsetSeconds: expect.closeTo(-0.3, 2) as unknown, flags: [] },
        { node: 'node-3', clockOffsetSeconds: null, flags: [] },
      ],
    });
    expect(await metricsOf(address)).toMatch(/joulebook_node_clock_offset_seconds\{node="node-1"} (?:4\.9|5\.0)/);
  });

  it('are forgotten when they were set', async () => {
    const { address } = await started();
    await send(address, batchOf([], { sequence: 0 }), sentAt(NOW + 100));
    for (const [index, later] of [600, 1200, 1800].entries()) {
      now = NOW + later;
      await send(address, batchOf([], { sequence: index + 1 }), sentAt(now));
    }
    expect(await nodesOf(address)).toMatchObject({ nodes: [{ clockOffsetSeconds: expect.closeTo(0, 2) as unknown, flags: [] }] });
  });
});

describe('missing batches', () => {
  it('are told by stream, by node and in /metrics, with since when, until they come', async () => {
    const { address } = await started();
    for (const sequence of [0, 1, 5]) await send(address, batchOf([tokensFact({ from: sequence })], { sequence }));
    expect(await (await fetch(`${address}/v1/streams`)).json()).toMatchObject({ streams: [{ node: 'node-1', lowWater: 2, highest: 5, missing: [{ first: 2, last: 4, count: 3, since: expect.stringMatching(/^20.*Z$/) as unknown }] }] });
    expect(await nodesOf(address)).toMatchObject({ nodes: [{ missing: 3, missingSince: expect.stringMatching(/^20.*Z$/) as unknown, flags: [{ code: 'SEQUENCES_MISSING' }] }] });
    expect(await metricsOf(address)).toContain('joulebook_missing_sequences{node="node-1"} 3\n');
    for (const sequence of [4, 2, 3]) await send(address, batchOf([tokensFact({ from: sequence })], { sequence }));
    expect(await nodesOf(address)).toMatchObject({ nodes: [{ missing: 0, missingSince: null, flags: [] }] });
    expect(await metricsOf(address)).not.toContain('joulebook_missing_sequences{');
  });
});

/** Each with a label that no other has. */
const manySeries = (from: number, count: number) => Array.from({ length: count }, (_, index) => tokensFact({ from, labels: { engine: 'vllm', request: `r-${from + index}` } }));

describe('limits', () => {
  it('on slices and labels are told by name', async () => {
    const { address } = await started({ maxSlices: 2, maxLabels: 2 });
    expect(await send(address, batchOf([tokensFact(), tokensFact(), tokensFact()]))).toMatchObject({ status: 400, error: 'TOO_MANY_SLICES', message: expect.stringContaining('maxSlices') as unknown });
    expect(await send(address, batchOf([tokensFact(), tokensFact({ labels: { a: '1', b: '2', c: '3' } })]))).toMatchObject({ status: 400, error: 'TOO_MANY_LABELS', message: expect.stringMatching(/^slices\.1\.labels: 3 labels/) as unknown });
    expect(await send(address, batchOf([tokensFact({ labels: { a: 'x'.repeat(1025) } })]))).toMatchObject({ status: 400, error: 'BATCH_INVALID', message: expect.stringContaining('slices.0.labels.a') as unknown });
    expect((await send(address, batchOf([tokensFact(), tokensFact({ labels: { a: '1', b: '2' } })]))).status).toBe(200);
  });

  it('on series name the label that has a value for every request', async () => {
    const { address, store } = await started({ maxSeries: 20 });
    const first = batchOf(manySeries(0, 15));
    expect((await send(address, first)).status).toBe(200);
    expect(await send(address, batchOf(manySeries(100, 6), { sequence: 1 }))).toMatchObject({ status: 400, error: 'TOO_MANY_SERIES', message: expect.stringContaining("Label 'request' has most values: 21.") as unknown });
    // The same series again, in whatever order of labels, another node, and the next day are no new ones.
    expect((await send(address, batchOf([...manySeries(0, 15), tokensFact({ labels: { request: 'r-3', engine: 'vllm' } }), ...manySeries(200, 5)], { sequence: 2 }))).status).toBe(200);
    expect((await send(address, batchOf(manySeries(0, 20), { node: 'node-2', stream: 'b'.repeat(32) }))).status).toBe(200);
    now += 86_400;
    expect((await send(address, batchOf(manySeries(300, 20), { sequence: 3 }))).status).toBe(200);
    expect(await send(address, first)).toMatchObject({ status: 200 });
    expect(await tokensIn(store)).toBe(10 * (15 + 21 + 20 + 20));
  });

  it('name the field that this version does not have, and the program to update', async () => {
    const { address } = await started();
    const batch = batchOf([tokensFact()]);
    expect((await post(address, JSON.stringify({ ...batch, colour: 'red' }))).message).toContain('colour');
    expect((await post(address, JSON.stringify({ ...batch, slices: [{ ...tokensFact(), watts: 3 }] }))).message).toContain('watts');
    expect(await post(address, JSON.stringify({ ...batch, schema: 2 }))).toMatchObject({ error: 'BATCH_SCHEMA', message: expect.stringContaining('Update this program to the release of the one that wrote it') as unknown });
    expect((await post(address, JSON.stringify({ ...batch, schema: 0 }))).message).toContain('Update the one that wrote it');
  });

  it('keep an answer short, however long what was sent', async () => {
    const { address } = await started();
    const batch = batchOf([tokensFact()]);
    const nested = `{"schema":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    const answers = [await post(address, nested), await post(address, JSON.stringify({ ...batch, ['k'.repeat(1e6)]: 1 })), await post(address, JSON.stringify({ ...batch, schema: 'x'.repeat(1e6) }))];
    for (const { status, message } of answers) expect([status, message.length < 1000]).toEqual([400, true]);
  });
});

describe('overload', () => {
  it('is told with Retry-After before anything is read, and passes', async () => {
    const stored = new EventEmitter();
    const held = once(stored, 'free');
    const { address, store } = await started({ maxWaitingBytes: 20_000 }, (real) => ({ ...real, append: async (batch) => held.then(() => real.append(batch)) }));
    const facts = Array.from({ length: 20 }, (_, index) => tokensFact({ from: index }));
    const waiting = send(address, batchOf(facts));
    await vi.waitFor(async () => expect(Number(/joulebook_ingest_waiting_bytes (\d+)/.exec(await metricsOf(address))?.[1])).toBeGreaterThan(10_000));
    expect(await send(address, batchOf(facts, { sequence: 1 }))).toMatchObject({ status: 503, error: 'BUSY', retryAfter: '5' });
    // One that says it is small and inflates finds no room either.
    expect(await post(address, new Uint8Array(gzipSync(encodeBatch(batchOf(facts, { sequence: 1 }))))), 'gzip').toMatchObject({ status: 503, error: 'BUSY' });
    stored.emit('free');
    expect((await waiting).status).toBe(200);
    expect((await send(address, batchOf(facts, { sequence: 1 }))).status).toBe(200);
    expect(await tokensIn(store)).toBe(400);
    expect(await metricsOf(address)).toContain('joulebook_ingest_waiting_bytes 0\n');
    expect(await metricsOf(address)).toContain('result="busy"} 2\n');
  });

  it('of those who begin a body and leave gives its room back', async () => {
    const { address } = await started({ maxWaitingBytes: 20_000 });
    const { port } = new URL(address);
    for (let round = 0; round < 3; round += 1) {
      const socket = connect(Number(port), '127.0.0.1');
      socket.write(`POST /v1/batches HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 15000\r\n\r\n{"schema"`);
      await vi.waitFor(async () => expect(await metricsOf(address)).toContain('joulebook_ingest_waiting_bytes 15000\n'));
      socket.destroy();
      await vi.waitFor(async () => expect(await metricsOf(address)).toContain('joulebook_ingest_waiting_bytes 0\n'));
    }
    expect((await send(address, batchOf([energyFact()]))).status).toBe(200);
  });
});

/** One byte of a body that is said to be longer, on a connection of its own. */
function begin(address: string, length: number, token?: string): Socket {
  const socket = connect(Number(new URL(address).port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`POST /v1/batches HTTP/1.1\r\nhost: 127.0.0.1\r\n${token === undefined ? '' : `authorization: Bearer ${token}\r\n`}content-type: application/json\r\ncontent-length: ${length}\r\n\r\n{`);
  return socket;
}

const as = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

describe('a sender that begins bodies and does not end them', () => {
  let folder: string;
  let open: Socket[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'joulebook-senders-'));
    open = [];
  });
  afterEach(async () => {
    for (const socket of open) socket.destroy();
    await rm(folder, { recursive: true });
  });

  async function withTokens(flags: Record<string, unknown>) {
    const tokens = await openTokens(folder, clock, (error) => { throw error; });
    const of = async (scope: string): Promise<string> => (await tokens.create({ scopes: [parseScope(scope)], expires: undefined, note: undefined })).text;
    const [one, two, reader] = [await of('ingest:node-1'), await of('ingest:node-2'), await of('read')];
    const { address, store } = await started({ tokenFolder: folder, ...flags });
    const bytesWaiting = async (): Promise<string> => /joulebook_ingest_waiting_bytes (\d+)/.exec(await (await fetch(`${address}/metrics`, { headers: { authorization: `Bearer ${reader}` } })).text())?.[1] ?? '';
    return { address, store, bytesWaiting, one, two };
  }
  it('takes a quarter of the places, and leaves the rest to others', async () => {
    const { address, bytesWaiting, one, two } = await withTokens({});
    open = Array.from({ length: 300 }, () => begin(address, 300, one));
    await vi.waitFor(async () => expect(await bytesWaiting()).toBe(String(256 * 300)), { timeout: 10_000 });
    expect(await send(address, batchOf([tokensFact()]), as(one))).toMatchObject({ status: 503, error: 'BUSY' });
    expect(await send(address, batchOf([tokensFact()], { node: 'node-2' }), as(two))).toMatchObject({ status: 200 });
    for (const socket of open) socket.destroy();
    await vi.waitFor(async () => expect(await bytesWaiting()).toBe('0'), { timeout: 10_000 });
    expect(await send(address, batchOf([tokensFact()]), as(one))).toMatchObject({ status: 200 });
  }, 30_000);

  it('takes a quarter of the bytes, or one body that is larger', async () => {
    const { address, bytesWaiting, one, two } = await withTokens({ maxWaitingBytes: 100_000 });
    open = [begin(address, 20_000, one)];
    await vi.waitFor(async () => expect(await bytesWaiting()).toBe('20000'));
    const facts = Array.from({ length: 40 }, (_, index) => tokensFact({ from: index }));
    expect(await send(address, batchOf(facts), as(one))).toMatchObject({ status: 503, error: 'BUSY' });
    // It inflates to more than a quarter, and is the only one of its sender.
    expect(await send(address, batchOf(facts, { node: 'node-2' }), as(two))).toMatchObject({ status: 200 });
    expect(await bytesWaiting()).toBe('20000');
  });

  it('is told after bodyTimeout and loses its connection and its place', async () => {
    const { address } = await started({ bodyTimeout: '0.2s' });
    const socket = begin(address, 300);
    open = [socket];
    let said = '';
    socket.setEncoding('utf8').on('data', (text: string) => (said += text));
    await once(socket, 'close');
    expect(said).toMatch(/^HTTP\/1\.1 408 /);
    expect(said).toContain('"error":"BODY_TIMEOUT"');
    expect(await metricsOf(address)).toContain('joulebook_ingest_waiting_bytes 0\n');
    expect(await metricsOf(address)).toContain('result="slow"} 1\n');
    // Who is quick is not cut off by the time of another.
    expect(await send(address, batchOf([tokensFact()]))).toMatchObject({ status: 200 });
  });
});

async function ready(address: string): Promise<{ status: number; message: string }> {
  const response = await fetch(`${address}/readyz`);
  return { status: response.status, message: refusal.parse(await response.json()).message ?? '' };
}

describe('readiness', () => {
  it('ends while no batch can be stored, says why, and comes back when one could be, which is tried without one', async () => {
    let broken: Error | undefined;
    let probes = 0;
    const tried = async (): Promise<void> => {
      probes += 1;
      if (broken) throw broken;
    };
    const { address, store } = await started({}, (real) => ({
      ...real,
      append: async (batch) => (broken ? Promise.reject(broken) : real.append(batch)),
      probe: async () => tried().then(() => real.probe()),
    }));
    expect(await ready(address)).toEqual({ status: 200, message: '' });
    broken = new Error('could not write to /secret/place: No space left on device');
    expect(await send(address, batchOf([tokensFact()]))).toMatchObject({ status: 503, error: 'STORE_FAILED' });
    skipped += 10;
    const { status, message } = await ready(address);
    expect([status, message]).toEqual([503, expect.stringMatching(/^No batch could be stored since 20\d\d-.*Z: its disk is full\. /)]);
    expect(message).not.toContain('secret');
    await vi.waitFor(() => expect(probes).toBe(1));
    broken = undefined;
    // No batch comes, since balancers send none to who is not ready.
    skipped += 10;
    expect((await ready(address)).status).toBe(503);
    await vi.waitFor(async () => expect((await ready(address)).status).toBe(200), { timeout: 10_000 });
    expect(probes).toBe(2);
    expect(await store.streams()).toEqual([]);
  });

  it('is not ended by a batch that is refused for what it is', async () => {
    const { address } = await started({}, (real) => ({ ...real, append: () => Promise.reject(new TelemetryError('FACT_TOO_WIDE', 'too wide', 'discard')) }));
    expect(await send(address, batchOf([tokensFact()]))).toMatchObject({ status: 400 });
    expect((await ready(address)).status).toBe(200);
  });
});

const machine = (node: string, sequence: number, stream: string): Batch => batchOf([energyFact({ device: `GPU-of-${node}`, from: sequence })], { node, sequence, stream });

describe('one stream on two machines', () => {
  it('is a conflict for the second, whose facts are all stored under another', async () => {
    const { address, store } = await started();
    const image = 'a'.repeat(32);
    const stream = { one: image, two: image };
    for (let sequence = 0; sequence < 3; sequence += 1) {
      expect((await send(address, machine('one', sequence, stream.one))).status).toBe(200);
      const answer = await send(address, machine('two', sequence, stream.two));
      if (answer.status === 409) stream.two = 'b'.repeat(32);
      expect((await send(address, machine('two', sequence, stream.two))).status).toBe(200);
    }
    expect(stream.two).not.toBe(image);
    expect(await joulesIn(store)).toBe(600);
    expect(await (await fetch(`${address}/v1/streams`)).json()).toMatchObject({ streams: [{ node: 'one', lowWater: 3 }, { node: 'two', lowWater: 3 }] });
  });

  it('restored from a backup repeats what is known, and begins anew with what is not', async () => {
    const { address, store } = await started();
    const old = 'a'.repeat(32);
    for (const sequence of [0, 1, 2, 3]) await send(address, machine('one', sequence, old));
    // The backup knows of 0 and 1 only; what it measures now gets the numbers 2 and 3 again.
    const again = [machine('one', 0, old), machine('one', 1, old), { ...machine('one', 10, old), sequence: 2 }, { ...machine('one', 11, old), sequence: 3 }];
    const statuses = [];
    for (const batch of again) statuses.push((await send(address, batch)).status);
    expect(statuses).toEqual([200, 200, 409, 409]);
    for (const [index, batch] of again.slice(2).entries()) expect((await send(address, { ...batch, stream: 'b'.repeat(32), sequence: index })).status).toBe(200);
    expect(await joulesIn(store)).toBe(600);
  });
});
