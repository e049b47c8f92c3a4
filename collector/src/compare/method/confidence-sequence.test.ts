import { expect, it } from 'vitest';
import { alwaysValidDeviations, alwaysValidTail } from './confidence-sequence.js';
import { twoSidedQuantile } from './student.js';

const MANY = 1e6;

it('is the normal mixture boundary: where r·V is 1, z² is 2 ln(2/α²)', () => {
  expect(alwaysValidDeviations(0.05 ** 2, MANY, 0.05)).toBeCloseTo(Math.sqrt(2 * Math.log(2 / 0.0025)), 3);
});

it('is wider than one look, and widest where little is known of the variance', () => {
  for (const error of [0.001, 0.01, 0.1]) {
    expect(alwaysValidDeviations(error ** 2, MANY, 0.05)).toBeGreaterThan(2.9);
    expect(alwaysValidDeviations(error ** 2, 6, 0.05) / twoSidedQuantile(0.05, 6)).toBeGreaterThan(alwaysValidDeviations(error ** 2, MANY, 0.05) / 1.96);
  }
});

it('leaves out 0 exactly where its tail is below α', () => {
  for (const freedom of [3, 20, MANY]) {
    for (const error of [0.002, 0.02, 0.06]) {
      const edge = error * alwaysValidDeviations(error ** 2, freedom, 0.05);
      expect(alwaysValidTail(edge, error ** 2, freedom)).toBeCloseTo(0.05, 4);
      expect(alwaysValidTail(-1.1 * edge, error ** 2, freedom)).toBeLessThan(0.05);
      expect(alwaysValidTail(0.9 * edge, error ** 2, freedom)).toBeGreaterThan(0.05);
    }
  }
  expect(alwaysValidTail(0, 0.01 ** 2, 20)).toBe(1);
});

it('leaves out the truth at any of 400 looks in less than 1 of 20 walks, where one look’s interval does so in most', () => {
  let seed = 7;
  const uniform = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  const wide = Array.from({ length: 401 }, (_, looks) => alwaysValidDeviations(0.1 ** 2 / Math.max(1, looks), MANY, 0.05));
  let [left, leftByOne] = [0, 0];
  for (let walk = 0; walk < 300; walk += 1) {
    let [sum, out, outByOne] = [0, false, false];
    for (let looks = 1; looks <= 400; looks += 1) {
      sum += normal();
      const deviations = Math.abs(sum) / Math.sqrt(looks);
      out ||= deviations > (wide[looks] ?? 0);
      outByOne ||= deviations > 1.96;
    }
    left += out ? 1 : 0;
    leftByOne += outByOne ? 1 : 0;
  }
  expect(left / 300).toBeLessThan(0.05);
  expect(leftByOne / 300).toBeGreaterThan(0.3);
});
