/** From closed slices to a collector over real disk and HTTP, with what goes wrong on the way. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { decodeBatch, type Batch } from '@joulebook/shared/batch.js';
import type { FlagSlice, Slice } from '@joulebook/shared/slice.js';
import { epochMicros, instant, microjoules, seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Flagged } from '../sources/source.js';
import { Inlet } from '../spool/inlet.js';
import { openSpool, type Spool } from '../spool/spool.js';
import { lossFlags } from './loss-flags.js';
import { outlet, type Outlet, type OutletOptions } from './outlet.js';

let directory: string;
let server: Server;
let batches: Batch[];
let refusing: boolean;
/** Takes what comes and does not answer. */
let losing: boolean;
let refuse: ((batch: Batch) => boolean) | undefined;
let logged: string[];
let flagged: Flagged[];
let kept: number;
const log = { info: (message: string): unknown => logged.push(message), warn: (message: string): unknown => logged.push(message) };
const NOW = instant(1_800_000_005);

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'outlet-'));
  [batches, logged, flagged, refusing, losing, refuse, kept] = [[], [], [], false, false, undefined, 0];
  server = createServer((request, response) => {
    void answer(request).then((status) => (losing ? request.socket.destroy() : response.writeHead(status, { 'retry-after': '0' }).end('{}')));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true });
});

async function answer(request: IncomingMessage): Promise<number> {
  const batch = decodeBatch(gunzipSync(await buffer(request)).toString());
  const status = refusing ? 503 : refuse?.(batch) ? 400 : 200;
  if (status === 200) batches.push(batch);
  return status;
}

const MINUTE = 60e6;
const fact = (at: number, amount: number): Slice => ({ kind: 'energy', from: epochMicros(at), to: epochMicros(at + 10e6), device: 'gpu0', boundary: 'gpu', phase: 'idle', microjoules: microjoules(amount), modelledMicrojoules: microjoules(0), seconds: seconds(10), askedSeconds: seconds(10), source: 'nvml', method: 'counter' });
const begin = (over: Partial<OutletOptions> = {}): Promise<Outlet> => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const url = `http://127.0.0.1:${address.port}`;
  return outlet({
    node: 'n', labels: { a: 'b' }, slice: seconds(10), dataDir: directory, spool: {}, collectors: { urls: [url] }, catchUpRate: 1000, batchAge: seconds(0), now: () => NOW, log,
    flag: (one) => flagged.push(one), kept: async (until) => void (kept = until), failed: (error) => expect.unreachable(String(error)), ...over,
  });
};
const energy = (): number => batches.flatMap(({ slices }) => slices).reduce((sum, slice) => sum + (slice.kind === 'energy' ? slice.microjoules : 0), 0);
const flags = (): FlagSlice[] => batches.flatMap(({ slices }) => slices).flatMap((slice) => (slice.kind === 'flag' ? [slice] : []));

it('makes batches of a bounded size, and of the age that is asked for', async () => {
  let now = 1000;
  const out = await begin({ batchAge: seconds(5), now: () => instant(now) });
  out.put([fact(0, 1)]);
  now += 4;
  out.put([fact(10e6, 2)]);
  out.put([]);
  expect(out.state.spooledBatches + batches.length).toBe(0);
  now += 1;
  out.put([]);
  await vi.waitFor(() => expect(batches.map(({ slices }) => slices.length)).toEqual([2]));
  out.put(Array.from({ length: 12_000 }, (_, index) => fact(index * 10e6, 1)));
  await out.close(seconds(5));
  // What was on its way when the agent was stopped is sent again.
  const sizes = new Map(batches.map(({ sequence, slices }) => [sequence, slices.length]));
  expect([...sizes].toSorted(([a], [b]) => a - b)).toEqual([[0, 2], [1, 5000], [2, 5000], [3, 2000]]);
  expect(kept).toBe(12_000 * 10e6);
});

/** Where the spool should be stands a file: what a root may not write is hard to find. */
const blockDisk = (): Promise<void> => writeFile(join(directory, 'spool'), '');
const names = (): string[] => batches.map(({ stream, sequence }) => `${stream}/${sequence}`);

