/**
 * Time of use: which period of a tariff a moment is in.
 *
 *     zone: Europe/Berlin
 *     holidays: DE-BE                     or dates: ["2026-12-24"]
 *     periods:
 *       - { name: peak,     price: 0.31, days: [mon-fri], from: "08:00", to: "20:00", months: [10-3] }
 *       - { name: off-peak, price: 0.22 }                     the rest: no days, hours or months
 *
 * Hours are those of the days named: 22:00 to 06:00 on mon is Monday's first six hours and its last two.
 * Periods with times must not overlap, and with the rest, if there is one, have to cover every minute of the year: what is
 * free and what is expensive must not hang on the order of lines.
 */
import Holidays from 'date-holidays';
import { epochMicros } from '@joulebook/shared/units.js';
import { isZone, localMoment, type LocalMoment } from './local-time.js';
import { joined, type Over, type Piece } from './pieces.js';

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
const HOLIDAY = 8;
const DAY_TYPES = [1, 2, 3, 4, 5, 6, 7, HOLIDAY] as const;
const MONTHS = 12;
const MINUTES = 1440;
const FAULTS_SHOWN = 4;

export interface PeriodText {
  readonly name: string;
  readonly days?: readonly string[] | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly months?: readonly string[] | undefined;
}

interface Period {
  readonly name: string;
  readonly rest: boolean;
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  /** Minutes since local midnight; with `to` at or before `from` the hours before `to` and those from `from` on, of each of its days. */
  readonly from: number;
  readonly to: number;
}

export interface CalendarText {
  readonly zone: string;
  /** A country or its region, as ISO 3166 names it, or dates. */
  readonly holidays?: string | readonly string[] | undefined;
  readonly periods: readonly PeriodText[];
}

/** A calendar, or everything that is wrong with it. */
export type Parsed<T> = { readonly value: T } | { readonly faults: readonly string[] };

/** `mon-fri`, `sat`, `10-3`: from the first to the last, around the end where the last comes first. */
function rangeOf(text: string, place: (name: string) => number, count: number): number[] | undefined {
  const [first = '', last = first, more] = text.toLowerCase().split('-');
  const [begin, end] = [place(first), place(last)];
  if (more !== undefined || begin < 1 || end < 1) return undefined;
  return Array.from({ length: ((end - begin + count) % count) + 1 }, (_, index) => ((begin - 1 + index) % count) + 1);
}

const placeOfDay = (name: string): number => DAYS.findIndex((day) => day === name) + 1;
const placeOfMonth = (name: string): number => (/^\d{1,2}$/.test(name) && Number(name) <= MONTHS ? Number(name) : 0);

function minuteOf(text: string): number | undefined {
  const [, hours, minutes] = /^(\d{1,2}):([0-5]\d)$/.exec(text) ?? [];
  const minute = Number(hours) * 60 + Number(minutes);
  return minute <= MINUTES ? minute : undefined;
}

function periodOf({ name, days, from, to, months }: PeriodText, holidaysApart: boolean): Parsed<Period> {
  const faults: string[] = [];
  const wanted = new Set<number>();
  for (const text of days ?? []) {
    const found = text.toLowerCase() === 'holidays' ? [HOLIDAY] : rangeOf(text, placeOfDay, DAYS.length);
    if (!found) faults.push(`days: '${text}' is no day; write mon, mon-fri or holidays`);
    for (const day of found ?? []) wanted.add(day);
  }
  if (days === undefined) for (const day of DAY_TYPES) wanted.add(day);
  else if (wanted.has(HOLIDAY) && !holidaysApart) faults.push("days: 'holidays' needs the tariff to say which: holidays: DE-BE, or dates");
  const inMonths = new Set<number>();
  for (const text of months ?? ['1-12']) {
    const found = rangeOf(text, placeOfMonth, MONTHS);
    if (!found) faults.push(`months: '${text}' is no month; write 1 to 12, or 10-3`);
    for (const month of found ?? []) inMonths.add(month);
  }
  const [begin, end] = [minuteOf(from ?? '00:00'), minuteOf(to ?? '24:00')];
  if (begin === undefined) faults.push(`from: '${from}' is no time of day; write "08:00"`);
  if (end === undefined) faults.push(`to: '${to}' is no time of day; write "20:00"`);
  if (begin === undefined || end === undefined || faults.length > 0) return { faults: faults.map((fault) => `period '${name}': ${fault}`) };
  return { value: { name, rest: days === undefined && from === undefined && to === undefined && months === undefined, days: wanted, months: inMonths, from: begin, to: end } };
}

const holds = (period: Period, month: number, day: number, minute: number): boolean => {
  if (!period.months.has(month) || !period.days.has(day)) return false;
  return period.from < period.to ? period.from <= minute && minute < period.to : minute >= period.from || minute < period.to;
};

const timed = (periods: readonly Period[], month: number, day: number, minute: number): Period[] => periods.filter((period) => !period.rest && holds(period, month, day, minute));

