import { array, assert, integer, property, record } from 'fast-check';
import { expect, it } from 'vitest';
import { joined, overlaps, type Spans } from './spans.js';

const span = record({ from: integer({ min: 0, max: 60 }), length: integer({ min: 1, max: 12 }) });

it('covers exactly the moments that were put in, in whatever order they come', () => {
  assert(
    property(array(span, { maxLength: 20 }), span, (parts, asked) => {
      const moments = new Set(parts.flatMap(({ from, length }) => Array.from({ length }, (_, index) => from + index)));
      const spans = parts.reduce<Spans>((all, { from, length }) => joined(all, { from, to: from + length }), []);
      expect(spans.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(moments.size);
      for (const [index, { from }] of spans.entries()) expect(from).toBeGreaterThan(spans[index - 1]?.to ?? -1);
      const wanted = Array.from({ length: asked.length }, (_, index) => asked.from + index).some((moment) => moments.has(moment));
      expect(overlaps(spans, { from: asked.from, to: asked.from + asked.length })).toBe(wanted);
    }),
  );
});
