import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decompose, type Compared } from './decompose.js';

const whole = (groups: readonly Compared<string>[]) => {
  const sum = (when: 'before' | 'after') => ({ amount: groups.reduce((all, each) => all + each[when].amount, 0), tokens: groups.reduce((all, each) => all + each[when].tokens, 0) });
  return { before: sum('before'), after: sum('after') };
};
const group = (key: string, before: readonly [number, number], after: readonly [number, number]): Compared<string> => ({ key, before: { amount: before[0], tokens: before[1] }, after: { amount: after[0], tokens: after[1] } });

it('tells a change of rate from a change of mix', () => {
  // Twice as dear, same tokens: rate. The dear one takes over from the cheap one: mix.
  const dearer = [group('a', [10, 100], [20, 100]), group('b', [10, 100], [10, 100])];
  expect(decompose(dearer, whole(dearer))).toMatchObject([{ key: 'a', rate: 0.05, mix: 0, effect: 0.05 }, { key: 'b', effect: 0 }]);
  const shifted = [group('dear', [30, 100], [60, 200]), group('cheap', [10, 100], [0, 0])];
  const moved = decompose(shifted, whole(shifted));
  expect(moved.map(({ rate }) => rate)).toEqual([0, 0]);
  // Against the mean of the whole, 0.25: half of the tokens left what is 0.15 cheaper, for what is 0.05 dearer.
  expect(moved.map(({ key, mix }) => [key, mix])).toEqual([['cheap', expect.closeTo(0.075, 12)], ['dear', expect.closeTo(0.025, 12)]]);
  expect(moved.find(({ key }) => key === 'cheap')).toMatchObject({ ratio: [0.1, null], share: [0.5, 0] });
});

it('puts what was spent without a token apart', () => {
  const groups = [group('busy', [10, 100], [10, 100]), group('idle', [0, 0], [5, 0])];
  expect(decompose(groups, whole(groups))[0]).toMatchObject({ key: 'idle', rate: 0, mix: 0, unused: 0.05, ratio: [null, null] });
});

const amounts = fc.tuple(fc.double({ min: -100, max: 1000, noNaN: true }), fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 10_000 })));
it('adds up to the change, whatever came, went or idled', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(amounts, amounts), { minLength: 1, maxLength: 8 }), (pairs) => {
      const groups = [group('always', [1, 1], [2, 3]), ...pairs.map(([before, after], index) => group(`${index}`, before, after))];
      const all = whole(groups);
      const change = all.after.amount / all.after.tokens - all.before.amount / all.before.tokens;
      const scale = groups.reduce((sum, { before, after }) => sum + Math.abs(before.amount) + Math.abs(after.amount), 1);
      expect(Math.abs(decompose(groups, all).reduce((sum, { effect }) => sum + effect, 0) - change)).toBeLessThan(1e-10 * scale);
    }),
  );
});
