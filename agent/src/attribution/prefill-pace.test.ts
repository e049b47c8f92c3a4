import { describe, expect, it } from 'vitest';
import { instant } from '@joulebook/shared/units.js';
import { Random } from '../simulate/random.js';
import { prefillPace, type Prefilled } from './prefill-pace.js';

const takes = (tokens: number): number => 0.02 + 1e-4 * tokens + 2e-9 * tokens ** 2;
const prompt = (from: number, firstToken: number, promptTokens: number | undefined, rest: Partial<Prefilled> = {}): Prefilled => ({ from: instant(from), tookUp: false, firstToken: instant(firstToken), end: instant(firstToken + 0.01), promptTokens, ...rest });

function near(found: number | undefined, truth: number, share: number): void {
  expect(Math.abs((found ?? Infinity) / truth - 1)).toBeLessThan(share);
}

const sizes = (count: number): number[] => {
  const dice = new Random(6, 'prompts');
  return Array.from({ length: count }, () => Math.round(dice.between(100, 8_000)));
};

it('is told by requests that meet no other', () => {
  const known = prefillPace();
  known.learn(sizes(60).map((tokens, index) => prompt(index * 5, index * 5 + takes(tokens), tokens)), undefined);
  for (const tokens of [300, 2_000, 7_000]) near(known.seconds(tokens), takes(tokens), 0.03);
});

it('is not known before there are some, nor of a prompt of unknown length', () => {
  const known = prefillPace();
  expect(known.seconds(100)).toBeUndefined();
  known.learn(sizes(40).map((tokens, index) => prompt(index * 5, index * 5 + takes(tokens), undefined)), undefined);
  expect(known.seconds(100)).toBeUndefined();
  known.learn(sizes(40).map((tokens, index) => prompt(500 + index * 5, 500 + index * 5 + takes(tokens), tokens)), undefined);
  expect(known.seconds(undefined)).toBeUndefined();
  expect(known.seconds(100)).toBeDefined();
});

/** All arrive at once, and are worked off one by one. */
const queue = (begin: number, tokens: readonly number[]): Prefilled[] => {
  let at = begin;
  return tokens.map((each) => {
    at += takes(each);
    return prompt(begin, at, each);
  });
};

describe('requests that queue', () => {
  it('tell it by the time since the first token before theirs', () => {
    const known = prefillPace();
    known.learn(sizes(12).flatMap((_, round) => queue(round * 100, sizes(10).map((tokens) => tokens + round))), undefined);
    for (const tokens of [1_000, 5_000]) near(known.seconds(tokens), takes(tokens), 0.05);
  });

  it('do not spoil what undisturbed ones tell', () => {
    const known = prefillPace();
    const alone = sizes(40).map((tokens, index) => prompt(index * 5, index * 5 + takes(tokens), tokens));
    // Behind the queue something else held the engine up, which nothing tells.
    const held = Array.from({ length: 5 }, (_, round) => queue(1_000 + round * 100, sizes(10))).flat().map((each) => ({ ...each, firstToken: instant(each.firstToken + 3) }));
    known.learn([...alone, ...held], undefined);
    near(known.seconds(3_000), takes(3_000), 0.2);
  });

  it('tell it best where the engine says when it took them up', () => {
    const known = prefillPace();
    // Taken up one after the other, and worked on at the same time.
    const overlapping = sizes(80).map((tokens, index) => prompt(index * 0.2, index * 0.2 + takes(tokens), tokens, { tookUp: true }));
    known.learn(overlapping.toSorted((a, b) => a.firstToken - b.firstToken), undefined);
    for (const tokens of [300, 5_000]) near(known.seconds(tokens), takes(tokens), 0.03);
  });
});

it('leaves out the wait for the step under way', () => {
  const known = prefillPace();
  const step = 0.05;
  // Each comes while the one before it still decodes, and waits for half a step in the mean.
  known.learn(sizes(60).map((tokens, index) => prompt(index * 5, index * 5 + step / 2 + takes(tokens), tokens, { end: instant(index * 5 + 6) })), step);
  near(known.seconds(300), takes(300), 0.1);
  near(known.seconds(5_000), takes(5_000), 0.03);
});
