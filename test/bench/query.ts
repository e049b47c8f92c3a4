/**
 * How long a report over a month of a fleet takes: 1,000 GPUs, a slice each 10 s, by model and phase. One hour of facts is
 * appended and summed as a collector does it; its sums by hour are then repeated over the days (and by minute where the
 * range's edges fall), and summed by day again as a collector does it.
 *
 * The same question is then asked of InfluxDB and VictoriaMetrics, first over the points by day that the report reads, then
 * over raw points. All raw points of the month would be 0.8 billion: there it is some hours, for all three.
 */
import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildReport } from '@joulebook/collector/report/build.js';
import { parseRequest } from '@joulebook/collector/report/request.js';
import { openDuckdb } from '@joulebook/collector/store/duckdb.js';
import { repeatFacts, repeatHour } from '@joulebook/collector/store/many-days.testing.js';
import type { EmbeddedStore } from '@joulebook/collector/store/upkeep.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { contest, quantile, type Goal } from './query-contest.js';
import { appendHour, BEGIN, DAY, GPUS_PER_NODE, HOUR } from './query-fleet.js';

/** Of each contest. */
const CONTEST_SECONDS = 120;
const GOAL_SECONDS = 1;

interface Fleet {
  readonly gpus: number;
  readonly days: number;
  /** Of facts, where raw points are compared. */
  readonly hours: number;
  readonly runs: number;
}

function asked(options: readonly string[]): Fleet {
  try {
    const { values } = parseArgs({ args: [...options], options: { gpus: { type: 'string', default: '1000' }, days: { type: 'string', default: '30' }, hours: { type: 'string', default: '6' }, runs: { type: 'string', default: '100' } } });
    const [gpus, days, hours, runs] = [Number(values.gpus), Number(values.days), Number(values.hours), Number(values.runs)];
    if (gpus % GPUS_PER_NODE === 0 && gpus > 0 && Number.isInteger(days) && days >= 2 && Number.isInteger(hours) && hours >= 1 && Number.isInteger(runs) && runs > 0) return { gpus, days, hours, runs };
  } catch {
    // Told below, together with numbers that are none.
  }
  throw new UsageError([`npm run bench -- query [--gpus N] [--days N] [--hours N] [--runs N], with a multiple of ${GPUS_PER_NODE} GPUs and at least 2 days`]);
}

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
    const goals = await measured(folder, fleet);
    console.log(`\n${goals.map(({ text, reached }) => `${reached ? 'reached' : 'MISSED '}  ${text}`).join('\n')}\nload ${loadavg().map((each) => each.toFixed(1)).join(' ')}`);
    return goals.every(({ reached }) => reached);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Rows = readonly (readonly [string, Timed])[];

function print(rows: Rows): void {
  console.log('\n| report | p50 ms | p99 ms | processor ms | read |\n|---|---:|---:|---:|---|');
  for (const [name, { p50, p99, processor, read }] of rows) console.log(`| ${name} | ${ms(p50)} | ${ms(p99)} | ${ms(processor)} | ${read} |`);
}

async function measured(folder: string, fleet: Fleet): Promise<Goal[]> {
  const [hour, month, raw] = ['hour', 'month', 'raw'].map((name) => join(folder, `${name}.duckdb`));
  if (!hour || !month || !raw) throw new Error('three files');
  const { gpus, days, hours, runs } = fleet;
  const first = await openDuckdb(hour);
  const facts = await timing('an hour of facts appended', () => appendHour(first, gpus / GPUS_PER_NODE));
  await first.close();
  console.log(`  ${facts.toLocaleString('en-US')} facts`);
  await Promise.all([copyFile(hour, month), copyFile(hour, raw)]);
  const ofMonth = await monthly(month, fleet);
  const energy = `${(gpus * 3).toLocaleString('en-US')} series of energy`;
  const byDay = await contest({ title: `${days} days, points by day, as Joulebook reads them (${energy})`, path: month, level: 'day', range: { from: BEGIN, to: BEGIN + days * DAY }, runs, seconds: CONTEST_SECONDS }, folder);
  await rm(month);
  const left = await rawHours(raw, hours);
  const byFact = await contest({ title: `${hours} hours of the ${days * 24}, raw points each 10 s (${energy})`, path: raw, level: null, range: { from: BEGIN, to: BEGIN + hours * HOUR }, runs, seconds: CONTEST_SECONDS }, folder);
  return [...ofMonth, { text: 'nothing of the raw points was left unsummed', reached: left === 0 }, ...byDay, ...byFact];
}

