/**
 * A served model whose truth is known, minute by minute: what a comparison has to cope with.
 *
 *   load        day and week cycle · minutes-long swings · chance of each minute
 *   mix         lengths of prompts and answers, which shift over half a day; share of cached prompts
 *   temperature follows the hour and the load, half an hour late; 0.3 % more power per K above 60 °C
 *   drift       of the efficiency: AR(1) with hours of memory, one part common to all nodes and one of each
 *   nodes       of one kind differ by some percent for good
 *   noise       of the measurement, heavier where there is little to measure
 *   J = (idle power · time + prompt tokens · e₁ + output tokens · e₂) · leakage · drift · noise · (1 + effect, in B)
 */
import { COVARIATES, type Block } from '@joulebook/collector/compare/method/compare-blocks.js';
import { epochMicros } from '@joulebook/shared/units.js';
import { Random } from '@joulebook/agent/simulate/random.js';

export const MINUTES_PER_HOUR = 60;
export const MINUTES_PER_DAY = 1440;
/** A Monday. */
const START = Date.UTC(2026, 5, 1) * 1e3;
const MINUTE = 60e6;

export interface World {
  readonly days: number;
  /** h in which drift forgets itself to 1/e. */
  readonly memory: number;
  /** Standard deviations of the logarithm: common to all nodes, and of each node by itself. */
  readonly shared: number;
  readonly own: number;
  /** And by which nodes of one kind differ for good. */
  readonly between: number;
}

const IDLE_WATTS = 400;
const PROMPT_JOULES = 0.08;
const OUTPUT_JOULES = 0.5;
/** Output tokens/s at noon. */
const NOON = 900;
const LEAKAGE = 0.003;
const LEAKS_ABOVE = 60;

/** AR(1) of standard deviation 1, its memory in minutes. */
function* wandering(random: Random, memory: number): Generator<number, never> {
  const kept = Math.exp(-1 / memory);
  let value = random.normal();
  for (;;) {
    yield value;
    value = kept * value + Math.sqrt(1 - kept ** 2) * random.normal();
  }
}

const DAILY = (minute: number, peak: number): number => Math.cos((2 * Math.PI * (minute / MINUTES_PER_HOUR - peak)) / 24);
const isWeekend = (minute: number): boolean => Math.floor(minute / MINUTES_PER_DAY) % 7 >= 5;

/** One node's minutes without any change. Nodes of one seed share the common drift and the traffic's shape. */
export function minutesOf({ days, memory, shared, own, between }: World, seed: number, node: string): Block[] {
  const common = new Random(seed, 'common');
  const local = new Random(seed, node);
  const [drift, ownDrift] = [wandering(new Random(seed, 'drift'), memory * MINUTES_PER_HOUR), wandering(new Random(seed, `drift of ${node}`), memory * MINUTES_PER_HOUR)];
  const [swings, prompts, answers] = [wandering(new Random(seed, 'swings'), 20), wandering(new Random(seed, 'prompts'), 720), wandering(new Random(seed, 'answers'), 720)];
  const weather = wandering(common, 3 * MINUTES_PER_DAY);
  const board = between * new Random(seed, `board of ${node}`).normal();
  let heat = 0;
  return Array.from({ length: days * MINUTES_PER_DAY }, (_, minute) => {
    const cycle = (1 + 0.45 * DAILY(minute, 15)) * (isWeekend(minute) ? 0.7 : 1);
    const outputLength = 250 * Math.exp(0.15 * answers.next().value + 0.05 * DAILY(minute, 10));
    const inputLength = 900 * Math.exp(0.25 * prompts.next().value + 0.1 * DAILY(minute, 11));
    const requests = Math.max(1, (NOON * 60 * cycle * Math.exp(0.12 * swings.next().value + 0.05 * local.normal())) / (1.45 * outputLength));
    const output = Math.round(requests * outputLength);
    const cachedShare = Math.min(0.9, Math.max(0, 0.3 + 0.05 * DAILY(minute, 15) + 0.03 * local.normal()));
    heat += ((output / 60 / NOON) * 25 - heat) / 30;
    const temperature = 42 + heat + 3 * DAILY(minute, 16) + 1.5 * weather.next().value;
    const plain = IDLE_WATTS * 60 + requests * inputLength * (1 - cachedShare) * PROMPT_JOULES + output * OUTPUT_JOULES;
    const noise = 0.02 * Math.sqrt(NOON / (output / 60)) * local.normal();
    const numerator = plain * (1 + LEAKAGE * Math.max(0, temperature - LEAKS_ABOVE)) * Math.exp(board + shared * drift.next().value + own * ownDrift.next().value + noise);
    const from = START + minute * MINUTE;
    return {
      from: epochMicros(from), to: epochMicros(from + MINUTE), numerator, denominator: output, unit: node,
      covariates: { load: output / 60, inputLength, outputLength, cachedShare, temperature: temperature + 0.3 * local.normal() },
    };
  });
}

const meanOf = (blocks: readonly Block[], name: keyof Block['covariates']): number => blocks.reduce((sum, { covariates }) => sum + (covariates[name] ?? Number.NaN), 0) / blocks.length;

/** Neighbouring minutes as one block each. */
export function joined(minutes: readonly Block[], size: number): Block[] {
  return Array.from({ length: Math.floor(minutes.length / size) }, (_, index) => minutes.slice(index * size, (index + 1) * size)).flatMap((blocks) => {
    const [first, last] = [blocks[0], blocks.at(-1)];
    if (!first || !last) return [];
    const sum = (of: 'numerator' | 'denominator'): number => blocks.reduce((whole, block) => whole + block[of], 0);
    const covariates = Object.fromEntries(COVARIATES.map((name) => [name, meanOf(blocks, name)]));
    return [{ ...first, to: last.to, numerator: sum('numerator'), denominator: sum('denominator'), covariates }];
  });
}

export const withEffect = (blocks: readonly Block[], effect: number): Block[] => blocks.map((block) => ({ ...block, numerator: block.numerator * (1 + effect) }));
