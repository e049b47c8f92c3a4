/**
 * The agent's side of the bench `outage`, in a process of its own so that its memory is its own: real batches of one node with
 * 8 GPUs go through the real spool and shipper; a generator stands in for sensors.
 *
 *     argv: folder, address of the collector, hours, seconds of live pace
 *     stdin  ◀ "up": the collector answers from now on
 *     stdout ▶ one JSON object per line: spooled, caught up
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { failover } from '@joulebook/agent/shipper/failover.js';
import { httpTransport } from '@joulebook/agent/shipper/http.js';
import { lossFlags } from '@joulebook/agent/shipper/loss-flags.js';
import { shipper } from '@joulebook/agent/shipper/shipper.js';
import type { Transport } from '@joulebook/agent/shipper/transport.js';
import { openSpool } from '@joulebook/agent/spool/spool.js';
import { encodeBatch, SCHEMA_VERSION } from '@joulebook/shared/batch.js';
import { systemClock } from '@joulebook/shared/clock.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, microjoules, seconds } from '@joulebook/shared/units.js';

const GPUS = 8;
const SLICE_SECONDS = 10;
const [folder = '', url = '', hours = '24', pace = '10'] = process.argv.slice(2);
const truth = { batches: 0, slices: 0, gpuMicrojoules: 0n, outputTokens: 0, requests: 0 };

/** A busy node: every GPU in three phases, its packages and its server; tokens, requests in their cells, gauges. */
function slicesAt(from: number, seed: number): Slice[] {
  const common = { from: epochMicros(from), to: epochMicros(from + SLICE_SECONDS * 1e6), deployment: 'chat', model: 'llama-70b', labels: { quantization: 'fp8', engine: 'vllm-0.11' } };
  const phases = ['prefill', 'decode', 'idle'] as const;
  const vary = (index: number): number => (seed * 7919 + index * 104_729) % 99_991;
  const energy = (device: string, boundary: 'gpu' | 'cpu' | 'server', base: number, index: number): Slice[] =>
    phases.map((phase, part): Slice => {
      const amount = base + vary(index * 3 + part) * 1000;
      if (boundary === 'gpu') truth.gpuMicrojoules += BigInt(amount);
      return { kind: 'energy', ...common, device, boundary, phase, microjoules: microjoules(amount), modelledMicrojoules: microjoules(Math.floor(amount / 9)), divisionMicrojoules: microjoules(Math.floor(amount / 20)), seconds: seconds(10 / 3), askedSeconds: seconds(10 / 3), lowMicrojoules: microjoules(Math.floor(amount * 0.98)), highMicrojoules: microjoules(Math.ceil(amount * 1.02)), samplingVariance: (vary(part) % 100) / 7, source: 'nvml', method: 'counter' };
    });
  const slices: Slice[] = [
    ...Array.from({ length: GPUS }, (_, gpu) => energy(`GPU-00000000-0000-0000-0000-00000000000${gpu}`, 'gpu', 1.5e9, gpu)).flat(),
    ...[0, 1].flatMap((cpu) => energy(`cpu-${cpu}`, 'cpu', 4e8, 20 + cpu)),
    ...energy('server', 'server', 2e10, 30),
  ];
  for (const [index, token] of (['input', 'cachedInput', 'output'] as const).entries()) {
    const count = 1000 + vary(40 + index);
    if (token === 'output') truth.outputTokens += count;
    slices.push({ kind: 'tokens', ...common, token, count });
  }
  for (let cell = 0; cell < 20; cell += 1) {
    const requests = 1 + (vary(50 + cell) % 9);
    truth.requests += requests;
    slices.push({ kind: 'requests', ...common, outcome: 'ok', ttftBucket: -8 + cell, tpotBucket: -20 + (cell % 5), requests, inputTokens: 500 * requests, cachedInputTokens: 0, outputTokens: 200 * requests });
  }
  const gauges = ['gpu.utilization', 'gpu.temperature', 'gpu.clock.sm', 'gpu.clock.memory', 'gpu.memory.used', 'gpu.throttled'];
  for (let gpu = 0; gpu < GPUS; gpu += 1) for (const [index, gauge] of gauges.entries()) slices.push({ kind: 'gauge', ...common, device: `GPU-${gpu}`, gauge, valueSeconds: vary(80 + gpu * 8 + index) / 10, seconds: seconds(10), max: vary(index) / 100 });
  for (const [index, gauge] of ['engine.running', 'engine.waiting', 'engine.kv_cache', 'agent.cpu.utilization', 'agent.memory.rss', 'agent.booking.delay'].entries()) slices.push({ kind: 'gauge', ...common, gauge, valueSeconds: vary(150 + index) / 10, seconds: seconds(10), max: 3 });
  truth.batches += 1;
  truth.slices += slices.length;
  return slices;
}

