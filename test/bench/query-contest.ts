/**
 * The report of the bench `query` against the same question asked of InfluxDB 1.6 and VictoriaMetrics, which hold the same
 * points. All are asked over HTTP, in turn and in changing order; answers that differ by more than rounding fail the bench.
 */
import { copyFile, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { hasInfluxdb, hasVictoria, startInfluxdb, startVictoria, type TestServer } from '@joulebook/collector/store/influx/servers.testing.js';
import { openDuckdb } from '@joulebook/collector/store/duckdb.js';
import { levelNamed, pointsOf } from '@joulebook/collector/store/many-days.testing.js';
import { collectorAt } from './chaos-processes.js';
import { bytesIn, influxql, joulebook, load, metricsql, processorOf, sumsAlone, type Answer, type Contender, type Range } from './query-contenders.js';
import { LABELS } from './query-fleet.js';

/** As built. */
const PROGRAM = fileURLToPath(new URL('../../../collector/bin/joulebook.js', import.meta.url));
/** Of two sums of up to millions of doubles; of whole numbers beyond 2^53. */
const ROUNDING = 1e-9;
const GOAL_RATIO = 10;
const LEAST_ROUNDS = 5;
const SETTLE_SECONDS = 5;
/** Room to answer from memory all that is here; what limits queries is out of the way. */
const VICTORIA = ['-memory.allowedBytes=4GB', '-search.maxUniqueTimeseries=5000000', '-search.maxQueryDuration=300s', '-search.latencyOffset=0'];

export interface Contest {
  readonly title: string;
  /** Of the embedded store, which nobody holds. */
  readonly path: string;
  /** Which rows the others hold; null: facts. */
  readonly level: 'day' | null;
  readonly range: Range;
  readonly runs: number;
  /** Enough rounds after so long. */
  readonly seconds: number;
}

interface Engine {
  readonly name: string;
  readonly there: boolean;
  start(root: string): Promise<TestServer>;
  /** Where points are written to. */
  writes(server: TestServer): string;
  /** All that was written can be asked for, and is on the disk. */
  settle(server: TestServer): Promise<void>;
  contender(server: TestServer): Contender;
}
const DATABASE = 'bench';
const ENGINES: readonly Engine[] = [
  {
    name: 'InfluxDB 1.6', there: hasInfluxdb,
    start: (root) => startInfluxdb(DATABASE, { root }),
    writes: ({ origin }) => `${origin}/write?db=${DATABASE}&precision=u`,
    settle: () => sleep(SETTLE_SECONDS * 1000),
    contender: (server) => influxql(server, DATABASE),
  },
  {
    name: 'VictoriaMetrics', there: hasVictoria,
    start: (root) => startVictoria(VICTORIA, { root }),
    writes: ({ origin }) => `${origin}/write?precision=u`,
    settle: async ({ origin }) => {
      await fetch(`${origin}/internal/force_flush`);
      await fetch(`${origin}/internal/force_merge`);
      await sleep(SETTLE_SECONDS * 1000);
    },
    contender: metricsql,
  },
];

interface Timed {
  readonly contender: Contender;
  readonly times: number[];
  processor: number;
  answer: Answer;
}

/** Of every number that either has, relative; Infinity where one lacks what the other has. */
export function largestDifference(ours: Answer, theirs: Answer): number {
  const differences = [...new Set([...ours.keys(), ...theirs.keys()])].map((key) => {
    const [a, b] = [ours.get(key) ?? Number.NaN, theirs.get(key) ?? Number.NaN];
    return Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b), Number.MIN_VALUE);
  });
  return differences.reduce((most, each) => (each <= most ? most : Number.isNaN(each) ? Infinity : each), differences.length === 0 ? Infinity : 0);
}

async function ask(timed: Timed, range: Range): Promise<void> {
  const before = await processorOf(timed.contender.pid);
  const begun = performance.now();
  timed.answer = await timed.contender.answer(range);
  timed.times.push(performance.now() - begun);
  timed.processor += (await processorOf(timed.contender.pid)) - before;
}

async function rounds(contenders: readonly Contender[], { range, runs, seconds }: Contest): Promise<Timed[]> {
  const all: Timed[] = [];
  // The first answer opens files.
  for (const contender of contenders) all.push({ contender, times: [], processor: 0, answer: await contender.answer(range) });
  const begun = performance.now();
  for (let round = 0; round < runs && (round < LEAST_ROUNDS || performance.now() - begun < seconds * 1000); round += 1) {
    for (let turn = 0; turn < all.length; turn += 1) {
      const next = all[(turn + round) % all.length];
      if (next) await ask(next, range);
    }
  }
  return all;
}

