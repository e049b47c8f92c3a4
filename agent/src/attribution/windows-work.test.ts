import { expect, it } from 'vitest';
import { windowPace } from './window-pace.js';
import { windowsWork, type WindowPart } from './windows-work.js';
import type { Counts } from './work.js';
import type { WindowEvidence } from '../sources/source.js';
import { countsOf, windowOf } from './work.testing.js';

/** A line of statistics: no counter of steps, running requests at its end. */
const line = (at: number, running: number, rest: Partial<WindowEvidence> = {}): WindowEvidence => windowOf(at, at + 10, { tokens: countsOf(2_000, 500), credits: 'firstToken', running, busy: running, ...rest });

const partsOf = (...lines: readonly WindowEvidence[]): WindowPart[] => {
  const work = windowsWork(windowPace());
  return lines.flatMap((each) => work.parts(each, true));
};
const countsIn = (...lines: readonly WindowEvidence[]): (Counts | undefined)[] => partsOf(...lines).map(({ counts }) => counts);

it('leaves windows whose steps nobody counted whole, however many there were', () => {
  const parts = partsOf(...Array.from({ length: 60 }, (_, index) => line(index * 10, 4 + (index % 3))));
  expect(parts).toHaveLength(60);
  for (const { state, work } of parts) expect([state, work]).toEqual(['work', undefined]);
});

it('tells how long sequences ran by those at both ends', () => {
  const [, second, third] = countsIn(line(0, 2), line(10, 4), line(20, 0));
  expect([second?.sequenceSeconds, third?.sequenceSeconds]).toEqual([30, 20]);
});

it('does not tell it where one end was not seen', () => {
  const [first, , afterGap, silent] = countsIn(line(0, 2), line(10, 4), line(40, 4), windowOf(50, 60, { tokens: countsOf(1, 1), credits: 'firstToken' }));
  expect([first?.sequenceSeconds, afterGap?.sequenceSeconds, silent?.sequenceSeconds]).toEqual([undefined, undefined, undefined]);
});

it('tells how many engines a line sums up', () => {
  expect(countsIn(line(0, 4), line(0, 4, { engines: 2 })).map((counts) => counts?.ranks)).toEqual([1, 2]);
});

const recomputes = (rest: Partial<WindowEvidence>): boolean | undefined => countsIn(line(0, 4, rest))[0]?.recomputes;

it('tells where a full cache throws out sequences whose prompts are computed again', () => {
  const full = { busy: 9, kvUsage: 0.95 };
  expect(recomputes(full)).toBe(true);
  expect(recomputes({ ...full, busy: 4 })).toBe(false);
  expect(recomputes({ ...full, kvUsage: 0.6 })).toBe(false);
  expect(recomputes({ ...full, prefillTokens: 2_500 })).toBe(false);
});