const clock = (minute: number): string => `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
const dayName = (day: number): string => (day === HOLIDAY ? 'holidays' : (DAYS[day - 1] ?? ''));

/** The first minute of each stretch of a day in which not exactly one period holds. */
function coverFaults(periods: readonly Period[], days: readonly number[]): string[] {
  const rest = periods.some((period) => period.rest);
  const faults = new Map<string, string>();
  const edges = [...new Set([0, ...periods.flatMap(({ from, to }) => [from, to])])].filter((minute) => minute < MINUTES).toSorted((a, b) => a - b);
  for (let month = 1; month <= MONTHS; month += 1) {
    for (const day of days) {
      for (const [index, minute] of edges.entries()) {
        const names = timed(periods, month, day, minute).map(({ name }) => name);
        if (names.length === 1 || (names.length === 0 && rest)) continue;
        const when = `${dayName(day)} ${clock(minute)}–${clock(edges[index + 1] ?? MINUTES)}`;
        const what = names.length === 0 ? 'no period holds' : `periods ${names.map((name) => `'${name}'`).join(' and ')} overlap`;
        if (!faults.has(`${what} ${when}`)) faults.set(`${what} ${when}`, `${what} on ${when} (month ${month})`);
      }
    }
  }
  const all = [...faults.values()];
  return all.length <= FAULTS_SHOWN ? all : [...all.slice(0, FAULTS_SHOWN), `… and ${all.length - FAULTS_SHOWN} more times of the week`];
}

/** Whether a local date is a holiday. */
function holidayRule(said: CalendarText['holidays'], zone: string): Parsed<(date: string) => boolean> {
  if (said === undefined) return { value: () => false };
  if (typeof said !== 'string') {
    const faults = said.filter((date) => !/^\d{4}-\d{2}-\d{2}$/.test(date) || Number.isNaN(Date.parse(date))).map((date) => `holidays: '${date}' is no date; write "2026-12-25"`);
    const dates = new Set(said);
    return faults.length > 0 ? { faults } : { value: (date) => dates.has(date) };
  }
  const [country = '', state] = said.split('-');
  const known = new Holidays();
  if (!Object.hasOwn(known.getCountries(), country)) return { faults: [`holidays: '${said}' is no country that is known; write its ISO 3166 code (DE, US, DE-BE), or a list of dates`] };
  if (state !== undefined && !Object.hasOwn(known.getStates(country) ?? {}, state)) return { faults: [`holidays: '${country}' has no region '${state}'; known are ${Object.keys(known.getStates(country) ?? {}).join(', ')}`] };
  const rules = new Holidays({ country, ...(state !== undefined && { state }) }, { types: ['public'], timezone: zone });
  const years = new Map<number, ReadonlySet<string>>();
  return {
    value: (date) => {
      const year = Number(date.slice(0, 4));
      const dates = years.get(year) ?? new Set(rules.getHolidays(year).map((holiday) => holiday.date.slice(0, 10)));
      years.set(year, dates);
      return dates.has(date);
    },
  };
}

const faultsOf = (parsed: Parsed<unknown>): readonly string[] => ('faults' in parsed ? parsed.faults : []);

/** The name of the period at every moment. */
export function parseCalendar({ zone, holidays, periods }: CalendarText): Parsed<Over<string>> {
  if (!isZone(zone)) return { faults: [`zone: '${zone}' is no time zone that is known; write one like Europe/Berlin`] };
  const rule = holidayRule(holidays, zone);
  const read = periods.map((period) => periodOf(period, holidays !== undefined));
  const twice = periods.map(({ name }) => name).filter((name, index, names) => names.indexOf(name) < index);
  const faults = [...faultsOf(rule), ...read.flatMap(faultsOf), ...twice.map((name) => `two periods are called '${name}'`)];
  const known = read.flatMap((each) => ('value' in each ? [each.value] : []));
  if (faults.length > 0 || !('value' in rule)) return { faults };
  if (known.filter(({ rest }) => rest).length > 1) return { faults: ['two periods have neither days, hours nor months; one of them is the rest'] };
  const holidaysApart = known.some((period) => !period.rest && period.days.has(HOLIDAY) && period.days.size < DAY_TYPES.length);
  const gaps = coverFaults(known, holidaysApart ? DAY_TYPES : DAY_TYPES.slice(0, -1));
  if (gaps.length > 0) return { faults: gaps };

  const periodAt = ({ date, month, weekday, minute }: LocalMoment): string => {
    const day = holidaysApart && rule.value(date) ? HOLIDAY : weekday;
    return (timed(known, month, day, minute)[0] ?? known.find(({ rest }) => rest))?.name ?? '';
  };
  const grid = gridMinutes(known) * 60e6;
  return {
    value: ({ from, to }) => {
      const pieces: Piece<string>[] = [];
      for (let cell = Math.floor(from / grid) * grid; cell < to; cell += grid) {
        pieces.push({ from: epochMicros(Math.max(cell, from)), to: epochMicros(Math.min(cell + grid, to)), value: periodAt(localMoment(zone, epochMicros(cell))) });
      }
      return joined(pieces);
    },
  };
}

/** Offsets of zones are whole quarters of an hour, so within such a cell of UTC no period begins. */
function gridMinutes(periods: readonly Period[]): number {
  const divides = (minutes: number): boolean => periods.every(({ from, to }) => from % minutes === 0 && to % minutes === 0);
  return [15, 5].find(divides) ?? 1;
}
