import { expect, it } from 'vitest';
import { moments, regress, regressors } from './regression.js';
import { errorOf, influences } from './robust-error.js';

const FIVE = [{ first: 0, count: 5 }, { first: 5, count: 5 }];

function influenceOf(numerators: readonly number[], denominators: readonly number[]): readonly number[] {
  const half = numerators.length / 2;
  const data = regressors(numerators.map((numerator, index) => ({ numerator, denominator: denominators[index] ?? 0 })), [Float64Array.from(numerators, (_, index) => (index < half ? 0 : 1))]);
  const fit = regress(data);
  return (fit && influences(moments(data, fit.fitted, numerators.length, Int32Array.from(numerators.keys())), 1)) ?? [];
}

it('of five runs against five equal ones is Welch’s test: s²/(n·mean²) of each side', () => {
  const { variance, degreesOfFreedom } = errorOf(influenceOf([10, 11, 12, 13, 14, 20, 24, 24, 24, 28], [3, 3, 3, 3, 3, 3, 3, 3, 3, 3]), FIVE, 'none');
  // A: s² = 2.5, mean 12; B: s² = 8, mean 24.
  const [a, b] = [2.5 / 5 / 144, 8 / 5 / 576];
  expect(variance).toBeCloseTo(a + b, 12);
  expect(degreesOfFreedom).toBeCloseTo((a + b) ** 2 / (a ** 2 / 4 + b ** 2 / 4), 8);
});

it('of many unequal blocks is the delta method’s variance of a ratio of sums', () => {
  const denominators = Array.from({ length: 400 }, (_, index) => 50 + 30 * Math.sin(index));
  const numerators = denominators.map((denominator, index) => denominator * (7 + Math.cos(1.7 * index) + (index < 200 ? 0 : 2)));
  const delta = [0, 200].reduce((sum, from) => {
    const [n, d] = [numerators.slice(from, from + 200), denominators.slice(from, from + 200)];
    const [whole, base] = [n.reduce((x, y) => x + y), d.reduce((x, y) => x + y)];
    return sum + n.reduce((squares, value, index) => squares + (value - (whole / base) * (d[index] ?? 0)) ** 2, 0) / whole ** 2;
  }, 0);
  expect(errorOf(influenceOf(numerators, denominators), [{ first: 0, count: 200 }, { first: 200, count: 200 }], 'none').variance / delta).toBeCloseTo(1, 1);
});

it('makes up for neighbours that are alike, and for the bias of few of them', () => {
  // r = 2/20, so ρ = (8·0.1 + 1)/4 = 0.45 and the variance is 1.45/0.55 times (7/8)·20.
  const error = errorOf([2, 1, -1, -2, 2, 1, -1, -2], [{ first: 0, count: 8 }], 'drift');
  expect(error.correlation).toBeCloseTo(0.45, 12);
  expect(error.variance).toBeCloseTo((17.5 * 1.45) / 0.55, 10);
  expect(error.effective).toBeCloseTo((8 * 0.55) / 1.45, 10);
  expect(error.degreesOfFreedom).toBeCloseTo(error.effective - 1, 10);
});

it('takes nothing off for neighbours that are unlike, but for turns, and there at most half', () => {
  const zigzag = Array.from({ length: 16 }, (_, index) => (index % 2 === 0 ? 1 : -1));
  const strata = [{ first: 0, count: 16 }];
  expect(errorOf(zigzag, strata, 'drift').variance).toBeCloseTo(15, 12);
  expect(errorOf(zigzag, strata, 'none').variance).toBeCloseTo(15, 12);
  expect(errorOf(zigzag, strata, 'turns').variance).toBeCloseTo(7.5, 12);
});

it('has no answer where one piece has all of a side', () => {
  const data = regressors([{ numerator: 1, denominator: 1 }, { numerator: 2, denominator: 1 }, { numerator: 3, denominator: 1 }], [Float64Array.of(0, 0, 1)]);
  const fit = regress(data);
  expect(fit && influences(moments(data, fit.fitted, 3, Int32Array.of(0, 1, 2)), 1)).toBeUndefined();
});
