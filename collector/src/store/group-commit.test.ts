import { expect, it } from 'vitest';
import { inGroups } from './group-commit.js';
import { batchOf } from './sample-facts.js';

const batch = (sequence: number) => batchOf([], { sequence });

it('puts what arrives during a transaction into the next one', async () => {
  const groups: number[][] = [];
  const append = inGroups(async (batches) => {
    groups.push(batches.map(({ sequence }) => sequence));
    await new Promise((resolve) => setTimeout(resolve, 5));
    return batches.map(() => 'accepted' as const);
  });
  await Promise.all([0, 1, 2, 3].map((sequence) => append(batch(sequence))));
  expect(groups).toEqual([[0], [1, 2, 3]]);
});

it('refuses only the batch that fails, not its neighbours', async () => {
  const append = inGroups(async (batches) => {
    if (batches.some(({ sequence }) => sequence === 2)) throw new Error('disk full');
    return batches.map(() => 'accepted' as const);
  });
  const settled = await Promise.allSettled([0, 1, 2, 3].map((sequence) => append(batch(sequence))));
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
});

it('keeps groups small', async () => {
  const sizes: number[] = [];
  const append = inGroups(async (batches) => {
    sizes.push(batches.length);
    return batches.map(() => 'accepted' as const);
  });
  await Promise.all(Array.from({ length: 200 }, (_, sequence) => append(batch(sequence))));
  expect(Math.max(...sizes)).toBe(64);
  expect(sizes.reduce((a, b) => a + b)).toBe(200);
});
