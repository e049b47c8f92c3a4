/**
 * How long a report over a month of a fleet takes: 1,000 GPUs, a slice each 10 s, by model and phase. One hour of facts is
 * appended and summed as a collector does it; its sums by hour are then repeated over the days (and by minute where the
 * range's edges fall), and summed by day again as a collector does it.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildReport } from '@joulebook/collector/report/build.js';
import { parseRequest } from '@joulebook/collector/report/request.js';
import { openDuckdb } from '@joulebook/collector/store/duckdb.js';
import { repeatHour } from '@joulebook/collector/store/many-days.testing.js';
import type { EmbeddedStore } from '@joulebook/collector/store/upkeep.js';
import { UsageError } from '@joulebook/shared/errors.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, microjoules, seconds } from '@joulebook/shared/units.js';

const GOAL_SECONDS = 1;
const GPUS_PER_NODE = 8;
const HOUR = 3600;
const DAY = 86_400;
/** UTC, a whole day. */
const BEGIN = Date.UTC(2026, 8, 1) / 1000;
const SLICES_PER_BATCH = 6;
const PHASES = [['prefill', 2.5], ['decode', 6], ['idle', 1.5]] as const;

interface Fleet {
  readonly gpus: number;
  readonly days: number;
  readonly runs: number;
}

function asked(options: readonly string[]): Fleet {
  try {
    const { values } = parseArgs({ args: [...options], options: { gpus: { type: 'string', default: '1000' }, days: { type: 'string', default: '30' }, runs: { type: 'string', default: '100' } } });
    const [gpus, days, runs] = [Number(values.gpus), Number(values.days), Number(values.runs)];
    if (gpus % GPUS_PER_NODE === 0 && gpus > 0 && Number.isInteger(days) && days >= 2 && Number.isInteger(runs) && runs > 0) return { gpus, days, runs };
  } catch {
    // Told below, together with numbers that are none.
  }
  throw new UsageError([`npm run bench -- query [--gpus N] [--days N] [--runs N], with a multiple of ${GPUS_PER_NODE} GPUs and at least 2 days`]);
}

/** One node serves one deployment of one of six models on its GPUs; phases differ a little from slice to slice and from node to node. */
function slicesOf(node: number, second: number): Slice[] {
  const [from, to] = [epochMicros((BEGIN + second) * 1e6), epochMicros((BEGIN + second + 10) * 1e6)];
  const place = { from, to, site: `site-${node % 2}`, deployment: `chat-${node}`, model: `model-${node % 6}`, labels: { engine: 'vllm', quantization: node % 3 === 0 ? 'fp8' : 'fp16' } };
  const shift = ((node * 31 + second * 7) % 100) / 100;
  const energy = Array.from({ length: GPUS_PER_NODE }, (_, gpu) => PHASES.map(([phase, length], index): Slice => {
    const observed = seconds(Math.round((length + (index === 0 ? shift : index === 1 ? -shift : 0)) * 1e6) / 1e6);
    const drawn = Math.round(observed * (phase === 'idle' ? 90e6 : 520e6)) + gpu;
    return { kind: 'energy', ...place, device: `GPU-${String(node).padStart(8, '0')}-0000-4000-8000-${String(gpu).padStart(12, '0')}`, boundary: 'gpu', phase, microjoules: microjoules(drawn), modelledMicrojoules: microjoules(Math.floor(drawn / 9)),
      seconds: observed, askedSeconds: observed, lowMicrojoules: microjoules(Math.floor(drawn * 0.95)), highMicrojoules: microjoules(Math.ceil(drawn * 1.05)), samplingVariance: 0.25, source: 'nvml', method: 'counter' };
  })).flat();
  const counts = (['input', 'output'] as const).map((token): Slice => ({ kind: 'tokens', ...place, token, count: 4000 + node + (second % 97) }));
  const ended = Array.from({ length: 4 }, (_, index): Slice => ({ kind: 'requests', ...place, outcome: 'ok', ttftBucket: -8 + ((second / 10 + index) % 6), tpotBucket: -20 + (index % 3), requests: 2, inputTokens: 900, cachedInputTokens: 0, outputTokens: 300 }));
  return [...energy, ...counts, ...ended];
}

async function appendHour(store: EmbeddedStore, nodes: number): Promise<number> {
  let facts = 0;
  for (let first = 0; first < HOUR; first += SLICES_PER_BATCH * 10) {
    await Promise.all(Array.from({ length: nodes }, async (_, node) => {
      const slices = Array.from({ length: SLICES_PER_BATCH }, (__, index) => slicesOf(node, first + index * 10)).flat();
      facts += slices.length;
      await store.append({ schema: 1, stream: node.toString(16).padStart(32, '0'), sequence: first / (SLICES_PER_BATCH * 10), node: `node-${node}`, slices });
    }));
  }
  return facts;
}

const quantile = (sorted: readonly number[], share: number): number => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
const ms = (length: number): string => length.toFixed(0);

interface Timed {
  readonly p50: number;
  readonly p99: number;
  /** ms of processor per report, of all threads: what a busy machine does not change. */
  readonly processor: number;
  readonly read: string;
  readonly joules: number | null;
  readonly output: number | null;
}

