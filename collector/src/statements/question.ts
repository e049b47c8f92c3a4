/** What may be asked of a statement, from a command line or a query string: unknown text in, a question or every fault at once out. */
import { UsageError } from '@joulebook/shared/errors.js';
import { nearest } from '@joulebook/shared/settings.js';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import type { Book } from '../book/book.js';
import { isZone } from '../rates/local-time.js';
import type { Defaults, Said } from '../report/request.js';
import type { MonthlyQuestion } from './monthly.js';
import { lastMonth, lastWeek, monthIn, weekIn, zoneOf } from './period.js';
import type { WeeklyQuestion } from './weekly.js';

export const MONTHLY_OPTIONS = ['month', 'site', 'boundary'] as const;
export const WEEKLY_OPTIONS = ['week', 'zone', 'site', 'boundary'] as const;

/** @returns what was said once and is known; every fault else */
function single(said: Said, known: readonly string[], prefix: string, faults: string[]): (name: string) => string | undefined {
  for (const [name, texts] of Object.entries(said)) {
    const guess = nearest(name, known);
    if (!known.includes(name)) faults.push(`${prefix}${name}: unknown; ${guess === undefined ? `known are ${known.join(', ')}` : `did you mean '${guess}'?`}`);
    else if (texts.length > 1) faults.push(`${prefix}${name}: said more than once`);
  }
  return (name) => said[name]?.at(-1);
}

function boundaryOf(text: string | undefined, prefix: string, faults: string[]): MonthlyQuestion['boundary'] {
  const found = BOUNDARIES.find((known) => known === text);
  if (text !== undefined && found === undefined) faults.push(`${prefix}boundary: '${text}' is no boundary; write one of ${BOUNDARIES.join(', ')}`);
  return found;
}

const pricesOf = ({ price, pue, carbon }: Defaults): Defaults => ({ price, pue, carbon });

/** Without a month the last one that is over. @throws UsageError with every fault */
export function parseMonthly(said: Said, defaults: Defaults, book: Book, now: EpochMicros, prefix: '--' | ''): MonthlyQuestion {
  const faults: string[] = [];
  const text = single(said, MONTHLY_OPTIONS, prefix, faults);
  const site = text('site');
  const period = text('month') ?? lastMonth(zoneOf(book, site ?? null), now);
  if (!monthIn('UTC', period)) faults.push(`${prefix}month: '${period}' is no month; write one like 2026-10`);
  const boundary = boundaryOf(text('boundary'), prefix, faults);
  if (faults.length > 0) throw new UsageError(faults);
  return { ...pricesOf(defaults), period, site, boundary };
}

/** Without a week the last one that is over; without a zone that of the site. @throws UsageError with every fault */
export function parseWeekly(said: Said, defaults: Defaults, book: Book, now: EpochMicros, prefix: '--' | ''): WeeklyQuestion {
  const faults: string[] = [];
  const text = single(said, WEEKLY_OPTIONS, prefix, faults);
  const site = text('site');
  const wanted = text('zone') ?? zoneOf(book, site ?? null);
  if (!isZone(wanted)) faults.push(`${prefix}zone: '${wanted}' is no time zone that is known; write one like Europe/Berlin`);
  const zone = isZone(wanted) ? wanted : 'UTC';
  const week = text('week') ?? lastWeek(zone, now);
  if (!weekIn(zone, week)) faults.push(`${prefix}week: '${week}' is no week; write one like 2026-W46`);
  const boundary = boundaryOf(text('boundary'), prefix, faults);
  if (faults.length > 0) throw new UsageError(faults);
  return { ...pricesOf(defaults), week, zone, site, boundary };
}
