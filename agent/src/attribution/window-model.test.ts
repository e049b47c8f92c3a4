import { describe, expect, it } from 'vitest';
import { instant } from '@joulebook/shared/units.js';
import { Random } from '../simulate/random.js';
import type { Division, MeasuredPiece } from './attribution.js';
import { powerModel, type PowerModel } from './power-model.js';
import { windowModel } from './window-model.js';
import { NO_LOAD, type Counts } from './work.js';
import { countedOf, stretchOf } from './work.testing.js';

const IDLE = 100;
const HIGH = 600;
const PROMPT_JOULES = 0.03;
const STEP_JOULES = 4;

const knowingIdle = (): PowerModel => {
  const model = powerModel();
  for (let at = 0; at < 30; at += 1) model.learn({ at, seconds: 1, joules: IDLE, idle: 1, prefill: 0, decode: 0, load: NO_LOAD });
  return model;
};

const countsAt = (at: number, prefillTokens: number, decodeSteps: number): Counts => countedOf(at, at + 10, prefillTokens, decodeSteps * 8, decodeSteps);

/** A window of 10 s in ten pieces; `watts` over time. */
const piecesOf = (counts: Counts, watts: (second: number) => number): MeasuredPiece[] =>
  Array.from({ length: 10 }, (_, second) => {
    const at = counts.from + second;
    return { from: instant(at), to: instant(at + 1), energy: watts(second) * 1e6, stretch: stretchOf(at, at + 1, [], { groupEnd: counts.to, window: counts }) };
  });

/** Draws for its work, at the highest power until it is done. */
function drawn(counts: Counts): MeasuredPiece[] {
  let left = counts.prefillTokens * PROMPT_JOULES + counts.decodeSteps * STEP_JOULES;
  return piecesOf(counts, () => {
    const now = Math.min(left, HIGH - IDLE);
    left -= now;
    return IDLE + now;
  });
}

function joulesOf(pieces: readonly MeasuredPiece[], divided: readonly Division[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { shares, weight } of divided) for (const [phase, share] of shares.of) sums[phase] = (sums[phase] ?? 0) + (weight * share) / 1e6;
  expect(divided.length).toBe(pieces.length);
  return sums;
}

/** A model that has seen many windows. */
function experienced(): ReturnType<typeof windowModel> {
  const model = windowModel(knowingIdle());
  const dice = new Random(9, 'windows');
  for (let index = 0; index < 80; index += 1) model.divide(drawn(countsAt(index * 10, Math.round(dice.between(5_000, 60_000)), Math.round(dice.between(50, 400)))).map((piece) => ({ ...piece, energy: piece.energy * dice.between(0.95, 1.05) })));
  return model;
}

it('knows a window of one phase without having learnt anything', () => {
  const model = windowModel(powerModel());
  const [only] = model.divide(piecesOf(countsAt(0, 0, 300), () => 400));
  expect(only?.shares).toEqual({ of: new Map([['decode', 1]]), modelled: false });
  const [prompts] = model.divide(piecesOf(countsAt(0, 5_000, 0), () => 400));
  expect(prompts?.shares).toEqual({ of: new Map([['prefill', 1]]), modelled: false });
});

it('leaves windows with both active while it has seen only a few', () => {
  const model = windowModel(knowingIdle());
  for (const [index, steps] of [300, 100, 200, 50].entries()) for (const { shares } of model.divide(drawn(countsAt(index * 10, 10_000 * (index + 1), steps)))) expect([...shares.of.keys()]).toEqual(['active']);
});

it('leaves windows with both active where their prompts do not tell what they draw', () => {
  const model = windowModel(knowingIdle());
  const dice = new Random(10, 'noise');
  for (let index = 0; index < 80; index += 1) {
    const size = dice.between(0.5, 1.5);
    model.divide(drawn(countsAt(index * 10, 30_000 * size, 200 * size)).map((piece) => ({ ...piece, energy: piece.energy * dice.between(0.9, 1.1) })));
  }
  // As many prompt tokens as steps each time: the one can't be told from the other.
  for (const { shares } of model.divide(drawn(countsAt(800, 30_000, 200)))) expect([...shares.of.keys()]).toEqual(['active']);
});

describe('once many windows were seen', () => {
  it('divides one by what prompts and steps draw, each with the idle level of its time', () => {
    const model = experienced();
    const counts = countsAt(1_000, 40_000, 300);
    const pieces = drawn(counts);
    const found = joulesOf(pieces, model.divide(pieces));
    const [prompts, steps] = [40_000 * PROMPT_JOULES, 300 * STEP_JOULES];
    const ratio = prompts / steps;
    // Their own draw and the idle level of their time lie in the same ratio where both draw alike.
    expect(Math.abs((found['prefill'] ?? 0) / (found['decode'] ?? 1) / ratio - 1)).toBeLessThan(0.2);
  });

  it('sees in the power when nobody ran', () => {
    const model = experienced();
    const counts = countsAt(1_000, 10_000, 300);
    const pieces = drawn(counts);
    const divided = model.divide(pieces);
    const still = pieces.filter(({ energy }) => energy === IDLE * 1e6).length;
    expect(still).toBeGreaterThan(4);
    expect(divided.filter(({ shares }) => shares.of.has('idle')).length).toBe(still);
    expect(divided.every(({ shares }) => shares.modelled)).toBe(true);
  });

  it('weighs each piece by what was measured in it', () => {
    const model = experienced();
    const pieces = drawn(countsAt(1_000, 10_000, 300));
    expect(model.divide(pieces).map(({ weight }) => weight)).toEqual(pieces.map(({ energy }) => energy));
  });
});

it('does not learn from a window that was not seen whole', () => {
  const whole = experienced();
  const torn = experienced();
  for (let index = 0; index < 80; index += 1) {
    const counts = countsAt(2_000 + index * 10, 30_000 + (index % 7) * 5_000, 100 + (index % 5) * 60);
    torn.divide(drawn(counts).map((piece, second) => (second < 5 ? { ...piece, energy: 0 } : piece)));
  }
  const pieces = drawn(countsAt(10_000, 40_000, 300));
  expect((joulesOf(pieces, torn.divide(pieces))['prefill'] ?? 0) / (joulesOf(pieces, whole.divide(pieces))['prefill'] ?? 1)).toBeCloseTo(1, 2);
});