/** @param path a store of one hour's facts, which becomes one of many days */
async function monthly(path: string, { days, runs }: Fleet): Promise<Goal[]> {
  const first = await openDuckdb(path);
  const oneHour = { from: String(BEGIN), to: String(BEGIN + HOUR), by: 'model,phase' };
  const ofFacts = await timed(first, oneHour, Math.min(runs, 10));
  const summed = await timing('summed by minute and hour', () => first.rollUp(3600));
  const ofSums = await timed(first, oneHour, Math.min(runs, 10));
  await first.close();
  const edge = 10;
  await timing(`the hour's sums repeated`, () => repeatHour(path, BEGIN * 1e6, days * 24, [edge, (days - 1) * 24 + edge]));
  const store = await openDuckdb(path);
  try {
    const again = await timing('summed by day', () => store.rollUp(3600));
    const whole = { from: String(BEGIN), to: String(BEGIN + days * DAY) };
    const ragged = { from: String(BEGIN + edge * HOUR + 17 * 60), to: String(BEGIN + (days - 1) * DAY + edge * HOUR + 17 * 60) };
    const month = await timed(store, { ...whole, by: 'model,phase' }, runs);
    const rows: Rows = [
      ['1 h, facts', ofFacts], ['1 h, sums', ofSums], [`${days} d by model, phase`, month], [`${days - 1} d, edges at :17, by model, phase`, await timed(store, { ...ragged, by: 'model,phase' }, runs)],
      [`${days} d, whole`, await timed(store, whole, Math.min(runs, 20))], [`${days} d by deployment`, await timed(store, { ...whole, by: 'deployment' }, Math.min(runs, 20))], [`${days} d by model, step 1h`, await timed(store, { ...whole, by: 'model', step: '1h' }, Math.min(runs, 5))],
    ];
    console.log(`file: ${((await stat(path)).size / 2 ** 20).toFixed(0)} MiB`);
    print(rows);
    return [
      ...rows.slice(2, 4).map(([name, { p50, p99 }]) => ({ text: `${name} within ${GOAL_SECONDS} s: p50 ${ms(p50)} ms, p99 ${ms(p99)} ms`, reached: p99 <= GOAL_SECONDS * 1000 })),
      { text: 'an hour has the same joules and tokens from facts and from sums', reached: ofFacts.joules === ofSums.joules && ofFacts.output === ofSums.output && ofFacts.joules !== null },
      { text: `${days} days have ${days * 24} times the tokens and joules of the hour`, reached: month.output === (ofFacts.output ?? 0) * days * 24 && Math.abs((month.joules ?? 0) / ((ofFacts.joules ?? 1) * days * 24) - 1) < 1e-12 },
      { text: 'nothing of the month was left unsummed', reached: summed.left + again.left === 0 && summed.faults.length + again.faults.length === 0 },
    ];
  } finally {
    await store.close();
  }
}

/** @param path a store of one hour's facts, which becomes one of several. @returns how many cells could not be summed */
async function rawHours(path: string, hours: number): Promise<number> {
  console.log('');
  await timing(`the hour's facts repeated ${hours} times`, () => repeatFacts(path, BEGIN * 1e6, hours));
  const store = await openDuckdb(path);
  try {
    const said = { from: String(BEGIN), to: String(BEGIN + hours * HOUR), by: 'model,phase' };
    const ofFacts = await timed(store, said, 3);
    const { left, faults } = await timing('summed by minute and hour', () => store.rollUp(3600));
    print([[`${hours} h, facts`, ofFacts]]);
    return left + faults.length;
  } finally {
    await store.close();
  }
}
