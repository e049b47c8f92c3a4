/**
 * When a line was written. Few engines say it whole: the year is missing (vLLM), or the day (LiteLLM), nearly all leave out
 * the zone, and some lines have no time at all. What is missing comes, in this order, from a wrapper with a zone, the line
 * before, the entry (`tz`, `year`), the moment the line was read, and for a file from its last change.
 *
 *   Dec 31 23:59:58 … Jan 01 00:00:08     the year after: of all years, the one nearest to the line before is meant
 *   01:59:50 … 01:00:10                   clocks went back: the second time, for a log never goes back by 50 minutes
 */
import { instant, seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Zone } from '../../timestamps.js';
import type { LogClock, LogLine, Stamp } from './dialect.js';

export interface LineClock extends LogClock {
  /** When a wrapper took a line, by its stamp. */
  wrapped(stamp: Stamp, arrived?: Instant): Instant | undefined;
}

export interface RecordedClock extends LineClock {
  /** Stamps had no year and nothing but the file's last change told it: this year was taken. */
  readonly yearOfFile: number | undefined;
}

export interface LiveClock extends LineClock {
  /**
   * Before lines that were written earlier: the last of them was fresh at that moment, which tells its zone unless one is
   * configured, and the year of them all.
   */
  learn(lastStamp: Stamp, fresh: Instant): void;
  /** Of stamps that say none: configured or learnt; undefined: there was no such stamp. */
  readonly zone: string | undefined;
  /** The median time from a line's stamp to its arrival since the last call. */
  delay(): Seconds | undefined;
}

const MINUTE = 60;
const QUARTER = 15 * MINUTE;
const HOUR = 3600;
const DAY = 24 * HOUR;
const HALF_YEAR = 182 * DAY;
/** Zones reach from -12:00 to +14:00. */
const WIDEST_SHIFT = 14 * HOUR;
/** Lines of several processes may stand in a file a little out of order. */
const DISORDER = 5 * MINUTE;
/** Stamps that stay wrong for so long are of another zone; a reader that was stopped and catches up does so at once. */
const DOUBT = 30;
const MOST_DELAYS = 1000;

export function recordedClock(basis: Basis): RecordedClock {
  const own = calendar(basis);
  const wrappers = calendar(basis);
  return {
    at: (line, stamp) => timeOf(line, stamp, (near) => stamp && own.resolve(stamp, near)),
    wrapped: (stamp) => wrappers.resolve(stamp),
    get yearOfFile() {
      return own.yearOfFile ?? wrappers.yearOfFile;
    },
  };
}

export function liveClock({ zone: configured, host, utc }: { readonly zone?: Zone | undefined; readonly host: Zone; readonly utc: Zone }): LiveClock {
  let known = configured;
  let doubtedSince: Instant | undefined;
  let delays: number[] = [];
  let lastChange: Instant | undefined;
  const own = calendar({
    get zone() {
      return known ?? utc;
    },
    get lastChange() {
      return lastChange;
    },
  });
  const wrappers = calendar({ zone: host });

  function learn(stamp: Stamp, fresh: Instant): void {
    const written = nearest(candidates(stamp, fresh), fresh);
    if (configured || written === undefined) return;
    const fits = [host, utc].find((each) => Math.abs((each.toUtc(written * 1000) ?? Number.NaN) / 1000 - fresh) < QUARTER / 2);
    const shift = quarters(fresh - written);
    known = fits ?? { name: `UTC${shift >= 0 ? '-' : '+'}${Math.abs(shift) / HOUR}`, toUtc: (millis) => millis + shift * 1000 };
  }

  /** The stamp of a line that has just been read, in a zone that must have been right for all of them. */
  function arriving(stamp: Stamp, arrived: Instant): Instant | undefined {
    if (known === undefined) learn(stamp, arrived);
    const at = own.resolve(stamp, arrived);
    if (at === undefined || Math.abs(arrived - at) < QUARTER / 2) {
      doubtedSince = undefined;
      return at;
    }
    doubtedSince ??= arrived;
    if (configured || arrived - doubtedSince < DOUBT) return at;
    learn(stamp, arrived);
    doubtedSince = undefined;
    return own.resolve(stamp, arrived);
  }

  return {
    learn(lastStamp, moment) {
      learn(lastStamp, moment);
      lastChange = moment;
    },
    at(line, stamp) {
      const at = timeOf(line, stamp, (near) => stamp && (stamp.zone === undefined && line.arrived !== undefined ? arriving(stamp, line.arrived) : own.resolve(stamp, near)));
      if (at !== undefined && line.arrived !== undefined && (stamp ?? line.wrapped) !== undefined && delays.length < MOST_DELAYS) delays.push(line.arrived - at);
      return at;
    },
    wrapped: (stamp, arrived) => wrappers.resolve(stamp, arrived),
    get zone() {
      return known?.name;
    },
    delay() {
      const sorted = delays.toSorted((a, b) => a - b);
      delays = [];
      const median = sorted[Math.floor(sorted.length / 2)];
      return median === undefined ? undefined : seconds(median);
    },
  };
}

