/**
 * Months and weeks as a zone's calendar has them: a month with a change of clocks is an hour longer or shorter.
 *
 *     2026-10 in Europe/Berlin    2026-09-30T22:00Z – 2026-10-31T23:00Z, 745 h
 */
import { DateTime } from 'luxon';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { DEFAULT_SITE, type Book } from '../book/book.js';
import { periodAround } from '../rates/local-time.js';
import type { Span } from '../rates/pieces.js';

const micros = (time: DateTime): EpochMicros => epochMicros(time.toMillis() * 1000);
const local = (at: EpochMicros, zone: string): DateTime => DateTime.fromMillis(Math.floor(at / 1000), { zone });

/** Of a site's facts; those of a site without an entry go by the default's. */
export const zoneOf = ({ sites }: Pick<Book, 'sites'>, site: string | null): string => sites.get(site ?? DEFAULT_SITE)?.zone ?? sites.get(DEFAULT_SITE)?.zone ?? 'UTC';

/** `2026-10`; undefined where the text is no month. */
export function monthIn(zone: string, text: string): Span | undefined {
  const begin = /^\d{4}-\d\d$/.test(text) ? DateTime.fromISO(text, { zone }) : undefined;
  return begin?.isValid === true && begin.year >= 1970 ? periodAround('month', zone, micros(begin)) : undefined;
}

/** `2026-W46`, Monday to Sunday as in ISO 8601; undefined where the text is no week. */
export function weekIn(zone: string, text: string): Span | undefined {
  const begin = /^\d{4}-W\d\d$/.test(text) ? DateTime.fromISO(text, { zone }) : undefined;
  return begin?.isValid === true && begin.year >= 1970 ? periodAround('week', zone, micros(begin)) : undefined;
}

/** Of the same zone. */
export const weekBefore = (zone: string, { from }: Span): Span => ({ from: periodAround('week', zone, epochMicros(from - 1)).from, to: from });
export const monthBefore = (zone: string, { from }: Span): Span => ({ from: micros(local(from, zone).minus({ months: 1 })), to: from });

/** The last one that was over at that time. */
export const lastMonth = (zone: string, at: EpochMicros): string => local(at, zone).startOf('month').minus({ days: 1 }).toFormat('yyyy-MM');
export const lastWeek = (zone: string, at: EpochMicros): string => local(at, zone).minus({ weeks: 1 }).toFormat("kkkk-'W'WW");

/** With the zone's own offset, `2026-10-01T00:00:00+02:00`. */
export const localText = (at: EpochMicros, zone: string): string => local(at, zone).toISO({ suppressMilliseconds: true }) ?? '';
