import { describe, expect, it } from 'vitest';
import { Random } from '../simulate/random.js';
import { speed, type Speed } from './speed.js';
import { stepsOf } from './work.testing.js';

/** The made-up engine: both kinds of iteration read the weights in 8 ms. */
const WEIGHTS = 0.008;
const prefillTakes = (tokens: number): number => WEIGHTS + 2e-5 * tokens + 1e-9 * tokens ** 2;
const decodeTakes = (sequences: number, kvTokens: number): number => WEIGHTS + 5e-5 * sequences + 2e-8 * kvTokens;
/** One iteration that does both reads the weights once. */
const mixedTakes = (tokens: number, sequences: number, kvTokens: number): number => prefillTakes(tokens) + decodeTakes(sequences, kvTokens) - WEIGHTS;

function near(found: number | undefined, truth: number, share: number): void {
  expect(Math.abs((found ?? Infinity) / truth - 1)).toBeLessThan(share);
}

/** Iterations one after the other; `told` says how their moments are told. */
function run(fit: Speed, count: number, kind: (index: number) => 'prefill' | 'decode' | 'mixed', timing: 'exact' | 'inferred' = 'exact', begin = 0): number {
  const dice = new Random(3, 'iterations');
  let at = begin;
  let said = begin;
  for (let index = 0; index < count; index += 1) {
    const what = kind(index);
    const tokens = what === 'decode' ? 0 : Math.round(dice.between(100, 3_000));
    const sequences = what === 'prefill' ? 0 : Math.round(dice.between(1, 100));
    const kvTokens = sequences * 1_000;
    at += what === 'mixed' ? mixedTakes(tokens, sequences, kvTokens) : what === 'prefill' ? prefillTakes(tokens) : decodeTakes(sequences, kvTokens);
    // Moments that are only inferred: the order and the whole are right, where one ends and the next begins is anybody's guess.
    const until = timing === 'exact' ? at : said + (at - said) * dice.between(0.3, 1);
    fit.learn(stepsOf(said, until, tokens, sequences, { kvTokens, timing }));
    said = until;
  }
  return at;
}

describe('iterations of one kind', () => {
  it('tell how long each kind takes', () => {
    const fit = speed();
    run(fit, 400, (index) => (index % 2 === 0 ? 'prefill' : 'decode'));
    for (const tokens of [200, 1_000, 2_500]) near(fit.prefill(tokens), prefillTakes(tokens), 0.03);
    for (const sequences of [2, 20, 90]) near(fit.decode(sequences, sequences * 1_000), decodeTakes(sequences, sequences * 1_000), 0.03);
  });

  it('tell it through noise', () => {
    const fit = speed();
    const dice = new Random(4, 'noise');
    for (let index = 0; index < 2_000; index += 1) fit.learn(stepsOf(index, index + prefillTakes(500 + (index % 4) * 500) * (1 + 0.1 * dice.normal()), 500 + (index % 4) * 500, 0));
    near(fit.prefill(1_000), prefillTakes(1_000), 0.05);
  });

  it('tell nothing about the other', () => {
    const fit = speed();
    run(fit, 100, () => 'prefill');
    expect(fit.decode(10, 1_000)).toBeUndefined();
    expect(speed().prefill(100)).toBeUndefined();
  });

  it('in runs of like ones tell the same as one by one', () => {
    const fit = speed();
    for (let index = 0; index < 50; index += 1) {
      const sequences = 1 + (index % 10) * 8;
      fit.learn(stepsOf(index, index + 20 * decodeTakes(sequences, sequences * 1_000), 0, sequences, { steps: 20, kvTokens: sequences * 1_000 }));
    }
    near(fit.decode(33, 33_000), decodeTakes(33, 33_000), 0.03);
  });
});

describe('an engine that mixes all its prefill with decode', () => {
  it('tells prefill by what decode leaves of its iterations', () => {
    const fit = speed();
    run(fit, 100, () => 'decode');
    run(fit, 400, (index) => (index % 2 === 0 ? 'mixed' : 'decode'), 'exact', 100);
    for (const tokens of [500, 1_500, 2_500]) near(fit.prefill(tokens), prefillTakes(tokens), 0.06);
  });

  it('never makes an iteration shorter than a step without sequences', () => {
    const fit = speed();
    run(fit, 100, () => 'decode');
    for (let index = 0; index < 100; index += 1) fit.learn(stepsOf(100 + index, 100 + index + 0.002, 10, 1));
    expect(fit.prefill(1)).toBeGreaterThanOrEqual(fit.decode(0, 0) ?? Infinity);
  });
});

describe('iterations of which only the order is known', () => {
  it('are fitted by the seconds that many of them take together', () => {
    const fit = speed();
    const dice = new Random(5, 'lines');
    let at = 0;
    let until = 0;
    const open: { tokens: number; sequences: number }[] = [];
    // A line each second says what ran since the last; in it each iteration is given the same time.
    for (let second = 1; second < 900; second += 1) {
      while (until < second) {
        const prompt = dice.chance(0.3) ? Math.round(dice.between(100, 3_000)) : 0;
        const sequences = Math.round(dice.between(1, 100));
        until += prompt > 0 ? mixedTakes(prompt, sequences, sequences * 1_000) : decodeTakes(sequences, sequences * 1_000);
        open.push({ tokens: prompt, sequences });
      }
      for (const [index, { tokens, sequences }] of open.entries()) fit.learn(stepsOf(at + ((until - at) * index) / open.length, at + ((until - at) * (index + 1)) / open.length, tokens, sequences, { kvTokens: sequences * 1_000, timing: 'inferred' }));
      open.length = 0;
      at = until;
    }
    near(fit.decode(50, 50_000), decodeTakes(50, 50_000), 0.15);
    // Of a prompt only what it adds can be told from the order alone.
    const adds = (fit.prefill(2_500) ?? 0) - (fit.prefill(500) ?? 0);
    near(adds, prefillTakes(2_500) - prefillTakes(500), 0.2);
  });

  it('do not spoil what exact moments tell', () => {
    const fit = speed();
    for (let index = 0; index < 60; index += 1) fit.learn(stepsOf(index, index + 3 * decodeTakes(20, 20_000), 0, 20, { kvTokens: 20_000, timing: 'inferred' }));
    run(fit, 400, (index) => (index % 2 === 0 ? 'prefill' : 'decode'), 'exact', 1_000);
    expect(fit.trustsMoments()).toBe(true);
    near(fit.decode(20, 20_000), decodeTakes(20, 20_000), 0.03);
  });
});

describe('moments are believed', () => {
  it('of an engine that tells most of them', () => {
    const fit = speed();
    run(fit, 100, () => 'decode');
    expect(fit.trustsMoments()).toBe(true);
  });

  it('not of one that leaves most to be inferred', () => {
    const fit = speed();
    run(fit, 100, () => 'decode', 'inferred');
    run(fit, 10, () => 'decode', 'exact', 1_000);
    expect(fit.trustsMoments()).toBe(false);
  });
});

it('learns nothing from iterations without length', () => {
  const fit = speed();
  for (let index = 0; index < 50; index += 1) fit.learn(stepsOf(index, index, 100, 0));
  for (let index = 0; index < 50; index += 1) fit.learn(stepsOf(index, index + 1, 0, 5, { steps: 0 }));
  expect([fit.prefill(100), fit.decode(5, 0)]).toEqual([undefined, undefined]);
});