async function timed(store: EmbeddedStore, said: Readonly<Record<string, string>>, runs: number): Promise<Timed> {
  const request = parseRequest(Object.fromEntries(Object.entries(said).map(([name, value]) => [name, [value]])), {}, '');
  const times: number[] = [];
  let report = await buildReport(store, request, '');
  const before = process.cpuUsage();
  for (let run = 0; run < runs; run += 1) {
    const begun = performance.now();
    report = await buildReport(store, request, '');
    times.push(performance.now() - begun);
  }
  const { user, system } = process.cpuUsage(before);
  times.sort((a, b) => a - b);
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99), processor: (user + system) / 1000 / runs, read: (report.resolution ?? []).map(({ resolution, seconds: length }) => `${resolution} ${(length / HOUR).toFixed(2)} h`).join(', '), joules: report.total.joules, output: report.total.tokens.output };
}

async function timing<T>(what: string, work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  const before = process.cpuUsage();
  const value = await work();
  const { user, system } = process.cpuUsage(before);
  console.log(`${what}: ${((performance.now() - begun) / 1000).toFixed(1)} s (${((user + system) / 1e6).toFixed(1)} s of processor)`);
  return value;
}

/** @returns whether every goal was reached */
export async function query(options: readonly string[]): Promise<boolean> {
  const fleet = asked(options);
  console.log(`${fleet.days} days of ${fleet.gpus} GPUs; ${cpus().length} CPUs, load ${loadavg().map((each) => each.toFixed(1)).join(' ')}\n`);
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-query-'));
  try {
    return await measured(join(folder, 'store.duckdb'), fleet);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measured(path: string, { gpus, days, runs }: Fleet): Promise<boolean> {
  const nodes = gpus / GPUS_PER_NODE;
  const first = await openDuckdb(path);
  const facts = await timing('an hour of facts appended', () => appendHour(first, nodes));
  console.log(`  ${facts.toLocaleString('en-US')} facts`);
  const oneHour = { from: String(BEGIN), to: String(BEGIN + HOUR), by: 'model,phase' };
  const rows: [string, Timed][] = [['1 h, facts', await timed(first, oneHour, Math.min(runs, 10))]];
  const summed = await timing('summed by minute and hour', () => first.rollUp(3600));
  rows.push(['1 h, sums', await timed(first, oneHour, Math.min(runs, 10))]);
  await first.close();
  const edge = 10;
  await timing(`the hour's sums repeated`, () => repeatHour(path, BEGIN * 1e6, days * 24, [edge, (days - 1) * 24 + edge]));
  const store = await openDuckdb(path);
  try {
    const again = await timing('summed by day', () => store.rollUp(3600));
    const whole = { from: String(BEGIN), to: String(BEGIN + days * DAY) };
    const ragged = { from: String(BEGIN + edge * HOUR + 17 * 60), to: String(BEGIN + (days - 1) * DAY + edge * HOUR + 17 * 60) };
    const asOf = [[`${days} d by model, phase`, { ...whole, by: 'model,phase' }], [`${days - 1} d, edges at :17, by model, phase`, { ...ragged, by: 'model,phase' }]] as const;
    for (const [name, said] of asOf) rows.push([name, await timed(store, said, runs)]);
    const goals = rows.slice(-asOf.length);
    rows.push([`${days} d, whole`, await timed(store, whole, Math.min(runs, 20))], [`${days} d by deployment`, await timed(store, { ...whole, by: 'deployment' }, Math.min(runs, 20))], [`${days} d by model, step 1h`, await timed(store, { ...whole, by: 'model', step: '1h' }, Math.min(runs, 5))]);
    console.log(`file: ${((await stat(path)).size / 2 ** 20).toFixed(0)} MiB\n\n| report | p50 ms | p99 ms | processor ms | read |\n|---|---:|---:|---:|---|`);
    for (const [name, { p50, p99, processor, read }] of rows) console.log(`| ${name} | ${ms(p50)} | ${ms(p99)} | ${ms(processor)} | ${read} |`);
    const [[, oneOfFacts], [, oneOfSums]] = [rows[0] ?? ['', undefined], rows[1] ?? ['', undefined]];
    const month = goals[0]?.[1];
    const told: readonly (readonly [string, boolean])[] = [
      ...goals.map(([name, { p50, p99 }]): readonly [string, boolean] => [`${name} within ${GOAL_SECONDS} s: p50 ${ms(p50)} ms, p99 ${ms(p99)} ms`, p99 <= GOAL_SECONDS * 1000]),
      ['an hour has the same joules and tokens from facts and from sums', oneOfFacts?.joules === oneOfSums?.joules && oneOfFacts?.output === oneOfSums?.output && oneOfFacts?.joules !== null],
      [`${days} days have ${days * 24} times the tokens and joules of the hour`, month?.output === (oneOfFacts?.output ?? 0) * days * 24 && Math.abs((month?.joules ?? 0) / ((oneOfFacts?.joules ?? 1) * days * 24) - 1) < 1e-12],
      ['nothing was left unsummed', summed.left + again.left === 0 && summed.faults.length + again.faults.length === 0],
    ];
    console.log(`\n${told.map(([goal, reached]) => `${reached ? 'reached' : 'MISSED '}  ${goal}`).join('\n')}`);
    return told.every(([, reached]) => reached);
  } finally {
    await store.close();
  }
}
