/**
 * How far prefill and decode joules are from the truth. Each scenario is simulated into real log dialects and sensor files,
 * replayed through the pipeline, and held against the joules that were truly drawn in each phase, the sensors' gain errors
 * included. Beside it what a plain division gives: by the time in which requests were in prefill and in decode, and by tokens.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readManifest } from '@joulebook/agent/recording/manifest.js';
import { replay } from '@joulebook/agent/recording/replay.js';
import { planOf, simulationSchema } from '@joulebook/agent/simulate/recording.js';
import { write } from '@joulebook/agent/simulate/write.js';
import type { Truth } from '@joulebook/agent/simulate/trace.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { scenarios, type BenchScenario, type Grade } from './attribution-scenarios.js';

/** Of the scenarios for tuning and of those for the table. */
const SEEDS = { tuning: 11, table: 20_261 } as const;
/** Median and 95th percentile of |error|, for counters and instantaneous power. */
const GOALS: Readonly<Record<Grade, { readonly median: number; readonly p95?: number }>> = {
  iterations: { median: 0.03, p95: 0.1 },
  requests: { median: 0.08 },
  windows: { median: 0.12 },
};
/** On a sensor that averages over a second. */
const AVERAGE_FACTOR = 1.5;
const INTERVALS = { contains: 0.9, widthOfMedianError: 3 };

type Phase = 'prefill' | 'decode';
const PHASES = ['prefill', 'decode'] as const;

interface Outcome {
  readonly scenario: BenchScenario;
  /** Relative, signed. */
  readonly error: Readonly<Record<Phase, number>>;
  /** Half of the stated interval, relative to the truth. */
  readonly halfWidth: Readonly<Record<Phase, number>>;
  readonly contains: Readonly<Record<Phase, boolean>>;
  /** Errors of the plain divisions. */
  readonly byTime: Readonly<Record<Phase, number>>;
  readonly byTokens: Readonly<Record<Phase, number>>;
  /** Of all that was measured, in neither phase nor idle. */
  readonly undivided: number;
  readonly seconds: number;
}

/** @returns whether every goal was reached */
export async function attribution(options: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({ args: [...options], options: { tuning: { type: 'boolean', default: false }, rounds: { type: 'string', default: '2' }, duration: { type: 'string', default: '10m' }, only: { type: 'string' } } });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new UsageError(['--rounds is a whole number of at least 1']);
  const wanted = scenarios(values.tuning ? SEEDS.tuning : SEEDS.table, rounds, values.duration).filter(({ name }) => values.only === undefined || name.includes(values.only));
  if (wanted.length === 0) throw new UsageError([`no scenario has '${values.only}' in its name`]);
  console.log(`${wanted.length} scenarios of ${values.duration}, ${values.tuning ? 'for tuning' : 'for the table'}; errors against the joules truly drawn, in %\n`);
  console.log(`${'evidence · sensor · hardware · load'.padEnd(74)}prefill  ±stated   decode  ±stated   by time p/d     by tokens p/d   undivided`);
  const outcomes: Outcome[] = [];
  for (const scenario of wanted) {
    const outcome = await judge(scenario);
    outcomes.push(outcome);
    console.log(lineOf(outcome));
  }
  return summarise(outcomes);
}