export interface Goal {
  readonly text: string;
  readonly reached: boolean;
}

export const quantile = (times: readonly number[], share: number): number => {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
};
const ms = (length: number): string => length.toFixed(0);

/** @param timed our sums, our report, then the others */
function compared([ours, whole, ...others]: readonly Timed[], title: string): Goal[] {
  if (!ours || !whole || others.length === 0) return [];
  const [own, ofReport] = [ours, whole].map(({ times }) => quantile(times, 0.5));
  if (own === undefined || ofReport === undefined) return [];
  console.log('\n| asked | p50 ms | p99 ms | processor ms | answers | p50 / ours, sums | p50 / ours, report | largest difference |\n|---|---:|---:|---:|---:|---:|---:|---:|');
  for (const { contender: { name, asks }, times, processor, answer } of [ours, whole, ...others]) {
    const p50 = quantile(times, 0.5);
    console.log(`| ${name}, ${asks} | ${ms(p50)} | ${ms(quantile(times, 0.99))} | ${ms((1000 * processor) / times.length)} | ${times.length} | ${(p50 / own).toFixed(1)} | ${(p50 / ofReport).toFixed(1)} | ${answer === ours.answer ? '' : largestDifference(ours.answer, answer).toExponential(1)} |`);
  }
  const slowest = others.reduce((slow, each) => (quantile(each.times, 0.5) > quantile(slow.times, 0.5) ? each : slow));
  const slow = quantile(slowest.times, 0.5);
  return [
    ...[whole, ...others].map(({ contender: { name }, answer }) => ({ text: `${title}: ${name}${answer === whole.answer ? "'s report" : ''} has the same ${ours.answer.size} numbers but for rounding`, reached: answer.size === ours.answer.size && largestDifference(ours.answer, answer) <= ROUNDING })),
    { text: `${title}: the whole report at least ${GOAL_RATIO} times as fast as these sums of ${slowest.contender.name}: ${(slow / ofReport).toFixed(1)} times (the same sums: ${(slow / own).toFixed(1)} times)`, reached: slow / ofReport >= GOAL_RATIO },
  ];
}

/** Starts it and gives it the points. */
async function filled(engine: Engine, { path, level }: Contest, root: string): Promise<TestServer> {
  const server = await engine.start(root);
  try {
    const begun = performance.now();
    const before = await processorOf(server.pid);
    const points = await load(engine.writes(server), pointsOf(path, level === null ? undefined : levelNamed(level), LABELS));
    const [passed, processor] = [(performance.now() - begun) / 1000, (await processorOf(server.pid)) - before];
    await engine.settle(server);
    const bytes = await bytesIn(server.folder);
    console.log(`  ${engine.name}: ${points.toLocaleString('en-US')} points loaded in ${passed.toFixed(1)} s (${processor.toFixed(1)} s of its processor); ${(bytes / 2 ** 20).toFixed(0)} MiB on disk ${SETTLE_SECONDS} s later, ${(bytes / points).toFixed(1)} bytes each`);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** @param root a folder on a disk. @returns no goals where no other store is installed */
export async function contest(asked: Contest, root: string): Promise<Goal[]> {
  console.log(`\n${asked.title}; hours repeat, so that all take less space than a fleet's would`);
  const running: { readonly engine: Engine; readonly server: TestServer }[] = [];
  const collector = collectorAt(PROGRAM, asked.path);
  // A store has one owner: the collector has the file, we have a copy.
  const copy = `${asked.path}.copy`;
  await copyFile(asked.path, copy);
  const store = await openDuckdb(copy);
  try {
    for (const engine of ENGINES) {
      if (engine.there) running.push({ engine, server: await filled(engine, asked, root) });
      else console.log(`  ${engine.name}: not installed`);
    }
    console.log(`  Joulebook: ${((await stat(asked.path)).size / 2 ** 20).toFixed(0)} MiB on disk, with sums by minute, hour and day`);
    if (running.length === 0) return [];
    await collector.start();
    const others = running.map(({ engine, server }) => engine.contender(server));
    return compared(await rounds([sumsAlone(store), joulebook(collector.address, collector.pid), ...others], asked), asked.title);
  } finally {
    await store.close();
    await rm(copy);
    await collector.kill();
    for (const { server } of running) await server.stop();
  }
}