it('measures on while neither disk nor collector can be used, and writes and sends all of it afterwards', { timeout: 20_000 }, async () => {
  await blockDisk();
  refusing = true;
  const out = await begin();
  for (let count = 0; count < 5; count += 1) out.put([fact(count * 10e6, 2 ** count)]);
  await vi.waitFor(() => expect(logged.join()).toContain('wait in memory'));
  expect(out.state).toMatchObject({ memoryBatches: 5, spooledBatches: 0 });
  expect(kept).toBe(0);
  await rm(join(directory, 'spool'));
  refusing = false;
  await vi.waitFor(() => expect(energy()).toBe(31), { timeout: 15_000, interval: 50 });
  expect(out.state.memoryBatches).toBe(0);
  await out.close(seconds(1));
});

it('sends past a disk that can not be used, as things are made', { timeout: 20_000 }, async () => {
  await blockDisk();
  const out = await begin();
  for (let count = 0; count < 5; count += 1) out.put([fact(count * 10e6, 2 ** count)]);
  await vi.waitFor(() => expect(energy()).toBe(31), { timeout: 15_000, interval: 50 });
  expect(batches.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3, 4]);
  await vi.waitFor(() => expect(out.state.memoryBatches).toBe(0));
  expect(kept).toBe(50e6);
  expect(logged.filter((line) => line.includes('go from memory to the collector'))).toHaveLength(1);
  await out.close(seconds(1));
});

it('keeps the name of what went past the disk without an answer, so that it is not counted twice', { timeout: 20_000 }, async () => {
  await blockDisk();
  losing = true;
  const out = await begin();
  for (let count = 0; count < 3; count += 1) out.put([fact(count * 10e6, 2 ** count)]);
  // The collector has the first one, and its answer did not come.
  await vi.waitFor(() => expect(batches).toHaveLength(1), { timeout: 10_000 });
  await rm(join(directory, 'spool'));
  losing = false;
  await vi.waitFor(() => expect(new Set(names()).size).toBe(3), { timeout: 15_000, interval: 50 });
  await out.close(seconds(1));
  const [first = ''] = names();
  expect(names().filter((name) => name === first).length).toBeGreaterThan(1);
  // Each name has one content, and the numbers of each stream have no holes.
  expect([...new Map(batches.map((batch) => [`${batch.stream}/${batch.sequence}`, JSON.stringify(batch.slices)])).values()].toSorted()).toEqual([0, 1, 2].map((count) => JSON.stringify([fact(count * 10e6, 2 ** count)])).toSorted());
  const rest = [...new Set(names())].filter((name) => name !== first);
  expect(rest.map((name) => name.split('/')[1])).toEqual(['0', '1']);
});

