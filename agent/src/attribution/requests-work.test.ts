import { describe, expect, it } from 'vitest';
import { instant } from '@joulebook/shared/units.js';
import { learnt } from './learnt.js';
import { requestsWork, type Placed, type RequestsWork } from './requests-work.js';
import { requestOf } from './work.testing.js';

/** Prompts take 1 s per 1000 tokens. */
const known = (): RequestsWork => requestsWork({ ...learnt(), prefills: { learn: () => undefined, seconds: (tokens) => (tokens === undefined ? undefined : tokens / 1_000) } });
const placed = (work: RequestsWork, before: number): string[] => work.place(instant(before)).map(({ from, firstToken, promptTokens }: Placed) => `${from.toFixed(2)}-${firstToken.toFixed(2)} ${promptTokens}`).toSorted();

describe('a prefill', () => {
  it('ran right before the first token; what came before it was a queue', () => {
    const work = known();
    work.add(requestOf(0, 5, 9, 1_500, 10));
    expect(placed(work, 20)).toEqual(['3.50-5.00 1500']);
  });

  it('did not run before the request was there', () => {
    const work = known();
    work.add(requestOf(4.5, 5, 9, 1_500, 10));
    expect(placed(work, 20)).toEqual(['4.50-5.00 1500']);
  });

  it('did not run before the engine took it up', () => {
    const work = known();
    work.add(requestOf(0, 5, 9, 3_000, 10, 4));
    expect(placed(work, 20)).toEqual(['4.00-5.00 3000']);
  });

  it('is all the time to the first token where nothing tells how long it takes', () => {
    const work = requestsWork(learnt());
    work.add(requestOf(1, 5, 9, 1_000, 10));
    work.add(requestOf(10, 15, 19, 1_000, 10, 12));
    expect(placed(work, 20)).toEqual(['1.00-5.00 1000', '12.00-15.00 1000']);
  });
});

describe('prefills of several requests', () => {
  it('ran back to back before their first tokens', () => {
    const work = known();
    for (const firstToken of [3, 4.2, 5]) work.add(requestOf(0, firstToken, 9, 1_000, 10));
    expect(placed(work, 20)).toEqual(['2.00-3.00 1000', '3.00-4.20 1000', '4.00-5.00 1000']);
  });

  it('that gave their first tokens together were one', () => {
    const work = known();
    work.add(requestOf(0, 5, 9, 1_000, 10));
    work.add(requestOf(1, 5.001, 9, 2_000, 10));
    expect(placed(work, 20)).toEqual(['2.00-5.00 3000']);
  });

  it('push each other back across the moment up to which they are asked for', () => {
    const work = known();
    work.add(requestOf(0, 5, 9, 1_000, 10));
    work.add(requestOf(3, 5.5, 9, 1_000, 10));
    work.add(requestOf(3.5, 6, 9, 1_000, 10));
    work.add(requestOf(1_000, 1_001, 1_002, 1_000, 10));
    // The second ran from 4 to 5 since the third ran from 5 to 6; so the first ran before 4.
    expect(placed(work, 2)).toEqual(['3.00-5.00 1000']);
  });

  // The request that starts last of all those waiting is left out where none starts more than a backlog later.
  it('push each other back also when the one behind is the last there is', () => {
    const work = known();
    work.add(requestOf(0, 5, 9, 1_000, 10));
    work.add(requestOf(3, 5.5, 9, 1_000, 10));
    expect(placed(work, 2)).toEqual(['3.50-5.00 1000']);
  });
});

it('hands each request out once, in whatever order they are told', () => {
  const work = known();
  for (const start of [8, 2, 5, 11]) work.add(requestOf(start, start + 1, start + 2, 500, 10));
  expect(placed(work, 6)).toEqual(['2.50-3.00 500', '5.50-6.00 500']);
  work.add(requestOf(7, 7.9, 8, 100, 10));
  expect(placed(work, 6)).toEqual([]);
  expect(placed(work, 100)).toEqual(['11.50-12.00 500', '7.80-7.90 100', '8.50-9.00 500']);
  expect(placed(work, 1e6)).toEqual([]);
});

it('says no number of prompt tokens where one of a batch is not known', () => {
  const work = known();
  work.add(requestOf(0, 5, 9, 1_000, 10));
  work.add({ ...requestOf(1, 5, 9, 1_000, 10), tokens: {} });
  expect(placed(work, 20)).toEqual(['0.00-5.00 undefined']);
});

it('teaches how long prompts take from the requests it places', () => {
  const all = learnt();
  const work = requestsWork(all);
  for (let index = 0; index < 30; index += 1) {
    const input = 500 + (index % 5) * 700;
    work.add(requestOf(index * 10, index * 10 + input / 1_000, index * 10 + 8, input, 10));
  }
  work.place(instant(1_000));
  expect(all.prefills.seconds(2_000)).toBeCloseTo(2, 1);
});
