import { expect, it } from 'vitest';
import { distanceOf, overlapOf, quantilesOf, spreadOf, type Weighed } from './overlap.js';

const evenly = (from: number, to: number, count = 1000): Weighed => ({ values: Float64Array.from({ length: count }, (_, index) => from + ((to - from) * (index + 0.5)) / count), weights: new Float64Array(count).fill(2) });

it('is 1 where one side saw all that the other saw, however little that was', () => {
  expect(overlapOf(evenly(0, 100), evenly(10, 12))).toBe(1);
  expect(overlapOf(evenly(10, 12), evenly(0, 100))).toBe(1);
});

it('is the share of the work that lies in the middle 95 % of the other side', () => {
  expect(overlapOf(evenly(0, 100), evenly(50, 150))).toBeCloseTo(0.475, 2);
  expect(overlapOf(evenly(0, 100), evenly(110, 150))).toBe(0);
  // Most of A's work was done where B was, in few of its blocks.
  const few = { ...evenly(0, 100), weights: Float64Array.from({ length: 1000 }, (_, index) => (index >= 550 && index < 600 ? 100 : 1)) };
  expect(overlapOf(few, evenly(50, 150))).toBeGreaterThan(0.85);
});

it('has means and deviations by weight, and quantiles by block', () => {
  const weighed = { values: Float64Array.of(4, 1, 3), weights: Float64Array.of(1, 1, 2) };
  const { mean, deviation } = spreadOf(weighed);
  expect(mean).toBe(11 / 4);
  expect(deviation).toBeCloseTo(Math.sqrt((1.25 ** 2 + 1.75 ** 2 + 2 * 0.25 ** 2) / 4), 12);
  expect(quantilesOf(weighed.values, [0, 0.34, 0.67, 1])).toEqual([1, 3, 4, 4]);
});

it('has a distance in deviations', () => {
  expect(distanceOf(evenly(0, Math.sqrt(12)), evenly(3, 3 + Math.sqrt(12)))).toBeCloseTo(3, 3);
  expect(distanceOf(evenly(1, 1), evenly(1, 1))).toBe(0);
});
