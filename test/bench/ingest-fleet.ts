/**
 * A fleet on one collector: thousands of agents that send what they measured in 10 s every 10 s, each with a token of its own; then
 * the same with more and more of them, a short while each, until the collector falls behind. In the end it must have what
 * was sent, exactly.
 */
import { spawn } from 'node:child_process';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { formatScope, ingestOf } from '@joulebook/collector/access/scope.js';
import { digest, newTokenText, tokenId } from '@joulebook/collector/access/token.js';
import { epochMicros } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { collectorAt, type Collector } from './chaos-processes.js';
import { COLLECTOR, costOf, storedInJoulebook } from './ingest-contestants.js';
import { CELL_SECONDS, isSame, nodeName, NOTHING, plus, type Truth } from './ingest-facts.js';

const AGENTS = fileURLToPath(new URL('ingest-agents.js', import.meta.url));
const LOOK_MS = 1000;
/** Times the fleet's rate, each for a while. */
const STEPS = [1.5, 2, 3, 4, 5, 6, 8];
const STEP_SECONDS = 20;
const LATE_MS = 5000;
/** What the store may take (duckdb-file.ts) and half a GiB for the rest. */
const MOST_MIB = 2560;
/** Of the generator, for one body: facts are to be of now when they are sent. */
const PREPARING_SECONDS = 0.0007;
/** Facts of the steps come faster than time passes, and none may lie in the future. */
const STEPS_AGO_SECONDS = 7200;

const spread = z.object({ p50: z.number(), p99: z.number(), most: z.number() });
const preparedSchema = z.object({ prepared: z.number(), bytes: z.number(), truth: z.object({ facts: z.number(), gpuMicrojoules: z.number(), outputTokens: z.number(), requests: z.number() }) });
const endSchema = z.object({ seconds: z.number(), accepted: z.number(), duplicates: z.number(), refusals: z.record(z.string(), z.number()), waits: spread, answers: spread, late: z.number(), cpuSeconds: z.number() });

export interface Fleet {
  /** File of cells. */
  readonly cells: string;
  readonly folder: string;
  readonly agents: number;
  readonly minutes: number;
}

/** Written as `joulebook token create` writes them, which makes one at a time. */
async function makeTokens(folder: string, nodes: number): Promise<{ readonly file: string; readonly admin: string }> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const make = async (scope: string): Promise<string> => {
    const text = newTokenText();
    const id = tokenId(text) ?? '';
    await writeFile(join(folder, `${id}.json`), `${JSON.stringify({ id, hash: digest(text).toString('hex'), scopes: [scope], created: new Date() })}\n`, { mode: 0o600 });
    return text;
  };
  const texts: string[] = [];
  for (let node = 0; node < nodes; node += 1) texts.push(await make(formatScope(ingestOf(nodeName(node)))));
  const file = `${folder}.txt`;
  await writeFile(file, `${texts.join('\n')}\n`, { mode: 0o600 });
  return { file, admin: await make(formatScope({ may: 'admin' })) };
}

interface Sending {
  readonly batches: number;
  readonly everySeconds: number;
  readonly firstSequence: number;
  /** Seconds since 1970, of the facts of sequence 0. */
  readonly begin: number;
}
interface Sent {
  readonly end: z.output<typeof endSchema>;
  readonly truth: Truth;
  readonly cpuSeconds: number;
  /** MiB, once a second. */
  readonly memory: readonly number[];
}

async function send(collector: Collector, { cells, agents }: Fleet, tokens: string, { begin, ...sending }: Sending): Promise<Sent> {
  const job = { cells, url: collector.address, tokens, agents, ...sending, begin: epochMicros(Math.floor(begin / CELL_SECONDS) * CELL_SECONDS * 1e6) };
  const child = spawn(process.execPath, [AGENTS, JSON.stringify(job)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: AsyncIterator<string, unknown> = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done }: IteratorResult<string, unknown> = await lines.next();
    if (done === true) throw new Error('the generator of the fleet ended early');
    return JSON.parse(value);
  };
  try {
    const { truth } = preparedSchema.parse(await next());
    const memory: number[] = [];
    const before = await costOf(collector.pid);
    const look = setInterval(() => void costOf(collector.pid).then(({ rssMiB }) => memory.push(rssMiB), () => undefined), LOOK_MS);
    const said = await next().finally(() => clearInterval(look));
    const end = endSchema.safeParse(said);
    if (!end.success) throw new Error(`the fleet failed: ${JSON.stringify(said)}`);
    return { end: end.data, truth, memory, cpuSeconds: (await costOf(collector.pid)).cpuSeconds - before.cpuSeconds };
  } finally {
    child.kill('SIGKILL');
  }
}

const refused = (refusals: Readonly<Record<string, number>>): string => Object.entries(refusals).map(([why, count]) => `${why}: ${count}`).join(', ') || 'none';
const ms = ({ p50, p99, most }: z.output<typeof spread>): string => `p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, longest ${most.toFixed(0)} ms`;
const mib = (value: number | undefined): string => `${(value ?? Number.NaN).toFixed(0)} MiB`;