const encode = (sequence: number, stream: string, slices: readonly Slice[]): Buffer => gzipSync(encodeBatch({ schema: SCHEMA_VERSION, stream, sequence, node: 'gpu-01', slices: [...slices] }), { level: 1 });
const tell = (said: object): void => void process.stdout.write(`${JSON.stringify(said, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}\n`);

const spool = await openSpool(join(folder, 'spool'), { maxBytes: 2 * 2 ** 30 });
const cells = (Number(hours) * 3600) / SLICE_SECONDS;
/** Some hours back: live batches are made faster than time passes, and none may lie in the future. */
const begin = Math.floor((Date.now() / 1000 - 6 * 3600) / SLICE_SECONDS - cells) * SLICE_SECONDS * 1e6;
const spooling = performance.now();
for (let cell = 0; cell < cells; cell += 1) {
  const slices = slicesAt(begin + cell * SLICE_SECONDS * 1e6, cell);
  await spool.append((sequence, stream) => encode(sequence, stream, slices));
}
tell({ spooled: cells, bytes: spool.bytes, seconds: (performance.now() - spooling) / 1000, rssMiB: process.memoryUsage.rss() / 2 ** 20 });

/** When each live batch was made, until the collector has it; by how many seconds those were late that were made when it answered. */
const made = new Map<string, number>();
const late: number[] = [];
let up = Infinity;
const http = failover([httpTransport({ url })]);
const watched: Transport = {
  description: http.description,
  async send(batch, signal) {
    const outcome = await http.send(batch, signal);
    const key = Buffer.from(batch).toString('latin1');
    const at = made.get(key);
    if (outcome.kind === 'accepted' && at !== undefined) {
      made.delete(key);
      if (at >= up) late.push((performance.now() - at) / 1000);
    }
    return outcome;
  },
  close: () => http.close(),
};
const log = { info: (message: string): void => tell({ log: message }), warn: (message: string, fields?: object): void => tell({ log: message, ...fields }) };
const shipping = shipper({ spool, transport: watched, log, lossBatch: (sequence, stream, losses) => encode(sequence, stream, lossFlags(losses, systemClock.wall(), { labels: {}, slice: seconds(SLICE_SECONDS) })) });
const stop = new AbortController();
const running = shipping.run(stop.signal);
const backlogEnds = spool.nextPosition;

createInterface({ input: process.stdin }).on('line', () => (up = performance.now()));
let cell = cells;
let due = performance.now();
while (spool.firstOpen < backlogEnds) {
  const slices = slicesAt(begin + cell * SLICE_SECONDS * 1e6, cell);
  await spool.append((sequence, stream) => {
    const bytes = encode(sequence, stream, slices);
    made.set(bytes.toString('latin1'), performance.now());
    return bytes;
  });
  cell += 1;
  due += Number(pace) * 1000;
  while (performance.now() < due && spool.firstOpen < backlogEnds) await sleep(20);
}
const caughtUp = (performance.now() - up) / 1000;
await sleep(500);
stop.abort();
await running;
await shipping.flushOnce(seconds(10));
tell({
  caughtUpSeconds: caughtUp,
  rssMiB: process.resourceUsage().maxRSS / 1024,
  pending: spool.pending.records,
  lost: spool.losses.batches,
  counts: shipping.counts,
  live: late.length,
  latestAfterUp: Math.max(0, ...late),
  truth,
});
await spool.close();
await http.close();
process.stdin.destroy();
