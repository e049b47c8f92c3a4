import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { Settled } from './settled.js';

it('agrees with a set of numbers, in any order', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(40), fc.nat(6)), { maxLength: 40 }), (adds) => {
      const settled = new Settled();
      const known = new Set<number>();
      for (const [first, more] of adds) {
        settled.add(first, first + more);
        for (let position = first; position <= first + more; position += 1) known.add(position);
      }
      const all = Array.from({ length: 60 }, (_, position) => position);
      expect(all.filter((position) => settled.has(position))).toEqual(all.filter((position) => known.has(position)));
      for (const from of all) expect(settled.nextOpen(from)).toBe(Array.from({ length: 100 }, (_, more) => from + more).find((position) => !known.has(position)));
      expect(settled.countOpen(5, 45)).toBe(all.filter((position) => position >= 5 && position < 45 && !known.has(position)).length);
      expect(settled.highest).toBe(Math.max(-1, ...known));
      expect(Settled.parse(settled.text)?.text).toBe(settled.text);
      // As short as can be: a run of settled positions is one range, and the first run is the low-water mark.
      const runs = all.filter((position) => known.has(position) && !known.has(position - 1)).length;
      expect(settled.text.split(' ')).toHaveLength(known.has(0) ? runs : runs + 1);
    }),
  );
});

it('is written as a low-water mark and ranges', () => {
  const settled = new Settled(41);
  for (let position = 44; position <= 612; position += 1) settled.add(position);
  expect(settled.text).toBe('41 44-612');
  settled.add(43);
  settled.add(42);
  expect(settled.text).toBe('612');
  expect(['', '5 7', '5 7-', 'x', '5 9-7'].map((text) => Settled.parse(text)?.text)).toEqual([undefined, undefined, undefined, undefined, '5']);
});
