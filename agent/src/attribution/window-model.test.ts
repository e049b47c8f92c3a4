import { describe, expect, it } from 'vitest';
import { instant } from '@joulebook/shared/units.js';
import { Random } from '../simulate/random.js';
import type { Division, MeasuredPiece } from './attribution.js';
import { powerModel, type PowerModel } from './power-model.js';
import { windowModel, type WindowModel } from './window-model.js';
import { NO_LOAD, type Counts } from './work.js';
import { countedOf, stretchOf } from './work.testing.js';

const IDLE = 100;
const DECODE = 300;
const STEP = 0.01;
const SEQUENCES = 8;

/** A machine: what a thousand prompt tokens take, in steps, and what prompts draw above idle, relative to decode. */
interface Machine {
  readonly steps: number;
  readonly draws: number;
}
/** As it is expected to be. */
const USUAL: Machine = { steps: 4.4, draws: 1.6 };

const knowingIdle = (): PowerModel => {
  const model = powerModel();
  for (let at = 0; at < 30; at += 1) model.learn({ at, seconds: 1, joules: IDLE, idle: 1, prefill: NO_LOAD, decode: NO_LOAD, load: NO_LOAD });
  return model;
};

const countsAt = (at: number, prefillTokens: number, decodeSteps: number, rest: Partial<Counts> = {}): Counts => countedOf(at, at + 10, prefillTokens, decodeSteps * SEQUENCES, decodeSteps, rest);

/** A window of 10 s in ten pieces; `watts` over time. */
const piecesOf = (counts: Counts, watts: (second: number) => number): MeasuredPiece[] =>
  Array.from({ length: 10 }, (_, second) => {
    const at = counts.from + second;
    return { from: instant(at), to: instant(at + 1), energy: watts(second) * 1e6, stretch: stretchOf(at, at + 1, [], { groupEnd: counts.to, window: counts }) };
  });

interface Truth {
  readonly counts: Counts;
  readonly pieces: readonly MeasuredPiece[];
  /** Joules of prefill ÷ joules of decode, idle level included. */
  readonly ratio: number;
}

/** Prompts and steps for so many seconds, spread evenly over the end of the window; nobody before. */
function window(at: number, prompted: number, busy: number, { steps, draws }: Machine, noise = 1): Truth {
  const decodeSteps = Math.round((busy - prompted) / STEP);
  // A sequence waits for the prompts of others too.
  const counts = countsAt(at, Math.round((prompted / STEP / steps) * 1_000), decodeSteps, { sequenceSeconds: SEQUENCES * busy });
  const [prefill, decode] = [prompted * draws * DECODE * noise, decodeSteps * STEP * DECODE * noise];
  const watts = (prefill + decode) / busy;
  const pieces = piecesOf(counts, (second) => IDLE + (second >= 10 - busy ? watts : 0));
  return { counts, pieces, ratio: (prefill + IDLE * prompted) / (decode + IDLE * (busy - prompted)) };
}

function joulesOf(pieces: readonly MeasuredPiece[], divided: readonly Division[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { shares, weight } of divided) for (const [phase, share] of shares.of) sums[phase] = (sums[phase] ?? 0) + (weight * share) / 1e6;
  expect(divided.length).toBe(pieces.length);
  return sums;
}

/** How far the ratio of prefill to decode is off, relative, and how far it may be, as it is told. */
function found(model: WindowModel, { pieces, ratio }: Truth): { readonly error: number; readonly doubt: number } {
  const divided = model.divide(pieces);
  const { prefill = Number.NaN, decode = Number.NaN } = joulesOf(pieces, divided);
  return { error: prefill / decode / ratio - 1, doubt: divided[0]?.doubt ?? 0 };
}

interface Lessons {
  readonly windows?: number;
  /** Seconds of prompts in a window, at random between. */
  readonly prompted?: readonly [number, number];
  readonly busy?: number;
  readonly power?: PowerModel;
}

function experienced(machine: Machine, { windows = 80, prompted: [least, most] = [0.5, 5], busy = 10, power = knowingIdle() }: Lessons = {}): WindowModel {
  const model = windowModel(power);
  const dice = new Random(9, 'windows');
  for (let index = 0; index < windows; index += 1) model.divide(window(index * 10, dice.between(least, most), busy, machine, dice.between(0.97, 1.03)).pieces);
  return model;
}

const LATER = 10_000;

it('knows a window of one phase without having learnt anything', () => {
  const model = windowModel(powerModel());
  const [only] = model.divide(piecesOf(countsAt(0, 0, 300), () => 400));
  expect(only?.shares).toEqual({ of: new Map([['decode', 1]]), modelled: false });
  const [prompts] = model.divide(piecesOf(countsAt(0, 5_000, 0), () => 400));
  expect(prompts?.shares).toEqual({ of: new Map([['prefill', 1]]), modelled: false });
});

it('leaves windows with both active while it has seen only a few', () => {
  const model = windowModel(knowingIdle());
  const phases = [1, 2, 1, 3].map((prompted, index) => [...(model.divide(window(index * 10, prompted, 10, USUAL).pieces)[0]?.shares.of.keys() ?? [])]);
  expect(phases).toEqual([['active'], ['active'], ['active'], ['prefill', 'decode']]);
});

it('leaves windows active where nobody saw how many ran', () => {
  const model = windowModel(knowingIdle());
  for (let index = 0; index < 20; index += 1) {
    const { pieces, counts } = window(index * 10, 1 + (index % 3), 10, USUAL);
    const unseen: Counts = { ...counts, sequenceSeconds: undefined };
    for (const { shares } of model.divide(pieces.map((piece) => ({ ...piece, stretch: { ...piece.stretch, window: unseen } })))) expect([...shares.of.keys()]).toEqual(['active']);
  }
});

