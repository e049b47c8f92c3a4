/**
 * What ipmitool prints, as numbers.
 *
 *   dcmi power reading    "    Instantaneous power reading:                   197 Watts" and seven lines more. 1.8.18 has
 *                         time and sampling period on two lines, 1.8.19 on one. Minimum, maximum and average run since
 *                         the controller's start on many boards, and its state says nothing: a valid reading may be
 *                         "deactivated", a 0 "activated". Only the instantaneous value is used.
 *   sdr elist full        "PSU1 Input Power | 02h | ok  | 10.1 | 704 Watts": name, sensor number, state, entity, reading.
 *                         Names may occur twice; with -c (CSV) the number, which tells them apart, is not printed.
 */
import type { Instant } from '@joulebook/shared/units.js';
import { parseInstant, type Zone } from '../../timestamps.js';

/** FreeIPMI's ipmi-dcmi says `Current Power : 197 Watts`. */
const POWER = /^\s*(?:Instantaneous power reading|Current Power)\s*:\s+(\d+) Watts\s*$/m;

/** Watts, 0 where the controller says so; undefined where the text has no such line. */
export function dcmiWatts(text: string): number | undefined {
  const value = POWER.exec(text)?.[1];
  return value === undefined ? undefined : Number(value);
}

const TIME = /^\s*IPMI timestamp:\s+(.+?)\s*(?:Sampling period:.*)?$/;
const C_TIME = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d) (\d{4})$/;
const LOCAL_TIME = /^(\d\d)\/(\d\d)\/(\d\d(?:\d\d)?) +(\d\d:\d\d:\d\d)(?: +(\S+))?$/;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** The words after `IPMI timestamp:` of such a line. */
export const dcmiTimeText = (line: string): string | undefined => TIME.exec(line)?.[1];

/** 1980: a clock that says less was never set. */
const EARLIEST = 315_532_800;

/**
 * `Sun Mar  6 15:13:42 2022` (1.8.18) or `10/12/23 13:29:17 CEST` (1.8.19, month first). Zones other than UTC are
 * abbreviations that several places share; they are the recording machine's own, so `local` is meant.
 * @returns undefined for a controller that does not know the time and says 1970
 */
export function dcmiTime(text: string, local: Zone, notBefore?: Instant): Instant | undefined {
  const [, monthName = '', dayOfMonth = '', clock, fullYear] = C_TIME.exec(text) ?? [];
  const [, month, day, year = '', time, zoneName = ''] = LOCAL_TIME.exec(text) ?? [];
  const century = year.length === 2 ? (year >= '70' ? '19' : '20') : '';
  const iso =
    clock !== undefined
      ? `${fullYear}-${two(MONTHS.indexOf(monthName) + 1)}-${two(dayOfMonth)} ${clock}`
      : time !== undefined
        ? `${century}${year}-${month}-${day} ${time}${/^(?:UTC|GMT)$/.test(zoneName) ? 'Z' : ''}`
        : text;
  const at = parseInstant(iso, local, notBefore);
  return at !== undefined && at >= EARLIEST ? at : undefined;
}

const two = (value: string | number): string => String(value).padStart(2, '0');

export interface SensorRow {
  readonly name: string;
  /** As printed, e.g. `02h`. */
  readonly number: string;
  /** Undefined where the sensor is there and says nothing. */
  readonly watts?: number;
}

/** `PSU1 Input Power | 02h | ok  | 10.1 | 704 Watts`; discrete facts may follow, as in `110 Watts, Presence detected`. */
const ROW = /^(?<name>.*?)\s*\|\s*(?<number>[0-9A-Fa-f]{2}h)\s*\|\s*(?<status>\w+)\s*\|[^|]*\|\s*(?:(?<watts>\d+(?:\.\d+)?) Watts(?:,.*)?)?/;

/** A sensor that two records speak of is one row; two sensors of one name are two. */
export function sensorRows(text: string): SensorRow[] {
  const rows = new Map<string, SensorRow>();
  for (const line of text.split('\n')) {
    const { name, number, status, watts } = ROW.exec(line)?.groups ?? {};
    if (name === undefined || number === undefined || rows.has(number)) continue;
    // `ns` is no reading, whatever stands behind it.
    rows.set(number, { name, number, ...(watts !== undefined && status !== 'ns' && { watts: Number(watts) }) });
  }
  return [...rows.values()];
}

/**
 * Sum of every sensor that bears one of the names. A supply in cold standby says 0 and takes part; one that says nothing
 * makes the sum unknown, not smaller.
 */
export function sensorSum(rows: readonly SensorRow[], names: readonly string[]): { readonly watts: number } | { readonly missing: string } {
  const absent = names.filter((name) => !rows.some((row) => row.name === name));
  if (absent.length > 0) return { missing: `no sensor is called ${absent.map((name) => `'${name}'`).join(', ')}` };
  const chosen = rows.filter(({ name }) => names.includes(name));
  const silent = chosen.find(({ watts }) => watts === undefined);
  if (silent) return { missing: `'${silent.name}' says no watts` };
  return { watts: chosen.reduce((sum, { watts = 0 }) => sum + watts, 0) };
}
