/** Energy weighed by factors that change over time, against weighing it fact by fact. */
import { array, assert, asyncProperty, constantFrom, integer, option, record, subarray } from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { openDuckdb } from './duckdb.js';
import { at, batchOf, energyFact } from './sample-facts.js';
import { inBoundary, type Key, type Store, type Weights } from './store.js';

const HOUR = 3600;
const hours = (count: number) => epochMicros(count * HOUR * 1e6);
const maybe = <T>(value: Parameters<typeof option<T>>[0]) => option(value, { nil: undefined });

const fact = record({ from: integer({ min: 0, max: 6 * HOUR - 10 }).map((second) => Math.floor(second / 10) * 10), device: constantFrom('a', 'b'), site: maybe(constantFrom('s1', 's2', 'elsewhere')), deployment: constantFrom('chat', 'code'), joules: integer({ min: 0, max: 5000 }) })
  .map((said) => energyFact({ ...said, to: said.from + 10 }));
const factor = option(integer({ min: -20, max: 100 }).map((cents) => cents / 100));
const weights = record({ sites: subarray<string | null>([null, 's1', 's2']), from: subarray([-1, 0, 1, 2, 4, 5]), factors: array(factor, { minLength: 40, maxLength: 40 }) }).map(({ sites, from, factors }): Weights => {
  let next = 0;
  return { grid: hours(1), count: 2, sites: sites.map((site) => ({ site, pieces: from.map((hour) => ({ from: at(hour * HOUR), factors: [factors[(next += 1)] ?? null, factors[(next += 1)] ?? null] })) })) };
});

describe('weighed energy', () => {
  let store: Store;
  beforeEach(async () => void (store = await openDuckdb(':memory:')));
  afterEach(() => store.close());

  it('is what weighing each fact at its time and site gives, for any facts and factors', async () => {
    let known = 0;
    await assert(
      asyncProperty(array(fact, { minLength: 1, maxLength: 40 }), weights, subarray<Key>(['device', 'deployment', 'site']), maybe(constantFrom(hours(1), hours(2), epochMicros(600e6))), async (facts, by, keys, step) => {
        await store.close();
        store = await openDuckdb(':memory:');
        await store.append(batchOf(facts));
        const expected = new Map<string, { sum: number; unknown: bigint }[]>();
        for (const each of facts) {
          const place = by.sites.find(({ site }) => site === (each.site ?? '')) ?? by.sites.find(({ site }) => site === null);
          const piece = place?.pieces.findLast(({ from }) => from <= each.from);
          const group = JSON.stringify([step === undefined ? 0 : Math.floor(each.from / step) * step, keys.map((key) => (key === 'device' ? each.device : key === 'site' ? (each.site ?? null) : (each.deployment ?? null)))]);
          const sums = expected.get(group) ?? [{ sum: 0, unknown: 0n }, { sum: 0, unknown: 0n }];
          expected.set(group, sums.map(({ sum, unknown }, index) => {
            const found = piece?.factors[index] ?? null;
            return found === null ? { sum, unknown: unknown + BigInt(each.microjoules) } : { sum: sum + each.microjoules * found, unknown };
          }));
        }
        const found = await store.sum({ kind: 'weighed', by: keys, step, where: [inBoundary('gpu')], weights: by });
        expect(found.length).toBe(expected.size);
        for (const { step: begins, values, sums } of found) {
          for (const [index, { sum, unknown }] of (expected.get(JSON.stringify([begins, values])) ?? []).entries()) {
            expect(sums.weighed[index]?.sum).toBeCloseTo(sum, 2);
            expect(sums.weighed[index]?.unknown).toBe(unknown);
            if (sum !== 0) known += 1;
          }
        }
      }),
      { numRuns: 20 },
    );
    expect(known).toBeGreaterThan(3);
  });

  it('needs factors', async () => {
    await expect(store.sum({ kind: 'weighed', by: [], where: [inBoundary('gpu')] })).rejects.toThrow(/weighed by something/);
  });
});
