import fc from 'fast-check';
import { expect, it } from 'vitest';
import { byRequestTime, divideWhole } from './split.js';

it('divides whole numbers into whole parts that add up to them', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e15 }), fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 8 }), (total, weights) => {
      fc.pre(weights.some((weight) => weight > 1e-6));
      const parts = divideWhole(total, weights);
      expect(parts.reduce((a, b) => a + b, 0)).toBe(total);
      for (const part of parts) expect(Number.isSafeInteger(part) && part >= 0).toBe(true);
    }),
  );
});

it('gives each part within one of its exact share', () => {
  expect(divideWhole(10, [1, 1, 1])).toEqual([4, 3, 3]);
  expect(divideWhole(7, [0, 1])).toEqual([0, 7]);
});

it('divides a mixed stretch by the requests in each phase, and says that a rule did it', () => {
  const { of, modelled } = byRequestTime(1, 3);
  expect([of.get('prefill'), of.get('decode'), modelled]).toEqual([0.25, 0.75, true]);
});
