/**
 * Simulated comparisons whose truth is known (compare-world.ts): how often a difference is found where there is none, at one look and
 * when one looks after every hour; how often the interval holds the truth; how often a true difference is found, against what was
 * predicted; and what is made of a B that ran at night with half the load.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { normalTail } from '@joulebook/collector/compare/method/student.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { openThread, type Thread, type ThreadErrors } from '@joulebook/shared/thread.js';
import { CONFOUNDED, EXPERIMENTS } from './compare-designs.js';
import { speed, type Goal } from './compare-speed.js';
import { BLOCK, EFFECTS, LESS, type Looked, type Trial, type Unraveled } from './compare-trials.js';
import type { Simulation } from './compare-worker.js';
import type { World } from './compare-world.js';

const PARTS = ['method', 'speed'];
const LEVEL = 0.05;
const COVERAGE = [0.93, 0.97] as const;
/** Deviations that 8 of 10 normal errors stay below. */
const Z80 = 0.8416;

const share = (all: readonly boolean[]): number => all.filter(Boolean).length / all.length;
const percent = (value: number, digits = 1): string => `${(100 * value).toFixed(digits)} %`;
const median = (values: readonly number[]): number => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN;
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** @returns whether every goal was reached */
export async function compare(options: readonly string[]): Promise<boolean> {
  const asking = asked(options);
  const { only } = asking;
  const checks: Goal[] = [...(only === 'speed' ? [] : await method(asking)), ...(only === 'method' ? [] : await speed())];
  console.log('');
  for (const { text, reached } of checks) console.log(`${reached ? 'reached' : 'MISSED '}  ${text}`);
  return checks.every(({ reached }) => reached);
}

async function method({ seeds, days, memory }: Asking): Promise<Goal[]> {
  const world: World = { days, memory, shared: 0.015, own: 0.01, between: 0.02 };
  const most = LEVEL + 2 * Math.sqrt((LEVEL * (1 - LEVEL)) / seeds);
  const checks: Goal[] = [];
  const threads = Array.from({ length: availableParallelism() }, () => openThread<Simulation>(new URL('compare-worker.js', import.meta.url), ENDED));
  console.log(`${seeds} seeds, ${days} days; efficiency drifts by ${percent(world.shared)} common to all nodes and ${percent(world.own)} of each, forgotten in ${memory} h; nodes differ by ${percent(world.between)}; blocks of ${BLOCK} min\n`);
  console.log(row(['', '', 'false verdicts', 'every hour,', '(one look’s', 'coverage', 'MDE', 'power at', ...EFFECTS.map((effect) => percent(effect, 0))]));
  console.log(row(['design', 'refused', 'at one look', 'always valid', 'interval)', 'of 95 %', 'predicted', 'the MDE', ...EFFECTS.map(() => '(predicted)')]));
  for (const { name } of EXPERIMENTS) checks.push(...tried(name, await simulated<Trial>(threads, name, world, seeds), most));
  console.log(`\nB needs ${percent(LESS, 0)} less, at night, with half the load\n`);
  console.log(row(['', 'unadjusted', 'verdicts of', 'refused', 'answered:', 'coverage', 'wrong']));
  console.log(row(['', 'effect', 'it for A', '', 'effect', 'of 95 %', 'verdicts']));
  for (const { name } of CONFOUNDED) checks.push(told(name, await simulated<Unraveled>(threads, name, world, seeds), most));
  for (const { worker } of threads) await worker.terminate();
  console.log('');
  return checks;
}

const ENDED: ThreadErrors = { revive: ({ message }) => new Error(message), failed: (cause) => cause, ended: () => new Error('a thread of the simulation ended') };

/** How often it is told how far it is. */
const TOLD = 10;

/** Asks of every seed, on every processor. */
async function simulated<T>(threads: readonly Thread<Simulation>[], name: string, world: World, seeds: number): Promise<T[]> {
  const answers: T[] = [];
  let begun = 0;
  await Promise.all(threads.map(async ({ call }) => {
    while (begun < seeds) {
      const seed = (begun += 1);
      answers.push(await call<T>({ name, world, seed }));
      if (answers.length % Math.ceil(seeds / TOLD) === 0) console.error(`  ${name}: ${answers.length} of ${seeds} seeds`);
    }
  }));
  return answers;
}

