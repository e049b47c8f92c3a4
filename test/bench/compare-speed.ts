/**
 * How long a comparison of a month takes: 64 GPUs told by the minute, the sides parted by time and by a label. As in the bench
 * `query`, an hour of facts is appended and summed as a collector does it, and its sums are then repeated over the days.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { compare } from '@joulebook/collector/compare/compare.js';
import { parseCompare } from '@joulebook/collector/compare/question.js';
import type { Said } from '@joulebook/collector/report/request.js';
import { openDuckdb } from '@joulebook/collector/store/duckdb.js';
import { repeatHour } from '@joulebook/collector/store/many-days.testing.js';
import type { Store } from '@joulebook/collector/store/store.js';
import { quantile } from './query-contest.js';
import { appendHour, BEGIN, DAY, GPUS_PER_NODE } from './query-fleet.js';

const GPUS = 64;
const DAYS = 30;
const HOURS = DAYS * 24;
const RUNS = 5;
const GOAL_SECONDS = 5;

const MIDDLE = String(BEGIN + (DAYS / 2) * DAY);
const MINUTES = { step: ['1m'] };
const LABELS = { a: ['quantization=fp16'], b: ['quantization=fp8'] };
const QUESTIONS: readonly (readonly [name: string, said: Said])[] = [
  ['before and after, by minute', { 'a-to': [MIDDLE], 'b-from': [MIDDLE], ...MINUTES }],
  ['before and after, by minute, decode alone', { 'a-to': [MIDDLE], 'b-from': [MIDDLE], metric: ['joulesPerOutputToken'], ...MINUTES }],
  ['by a label, by minute', { ...LABELS, ...MINUTES }],
  ['by a label, by minute, three measures', { ...LABELS, ...MINUTES, metric: ['joulesPerToken,watts,joulesPerRequest'] }],
];

interface Timed {
  readonly seconds: readonly number[];
  readonly processor: number;
  readonly blocks: string;
}

async function timed(store: Store, said: Said): Promise<Timed> {
  const seconds: number[] = [];
  let blocks = '';
  const before = process.cpuUsage();
  for (let run = 0; run < RUNS; run += 1) {
    const begun = performance.now();
    const { a, b, design } = await compare(store, parseCompare(said, {}, ''));
    seconds.push((performance.now() - begun) / 1000);
    blocks = `${a.blocks} + ${b.blocks}, ${design ?? 'none'}`;
  }
  const { user, system } = process.cpuUsage(before);
  return { seconds, processor: (user + system) / 1e6 / RUNS, blocks };
}

export interface Goal {
  readonly text: string;
  readonly reached: boolean;
}

export async function speed(): Promise<Goal[]> {
  console.log(`${DAYS} days of ${GPUS} GPUs by the minute; ${cpus().length} CPUs, load ${loadavg().map((each) => each.toFixed(1)).join(' ')}`);
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-compare-'));
  try {
    const path = join(folder, 'month.duckdb');
    const first = await openDuckdb(path);
    await appendHour(first, GPUS / GPUS_PER_NODE);
    await first.rollUp(3600);
    await first.close();
    await repeatHour(path, BEGIN * 1e6, HOURS, Array.from({ length: HOURS }, (_, hour) => hour));
    const store = await openDuckdb(path);
    try {
      await store.rollUp(3600);
      return await asked(store);
    } finally {
      await store.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function asked(store: Store): Promise<Goal[]> {
  const goals: Goal[] = [];
  console.log('\n| comparison | blocks | p50 s | longest s | processor s |\n|---|---|---:|---:|---:|');
  for (const [name, said] of QUESTIONS) {
    const { seconds, processor, blocks } = await timed(store, said);
    const [p50, longest] = [quantile(seconds, 0.5), Math.max(...seconds)];
    console.log(`| ${name} | ${blocks} | ${p50.toFixed(2)} | ${longest.toFixed(2)} | ${processor.toFixed(2)} |`);
    const measures = said['metric']?.[0]?.split(',').length ?? 1;
    goals.push({ text: `${name}: p50 ${p50.toFixed(2)} s (goal: below ${GOAL_SECONDS} s${measures > 1 ? ' for each measure' : ''})`, reached: p50 < GOAL_SECONDS * measures });
  }
  return goals;
}
