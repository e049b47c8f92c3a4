import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { holesOfUnusable, type PlacedRow } from './holes.js';

const row = (start: number, end: number): PlacedRow => ({ start: instant(start), end: instant(end) });
const holes = (...rows: PlacedRow[]): number[][] => holesOfUnusable(rows).map(({ from, to }) => [from, to]);

describe('holesOfUnusable', () => {
  it('leaves whole evidence whole', () => {
    expect(holes(row(0, 1), row(2, 3))).toEqual([]);
    expect(holes()).toEqual([]);
  });

  it('is open from the end of the request before to the start of the request after', () => {
    expect(holes(row(0, 1), 'unusable', row(5, 6), row(7, 8), 'unusable', 'unusable', row(9, 10))).toEqual([[1, 5], [8, 9]]);
  });

  it('is an instant at the head and at the tail of the file', () => {
    expect(holes('unusable', row(2, 3), row(4, 5), 'unusable')).toEqual([[2, 2], [5, 5]]);
  });

  it('covers where the neighbours overlap', () => {
    expect(holes(row(0, 9), 'unusable', row(5, 6))).toEqual([[5, 9]]);
  });

  it('is all of a file that is in no order', () => {
    expect(holes(row(5, 6), 'unusable', row(0, 1), 'unusable', row(2, 12))).toEqual([[0, 12]]);
  });

  it('says nothing of a file without a usable row', () => {
    expect(holes('unusable')).toEqual([]);
  });
});