it('gives up the oldest in memory when that is full, and accounts for them', async () => {
  const spooled = join(directory, 'spool');
  let works = false;
  await writeFile(join(directory, 'file'), '');
  let spool: Spool | undefined;
  const inlet = new Inlet({
    // Where a file stands no folder can be made.
    open: async () => (spool = await openSpool(works ? spooled : join(directory, 'file', 'spool'))),
    encode: (sequence, stream, { slices }) => Buffer.from(JSON.stringify({ sequence, stream, energies: slices.map((slice) => (slice.kind === 'energy' ? slice.microjoules : 0)) })),
    spooled: () => Promise.resolve(), failed: (error) => expect.unreachable(String(error)), log, maxBytes: 2000, tryAgainMs: 5,
  });
  for (let count = 0; count < 40; count += 1) {
    inlet.put({ slices: [fact(count * MINUTE, 1)] });
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(inlet.waiting.bytes).toBeLessThanOrEqual(2000);
  const survivors = inlet.waiting.batches;
  expect(survivors).toBeLessThan(40);
  works = true;
  await vi.waitFor(() => expect(inlet.waiting.batches).toBe(0));
  expect(JSON.parse(await readFile(join(spooled, 'losses'), 'utf8'))).toMatchObject({ batches: 40 - survivors });
  expect(spool?.losses.account.reduce((sum, { microjoules: by }) => sum + (by.gpu ?? 0n), 0n)).toBe(BigInt(40 - survivors));
  expect(spool?.pending.records).toBe(survivors);
  await spool?.close();
  expect(logged.filter((line) => line.includes('Measuring goes on'))).toHaveLength(1);
});

it('tells the collector once what a full spool dropped: how much, of when, and a flag in every minute of it', { timeout: 60_000 }, async () => {
  refusing = true;
  const quota = 16_000;
  const out = await begin({ spool: { maxBytes: quota } });
  for (let count = 0; count < 200; count += 1) out.put([fact(count * MINUTE, 1000 + count)]);
  await vi.waitFor(() => expect(out.state.memoryBatches).toBe(0), { timeout: 15_000 });
  const before = out.state;
  expect(before.lostBatches + before.spooledBatches).toBe(200);
  expect(before.lostBatches).toBeGreaterThan(50);
  expect(before.spoolBytes).toBeLessThan(quota + 1000);
  refusing = false;
  await vi.waitFor(() => expect(flags().length).toBeGreaterThan(0), { timeout: 15_000 });
  await vi.waitFor(() => expect(out.state.spooledBatches).toBe(0), { timeout: 15_000 });
  // What tells of the loss takes room in the spool too.
  const { lostBatches } = out.state;
  await out.close(seconds(1));
  const whole = (200 * (1000 + 1199)) / 2;
  const told = flags();
  expect(told.map(({ from }) => from / MINUTE)).toEqual(Array.from({ length: lostBatches }, (_, minute) => minute));
  // One sentence for the whole loss; another where its batch took the room of one more.
  const sentences = [...new Set(told.map(({ code, detail }) => `${code} ${detail}`))];
  expect(sentences.length).toBeLessThanOrEqual(2);
  expect(told.reduce((sum, { count }) => sum + count, 0)).toBe(lostBatches);
  expect(told[0]?.labels).toEqual({ a: 'b' });
  const lost = sentences.reduce((sum, sentence) => sum + Number(/In them: ([\d.]+) J at gpu/.exec(sentence)?.[1]), 0);
  expect(lost).toBeCloseTo((whole - energy()) / 1e6, 2);
  // The account is closed: a restart tells nothing again.
  const again = await begin();
  again.put([fact(0, 1)]);
  await vi.waitFor(() => expect(again.state.spooledBatches).toBe(0));
  await again.close(seconds(1));
  expect(flags()).toHaveLength(told.length);
});

it('tells of a loss as of now where the collector takes no facts of that time any more', async () => {
  refuse = ({ slices }) => slices.some(({ from }) => from < 1_700_000_000e6);
  const out = await begin();
  out.put([fact(MINUTE, 7)]);
  await vi.waitFor(() => expect(logged.join()).toContain('rejects batches'));
  out.put([fact(1_800_000_000e6, 1)]);
  await vi.waitFor(() => expect(logged.filter((line) => line.includes('rejects batches'))).toHaveLength(2));
  // Told as of its own time it was refused as well; the next batch that is taken tells of it anew.
  out.put([fact(1_800_000_010e6, 1)]);
  await vi.waitFor(() => expect(flags()).toHaveLength(1));
  await out.close(seconds(1));
  expect(flags()[0]).toMatchObject({ code: 'BATCHES_REJECTED', count: 1, from: 1_800_000_000e6 });
  expect(flags()[0]?.detail).toContain('1970-01-01T00:01:00');
});

it('has a flag for each minute once, however a loss came about', () => {
  const loss = { reason: 'memory' as const, batches: 3, minutes: [[5, 1], [6, 1], [5, 1]] as const, microjoules: {}, tokens: {}, requests: 0 };
  expect(lossFlags([loss], NOW, { labels: {}, slice: seconds(10) }).map(({ from, to, count }) => [from, to - from, count])).toEqual([[5 * MINUTE, 10e6, 2], [6 * MINUTE, 10e6, 1]]);
});

it('is refused a spool that another agent holds', async () => {
  const out = await begin();
  await expect(begin()).rejects.toMatchObject({ code: 'SPOOL_LOCKED' });
  await out.close(seconds(1));
});
