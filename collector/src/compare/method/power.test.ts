import { expect, it } from 'vitest';
import { minimumDetectableEffect, reachOf, timesFor, withKnown, type Precision } from './power.js';

const precision: Precision = { variance: 0.01 ** 2, degreesOfFreedom: 1e5, alpha: 0.05, sequential: false };

it('detects 2.8 standard errors in 8 of 10 cases, more of few degrees of freedom, more yet under watching', () => {
  expect(minimumDetectableEffect(precision)).toBeCloseTo(Math.expm1((1.96 + 0.8416) * 0.01), 5);
  // t of 8 degrees of freedom: 2.306 and 0.8889
  expect(minimumDetectableEffect({ ...precision, degreesOfFreedom: 8 })).toBeCloseTo(Math.expm1((2.306 + 0.8889) * 0.01), 5);
  expect(minimumDetectableEffect({ ...precision, sequential: true })).toBeGreaterThan(1.3 * minimumDetectableEffect(precision));
});

it('needs four times the data for half the width', () => {
  expect(timesFor(precision, 0, Math.expm1(0.0098))).toBeCloseTo(4, 2);
  expect(timesFor(precision, 0, Math.expm1(0.0392))).toBeCloseTo(1 / 4, 3);
});

it('reaches what was asked for with what it said, few degrees of freedom and looking included', () => {
  for (const sequential of [true, false]) {
    const now = { ...precision, degreesOfFreedom: 5, sequential };
    const times = timesFor(now, 0, 0.015);
    expect(reachOf({ ...now, variance: now.variance / times, degreesOfFreedom: 5 * times })).toBeCloseTo(Math.log1p(0.015), 8);
  }
});

it('never reaches what is narrower than what more data do not lessen', () => {
  expect(timesFor(precision, 0.02 ** 2, 0.035)).toBe(Infinity);
  expect(timesFor(precision, 0.02 ** 2, 0.045)).toBeLessThan(5);
  expect(timesFor(precision, 0, 0)).toBe(Infinity);
});

it('adds a variance that is known, which has no degrees of freedom to lose', () => {
  expect(withKnown({ ...precision, degreesOfFreedom: 4 }, 0.01 ** 2)).toMatchObject({ variance: 2 * 0.01 ** 2, degreesOfFreedom: 16 });
});
