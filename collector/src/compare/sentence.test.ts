import { expect, it } from 'vitest';
import { lasting, lastingMore } from './sentence.js';

it('tells lengths in the largest unit that fits twice, and two lengths that belong together in one', () => {
  expect([lasting(90), lasting(150), lasting(7200), lasting(3 * 86_400)]).toEqual(['90 s', '2.5 min', '2 h', '3 days']);
  expect(lastingMore(2 * 86_400, 1.5 * 86_400)).toBe('2 days, 1.5 days more than now');
  // Half an hour of two days is there.
  expect(lastingMore(2 * 86_400, 2 * 86_400 - 1800)).toBe('2 days, nearly all of it still to come');
});
