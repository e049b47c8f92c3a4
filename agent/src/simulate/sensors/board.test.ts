import { seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { shownJoules, shownWatts, trueJoules, type BoardError, type PowerPace } from './board.js';
import { squareWave, stepPower } from './known-trace.testing.js';

const EXACT: BoardError = { gain: 1, offset: 0 };
const pace = (window: number, refresh: number, more: Partial<PowerPace> = {}): PowerPace => ({ window: seconds(window), refresh: seconds(refresh), delay: seconds(0), phase: seconds(0), ...more });

/** Energy error in per cent of who integrates what a sensor shows over 6 s, looking every `period`, from second 10. */
function errorOf(loadPeriod: number, sensor: PowerPace, period: number, error = EXACT): number {
  const wave = squareWave(70, 650, loadPeriod);
  const joules = trueJoules(wave);
  let sum = 0;
  const looks = Math.round(6 / period);
  for (let look = 0; look < looks; look += 1) sum += (shownWatts(joules, sensor, error, 10 + look * period) + shownWatts(joules, sensor, error, 10 + (look + 1) * period)) * (period / 2);
  return (sum / (joules(16) - joules(10)) - 1) * 100;
}

describe('power that a board shows', () => {
  it('of a step is a ramp as long as the average, in steps of one refresh', () => {
    const joules = trueJoules(stepPower(100, 500, 5));
    const sensor = pace(1, 0.1);
    const shown = [4.95, 5.0501, 5.25, 5.75, 5.95, 6.05].map((at) => Math.round(shownWatts(joules, sensor, EXACT, at) * 1000) / 1000);
    expect(shown).toEqual([100, 100, 180, 380, 460, 500]);
  });

  it('of a square wave as long as the average is its mean at every moment', () => {
    const joules = trueJoules(squareWave(70, 650, 1));
    for (let at = 3; at < 5; at += 0.037) expect(shownWatts(joules, pace(1, 0.1), EXACT, at)).toBeCloseTo(360, 9);
  });

  it('holds a value for one refresh', () => {
    const joules = trueJoules(squareWave(70, 650, 2));
    const sensor = pace(0.025, 0.1, { phase: seconds(0.03) });
    const seen = new Set(Array.from({ length: 1000 }, (_, tenth) => shownWatts(joules, pace(0.3, 0.1, { phase: seconds(0.03) }), EXACT, 10 + tenth / 1000)));
    expect(seen.size).toBeLessThanOrEqual(11);
    expect(shownWatts(joules, sensor, EXACT, 10.031)).toBe(shownWatts(joules, sensor, EXACT, 10.129));
  });

  it('says what was before the simulation as it was at its first moment', () => {
    expect(shownWatts(trueJoules(stepPower(100, 500, 5)), pace(1, 0.1), EXACT, 0.2)).toBeCloseTo(100, 9);
  });

  it('is moved by its delay, times its gain, plus its offset, and never below 0', () => {
    const joules = trueJoules(stepPower(100, 500, 5));
    expect(shownWatts(joules, pace(0.1, 0.1, { delay: seconds(0.5) }), EXACT, 5.49)).toBeCloseTo(100, 9);
    expect(shownWatts(joules, pace(0.1, 0.1, { delay: seconds(0.5) }), EXACT, 5.71)).toBeCloseTo(500, 9);
    expect(shownWatts(joules, pace(0.1, 0.1), { gain: 1.05, offset: 3 }, 9)).toBeCloseTo(528, 9);
    expect(shownWatts(joules, pace(0.1, 0.1), { gain: 1, offset: -200 }, 2)).toBe(0);
  });
});

/** A part-time sensor sees 25 ms of each 100 ms; the load is a square wave of 70 and 650 W. */
describe('the energy of a periodic load', () => {
  it.each([
    { sensor: pace(0.025, 0.1), load: 0.1, look: 0.1, from: 80.5, to: 80.7, why: 'phase locked: the sensor sees one half only' },
    { sensor: pace(0.025, 0.1), load: 2, look: 0.02, from: 0, to: 2, why: 'slow load: what is not seen is like what is' },
    { sensor: pace(0.025, 0.1), load: 0.097, look: 0.02, from: 1, to: 6, why: 'nearly locked: a slow beat' },
    { sensor: pace(0.1, 0.1), load: 0.1, look: 0.02, from: 0, to: 0.1, why: 'all is seen' },
    { sensor: pace(1, 0.1), load: 0.1, look: 0.1, from: 0, to: 0.1, why: 'averages see all' },
  ])('read with a window of $sensor.window s and a load of $load s is off by $from to $to %: $why', ({ sensor, load, look, from, to }) => {
    const error = Math.abs(errorOf(load, sensor, look));
    expect(error).toBeGreaterThanOrEqual(from);
    expect(error).toBeLessThanOrEqual(to);
  });

  it('is off by the gain whatever the method', () => {
    const averaged = errorOf(2, pace(1, 0.1), 0.1, { gain: 1.05, offset: 0 });
    expect(averaged).toBeGreaterThan(4.8);
    expect(averaged).toBeLessThan(6.1);
    const joules = trueJoules(squareWave(70, 650, 2));
    const counter = { refresh: seconds(0.1), delay: seconds(0), phase: seconds(0) };
    const shown = (at: number): number => shownJoules(joules, counter, { gain: 1.05, offset: 0 }, at);
    expect((shown(16) - shown(10)) / (joules(16) - joules(10))).toBeCloseTo(1.05, 12);
  });
});

describe('a counter', () => {
  it('is exact at its refreshes and stands still between them', () => {
    const joules = trueJoules(squareWave(70, 650, 0.1));
    const counter = { refresh: seconds(0.05), delay: seconds(0), phase: seconds(0.02) };
    const shown = (at: number): number => shownJoules(joules, counter, EXACT, at);
    expect(shown(3.0201)).toBeCloseTo(joules(3.02), 9);
    expect(shown(3.069)).toBe(shown(3.0201));
    expect(shown(3.0701)).toBeCloseTo(joules(3.07), 9);
  });
});
