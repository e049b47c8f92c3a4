import { describe, expect, it } from 'vitest';
import { Random } from '../random.js';
import { looks, type Polling } from './looks.js';

const EVERY: Polling = { period: 0.1, jitter: 0, lost: 0 };
function all(polling: Polling, until: number, seed = 1): number[] {
  const dice = new Random(seed, 'looks');
  return [...looks(polling, () => dice.next()).next(until)];
}
const gaps = (times: readonly number[]): number[] => times.slice(1).map((at, index) => at - (times[index] ?? 0));

describe('looks at a sensor', () => {
  it('come every period, the first within the first', () => {
    const times = all(EVERY, 100);
    expect(times[0]).toBeLessThan(0.1);
    expect(times).toHaveLength(1000);
    for (const gap of gaps(times)) expect(gap).toBeCloseTo(0.1, 9);
  });

  it('are late by less than the jitter, never out of order, and do not drift', () => {
    const times = all({ ...EVERY, jitter: 5 }, 100);
    expect(times.length).toBeGreaterThanOrEqual(999);
    expect(Math.min(...gaps(times))).toBeGreaterThanOrEqual(0);
    expect(Math.max(...gaps(times))).toBeGreaterThan(0.15);
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(99.7);
  });

  it('are lost by the share that is said', () => {
    expect(all({ ...EVERY, lost: 0.2 }, 1000).length / 10_000).toBeCloseTo(0.8, 1);
    expect(all({ ...EVERY, lost: 1 }, 1000)).toEqual([]);
  });

  it('pause as often and as long as is said', () => {
    const times = all({ ...EVERY, pauses: { every: 60, lasting: 5 } }, 3600);
    const long = gaps(times).filter((gap) => gap > 1);
    expect(long.length).toBeGreaterThan(35);
    expect(long.length).toBeLessThan(75);
    for (const gap of long) expect(gap).toBeGreaterThan(4.9);
  });

  it('go on where they ended, the same for the same dice', () => {
    const dice = new Random(1, 'looks');
    const pieces = looks({ ...EVERY, jitter: 0.02, lost: 0.1 }, () => dice.next());
    expect([1, 1.5, 7, 20].flatMap((until) => [...pieces.next(until)])).toEqual(all({ ...EVERY, jitter: 0.02, lost: 0.1 }, 20));
  });
});
