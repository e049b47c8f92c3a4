/**
 * For tests and benches: a deployment of 8 GPUs that serves day and week, in points of 10 minutes, and what may go wrong with it.
 *
 *     load     people's day and week, bursts that last (AR(1)), noise with heavy tails
 *     power    idle + joules per token × load, bent at high load (batches get larger); joules per token follow the mix of prompts by
 *              hour and weekend, drift by 4 % over the month and wander (AR(1)); the sensor adds noise
 *
 * The law is not that of `anomaly.ts`, which knows bands of load and medians.
 */
import { epochMicros } from '@joulebook/shared/units.js';
import { judge, learntAt, modelAt, STEP_MICROS, type Model, type Point } from './anomaly.js';

const STEPS_A_DAY = 86_400e6 / STEP_MICROS;
/** A Monday. */
const BEGIN = Date.UTC(2026, 9, 5) * 1000;
const IDLE_WATTS = 8 * 95;
const BUSIEST_TOKENS_PER_SECOND = 9000;

/** mulberry32: a small generator with a seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** +15 % joules for every token; clocks that stay low: work takes longer, so that static watts are paid for longer and no more than half of the load is served; twice the joules. */
export const KINDS = ['fifteen', 'clock', 'double'] as const;
export type Kind = (typeof KINDS)[number];
export interface Seeded {
  readonly kind: Kind;
  /** Steps since the beginning. */
  readonly from: number;
  readonly to: number;
}
const LENGTHS: Readonly<Record<Kind, number>> = { fifteen: 12, clock: 18, double: 6 };
export const seeded = (kind: Kind, day: number, hour: number): Seeded => ({ kind, from: day * STEPS_A_DAY + hour * 6, to: day * STEPS_A_DAY + hour * 6 + LENGTHS[kind] });

/** @param rough 2: twice the noise, in sensors, load and what prompts take */
export function simulatedMonth(seed: number, days: number, anomalies: readonly Seeded[] = [], rough = 1): Point[] {
  const random = generator(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const phase = random() * 2;
  const drift = random() < 0.5 ? -0.04 : 0.04;
  let [burst, wander] = [0, 0];
  return Array.from({ length: days * STEPS_A_DAY }, (_, step): Point => {
    const day = Math.floor(step / STEPS_A_DAY);
    const hour = (step % STEPS_A_DAY) / 6;
    const weekend = day % 7 >= 5;
    burst = 0.95 * burst + 0.05 * rough * normal();
    wander = 0.98 * wander + 0.003 * rough * normal();
    const people = 0.12 + (weekend ? 0.3 : 0.75) * Math.max(0, Math.sin((Math.PI * (hour - 6 + phase)) / 14)) ** 1.3 * (hour > 6 - phase && hour < 20 - phase ? 1 : 0);
    const heavy = random() < 0.02 ? 3 : 1;
    const wanted = BUSIEST_TOKENS_PER_SECOND * people * Math.exp(burst + 0.04 * heavy * normal());
    const fault = anomalies.find(({ from, to }) => step >= from && step < to)?.kind;
    const load = fault === 'clock' ? Math.min(wanted, 0.5 * BUSIEST_TOKENS_PER_SECOND) : wanted;
    const mix = 0.03 * Math.sin((2 * Math.PI * (hour + 3)) / 24) + (weekend ? -0.03 : 0);
    const perToken = 0.55 * Math.exp(mix + wander + (drift * day) / days) * (1 - 0.25 * (load / BUSIEST_TOKENS_PER_SECOND));
    const clockCost = fault === 'clock' ? 0.3 : 0;
    const watts = (IDLE_WATTS + perToken * (1 + clockCost) * load) * (fault === 'fifteen' ? 1.15 : fault === 'double' ? 2 : 1) * Math.exp(0.012 * rough * heavy * normal());
    return { at: epochMicros(BEGIN + step * STEP_MICROS), joules: watts * 600, tokens: Math.round(load * 600), load };
  });
}

export interface Episode {
  readonly from: number;
  readonly to: number;
}
/** Steps at which an alarm stands, as spans; those that are apart by less than `keep` steps are one. @param judged whether there is an alarm at each step */
export function episodesOf(judged: readonly boolean[], keep: number): Episode[] {
  const episodes: { from: number; to: number }[] = [];
  judged.forEach((alarm, step) => {
    const last = episodes.at(-1);
    if (!alarm) return;
    if (last && step - last.to < keep) last.to = step + 1;
    else episodes.push({ from: step, to: step + 1 });
  });
  return episodes;
}

/** As a collector judges them: after each point, by the model of that day. */
export function alarmsOf(points: readonly Point[]): { readonly alarms: boolean[]; readonly judged: number } {
  let model: Model | null = null;
  let learnt: number | undefined;
  let judged = 0;
  const alarms = points.map(({ at }, step) => {
    const end = at + STEP_MICROS;
    if (learntAt(end) !== learnt) {
      learnt = learntAt(end);
      model = modelAt(points, end);
    }
    const found = model && judge(model, points.slice(Math.max(0, step - 180), step + 1));
    judged += found ? 1 : 0;
    return found?.isAnomaly ?? false;
  });
  return { alarms, judged };
}

/** Minutes from its beginning to its alarm; Infinity where none came before it was over. */
export function foundAfter(alarms: readonly boolean[], { from, to }: Seeded): number {
  const first = alarms.findIndex((alarm, step) => alarm && step >= from && step < to);
  return first < 0 ? Infinity : ((first - from + 1) * STEP_MICROS) / 60e6;
}