const WIDTHS = [27, 10, 14, 12, 11, 9, 9, 8];
const row = (cells: readonly string[]): string => cells.map((cell, index) => (index === 0 ? cell.padEnd(WIDTHS[0] ?? 0) : cell.padStart(WIDTHS[index] ?? 15))).join('  ');

function tried(name: string, every: readonly Trial[], most: number): Goal[] {
  const looks = every.flatMap(({ look }) => look ?? []);
  const found = share(looks.map((look) => look.found));
  const watched = share(every.map(({ watch }) => watch.found));
  const coverage = share(looks.map((look) => look.covered));
  console.log(row([
    name, percent(1 - looks.length / every.length), percent(found), percent(watched), percent(share(every.map(({ watch }) => watch.foundByFixed))), percent(coverage),
    percent(median(looks.map(({ minimumDetectableEffect }) => minimumDetectableEffect)), 2), percent(share(every.map(({ shownAtPredicted }) => shownAtPredicted)), 0),
    ...EFFECTS.map((effect, index) => `${percent(share(every.map(({ shown }) => shown[index] ?? false)), 0)} (${percent(powerOf(looks, effect), 0)})`),
  ]));
  return [
    { text: `${name}: false verdicts at one look ${percent(found)} (goal: at most ${percent(most)})`, reached: found <= most },
    { text: `${name}: false verdicts when looked at every hour ${percent(watched)} (goal: at most ${percent(most)})`, reached: watched <= most },
    { text: `${name}: coverage ${percent(coverage)} (goal: ${percent(COVERAGE[0], 0)} to ${percent(COVERAGE[1], 0)}), of ${looks.length} answers to ${every.length} questions`, reached: coverage >= COVERAGE[0] && coverage <= COVERAGE[1] },
  ];
}

/** From the stated errors: MDE = (t + 0.84) · SE, and an effect is seen as often as a normal error leaves it beyond t · SE. */
function powerOf(looks: readonly Looked[], effect: number): number {
  return mean(looks.map(({ standardError, minimumDetectableEffect }) => {
    const beyond = (-Math.log1p(-effect) - Math.log1p(minimumDetectableEffect)) / standardError + Z80;
    return beyond < 0 ? normalTail(-beyond) / 2 : 1 - normalTail(beyond) / 2;
  }));
}

function told(name: string, every: readonly Unraveled[], most: number): Goal {
  const answered = every.filter(({ refused }) => !refused);
  const off = answered.filter(({ covered }) => !covered).length / every.length;
  console.log(row([
    name, percent(median(every.map(({ unadjusted }) => unadjusted))), percent(share(every.map(({ wrongUnadjusted }) => wrongUnadjusted))), percent(1 - answered.length / every.length),
    ...(answered.length === 0 ? ['–', '–'] : [percent(mean(answered.flatMap(({ effect }) => effect ?? []))), percent(share(answered.map(({ covered }) => covered)))]), percent(share(every.map(({ wrong }) => wrong))),
  ]));
  return { text: `${name}: refused or right; an interval without the truth in ${percent(off)} (goal: at most ${percent(most)})`, reached: off <= most };
}

interface Asking {
  readonly seeds: number;
  readonly days: number;
  /** h */
  readonly memory: number;
  readonly only: string | undefined;
}

function asked(options: readonly string[]): Asking {
  const { values } = parseArgs({ args: [...options], options: { seeds: { type: 'string', default: '400' }, days: { type: 'string', default: '14' }, memory: { type: 'string', default: '3' }, only: { type: 'string' } } });
  const [seeds, days, memory] = [Number(values.seeds), Number(values.days), Number(values.memory)];
  const faults = [
    ...(Number.isInteger(seeds) && seeds >= 10 ? [] : ['--seeds must be a whole number from 10 on']),
    ...(Number.isInteger(days) && days >= 4 && days % 2 === 0 ? [] : ['--days must be an even number from 4 on: half of them are A before the change']),
    ...(memory > 0 ? [] : ['--memory must be hours above 0']),
    ...(values.only === undefined || PARTS.includes(values.only) ? [] : [`--only must be one of ${PARTS.join(', ')}`]),
  ];
  if (faults.length > 0) throw new UsageError(faults);
  return { seeds, days, memory, only: values.only };
}
