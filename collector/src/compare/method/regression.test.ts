import { expect, it } from 'vitest';
import { moments, regress, regressors, solved } from './regression.js';

const A = [{ numerator: 610, denominator: 49 }, { numerator: 580, denominator: 0 }, { numerator: 602, denominator: 47 }];
const B = [{ numerator: 333, denominator: 31 }, { numerator: 97, denominator: 8 }];
const side = Float64Array.of(0, 0, 0, 1, 1);

it('without conditions is the ratio of the pooled ratios of sums, blocks without a denominator included', () => {
  const fit = regress(regressors([...A, ...B], [side]));
  expect(Math.exp(fit?.coefficients[0] ?? 0)).toBeCloseTo(1792 / 96, 10);
  expect(Math.exp(fit?.coefficients[1] ?? 0)).toBeCloseTo((430 / 39) / (1792 / 96), 10);
});

it('finds the coefficients that made the data, and leaves no score', () => {
  const x = Float64Array.from({ length: 40 }, (_, index) => Math.sin(index));
  const half = Float64Array.from({ length: 40 }, (_, index) => (index < 20 ? 0 : 1));
  const blocks = Array.from(x, (value, index) => ({ numerator: (5 + index) * Math.exp(2 - 0.3 * (half[index] ?? 0) + 0.7 * value), denominator: 5 + index }));
  const data = regressors(blocks, [half, x]);
  const fit = regress(data);
  expect(fit?.coefficients.map((each) => Number(each.toFixed(9)))).toEqual([2, -0.3, 0.7]);
  const [whole] = moments(data, fit?.fitted ?? new Float64Array(), 1);
  for (const value of whole?.score ?? [1]) expect(value).toBeCloseTo(0, 6);
});

it('has the moments of each group, which add up', () => {
  const data = regressors([...A, ...B], [side]);
  const fitted = Float64Array.of(600, 0, 600, 330, 90);
  const [first, second] = moments(data, fitted, 2, Int32Array.of(0, 0, 1, 1, 1));
  expect(first && [...first.score]).toEqual([590, 0]);
  expect(second && [...second.score]).toEqual([2 + 3 + 7, 3 + 7]);
  expect(second?.information.to2DArray()).toEqual([[1020, 420], [420, 420]]);
});

it('says so where a column is the sum of others, and where there is nothing to meet', () => {
  const x = Float64Array.of(1, 2, 3, 4, 5);
  expect(regress(regressors([...A, ...B], [side, x, x.map((value, index) => 2 * value + (side[index] ?? 0))]))).toBeUndefined();
  expect(regress(regressors([{ numerator: 0, denominator: 3 }, { numerator: 0, denominator: 4 }], []))).toBeUndefined();
  const [empty] = moments(regressors([], []), new Float64Array(), 1);
  expect(empty && solved(empty)).toBeUndefined();
});

it('takes a column that hardly differs from another for no other, and one in small units for what it is', () => {
  const x = Float64Array.of(1, 2, 3, 4, 5);
  const [alike, small] = [x.map((value, index) => value + 1e-5 * Math.cos(7 * index)), x.map((_, index) => 1e-9 * Math.cos(7 * index))];
  const [ofAlike, ofSmall] = [alike, small].map((column) => moments(regressors([...A, ...B], [x, column]), Float64Array.of(600, 500, 600, 330, 90), 1)[0]);
  expect([ofAlike && solved(ofAlike), ofSmall && solved(ofSmall)]).toEqual([undefined, [expect.any(Number), expect.any(Number), expect.any(Number)]]);
});
