/**
 * Local time of a zone, with its changes to and from daylight saving. Every moment has one local time; a local time may
 * have two moments (when clocks go back) or none (when they go forward).
 */
import { DateTime, IANAZone } from 'luxon';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { Span } from './pieces.js';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export interface LocalMoment {
  /** `2026-03-29` */
  readonly date: string;
  readonly month: number;
  /** 1 is Monday, 7 Sunday, as in ISO 8601. */
  readonly weekday: number;
  /** Since local midnight. */
  readonly minute: number;
}

export const isZone = (name: string): boolean => IANAZone.isValidZone(name);

/** Minutes to add to UTC. */
const offsetAt = (zone: string, millis: number): number => IANAZone.create(zone).offset(millis);

export function localMoment(zone: string, at: EpochMicros): LocalMoment {
  const millis = at / 1000;
  const local = millis + offsetAt(zone, millis) * MINUTE_MS;
  const date = new Date(local);
  return { date: date.toISOString().slice(0, 10), month: date.getUTCMonth() + 1, weekday: date.getUTCDay() || 7, minute: Math.floor((local - Math.floor(local / DAY_MS) * DAY_MS) / MINUTE_MS) };
}

/** The first moment of the day of a time, which may be 01:00, or the first of two midnights. */
function dayBegin(time: DateTime): EpochMicros {
  const begin = time.startOf('day');
  const before = begin.minus({ hours: 1 });
  return epochMicros((before.toISODate() === begin.toISODate() ? before : begin).toMillis() * 1000);
}

/** The day, week (from Monday) or month that a moment is in, each ending where the next begins: with 23 and 25 hours where clocks change. */
export function periodAround(per: 'day' | 'week' | 'month', zone: string, at: EpochMicros): Span {
  const begin = DateTime.fromMillis(Math.floor(at / 1000), { zone }).startOf(per);
  return { from: dayBegin(begin), to: dayBegin(begin.plus({ [per]: 1 })) };
}

/** The moments that have this local time, earliest first: none, one or two. @param local as if it were UTC, ms */
export function momentsOf(zone: string, local: number): EpochMicros[] {
  const offsets = new Set([offsetAt(zone, local - DAY_MS), offsetAt(zone, local + DAY_MS)]);
  return [...offsets]
    .map((offset) => local - offset * MINUTE_MS)
    .filter((millis) => millis + offsetAt(zone, millis) * MINUTE_MS === local)
    .toSorted((a, b) => a - b)
    .map((millis) => epochMicros(millis * 1000));
}
