/**
 * The clocks of a simulated machine: seconds since the start → what a program's clock shows, in its zone. A clock may be
 * off by a constant and may run fast or slow; the sensors' clock is the true one.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import { IANAZone } from 'luxon';
import { zone } from '../sources/timestamps.js';

export interface ClockError {
  /** How far ahead of the sensors' clock it was when the simulation began. */
  readonly offset: number;
  /** How much it gains, in millionths: 100 is 0.36 s in an hour. */
  readonly driftPpm: number;
}

export interface WallClock {
  /** What the clock shows, as an instant. */
  at(time: number): Instant;
  /** The same in the clock's zone, cut to microseconds: `2026-01-15T09:00:00.123456`. */
  local(time: number): string;
}

const QUARTER_MS = 900_000;

/**
 * @param start when the simulation began, by the true clock
 * @param tz as in a manifest: `America/Chicago`, `UTC`, `-07:00`
 */
export function wallClock(start: Instant, tz: string, { offset, driftPpm }: ClockError = { offset: 0, driftPpm: 0 }): WallClock {
  const shift = zoneShift(tz);
  const at = (time: number): Instant => instant(start + offset + time * (1 + driftPpm / 1e6));
  return {
    at,
    local(time) {
      const micros = Math.floor(at(time) * 1e6 + 0.5);
      const millis = Math.floor(micros / 1000);
      return `${new Date(millis + shift(millis)).toISOString().slice(0, -1)}${String(micros - millis * 1000).padStart(3, '0')}`;
    },
  };
}

/** Milliseconds that a zone is ahead of UTC, at a moment. Zones change at whole quarters of an hour. */
function zoneShift(tz: string): (millis: number) => number {
  // Fixed zones are understood as a manifest's are.
  if (/^(?:UTC|GMT|Z)?[+-]?[\d:]*$/i.test(tz)) {
    const fixed = -(zone(tz).toUtc(0) ?? 0);
    return () => fixed;
  }
  const rules = IANAZone.create(tz);
  let quarter = Number.NaN;
  let kept = 0;
  return (millis) => {
    const asked = Math.floor(millis / QUARTER_MS);
    if (asked !== quarter) [quarter, kept] = [asked, rules.offset(asked * QUARTER_MS) * 60_000];
    return kept;
  };
}