/** The order in which what a line says of its time is believed. `resolve` reads its own stamp, near some moment. */
function timeOf(line: LogLine, stamp: Stamp | undefined, resolve: (near: Instant | undefined) => Instant | undefined): Instant | undefined {
  const { wrapped, arrived } = line;
  if (wrapped !== undefined && !line.wrappedRoughly) return wrapped;
  if (!stamp) return wrapped ?? arrived;
  if (stamp.zone === undefined && wrapped !== undefined) return besideWrapper(stamp, wrapped) ?? wrapped;
  return resolve(wrapped ?? arrived);
}

/** A stamp without a zone beside a wrapper that knows the hour: the wrapper tells the zone, the stamp the moment. */
function besideWrapper(stamp: Stamp, wrapped: Instant): Instant | undefined {
  const written = nearest(candidates(stamp, wrapped), wrapped);
  if (written === undefined) return undefined;
  const shift = quarters(wrapped - written);
  if (Math.abs(shift) > WIDEST_SHIFT) return undefined;
  const at = instant(written + shift);
  // A whole second was cut: where in it the line was written, a wrapper with a fraction tells.
  const finer = Number.isInteger(stamp.second) && !Number.isInteger(wrapped) && wrapped >= at && wrapped < at + 2;
  return finer ? instant(Math.min(wrapped, at + 0.999)) : at;
}

const quarters = (difference: number): number => Math.round(difference / QUARTER) * QUARTER;

interface Basis {
  readonly zone: Zone;
  readonly year?: number | undefined;
  readonly lastChange?: Instant | undefined;
}

/** Stamps of one kind, in their order. */
function calendar(basis: Basis) {
  let last: Instant | undefined;
  let yearOfFile: number | undefined;

  const utcOf = (stamp: Stamp, local: number): Instant | undefined => {
    const whole = Math.floor(local);
    const millis = stamp.zone === undefined ? basis.zone.toUtc(whole * 1000, last === undefined ? undefined : (Math.floor(last) - DISORDER) * 1000) : (whole - offsetOf(stamp)) * 1000;
    return millis === undefined ? undefined : instant(millis / 1000 + (local - whole));
  };
  const meant = (stamp: Stamp, around: Instant): Instant[] => candidates(stamp, around).flatMap((local) => utcOf(stamp, local) ?? []);

  /** Which year or day is meant where the stamp leaves it out. */
  function choose(stamp: Stamp, near: Instant | undefined): Instant | undefined {
    if (stamp.year !== undefined) return meant(stamp, near ?? last ?? instant(0))[0];
    if (near !== undefined) return nearest(meant(stamp, near), near);
    const before = last;
    const { year, lastChange } = basis;
    if (before !== undefined) return meant(stamp, before).find((each) => each >= before - (stamp.month === undefined ? HOUR : HALF_YEAR));
    if (year !== undefined && stamp.month !== undefined) return meant({ ...stamp, year }, instant(0))[0];
    if (lastChange === undefined) return undefined;
    const found = meant(stamp, lastChange).findLast((each) => each <= lastChange + (stamp.month === undefined ? HOUR : DAY));
    if (found !== undefined) yearOfFile = new Date(found * 1000).getUTCFullYear();
    return found;
  }

  return {
    resolve(stamp: Stamp, near?: Instant): Instant | undefined {
      const at = choose(stamp, near);
      last = at ?? last;
      return at;
    },
    get yearOfFile() {
      return yearOfFile;
    },
  };
}

const offsetOf = ({ zone }: Stamp): number => (typeof zone === 'number' ? zone * MINUTE : 0);

/** Seconds of the local clock, as if it were UTC, on every day around a moment that the stamp may mean; in order. */
function candidates(stamp: Stamp, around: Instant): number[] {
  const { year, month } = stamp;
  const on = new Date(around * 1000);
  const dates =
    month === undefined
      ? [-1, 0, 1].map((days) => new Date((around + days * DAY) * 1000)).map((day) => ({ year: day.getUTCFullYear(), month: day.getUTCMonth() + 1, day: day.getUTCDate() }))
      : (year === undefined ? [-1, 0, 1].map((years) => on.getUTCFullYear() + years) : [year]).map((each) => ({ year: each }));
  return dates.flatMap((date) => localSeconds({ ...stamp, ...date }) ?? []);
}

function localSeconds({ year = 0, month = 0, day = 0, hour, minute, second }: Stamp): number | undefined {
  const date = new Date(Date.UTC(year, month - 1, day));
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second >= 61) return undefined;
  return date.getTime() / 1000 + hour * HOUR + minute * MINUTE + second;
}

function nearest<N extends number>(times: readonly N[], to: number): N | undefined {
  return times.toSorted((a, b) => Math.abs(a - to) - Math.abs(b - to))[0];
}
