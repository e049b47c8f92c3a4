import { expect, it } from 'vitest';
import { Random } from './random.js';

const draws = (count: number, draw: () => number): { mean: number; deviation: number } => {
  const values = Array.from({ length: count }, draw);
  const mean = values.reduce((a, b) => a + b, 0) / count;
  return { mean, deviation: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count) };
};

const first = (seed: number, purpose: string): number[] => {
  const random = new Random(seed, purpose);
  return Array.from({ length: 5 }, () => random.next());
};

it('gives the same numbers for the same seed and purpose, others for any other', () => {
  expect(first(7, 'arrivals/0')).toEqual(first(7, 'arrivals/0'));
  expect(new Set([first(7, 'a'), first(8, 'a'), first(7, 'b'), first(0, 'a')].map((numbers) => numbers.join())).size).toBe(4);
});

it('stays in [0, 1) and fills it evenly', () => {
  const random = new Random(1, 'uniform');
  const tenths = Array.from({ length: 10 }, () => 0);
  for (let index = 0; index < 100_000; index += 1) {
    const tenth = Math.floor(random.next() * 10);
    tenths[tenth] = (tenths[tenth] ?? 0) + 1;
  }
  expect(tenths).toHaveLength(10);
  expect(tenths.reduce((a, b) => a + b, 0)).toBe(100_000);
  for (const count of tenths) expect(Math.abs(count - 10_000)).toBeLessThan(500);
});

it.each([
  ['normal', (random: Random) => random.normal(), 0, 1],
  ['exponential, mean 3', (random: Random) => random.exponential(3), 3, 3],
  ['gamma, shape 4', (random: Random) => random.gamma(4, 0.5), 2, 1],
  ['gamma below shape 1', (random: Random) => random.gamma(0.25, 4), 1, 2],
  ['uniform from 2 to 4', (random: Random) => random.between(2, 4), 3, 2 / Math.sqrt(12)],
  ['logarithm of a lognormal', (random: Random) => Math.log(random.lognormal(100, 0.5)), Math.log(100), 0.5],
])('%s has the mean and deviation that it should', (name, draw, mean, deviation) => {
  const random = new Random(3, name);
  const seen = draws(100_000, () => draw(random));
  expect(Math.abs(seen.mean - mean)).toBeLessThan(0.03 * deviation);
  expect(Math.abs(seen.deviation / deviation - 1)).toBeLessThan(0.03);
});
