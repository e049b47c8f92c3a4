/** Adds up what findings are made of: whole microjoules, GPU seconds, and what both are worth. */
import { microjoulesToJoules, seconds, type Seconds } from '@joulebook/shared/units.js';
import type { CostText } from '../book/schema.js';
import { allInCost, gpuHours } from '../figures/money.js';
import { kilowattHours } from '../figures/waste.js';
import { costsOf, sumOfCosts } from '../join/costs.js';
import type { Part } from '../join/subgroups.js';
import { valuedAt, valuedBy, type Valued } from '../join/worth.js';
import type { Worth } from '../rates/site-rates.js';
import type { WeighedSums } from '../store/store.js';
import { ADDED } from '../store/time-classes.js';
import type { Amounts } from './answer.js';
import type { Entry } from './cells.js';

export interface Prices {
  /** Of every joule; undefined where entries carry what theirs are worth. */
  readonly worth: Worth | undefined;
  readonly entries: readonly CostText[];
  /** GPU time of everything in the same time. */
  readonly all: readonly Part<'booked'>[];
  readonly length: Seconds;
}

export interface Tally {
  readonly microjoules: bigint;
  readonly gpuSeconds: number;
  add(entry: Entry): void;
  amounts(prices: Prices): Amounts;
}

export const NO_AMOUNTS: Amounts = { joules: null, kwh: null, gpuHours: null, seconds: null, tokens: null, tokensAtMost: null, requests: null, energyCost: null, allInCost: null, carbonGrams: null, carbonGramsMarket: null };

export function tally(): Tally {
  const entries: Entry[] = [];
  let weighed: WeighedSums | undefined;
  let [microjoules, gpuSeconds] = [0n, 0];
  const valued = ({ worth }: Prices): Valued => {
    const joules = microjoulesToJoules(microjoules);
    return worth ? valuedAt(worth, joules) : valuedBy(weighed ?? { weighed: [] }, joules);
  };
  return {
    get microjoules() {
      return microjoules;
    },
    get gpuSeconds() {
      return gpuSeconds;
    },
    add(entry) {
      entries.push(entry);
      microjoules += entry.sum.sums.microjoules;
      gpuSeconds += entry.sum.sums.askedSeconds;
      if (entry.weighed) weighed = weighed ? ADDED.weighed(weighed, entry.weighed) : entry.weighed;
    },
    amounts(prices) {
      const joules = microjoulesToJoules(microjoules);
      const { cost, location, market } = valued(prices);
      const others = prices.entries.length === 0 ? null : costsOf(prices.entries, entries, prices.all, prices.length);
      return { ...NO_AMOUNTS, joules, kwh: kilowattHours(joules), gpuHours: gpuHours(seconds(gpuSeconds)), energyCost: cost, allInCost: allInCost(cost, sumOfCosts(others)), carbonGrams: location, carbonGramsMarket: market };
    },
  };
}

/** Null where any is: the rest alone would flatter. */
export function sumOf(all: readonly Amounts[]): Amounts {
  const of = (name: keyof Amounts): number | null => all.reduce<number | null>((sum, { [name]: value }) => (sum === null || value === null ? null : sum + value), 0);
  return {
    joules: of('joules'), kwh: of('kwh'), gpuHours: of('gpuHours'), seconds: of('seconds'), tokens: of('tokens'), tokensAtMost: of('tokensAtMost'), requests: of('requests'),
    energyCost: of('energyCost'), allInCost: of('allInCost'), carbonGrams: of('carbonGrams'), carbonGramsMarket: of('carbonGramsMarket'),
  };
}
