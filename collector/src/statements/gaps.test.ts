import { expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { gapsIn } from './gaps.js';

const HOUR = 3600e6;
const window = { from: epochMicros(0), to: epochMicros(2 * HOUR) };
/** Device seconds of each quarter of an hour. */
const seen = (...quarters: number[]) => new Map(quarters.map((each, index) => [index * 900e6, each]));

it('lists quarters that lack more than 1 %, neighbours as one, and sums what hardly matters', () => {
  const { gaps, besidesSeconds } = gapsIn('n', 2, seen(1800, 1795, 900, 0, 0, 1800, 1800, 1700), window);
  expect(gaps).toEqual([{ node: 'n', from: 2 * 900e6, to: 5 * 900e6, deviceSeconds: 900 + 1800 + 1800 }, { node: 'n', from: 7 * 900e6, to: 8 * 900e6, deviceSeconds: 100 }]);
  expect(besidesSeconds).toBe(5);
});

it('takes what a long fact has beyond its quarter for the next one', () => {
  expect(gapsIn('n', 1, seen(1200, 600, 1200, 600, 1200, 600, 1200, 600), window)).toEqual({ gaps: [], besidesSeconds: 0 });
});

it('owes for parts of quarters at the ends of a window', () => {
  expect(gapsIn('n', 1, new Map([[0, 600]]), { from: epochMicros(300e6), to: epochMicros(960e6) }).gaps).toEqual([{ node: 'n', from: 900e6, to: 960e6, deviceSeconds: 60 }]);
});
