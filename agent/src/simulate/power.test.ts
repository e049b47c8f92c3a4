import { seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { sumOf, WrittenTrace } from './power.js';

const s = seconds;

/** 100 W for 1 s, up to 300 W within 10 ms and so until 2 s, then 50 W until 4 s. */
const written = (): WrittenTrace => {
  const trace = new WrittenTrace('GPU-0', 100, 0.01);
  trace.draw(1, 100);
  trace.draw(2, 300);
  trace.draw(4, 50);
  return trace;
};

describe('a trace', () => {

  it('goes to a new level within the response time and stays there', () => {
    const trace = written();
    expect([0, 0.5, 1, 1.005, 1.01, 1.5, 2, 2.01, 4].map((at) => trace.wattsAt(s(at)))).toEqual([100, 100, 100, expect.closeTo(200, 9), 300, 300, 300, 50, 50]);
    expect([trace.start, trace.until]).toEqual([0, 4]);
  });

  it('tells exact energy at any moment', () => {
    const trace = written();
    for (const [at, energy] of [[0, 0], [1, 100], [1.005, 100.75], [1.01, 102], [2, 399], [2.01, 400.75], [4, 500.25]] as const) expect(trace.joulesUntil(s(at)), `${at} s`).toBeCloseTo(energy, 9);
  });

  it('says what each stretch drew, also one shorter than the response', () => {
    const trace = new WrittenTrace('GPU-0', 0, 0.01);
    expect(trace.draw(0.005, 100)).toBeCloseTo(0.125, 12);
    expect(trace.wattsAt(s(0.005))).toBeCloseTo(50, 9);
    expect(trace.draw(0.025, 100)).toBeCloseTo(0.75 + 1, 12);
    expect(trace.draw(0.025, 700)).toBe(0);
  });

  it('answers in any order', () => {
    const trace = new WrittenTrace('GPU-0', 0, 0.001);
    for (let index = 1; index <= 3000; index += 1) trace.draw(index, index % 7);
    const moments = Array.from({ length: 500 }, (_, index) => (index * 977.31) % 3000);
    const shuffled = moments.map((at) => trace.joulesUntil(s(at)));
    const fresh = moments.toSorted((a, b) => a - b).map((at) => [at, trace.joulesUntil(s(at))] as const);
    expect(new Map(moments.map((at, index) => [at, shuffled[index]]))).toEqual(new Map(fresh));
  });

  it.each([-0.001, 4.001, Number.NaN])('refuses a moment that it does not know: %s', (at) => {
    expect(() => written().wattsAt(s(at))).toThrow(RangeError);
    expect(() => written().joulesUntil(s(at))).toThrow(/GPU-0/);
  });

  it('forgets what is past, and keeps counting from second 0', () => {
    const trace = written();
    trace.forget(s(1.5));
    expect(trace.start).toBe(1.01);
    expect(trace.joulesUntil(s(4))).toBeCloseTo(500.25, 9);
    expect(() => trace.wattsAt(s(1))).toThrow(RangeError);
    trace.draw(5, 50);
    expect(trace.joulesUntil(s(5))).toBeCloseTo(550.25, 9);
    trace.forget(s(0));
    expect(trace.start).toBe(1.01);
    trace.forget(s(99));
    expect([trace.start, trace.until, trace.wattsAt(s(5))]).toEqual([5, 5, 50]);
  });
});

it('a sum adds a constant and its parts, each times its factor, as far as all are known', () => {
  const a = new WrittenTrace('a', 10, 0.01);
  const b = new WrittenTrace('b', 20, 0.01);
  a.draw(10, 10);
  b.draw(8, 20);
  const sum = sumOf('server', 5, [{ trace: a, factor: 2 }, { trace: b, factor: 1 }]);
  expect([sum.start, sum.until, sum.wattsAt(s(4)), sum.joulesUntil(s(8))]).toEqual([0, 8, 45, 360]);
  expect(() => sum.wattsAt(s(9))).toThrow(RangeError);
  sum.forget(s(6));
  expect([a.start, b.start]).toEqual([0, 0]);
  sum.forget(s(8));
  expect(b.start).toBe(8);
});
