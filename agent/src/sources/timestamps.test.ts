import { TelemetryError } from '@joulebook/shared/errors.js';
import { instant, toIso } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { fromEpoch, parseInstant, parseMonthFirst, zone } from './timestamps.js';

const utc = zone('UTC');
const chicago = zone('America/Chicago');
const iso = (text: string, local = utc): string | undefined => {
  const at = parseInstant(text, local);
  return at === undefined ? undefined : toIso(at);
};
const refusal = (name: string): string => {
  try {
    zone(name);
    return 'accepted';
  } catch (error) {
    return error instanceof TelemetryError && error.code === 'TIMEZONE' ? error.message : `another error: ${String(error)}`;
  }
};

describe('zone', () => {
  it.each([
    ['America/Chicago', '15:13'],
    ['UTC', '10:13'],
    ['-07:00', '17:13'],
    ['UTC-7', '17:13'],
    ['+0530', '04:43'],
    ['GMT+1', '09:13'],
    ['Etc/GMT+7', '17:13'],
  ])('%s: 10:13 local in April is %s UTC', (name, expected) => {
    expect(iso('2024/04/18 10:13:00.000', zone(name))).toBe(`2024-04-18T${expected}:00.000Z`);
  });

  it.each([
    ['America/Chicag', 'America/Chicago'],
    ['Chicago', 'America/Chicago'],
    ['Europe/Frankfurt', 'America/Chicago'],
  ])('%s is refused, with a name to try', (name, expected) => {
    expect(refusal(name)).toContain(expected);
  });

  it.each(['CST', 'PDT', 'IST'])('%s is refused: several zones are called so', (name) => {
    expect(refusal(name)).toContain('several zones');
  });

  it.each(['', '-19:00', '+05:75', 'UTC+99', 'local'])("'%s' is no zone", (name) => {
    expect(refusal(name)).toContain('is not a time zone');
  });

  it('an hour that the clocks go through twice is the first, unless the line above says otherwise', () => {
    expect(iso('2024/11/03 01:30:00', chicago)).toBe('2024-11-03T06:30:00.000Z');
    expect(parseInstant('2024/11/03 01:30:00', chicago, instant(Date.parse('2024-11-03T06:45:00Z') / 1000))).toBe(Date.parse('2024-11-03T07:30:00Z') / 1000);
  });

  it('an hour that the clocks skipped is no time', () => {
    expect(iso('2024/03/10 02:30:00', chicago)).toBeUndefined();
    expect(iso('2024/03/10 01:59:59', chicago)).toBe('2024-03-10T07:59:59.000Z');
    expect(iso('2024/03/10 03:00:00', chicago)).toBe('2024-03-10T08:00:00.000Z');
  });

  it('keeps no offset over a change of clocks, in either order', () => {
    const lines = ['2024/11/03 00:59:59', '2024/11/03 02:00:00', '2024/11/03 00:59:59', '2024/07/01 12:00:00', '2024/12/01 12:00:00'];
    expect(lines.map((line) => iso(line, chicago))).toEqual(['2024-11-03T05:59:59.000Z', '2024-11-03T08:00:00.000Z', '2024-11-03T05:59:59.000Z', '2024-07-01T17:00:00.000Z', '2024-12-01T18:00:00.000Z']);
  });
});

describe('parseInstant', () => {
  it('keeps the fraction as far as a double holds it', () => {
    expect(parseInstant('2023-11-16 18:17:03.9799600', utc)).toBe(1700158623.97996);
    expect(parseInstant('1713452957.5883002', utc)).toBe(1713452957.5883002);
  });

  it.each([
    ['2024-05-29T19:00:19+0100', '2024-05-29T18:00:19.000Z'],
    ['2024-05-29T19:00:19Z', '2024-05-29T19:00:19.000Z'],
    ['2024-05-29 19:00:19 UTC', '2024-05-29T19:00:19.000Z'],
    ['2026-07-18T15:51:25.557734-07:00', '2026-07-18T22:51:25.557Z'],
    ['2024-05-29 19:00:19,250+00', '2024-05-29T19:00:19.250Z'],
  ])('%s says its own zone, which wins over tz', (text, expected) => {
    expect(iso(text, chicago)?.slice(0, 22)).toBe(expected.slice(0, 22));
  });

  it.each(['', 'yesterday', '2024/04/18 10:13:28.', '2024', '2024/02/30 10:00:00', '2024/13/01 10:00:00', '2024/04/18 24:00:00', '2024/04-18 10:00:00', '2024-04-18T10:00:00+99:00', '-5', '07-17-2024 09:44:23.305'])("'%s' is no time", (text) => {
    expect(parseInstant(text, utc)).toBeUndefined();
  });

  it('reads month-first times only where the format writes them so', () => {
    expect(parseMonthFirst('07-17-2024 09:52:23.554', zone('-07:00'))).toBe(Date.parse('2024-07-17T16:52:23.554Z') / 1000);
    expect(parseMonthFirst('17-07-2024 09:52:23.554', utc)).toBeUndefined();
  });
});

describe('fromEpoch', () => {
  it.each([1713452957.5, 1713452957500, 1713452957500000, 1713452957500000000])('%d is in seconds, ms, µs or ns by its size', (value) => {
    expect(fromEpoch(value)).toBe(1713452957.5);
  });

  it('leaves a time of 1992 as it is: only the power log can say that it is wrong', () => {
    expect(fromEpoch(713453089.5967484)).toBe(713453089.5967484);
  });

  it.each([0, 125, 86_400_000, Number.POSITIVE_INFINITY, Number.NaN])('%d is no epoch', (value) => {
    expect(fromEpoch(value)).toBeUndefined();
  });
});
