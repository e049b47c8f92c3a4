/**
 * Times as files write them → instants. Times without a zone are local to the entry's `tz`; a number is an epoch whose
 * unit follows from its size. A double holds today's time to 0.24 µs, so fractions are kept as far as that.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { nearest } from '@joulebook/shared/settings.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { IANAZone, type Zone as LuxonZone } from 'luxon';

export interface Zone {
  readonly name: string;
  /**
   * Milliseconds of a local clock, counted as if it were UTC → milliseconds since 1970. Of an hour that the clocks go
   * through twice the first is meant, unless that would lie before `notBefore` (the line above it in a log).
   * Undefined for an hour that the clocks skipped.
   */
  toUtc(localMillis: number, notBefore?: number): number | undefined;
}

const MINUTE = 60_000;
const DAY = 86_400_000;
/** Zones change their offset at whole quarters of an hour. */
const QUARTER = 15 * MINUTE;

const OFFSET = /^(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?$/i;
/** CST is Chicago, Shanghai or Havana; what a computer makes of it depends on its tables. */
const ABBREVIATION = /^[A-Z]{3,4}$/;

/** @throws TelemetryError TIMEZONE, with the nearest names */
export function zone(name: string): Zone {
  const text = name.trim();
  const fixed = fixedZone(text);
  if (fixed) return fixed;
  if (!ABBREVIATION.test(text) && !OFFSET.test(text) && IANAZone.isValidZone(text)) return dayLightZone(text, IANAZone.create(text));
  const why = ABBREVIATION.test(text) ? 'is an abbreviation that several zones share' : 'is not a time zone';
  throw new TelemetryError('TIMEZONE', `tz: '${name}' ${why}${suggestion(text)}; write a name like America/Chicago, UTC, or an offset like -07:00.`, 'abort');
}

/** `UTC`, `Z`, `-07:00`, `UTC-7`, `+0530`; undefined for anything else, and for hours that no place on earth has. */
function fixedZone(name: string): Zone | undefined {
  if (/^(?:UTC|GMT|Z|Etc\/UTC)$/i.test(name)) return { name, toUtc: (localMillis) => localMillis };
  const [, sign, hours = '', minutes = '0'] = OFFSET.exec(name) ?? [];
  const shift = Number(hours) * 60 + Number(minutes);
  if (sign === undefined || Number(minutes) > 59 || shift > 14 * 60) return undefined;
  const shiftMillis = (sign === '-' ? -shift : shift) * MINUTE;
  return { name, toUtc: (localMillis) => localMillis - shiftMillis };
}

function dayLightZone(name: string, rules: LuxonZone): Zone {
  /** The instants at which a clock there shows this, in order: none, one or two. */
  const instants = (localMillis: number): number[] => {
    const offsets = new Set([rules.offset(localMillis - DAY), rules.offset(localMillis + DAY)]);
    return [...offsets].map((minutes) => localMillis - minutes * MINUTE).filter((utc) => utc + rules.offset(utc) * MINUTE === localMillis).toSorted((a, b) => a - b);
  };
  // Asking the rules costs microseconds, a log has millions of lines in the same hour: the shift of one quarter is kept.
  let quarter = Number.NaN;
  let shift = 0;
  return {
    name,
    toUtc: (localMillis, notBefore) => {
      const asked = Math.floor(localMillis / QUARTER) * QUARTER;
      if (asked === quarter) return localMillis - shift;
      const [first, second] = instants(localMillis);
      if (first === undefined) return undefined;
      if (second !== undefined) return notBefore !== undefined && first < notBefore ? second : first;
      quarter = asked;
      shift = localMillis - first;
      return first;
    },
  };
}

function suggestion(name: string): string {
  const zones = Intl.supportedValuesOf('timeZone');
  const guess = nearest(name, zones) ?? zones.find((each) => each.toLowerCase().endsWith(`/${name.toLowerCase()}`)) ?? cityGuess(name, zones);
  return guess === undefined ? '' : `; did you mean '${guess}'?`;
}

const city = (each: string): string => each.slice(each.lastIndexOf('/') + 1);

function cityGuess(name: string, zones: readonly string[]): string | undefined {
  const guess = nearest(city(name), zones.map(city));
  return zones.find((each) => city(each) === guess);
}

/** `2024/04/18 10:13:28.591`, `2023-11-16 18:17:03.9799600`, `2024-05-29T19:00:19+0100`, `… UTC`. */
const YEAR_FIRST = /^(\d{4})([-/])(\d{2})\2(\d{2})(?:[T ]|, ?)(\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?\s*(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$/i;
/** `07-17-2024 09:44:23.305`: month first, as SPEC PTDaemon and MLPerf loadgen write it. */
const MONTH_FIRST = /^(\d{2})-(\d{2})-(\d{4}) (\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?$/;
const EPOCH = /^\d+(?:\.\d+)?(?:e\+?\d+)?$/i;

/**
 * An epoch number, ISO or log text.
 * @param notBefore tells which of a repeated hour is meant, see Zone
 * @returns undefined when it is no time, or one that the clocks of the zone skipped
 */
export function parseInstant(text: string, local: Zone, notBefore?: Instant): Instant | undefined {
  const match = YEAR_FIRST.exec(text);
  if (!match) return EPOCH.test(text) ? fromEpoch(Number(text)) : undefined;
  const [, year, , month, day, hour, minute, second, fraction, offset] = match;
  const millis = clockMillis(year, month, day, hour, minute, second ?? '0');
  const written = offset === undefined ? local : fixedZone(offset);
  return millis === undefined || !written ? undefined : instantOf(millis, fraction, written, notBefore);
}

/** Month-first text of MLPerf tools; kept apart since `05-04-2024` is May only by knowing who wrote it. */
export function parseMonthFirst(text: string, local: Zone, notBefore?: Instant): Instant | undefined {
  const match = MONTH_FIRST.exec(text);
  if (!match) return undefined;
  const [, month, day, year, hour, minute, second, fraction] = match;
  const millis = clockMillis(year, month, day, hour, minute, second);
  return millis === undefined ? undefined : instantOf(millis, fraction, local, notBefore);
}

function instantOf(localMillis: number, fraction: string | undefined, local: Zone, notBefore?: Instant): Instant | undefined {
  // notBefore has a fraction, whole seconds do not.
  const utc = local.toUtc(localMillis, notBefore === undefined ? undefined : Math.floor(notBefore) * 1000);
  return utc === undefined ? undefined : instant(utc / 1000 + (fraction === undefined ? 0 : Number(`0.${fraction}`)));
}

function clockMillis(...parts: readonly (string | undefined)[]): number | undefined {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.map(Number);
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const millis = Date.UTC(year, month - 1, day, hour, minute, second);
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? millis : undefined;
}

/** 1980 and 2100. Seconds, ms, µs and ns of this span do not overlap; a smaller number is a time since some start, not an epoch. */
const EARLIEST = 315_532_800;
const LATEST = 4_102_444_800;

/** Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size. */
export function fromEpoch(value: number): Instant | undefined {
  for (const perSecond of [1, 1e3, 1e6, 1e9]) {
    const at = value / perSecond;
    if (at >= EARLIEST && at < LATEST) return instant(at);
  }
  return undefined;
}
