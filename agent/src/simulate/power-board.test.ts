import { seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { Boards } from './power-board.js';
import type { Demand } from './power-law.js';
import { Random } from './random.js';
import { type BoardKind, PRESETS } from './scenario-hardware.js';

const STEADY: BoardKind = { ...PRESETS['h100-8b'].board, spread: 0, leakageWattsPerKelvin: 0, regulatorLoss: 0 };
const boardsOf = (kind: Partial<BoardKind> = {}, names: readonly string[] = ['GPU-0'], drift: (at: number) => number = () => 1): Boards =>
  new Boards({ ...STEADY, ...kind }, names, new Random(1, 'boards'), drift);
const wattsAt = (boards: Boards, at: number, index = 0): number => boards.traces[index]?.wattsAt(seconds(at)) ?? Number.NaN;

/** 300 W above loaded idle for 100 ms. */
const EASY: Demand = { seconds: 0.1, joules: 30, computeShare: 0.8 };
/** 900 W above loaded idle: more than there is. */
const HARD: Demand = { seconds: 0.1, joules: 90, computeShare: 0.8 };

describe('boards', () => {
  it('draw loaded idle and the work, and loaded idle between iterations', () => {
    const boards = boardsOf();
    boards.idle(1);
    const drawn = boards.run(1.1, EASY);
    expect(wattsAt(boards, 1.05)).toBeCloseTo(STEADY.loadedIdleWatts + 300, 9);
    // The climb from deep idle within the response time misses half of the difference.
    expect(drawn[0]).toBeCloseTo((STEADY.loadedIdleWatts + 300) * 0.1 - ((STEADY.loadedIdleWatts + 300 - STEADY.idleWatts) * STEADY.responseSeconds) / 2, 9);
    boards.wait(1.2);
    expect(wattsAt(boards, 1.15)).toBe(STEADY.loadedIdleWatts);
  });

  it('keep the clocks up for a while after the work, then go down', () => {
    const boards = boardsOf();
    boards.run(0.1, EASY);
    boards.idle(100);
    const down = 0.1 + STEADY.idleAfterSeconds;
    expect([wattsAt(boards, 1), wattsAt(boards, down - 0.01), wattsAt(boards, down + 0.01), wattsAt(boards, 99)]).toEqual([STEADY.loadedIdleWatts, STEADY.loadedIdleWatts, STEADY.idleWatts, STEADY.idleWatts]);
  });

  it('at the limit draw exactly the limit, for longer', () => {
    const boards = boardsOf();
    const lasts = boards.secondsFor(HARD);
    const clock = ((STEADY.capWatts - STEADY.loadedIdleWatts) / 900) ** (1 / 2.4);
    expect(lasts).toBeCloseTo(0.1 * (0.2 + 0.8 / clock), 12);
    boards.run(lasts, HARD);
    expect(wattsAt(boards, lasts - 0.001)).toBe(STEADY.capWatts);
    expect(boards.joulesAlone(HARD)).toBeCloseTo((STEADY.capWatts - STEADY.loadedIdleWatts) * lasts, 9);
    expect(boards.secondsFor(EASY)).toBe(EASY.seconds);
    expect(boards.joulesAlone(EASY)).toBeCloseTo(30, 9);
  });

  it('of one model keep step with the one that meets its limit first', () => {
    const names = ['GPU-0', 'GPU-1', 'GPU-2', 'GPU-3'];
    const boards = boardsOf({ spread: 0.05 }, names);
    const lasts = boards.secondsFor(HARD);
    boards.run(lasts, HARD);
    const levels = names.map((_, index) => wattsAt(boards, lasts - 0.001, index));
    expect(Math.max(...levels)).toBe(STEADY.capWatts);
    expect(new Set(boardsOf({ spread: 0.05 }, names).traces.map((trace) => trace.wattsAt(seconds(0)))).size).toBe(4);
    expect(Math.max(...levels) / Math.min(...levels)).toBeLessThan(1.1);
  });

  it('leak more when warm', () => {
    const boards = boardsOf({ leakageWattsPerKelvin: 0.4 });
    for (let step = 1; step <= 3000; step += 1) boards.run(step / 10, EASY);
    const settled = wattsAt(boards, 299.95) - wattsAt(boards, 0.05);
    // 300 W more warm it by 19 K, less what it leaks at its start.
    expect(settled).toBeGreaterThan(4);
    expect(settled).toBeLessThan(12);
    boards.idle(600);
    expect(wattsAt(boards, 599)).toBeLessThan(wattsAt(boards, 310));
  });

  it('lose in their regulators by the square of what they deliver', () => {
    const boards = boardsOf({ regulatorLoss: 0.14 });
    boards.run(0.1, EASY);
    boards.run(0.2, { ...EASY, joules: 15 });
    const lost = [wattsAt(boards, 0.05) - STEADY.loadedIdleWatts - 300, wattsAt(boards, 0.15) - STEADY.loadedIdleWatts - 150];
    expect(lost).toEqual([expect.closeTo((0.14 * 300 ** 2) / 700, 9), expect.closeTo((0.14 * 150 ** 2) / 700, 9)]);
  });

  it('draw by the drift more or less for the same work', () => {
    const boards = boardsOf({}, ['GPU-0'], (at) => (at < 1 ? 1 : 1.02));
    boards.run(0.1, EASY);
    boards.idle(2);
    boards.run(2.1, EASY);
    expect(wattsAt(boards, 2.05) - wattsAt(boards, 0.05)).toBeCloseTo(6, 9);
  });
});
