import { describe, expect, it } from 'vitest';
import { regression } from './regression.js';

/** Repeatable noise in [-1, 1). */
function noise(): () => number {
  let state = 12_345;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return (state / 2 ** 31) * 2 - 1;
  };
}

describe('regression', () => {
  it('finds the coefficients that made the observations', () => {
    const fit = regression(3);
    for (let index = 0; index < 40; index += 1) fit.add([1, index % 7, (index * index) % 5], 100 + 3 * (index % 7) + 11 * ((index * index) % 5), 1);
    expect(fit.solution()?.coefficients.map((value) => Math.round(value * 1000) / 1000)).toEqual([100, 3, 11]);
  });

  it('keeps at 0 what would have to be negative, and fits the rest as well as can be', () => {
    const fit = regression(2);
    for (const x of [1, 2, 3, 4]) fit.add([1, x], 10 - x, 1);
    const [constant, slope] = fit.solution()?.coefficients ?? [];
    expect(slope).toBe(0);
    expect(constant).toBeCloseTo(7.5, 4);
  });

  it('is hardly moved by a few observations far from the rest', () => {
    const random = noise();
    const plain = regression(1);
    const hit = regression(1);
    for (let index = 0; index < 200; index += 1) {
      const y = 50 + random();
      plain.add([1], y, 1);
      hit.add([1], index % 20 === 19 ? 500 : y, 1);
    }
    expect(Math.abs((hit.solution()?.coefficients[0] ?? 0) - (plain.solution()?.coefficients[0] ?? 0))).toBeLessThan(2);
  });

  it('says a standard error that shrinks with the root of the observations', () => {
    const random = noise();
    const errorAfter = (count: number): number => {
      const fit = regression(1);
      for (let index = 0; index < count; index += 1) fit.add([1], 50 + random() * 5, 1);
      return fit.solution()?.errorOf([1]) ?? 0;
    };
    const [few, many] = [errorAfter(50), errorAfter(5000)];
    expect(few / many).toBeGreaterThan(6);
    expect(few / many).toBeLessThan(16);
  });

  it('follows what changes once the old has faded', () => {
    const fit = regression(1);
    for (let index = 0; index < 100; index += 1) fit.add([1], 10, 1);
    fit.fade(0.01);
    for (let index = 0; index < 100; index += 1) fit.add([1], 20, 1);
    expect(fit.solution()?.coefficients[0]).toBeGreaterThan(18);
  });

  it('is silent before the first observation and survives columns that never moved', () => {
    const fit = regression(3);
    expect(fit.solution()).toBeUndefined();
    fit.add([1, 0, 0], 5, 1);
    expect(fit.solution()?.coefficients[0]).toBeCloseTo(5, 4);
  });
});
