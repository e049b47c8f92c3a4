import { describe, expect, it } from 'vitest';
import type { Block } from './block.js';
import { MINUTE, series } from './method.testing.js';
import { durationOf, LEAST_CYCLES, piecesOf, unitsOf } from './pieces.js';

const minutes = (count: number, at = 0): Block[] => series({ count, at: at * MINUTE, figure: () => 2 });
const times = (count: number, value: number): number[] => Array.from({ length: count }, () => value);
const sizes = (pieceOf: Int32Array, count: number): number[] => Array.from({ length: count }, (_, piece) => pieceOf.filter((each) => each === piece).length);

const turns = (cycles: number, side: number): Block[] => Array.from({ length: cycles }, (_, cycle) => minutes(10, 20 * cycle + 10 * side)).flat();
const unit = (name: string): Block[] => series({ count: 3, figure: () => 2, unit: name });

it('a run is a piece', () => {
  expect(piecesOf(minutes(2), minutes(3), 'runs')).toMatchObject({ pieceOf: Int32Array.of(0, 1, 2, 3, 4), strata: [{ first: 0, count: 2 }, { first: 2, count: 3 }], memory: 'none' });
});

describe('before and after', () => {
  it('has stretches of one length on both sides, whole blocks each', () => {
    const { pieceOf, strata, count } = piecesOf(minutes(640), minutes(320, 640), 'before-after');
    expect(strata).toEqual([{ first: 0, count: 64 }, { first: 64, count: 32 }]);
    expect(sizes(pieceOf, count)).toEqual(times(96, 10));
  });

  it('does not cut the longer side finer and finer as the other gets shorter', () => {
    expect(piecesOf(minutes(9600), minutes(500, 9600), 'before-after').strata).toEqual([{ first: 0, count: 96 }, { first: 96, count: 5 }]);
  });

  it('has no more pieces than blocks, and no pieces of one and of two blocks in turns', () => {
    expect(piecesOf(minutes(10), minutes(10, 10), 'before-after').strata).toEqual([{ first: 0, count: 10 }, { first: 10, count: 10 }]);
    const { pieceOf, count } = piecesOf(minutes(48), minutes(48, 48), 'before-after');
    expect(sizes(pieceOf, count)).toEqual(times(48, 2));
  });

  it('counts time that was measured, not time that passed', () => {
    const nights = [...minutes(320), ...minutes(320, 100_000)];
    const { pieceOf } = piecesOf(nights, minutes(640, 200_000), 'before-after');
    expect(sizes(pieceOf.subarray(0, 640), 32)).toEqual(times(32, 20));
  });
});

it('keeps nodes together that were measured at the same time, and counts their time once', () => {
  const two = [...minutes(96), ...minutes(96)];
  const { pieceOf, strata } = piecesOf(two, minutes(96, 200), 'before-after');
  expect(strata).toEqual([{ first: 0, count: 32 }, { first: 32, count: 32 }]);
  expect(pieceOf.subarray(0, 96)).toEqual(pieceOf.subarray(96, 192));
  expect(durationOf(two)).toBe(96 * MINUTE);
  expect(durationOf([...minutes(4), ...series({ count: 2, step: 2.5 * MINUTE, figure: () => 2 })])).toBe(5 * MINUTE);
});

it('in parallel has stretches of both sides that begin together, whatever order blocks come in', () => {
  const late = minutes(96);
  const [a, b] = [[...late.slice(48), ...late.slice(0, 48)], late.toReversed()];
  const { pieceOf, strata, paired } = piecesOf(a, b, 'parallel');
  expect([strata, paired]).toEqual([[{ first: 0, count: 32 }], true]);
  const ofLate = Int32Array.from(late, (_, index) => Math.floor(index / 3));
  expect(pieceOf).toEqual(Int32Array.of(...ofLate.subarray(48), ...ofLate.subarray(0, 48), ...ofLate.toReversed()));
});

describe('taking turns', () => {
  it('has a piece for each turn of A with the turn of B after it', () => {
    const { pieceOf, strata, memory } = piecesOf(turns(12, 0), turns(12, 1), 'switchback');
    expect([strata, memory]).toEqual([[{ first: 0, count: 12 }], 'turns']);
    expect([...pieceOf.subarray(110, 120), ...pieceOf.subarray(230)]).toEqual(times(20, 11));
  });

  it('joins many cycles, and leaves a turn without its other to the cycle before', () => {
    const { pieceOf, count } = piecesOf([...turns(64, 0), ...minutes(10, 1280)], turns(64, 1), 'switchback');
    expect(sizes(pieceOf, count)).toEqual([...times(31, 40), 50]);
  });

  it('of few turns are two long periods', () => {
    expect(piecesOf(turns(LEAST_CYCLES - 1, 0), turns(LEAST_CYCLES - 1, 1), 'switchback')).toMatchObject({ paired: false, memory: 'drift', strata: [{}, {}] });
  });
});

it('units are pieces where each side has two and every block names its own', () => {
  expect(unitsOf([...unit('n1'), ...unit('n2')], [...unit('n3'), ...unit('n4')])).toMatchObject({ pieceOf: Int32Array.of(0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3), strata: [{ first: 0, count: 2 }, { first: 2, count: 2 }], memory: 'none' });
  expect(unitsOf([...unit('n1'), ...unit('n2')], unit('n3'))).toBeUndefined();
  expect(unitsOf([...unit('n1'), ...minutes(2)], [...unit('n3'), ...unit('n4')])).toBeUndefined();
});
