/** A few thousand random bodies; `npm run bench -- fuzz` sends a million. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { array, assert, asyncProperty } from 'fast-check';
import { attempt, Fuzz, MUTATIONS } from './fuzz.testing.js';

let fuzz: Fuzz;
beforeAll(async () => {
  fuzz = await Fuzz.begin();
});
afterAll(() => fuzz.close());

it('answers whatever is sent, and sums what it accepted', async () => {
  await assert(asyncProperty(array(attempt, { minLength: 200, maxLength: 200 }), (attempts) => fuzz.run(attempts)), { numRuns: 10, endOnFailure: true });
  expect([...fuzz.answers.values()].reduce((sum, count) => sum + count, 0)).toBe(2000);
  expect(MUTATIONS.filter((mutation) => ![...fuzz.answers.keys()].some((answer) => answer.startsWith(`${mutation} `)))).toEqual([]);
}, 60_000);