describe('once many windows were seen', () => {
  it('divides one by what prompts and steps draw, each with the idle level of its time', () => {
    expect(Math.abs(found(experienced(USUAL), window(LATER, 3, 10, USUAL)).error)).toBeLessThan(0.08);
  });

  it.each([1.1, 2.1])('has learnt what prompts draw: %s × decode', (draws) => {
    const machine = { ...USUAL, draws };
    expect(Math.abs(found(experienced(machine), window(LATER, 3, 10, machine)).error)).toBeLessThan(0.12);
  });

  it.each([3, 6])('states by how much the ratio may be off: prompts that take %s steps', (steps) => {
    const machine = { ...USUAL, steps };
    const { error, doubt } = found(experienced(machine), window(LATER, 2, 10, machine));
    expect(Math.abs(error)).toBeGreaterThan(0.1);
    expect(doubt).toBeGreaterThan(Math.abs(error));
  });

  it('states more doubt where prompts do not tell what they draw, or little was seen', () => {
    const sure = found(experienced(USUAL), window(LATER, 3, 10, USUAL)).doubt;
    expect(sure).toBeLessThan(0.4);
    // As many prompt tokens each time: the one can't be told from the other.
    expect(found(experienced(USUAL, { prompted: [3, 3.001] }), window(LATER, 3, 10, USUAL)).doubt).toBeGreaterThan(1.2 * sure);
    expect(found(experienced(USUAL, { windows: 5 }), window(LATER, 3, 10, USUAL)).doubt).toBeGreaterThan(1.2 * sure);
  });

  it('sees in the power when nobody ran', () => {
    const { pieces } = window(LATER, 1, 4, USUAL);
    const divided = experienced(USUAL).divide(pieces);
    expect(divided.map(({ shares }) => shares.of.has('idle'))).toEqual(pieces.map((_, second) => second < 6));
    expect(divided.every(({ shares }) => shares.modelled)).toBe(true);
  });

  it('takes no time for idle in which requests ran, whatever the power does', () => {
    const { pieces, counts } = window(LATER, 1, 4, USUAL);
    const wholly: Counts = { ...counts, wholly: true };
    for (const { shares } of experienced(USUAL).divide(pieces.map((piece) => ({ ...piece, stretch: { ...piece.stretch, window: wholly } })))) expect(shares.of.has('idle')).toBe(false);
  });

  it('learns as well from windows in which somebody comes and goes', () => {
    expect(Math.abs(found(experienced(USUAL, { prompted: [0.2, 2], busy: 4 }), window(LATER, 3, 10, USUAL)).error)).toBeLessThan(0.08);
  });

  it('finds the idle level inside windows where no other evidence tells it', () => {
    const divided = experienced(USUAL, { prompted: [0.2, 2], busy: 4, power: powerModel() }).divide(window(LATER, 1, 4, USUAL).pieces);
    expect(divided.map(({ shares }) => shares.of.has('idle'))).toEqual(divided.map((_, second) => second < 6));
  });

  it('takes nothing for idle where somebody always ran', () => {
    const { pieces } = window(LATER, 3, 10, USUAL);
    for (const { shares } of experienced(USUAL, { power: powerModel() }).divide(pieces)) expect(shares.of.has('idle')).toBe(false);
  });

  it('leaves a window active whose prompts may have been computed again, uncounted', () => {
    const { pieces, counts } = window(LATER, 3, 10, USUAL);
    const again: Counts = { ...counts, recomputes: true };
    for (const { shares } of experienced(USUAL).divide(pieces.map((piece) => ({ ...piece, stretch: { ...piece.stretch, window: again } })))) expect([...shares.of.keys()]).toEqual(['active']);
  });

  it('does not take the whole window for prompts that were computed before it', () => {
    const counts = countsAt(LATER, 400_000, 100);
    const { prefill = 0, decode = 0 } = joulesOf(piecesOf(counts, () => 500), experienced(USUAL).divide(piecesOf(counts, () => 500)));
    expect(decode / (prefill + decode)).toBeGreaterThan(0.05);
  });

  it('weighs each piece by what was measured in it', () => {
    const { pieces } = window(LATER, 1, 4, USUAL);
    expect(experienced(USUAL).divide(pieces).map(({ weight }) => weight)).toEqual(pieces.map(({ energy }) => energy));
  });
});

describe('learns nothing', () => {
  const windows = Array.from({ length: 40 }, (_, index) => window(2_000 + index * 10, 0.5 + (index % 7) * 0.6, 10, { ...USUAL, draws: 2.5 }));
  const probe = window(LATER, 3, 10, USUAL);
  const without = found(experienced(USUAL), probe);

  it('from a window that was not seen whole', () => {
    const model = experienced(USUAL);
    for (const { pieces } of windows) model.divide(pieces.map((piece, second) => (second < 5 ? { ...piece, energy: 0 } : piece)));
    expect(found(model, probe)).toEqual(without);
  });

  it('from a window that another device, or an earlier reading of the recording, has told of', () => {
    const once = experienced(USUAL);
    for (const { pieces } of windows) once.divide(pieces);
    const twice = experienced(USUAL);
    for (const { pieces } of [...windows, ...windows]) twice.divide(pieces);
    expect(found(twice, probe)).toEqual(found(once, probe));
    expect(found(once, probe)).not.toEqual(without);
  });
});
