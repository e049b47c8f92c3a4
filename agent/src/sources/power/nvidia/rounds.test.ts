import { describe, expect, it } from 'vitest';
import { placeByRound, roundsOf } from './rounds.js';

/** Steps of `count` rounds of `size` rows, 5 ms apart, then a pause. */
const steps = (size: number, count: number, pause = 105): number[] => Array.from({ length: count }, () => [...Array.from({ length: size - 1 }, () => 5), pause]).flat().slice(0, -1);

describe('roundsOf', () => {
  it.each([2, 3, 4, 8, 16])('sees rounds of %d rows', (size) => {
    expect(roundsOf(steps(size, 50)).size).toBe(size);
  });

  it('sees rows with the same stamp as one round', () => {
    expect(roundsOf([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0]).size).toBe(4);
  });

  it('sees one row per round in a steady log, gaps or not', () => {
    expect(roundsOf(Array.from({ length: 100 }, (_, index) => (index % 20 === 0 ? 454 : 105))).size).toBe(1);
  });

  it('does not take the stalls of a fast log of one GPU for rounds', () => {
    let seed = 1;
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    expect(roundsOf(Array.from({ length: 2000 }, () => (random() < 0.05 ? 92 : 7)))).not.toHaveProperty('size');
  });

  it('is not sure of fewer than nine in ten rounds', () => {
    const mixed = [...steps(4, 70), 105, ...steps(3, 30)];
    expect(roundsOf(mixed).size).toBeUndefined();
    expect(roundsOf(mixed).mostly).toBe(4);
  });

  it('gives a row without a time its place in the round', () => {
    const torn: (number | undefined)[] = steps(4, 50);
    torn[8] = undefined;
    torn[9] = undefined;
    expect(roundsOf(torn).size).toBe(4);
  });
});

/** Rounds written as words: each letter a row, each word a group between pauses. */
const place = (text: string, size: number): { placed: string; lost: string } => {
  const lost: string[] = [];
  const placing = placeByRound<string>(size, (row) => lost.push(row));
  const placed = text
    .split(' ')
    .flatMap((group) => group.split('').flatMap((row, index) => placing.next(row, row === '?' ? undefined : index === 0 || group.slice(0, index) === '?'.repeat(index))))
    .concat(placing.end());
  return { placed: placed.map(({ row, place: at }) => `${row}${at}`).join(' '), lost: lost.join('') };
};

describe('placeByRound', () => {
  it('gives every row of a whole round its place', () => {
    expect(place('abc abc', 3)).toEqual({ placed: 'a0 b1 c2 a0 b1 c2', lost: '' });
  });

  it('loses a round that lacks a row, and no other', () => {
    expect(place('abc ac abc abc', 3)).toEqual({ placed: 'a0 b1 c2 a0 b1 c2 a0 b1 c2', lost: 'ac' });
  });

  it('loses a round with a row too many, and no other', () => {
    expect(place('abc abbc abc', 3)).toEqual({ placed: 'a0 b1 c2 a0 b1 c2', lost: 'abbc' });
  });

  it('joins a round that a stall split, and parts two that ran together', () => {
    expect(place('a bc abc', 3)).toEqual({ placed: 'a0 b1 c2 a0 b1 c2', lost: '' });
    expect(place('abcabc abc', 3)).toEqual({ placed: 'a0 b1 c2 a0 b1 c2 a0 b1 c2', lost: '' });
  });

  it('gives a row that says no time its place, first, middle or last', () => {
    expect(place('abc ?bc abc', 3)).toEqual({ placed: 'a0 b1 c2 ?0 b1 c2 a0 b1 c2', lost: '' });
    expect(place('abc a?c abc', 3)).toEqual({ placed: 'a0 b1 c2 a0 ?1 c2 a0 b1 c2', lost: '' });
    expect(place('abc ab? abc', 3)).toEqual({ placed: 'a0 b1 c2 a0 b1 ?2 a0 b1 c2', lost: '' });
    expect(place('abc ??c abc', 3)).toEqual({ placed: 'a0 b1 c2 ?0 ?1 c2 a0 b1 c2', lost: '' });
    expect(place('abc ab? ?bc abc', 3)).toEqual({ placed: 'a0 b1 c2 a0 b1 ?2 ?0 b1 c2 a0 b1 c2', lost: '' });
  });

  it('knows the places of a last round that was cut short', () => {
    expect(place('abc ab', 3)).toEqual({ placed: 'a0 b1 c2 a0 b1', lost: '' });
    expect(place('abc ab ab', 3)).toEqual({ placed: 'a0 b1 c2 a0 b1', lost: 'ab' });
  });
});