async function judge(scenario: BenchScenario): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-attribution-'));
  const began = performance.now();
  try {
    const plan = planOf(simulationSchema.parse(scenario.options), scenario.name);
    const { truth } = await write(plan, folder, () => undefined);
    const booked = await bookedIn(folder);
    return outcomeOf(scenario, truth, booked, (performance.now() - began) / 1000);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Booked {
  readonly joules: Readonly<Record<string, number>>;
  readonly low: Readonly<Record<string, number>>;
  readonly high: Readonly<Record<string, number>>;
  readonly total: number;
}

async function bookedIn(folder: string): Promise<Booked> {
  const joules: Record<string, number> = {};
  const sums: Record<string, { low: number; high: number; division: number; variance: number }> = {};
  let total = 0n;
  for await (const { slices } of replay(await readManifest(folder), {}, () => undefined)) {
    for (const slice of slices) {
      if (slice.kind !== 'energy') continue;
      joules[slice.phase] = (joules[slice.phase] ?? 0) + slice.microjoules / 1e6;
      total += BigInt(slice.microjoules);
      const sum = (sums[slice.phase] ??= { low: 0, high: 0, division: 0, variance: 0 });
      sum.low += (slice.lowMicrojoules ?? slice.microjoules) / 1e6;
      sum.high += (slice.highMicrojoules ?? slice.microjoules) / 1e6;
      sum.division += (slice.divisionMicrojoules ?? 0) / 1e6;
      sum.variance += slice.samplingVariance ?? 0;
    }
  }
  const phases = Object.values(joules).reduce((sum, each) => sum + each, 0);
  if (Math.abs(phases - Number(total) / 1e6) > 1e-6 * phases) throw new Error('the phases do not add up to what was measured');
  const ends = (sign: 1 | -1) => Object.fromEntries(Object.entries(sums).map(([phase, { low, high, division, variance }]) => {
    const energy = joules[phase] ?? 0;
    const sensor = sign > 0 ? high - energy : energy - low;
    return [phase, energy + sign * Math.hypot(sensor, division, 1.96 * Math.sqrt(variance))];
  }));
  return { joules, low: ends(-1), high: ends(1), total: phases };
}

const of = <T>(figure: (phase: Phase) => T): Record<Phase, T> => ({ prefill: figure('prefill'), decode: figure('decode') });

function outcomeOf(scenario: BenchScenario, truth: Truth, booked: Booked, seconds: number): Outcome {
  const serving = truth.total.prefill + truth.total.decode;
  const tokens = { prefill: truth.tokens.input, decode: truth.tokens.output };
  return {
    scenario,
    error: of((phase) => (booked.joules[phase] ?? 0) / truth.total[phase] - 1),
    halfWidth: of((phase) => ((booked.high[phase] ?? 0) - (booked.low[phase] ?? 0)) / 2 / truth.total[phase]),
    contains: of((phase) => (booked.low[phase] ?? 0) <= truth.total[phase] && truth.total[phase] <= (booked.high[phase] ?? 0)),
    byTime: of((phase) => (serving * truth.requestSeconds[phase]) / (truth.requestSeconds.prefill + truth.requestSeconds.decode) / truth.total[phase] - 1),
    byTokens: of((phase) => (serving * tokens[phase]) / (tokens.prefill + tokens.decode) / truth.total[phase] - 1),
    undivided: ((booked.joules['active'] ?? 0) + (booked.joules['unknown'] ?? 0)) / booked.total,
    seconds,
  };
}

const percent = (value: number, width: number): string => (100 * value).toFixed(1).padStart(width);
const lineOf = ({ scenario, error, halfWidth, contains, byTime, byTokens, undivided, seconds }: Outcome): string =>
  `${scenario.name.padEnd(72)}${PHASES.map((phase) => `${percent(error[phase], 9)}${percent(halfWidth[phase], 8)}${contains[phase] ? ' ' : '!'}`).join('')}  ${PHASES.map((phase) => percent(byTime[phase], 7)).join('')}  ${PHASES.map((phase) => percent(byTokens[phase], 7)).join('')} ${percent(undivided, 8)}   ${seconds.toFixed(0)} s`;

const quantile = (values: readonly number[], share: number): number => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))] ?? Number.NaN;

function summarise(outcomes: readonly Outcome[]): boolean {
  let passed = true;
  const told = (text: string, good: boolean): string => {
    passed &&= good;
    return `${text}${good ? '' : '  MISSED'}`;
  };
  console.log('\n|error| in %                              median      p95   goal        stated interval contains   half-width ÷ median error   by time   by tokens');
  for (const grade of ['iterations', 'requests', 'windows'] as const) {
    for (const blurred of [false, true]) {
      const mine = outcomes.filter(({ scenario }) => scenario.grade === grade && (scenario.sensor === 'average') === blurred);
      if (mine.length === 0) continue;
      const factor = blurred ? AVERAGE_FACTOR : 1;
      const goal = GOALS[grade];
      for (const phase of PHASES) {
        const errors = mine.map(({ error }) => Math.abs(error[phase]));
        const [median, p95] = [quantile(errors, 0.5), quantile(errors, 0.95)];
        const contains = mine.filter((each) => each.contains[phase]).length / mine.length;
        const width = quantile(mine.map(({ halfWidth }) => halfWidth[phase]), 0.5) / median;
        const naive = [mine.map(({ byTime }) => Math.abs(byTime[phase])), mine.map(({ byTokens }) => Math.abs(byTokens[phase]))].map((each) => percent(quantile(each, 0.5), 9));
        const good = median <= goal.median * factor && (goal.p95 === undefined || p95 <= goal.p95 * factor);
        console.log(told(`${`${grade}, ${blurred ? '1 s average' : 'counter, instant'}, ${phase}`.padEnd(40)}${percent(median, 8)}${percent(p95, 9)}   ≤ ${(goal.median * factor * 100).toFixed(1)}${goal.p95 === undefined ? '     ' : `/${(goal.p95 * factor * 100).toFixed(0)}`}   ${percent(contains, 18)} %   ${width.toFixed(2).padStart(20)}          ${naive.join('')}`, good));
      }
    }
  }
  const all = outcomes.flatMap(({ contains }) => PHASES.map((phase) => contains[phase]));
  const errors = outcomes.flatMap(({ error }) => PHASES.map((phase) => Math.abs(error[phase])));
  const widths = outcomes.flatMap(({ halfWidth }) => PHASES.map((phase) => halfWidth[phase]));
  const within = all.filter(Boolean).length / all.length;
  const ratio = quantile(widths, 0.5) / quantile(errors, 0.5);
  console.log(told(`\nstated 95 % intervals contain the truth in ${percent(within, 0)} % of ${all.length} (goal ≥ ${INTERVALS.contains * 100} %)`, within >= INTERVALS.contains));
  console.log(told(`their median half-width is ${ratio.toFixed(2)} × the median error (goal ≤ ${INTERVALS.widthOfMedianError})`, ratio <= INTERVALS.widthOfMedianError));
  console.log('totals: prefill + decode + active + idle + unknown = measured, to the µJ, in every scenario');
  return passed;
}
