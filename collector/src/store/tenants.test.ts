import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDuckdb } from './duckdb.js';
import { batchOf, energyFact, tokensFact } from './sample-facts.js';
import { inBoundary, type Store } from './store.js';
import { wholeParts, withTenants } from './tenants.js';

let store: Store;
beforeEach(async () => void (store = await openDuckdb(':memory:')));
afterEach(() => store.close());

it('makes whole parts that add up to the whole, each within one of its share', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 10n ** 14n }), fc.array(fc.integer({ min: 1, max: 1e6 }), { minLength: 1, maxLength: 20 }), (whole, weights) => {
      const all = weights.reduce((sum, weight) => sum + weight, 0);
      const shares = weights.map((weight) => weight / all);
      const parts = wholeParts(whole, shares);
      expect(parts.reduce((sum, part) => sum + part, 0n)).toBe(whole);
      for (const [index, part] of parts.entries()) expect(Math.abs(Number(part) - Number(whole) * (shares[index] ?? 0))).toBeLessThanOrEqual(1.5);
    }),
  );
});

describe('energy by tenant', () => {
  it('is shared by the tokens of each phase, and adds up to what was measured', async () => {
    await store.append(batchOf([
      energyFact({ phase: 'prefill', joules: 100 }), energyFact({ joules: 300, device: 'b' }), energyFact({ phase: 'idle', joules: 60, device: 'c' }), energyFact({ deployment: 'code', joules: 7, device: 'd' }), energyFact({ deployment: undefined, phase: 'idle', joules: 11, device: 'e' }),
      tokensFact({ tenant: 'gold', token: 'input', count: 30 }), tokensFact({ tenant: 'free', token: 'input', count: 10 }), tokensFact({ tenant: 'gold', count: 10 }), tokensFact({ tenant: 'free', count: 20 }), tokensFact({ tenant: 'gold', deployment: 'code', count: 5 }),
    ]));
    const sums = await withTenants(store).sum({ kind: 'energy', by: ['tenant'], where: [inBoundary('gpu')] });
    expect(new Map(sums.map(({ values, sums: { microjoules } }) => [values[0], microjoules]))).toEqual(new Map([['free', 25_000_000n + 240_000_000n], ['gold', 75_000_000n + 120_000_000n + 7_000_000n], [null, 11_000_000n]]));
    const gold = await withTenants(store).sum({ kind: 'booked', by: ['deployment', 'phase'], where: [inBoundary('gpu'), { key: 'tenant', values: ['gold'] }] });
    expect(gold.map(({ values, sums: { microjoules } }) => [...values, microjoules])).toEqual([['chat', 'decode', 100_000_000n], ['chat', 'idle', 20_000_000n], ['chat', 'prefill', 75_000_000n], ['code', 'decode', 7_000_000n]]);
  });

  it('is nobody’s where nothing says whose', async () => {
    await store.append(batchOf([energyFact({ joules: 5 }), tokensFact({ count: 3 })]));
    expect((await withTenants(store).sum({ kind: 'booked', by: ['tenant'], where: [inBoundary('gpu')] })).map(({ values, sums }) => [values[0], sums.microjoules])).toEqual([[null, 5_000_000n]]);
  });
});
