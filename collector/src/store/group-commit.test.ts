import { expect, it } from 'vitest';
import type { Batch } from '@joulebook/shared/batch.js';
import { inGroups } from './group-commit.js';
import { batchOf } from './sample-facts.js';

const slicesOf = ({ slices }: Batch): number => slices.length;
const batch = (sequence: number) => batchOf([], { sequence });

it('puts what arrives during a transaction into the next one', async () => {
  const groups: number[][] = [];
  const append = inGroups(async (batches: readonly Batch[]) => {
    groups.push(batches.map(({ sequence }) => sequence));
    await new Promise((resolve) => setTimeout(resolve, 5));
    return batches.map(() => 'accepted' as const);
  }, slicesOf);
  await Promise.all([0, 1, 2, 3].map((sequence) => append(batch(sequence))));
  expect(groups).toEqual([[0], [1, 2, 3]]);
});

it('refuses only the batch that fails, not its neighbours', async () => {
  const append = inGroups(async (batches: readonly Batch[]) => {
    if (batches.some(({ sequence }) => sequence === 2)) throw new Error('disk full');
    return batches.map(() => 'accepted' as const);
  }, slicesOf);
  const settled = await Promise.allSettled([0, 1, 2, 3].map((sequence) => append(batch(sequence))));
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
});

it('keeps groups small', async () => {
  const sizes: number[] = [];
  const append = inGroups(async (batches: readonly Batch[]) => {
    sizes.push(batches.length);
    return batches.map(() => 'accepted' as const);
  }, slicesOf);
  await Promise.all(Array.from({ length: 600 }, (_, sequence) => append(batch(sequence))));
  expect(Math.max(...sizes)).toBe(256);
  expect(sizes.reduce((a, b) => a + b)).toBe(600);
});

/** Sends what it is told in turn; each commit and each rest lets one more batch come. */
async function sendingWhile(first: number, later: readonly { readonly during: 'commit' | 'rest'; readonly sequence: number }[], slices = slicesOf): Promise<{ groups: number[][]; rests: number }> {
  const groups: number[][] = [];
  const sent: Promise<unknown>[] = [];
  const coming = [...later];
  let rests = 0;
  const come = (during: 'commit' | 'rest'): void => {
    const [next] = coming;
    if (next?.during === during) sent.push(append(batch((coming.shift() ?? next).sequence)));
  };
  const append = inGroups(async (batches: readonly Batch[]) => {
    groups.push(batches.map(({ sequence }) => sequence));
    come('commit');
    return Promise.resolve(batches.map(() => 'accepted' as const));
  }, slices, async () => {
    rests += 1;
    come('rest');
    return Promise.resolve();
  });
  sent.push(...Array.from({ length: first }, (_, sequence) => append(batch(sequence))));
  // Each of them may bring another.
  for (let index = 0; index < sent.length; index += 1) await sent[index];
  return { groups, rests };
}

it('waits a moment for more where several send', async () => {
  expect(await sendingWhile(3, [{ during: 'rest', sequence: 3 }])).toEqual({ groups: [[0], [1, 2, 3]], rests: 2 });
});

const large = (): number => 2000;

it('does not wait where many go together anyway', async () => {
  expect((await sendingWhile(100, [])).rests).toBe(1);
  expect((await sendingWhile(3, [], large)).rests).toBe(0);
});

it('never makes one sender wait, nor one with two lanes', async () => {
  const both = [{ during: 'commit', sequence: 1 }, { during: 'commit', sequence: 2 }] as const;
  expect(await sendingWhile(1, both)).toEqual({ groups: [[0], [1], [2]], rests: 0 });
});
