import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { parseInstant, zone } from '../sources/timestamps.js';
import { wallClock } from './clock.js';

const START = instant(Date.UTC(2026, 2, 8, 7, 59, 50) / 1000);

describe('a clock', () => {
  it.each([
    ['UTC', '2026-03-08T07:59:50.250000'],
    ['-07:00', '2026-03-08T00:59:50.250000'],
    ['UTC+5:30', '2026-03-08T13:29:50.250000'],
    ['Asia/Kathmandu', '2026-03-08T13:44:50.250000'],
    ['America/Chicago', '2026-03-08T01:59:50.250000'],
  ])('in %s shows %s, which is read as the same moment', (tz, shown) => {
    expect(wallClock(START, tz).local(0.25)).toBe(shown);
    expect(parseInstant(shown, zone(tz))).toBeCloseTo(START + 0.25, 6);
  });

  it('leaps with its zone', () => {
    // Clocks there went from 01:59:59 to 03:00:00.
    expect([9, 10.5].map((time) => wallClock(START, 'America/Chicago').local(time))).toEqual(['2026-03-08T01:59:59.000000', '2026-03-08T03:00:00.500000']);
  });

  it('is off by its offset and gains its drift', () => {
    const clock = wallClock(START, 'UTC', { offset: -2.5, driftPpm: 100 });
    expect(clock.at(0) - START).toBeCloseTo(-2.5, 6);
    expect(clock.at(3600) - START).toBeCloseTo(3600 - 2.5 + 0.36, 6);
  });

  it('cuts to the microsecond, and does not show a millisecond before the one that is meant', () => {
    expect(wallClock(START, 'UTC').local(0.999_999_6)).toBe('2026-03-08T07:59:51.000000');
    expect(wallClock(START, 'UTC').local(0.001)).toBe('2026-03-08T07:59:50.001000');
  });
});
