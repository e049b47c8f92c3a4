import { describe, expect, it } from 'vitest';
import type { Happening } from '../trace.js';
import { iteration, request } from './engine-parts.testing.js';
import { inOrderOfEnd } from './in-order.js';

const run = (from: number, to: number, rank = 0): Happening => ({ kind: 'iteration', iteration: iteration(from, to, { rank }) });
const over = (id: number, end: number): Happening => ({ kind: 'request', request: request(id, end) });

describe('happenings in the order of their end', () => {
  it('puts iterations of overlapping ranks in order, and requests behind the iteration that they ended with', () => {
    const told = [...inOrderOfEnd([run(0, 5), over(1, 5), run(1, 2, 1), run(2, 3, 1), over(2, 3), run(3, 7, 1), run(5.5, 6)])];
    expect(told.map(({ at, happening }) => [at, happening.kind])).toEqual([[2, 'iteration'], [3, 'iteration'], [3, 'request'], [5, 'iteration'], [5, 'request'], [6, 'iteration'], [7, 'iteration']]);
  });

  it('tells what has ended as soon as something begins later', () => {
    const taken: string[] = [];
    const source = function* (): Generator<Happening> {
      for (const each of [run(0, 1), run(1, 2), run(2, 3)]) {
        taken.push('made');
        yield each;
      }
    };
    for (const { at } of inOrderOfEnd(source())) taken.push(`told ${at}`);
    expect(taken).toEqual(['made', 'made', 'told 1', 'made', 'told 2', 'told 3']);
  });
});
