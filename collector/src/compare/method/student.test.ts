import { expect, it } from 'vitest';
import { normalOf, normalQuantile, studentOf, twoSidedQuantile, twoSidedTail } from './student.js';

it('has the quantiles of the printed tables', () => {
  expect(twoSidedQuantile(0.05, 8)).toBeCloseTo(2.306, 3);
  expect(twoSidedQuantile(0.05, 1)).toBeCloseTo(12.706, 3);
  expect(twoSidedQuantile(0.05, 1e12)).toBeCloseTo(1.96, 3);
  expect(normalQuantile(0.05)).toBeCloseTo(1.95996, 4);
});

it('has tails with digits where the cdf is 1: P(|T| > t) = 2 atan(1/t)/π of one degree of freedom', () => {
  for (const t of [1, 12.7, 1e4, 1e9]) expect(twoSidedTail(t, 1) / ((2 * Math.atan(1 / t)) / Math.PI)).toBeCloseTo(1, 6);
  expect(twoSidedTail(-3, 10)).toBeCloseTo(0.013344, 6);
});

it('makes a boundary for normal errors one for errors of few degrees of freedom, and back', () => {
  expect(studentOf(normalQuantile(0.05), 8)).toBeCloseTo(twoSidedQuantile(0.05, 8), 6);
  for (const z of [0.5, 3, 6, 9, 20]) for (const freedom of [1, 3.5, 40, 1e5]) expect(normalOf(studentOf(z, freedom), freedom)).toBeCloseTo(z, 3);
  expect(studentOf(3, 4)).toBeGreaterThan(studentOf(3, 40));
});
