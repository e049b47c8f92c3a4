import { expect, it } from 'vitest';
import { holm } from './holm.js';

it('multiplies the smallest p by all, the next by one less, and never falls', () => {
  const adjusted = holm([0.01, 0.04, 0.03, 0.005]);
  for (const [index, p] of [0.03, 0.06, 0.06, 0.02].entries()) expect(adjusted[index]).toBeCloseTo(p, 12);
});

it('stays a probability, and leaves one comparison as it is', () => {
  expect(holm([0.6, 0.7])).toEqual([1, 1]);
  expect(holm([0.03])).toEqual([0.03]);
  expect(holm([])).toEqual([]);
});