async function storeBytes(store: string): Promise<number> {
  const sizes = await Promise.all([store, `${store}.wal`].map((path) => stat(path).then(({ size }) => size, () => 0)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** @returns as how many nodes it was carried in the last step that was; 0: in none */
async function saturate(collector: Collector, load: Fleet, tokens: string, firstSequence: number, begin: number): Promise<{ readonly nodes: number; readonly truth: Truth }> {
  let [nodes, truth, sequence] = [0, NOTHING, firstSequence];
  for (const times of STEPS) {
    const everySeconds = CELL_SECONDS / times;
    const batches = Math.ceil(STEP_SECONDS / everySeconds);
    const sent = await send(collector, load, tokens, { batches, everySeconds, firstSequence: sequence, begin });
    sequence += batches;
    truth = plus(truth, sent.truth);
    const { waits, refusals, seconds, accepted, cpuSeconds: generator } = sent.end;
    const carried = waits.p99 <= LATE_MS && seconds < batches * everySeconds + LATE_MS / 1000;
    console.log(`  as ${Math.round(load.agents * times)} nodes: ${Math.round(accepted / seconds)} batches/s, stored after ${ms(waits)}; refused ${refused(refusals)}; collector ${((sent.cpuSeconds / seconds) * 100).toFixed(0)} % of a CPU, generator ${((generator / seconds) * 100).toFixed(0)} %: ${carried ? 'carried' : 'falls behind'}`);
    if (!carried) break;
    nodes = Math.round(load.agents * times);
  }
  return { nodes, truth };
}

async function storedBy(collector: Collector, admin: string): Promise<Truth> {
  return storedInJoulebook(collector.address, { authorization: `Bearer ${admin}` });
}

/** @returns whether every goal was reached */
export async function fleet(load: Fleet): Promise<boolean> {
  const { agents, minutes, folder } = load;
  const store = join(folder, 'fleet.duckdb');
  const { file: tokens, admin } = await makeTokens(`${store}.tokens`, agents);
  const collector = collectorAt(COLLECTOR, store);
  await collector.start();
  try {
    const batches = Math.round((minutes * 60) / CELL_SECONDS);
    const begin = Date.now() / 1000 + PREPARING_SECONDS * agents * batches - CELL_SECONDS;
    const start = await costOf(collector.pid);
    console.log(`\n${agents} agents of 8 GPUs, each with its token, one batch each ${CELL_SECONDS} s for ${minutes} min, to one collector with its defaults (roll-ups each minute)`);
    const { end, truth, memory, cpuSeconds } = await send(collector, load, tokens, { batches, everySeconds: CELL_SECONDS, firstSequence: 0, begin });
    const peak = (await costOf(collector.pid)).peakMiB;
    const byMinute = memory.filter((_, second) => second % 60 === 59 || second === memory.length - 1);
    const stored = await storedBy(collector, admin);
    const bytes = await storeBytes(store);
    const perMinute = Math.round(truth.facts / (end.seconds / 60));
    console.log(`  ${end.accepted} batches, ${truth.facts} facts (${perMinute.toLocaleString('en-US')} a minute) in ${end.seconds.toFixed(0)} s; ${end.late} sent late by the generator itself`);
    console.log(`  stored after ${ms(end.waits)} (with sending again); one answer ${ms(end.answers)}`);
    console.log(`  refused and sent again: ${refused(end.refusals)}; duplicates ${end.duplicates}`);
    console.log(`  memory ${mib(start.rssMiB)} at start, ${byMinute.map(mib).join(', ')} by minute, peak ${mib(peak)}`);
    console.log(`  collector ${((cpuSeconds / end.seconds) * 100).toFixed(0)} % of a CPU (${((cpuSeconds / truth.facts) * 1e6).toFixed(1)} s per million facts), generator ${((end.cpuSeconds / end.seconds) * 100).toFixed(0)} %; store ${(bytes / 1e6).toFixed(0)} MB on disk, ${(bytes / truth.facts).toFixed(1)} bytes per fact before its log is packed`);
    console.log(`\nMore and more of it, ${STEP_SECONDS} s each`);
    const kept = end.waits.p99 <= LATE_MS;
    const more = await saturate(collector, load, tokens, batches, begin - STEPS_AGO_SECONDS);
    const all = plus(truth, more.truth);
    const storedAll = await storedBy(collector, admin);
    const byCpu = Math.floor((agents * availableParallelism() * end.seconds) / cpuSeconds);
    const carried = Math.max(more.nodes, kept ? agents : 0);
    console.log(`One collector ${carried === 0 ? `does not carry ${agents}` : `carries ${carried}`} nodes of 8 GPUs here, with the generator and whatever else runs on the same ${availableParallelism()} CPUs; by its own processor time at ${agents} nodes it would be ${byCpu} with all CPUs to itself.`);
    const goals: readonly (readonly [string, boolean])[] = [
      [`everything that was sent is stored, exactly: ${stored.facts} of ${truth.facts} facts, ${stored.gpuMicrojoules} of ${truth.gpuMicrojoules} µJ; with the steps ${storedAll.facts} of ${all.facts}`, isSame(stored, truth) && isSame(storedAll, all)],
      [`memory stays bounded: peak ${mib(peak)} of ${mib(MOST_MIB)}`, peak < MOST_MIB],
      [`99 of 100 batches are stored within ${LATE_MS / 1000} s`, kept],
    ];
    console.log(goals.map(([goal, reached]) => `${reached ? 'reached' : 'MISSED '}  ${goal}`).join('\n'));
    return goals.every(([, reached]) => reached);
  } finally {
    await collector.stop();
  }
}
