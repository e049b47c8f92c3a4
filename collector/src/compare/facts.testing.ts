/** Facts of two sides for tests: stretches of a node's time with a known price per token, and noise that is the same every time. */
import type { Batch } from '@joulebook/shared/batch.js';
import { UsageError } from '@joulebook/shared/errors.js';
import type { GaugeSlice, Slice } from '@joulebook/shared/slice.js';
import { seconds } from '@joulebook/shared/units.js';
import { openDuckdb } from '../store/duckdb.js';
import { remembering } from '../store/remembering.js';
import { at, batchOf, energyFact, requestsFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';

/** −1 to 1, from a seed (Lehmer). */
export function noise(seed: number): () => number {
  let state = seed * 7919 + 1;
  return () => (state = (state * 48_271) % 2_147_483_647) / 1_073_741_823.5 - 1;
}

export interface Stretches {
  readonly labels?: Readonly<Record<string, string>>;
  readonly node?: string;
  readonly device?: string;
  /** s after the origin; how many, and how long each is, s. */
  readonly from?: number;
  readonly count: number;
  readonly every?: number;
  readonly joulesPerToken: number;
  /** Output tokens of one, before noise. */
  readonly tokens?: number;
  readonly tokensPerRequest?: number;
  /** Share by which the joules of one go up and down. */
  readonly spread?: number;
  readonly seed?: number;
  /** In what kind of facts the rest is said. */
  readonly energy?: Partial<Omit<Parameters<typeof energyFact>[0] & object, 'from' | 'to'>>;
  /** Share of each that was seen. */
  readonly seen?: number;
  readonly gauges?: Readonly<Record<string, number>>;
}

/** One is a fact of each kind. */
export function stretchesOf({ labels, device = 'GPU-0', from = 0, count, every = 60, joulesPerToken, tokens = 100 * every, tokensPerRequest = 100, spread = 0.02, seed = 1, energy = {}, seen = 1, gauges = {} }: Stretches): Slice[] {
  const next = noise(seed);
  return Array.from({ length: count }, (_, index): Slice[] => {
    const time = { from: from + index * every, to: from + (index + 1) * every, ...(labels && { labels: { ...labels } }) };
    const made = Math.round(tokens * (1 + 0.2 * next()));
    const requests = Math.max(1, Math.round(made / tokensPerRequest));
    const gauge = Object.entries(gauges).map(([name, value]): GaugeSlice => ({ kind: 'gauge', ...time, from: at(time.from), to: at(time.to), device, gauge: name, valueSeconds: value * (1 + 0.01 * next()) * every, seconds: seconds(every), max: value }));
    return [
      energyFact({ ...time, device, seconds: seconds(every * seen), askedSeconds: seconds(every), joules: made * joulesPerToken * (1 + spread * next()), ...energy }),
      tokensFact({ ...time, count: made }), tokensFact({ ...time, token: 'input', count: made * 3 }),
      requestsFact({ ...time, requests, inputTokens: made * 3, outputTokens: made, ttftBucket: -4, tpotBucket: -20 }),
      ...gauge,
    ];
  }).flat();
}

type Facts = Stretches | readonly Slice[];

/**
 * Stores with facts that several tests ask of: made once, and what one test asked is not summed again for the next. Facts of other
 * tests in the same store are in nobody's way, as long as no side selects them.
 */
export class SharedStores {
  readonly #stores = new Map<string, Promise<Store>>();

  of(...sides: readonly Facts[]): Promise<Store> {
    const key = JSON.stringify(sides);
    const store = this.#stores.get(key) ?? storeOf(...sides).then(remembering);
    this.#stores.set(key, store);
    return store;
  }

  async close(): Promise<void> {
    for (const store of this.#stores.values()) await (await store).close();
  }
}

/** A store in memory with these facts; each side is a batch of its own. */
export async function storeOf(...sides: readonly Facts[]): Promise<Store> {
  const store = await openDuckdb(':memory:');
  const sequences = new Map<string, number>();
  for (const side of sides) {
    const node = 'count' in side ? (side.node ?? 'node-1') : 'node-1';
    const sequence = sequences.get(node) ?? 0;
    sequences.set(node, sequence + 1);
    const batch: Batch = batchOf('count' in side ? stretchesOf(side) : [...side], { node, sequence });
    await store.append(batch);
  }
  return store;
}

/** What is wrong with a question; nothing where it is answered. */
export async function faultsOf(work: () => unknown): Promise<readonly string[]> {
  try {
    await work();
  } catch (error) {
    if (error instanceof UsageError) return error.faults;
    throw error;
  }
  return [];
}
