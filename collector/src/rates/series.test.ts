import { describe, expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { parseSeries, type SeriesText } from './series.js';

const at = (iso: string) => epochMicros(Date.parse(iso) * 1000);
const PRICES: SeriesText = { zone: 'UTC', least: -Infinity };
const parsed = (text: string, how: SeriesText = PRICES) => parseSeries(text, how);
function told(text: string, from: string, to: string, how?: SeriesText): (string | number | null)[][] {
  const series = parsed(text, how);
  if (!('value' in series)) throw new Error(series.faults.join('; '));
  return series.value({ from: at(from), to: at(to) }).map((piece) => [new Date(piece.from / 1000).toISOString().slice(5, 16), piece.value]);
}
const faults = (text: string, how?: SeriesText): string => {
  const series = parsed(text, how);
  return 'faults' in series ? series.faults.join('\n') : '';
};

describe('a series', () => {
  it('holds each value until the next, the last as long as they usually do, and knows nothing between', () => {
    const text = 'time,value\n2026-11-01T00:00Z,0.1\n2026-11-01T01:00Z,0.1\n2026-11-01T02:00Z,-0.02\n2026-11-01T05:00Z,0.3\n';
    expect(told(text, '2026-10-31T23:30Z', '2026-11-01T07:00Z')).toEqual([['10-31T23:30', null], ['11-01T00:00', 0.1], ['11-01T02:00', -0.02], ['11-01T03:00', null], ['11-01T05:00', 0.3], ['11-01T06:00', null]]);
  });

  it('reads local times, and an hour that comes twice as two', () => {
    const text = 'time,price\n2026-10-25T01:00,1\n2026-10-25T02:00,2\n2026-10-25T02:00,3\n2026-10-25T03:00,4\n';
    expect(told(text, '2026-10-24T23:00Z', '2026-10-25T03:00Z', { ...PRICES, zone: 'Europe/Berlin' })).toEqual([['10-24T23:00', 1], ['10-25T00:00', 2], ['10-25T01:00', 3], ['10-25T02:00', 4]]);
  });

  it('takes spans as they are said, epoch seconds, comments and a column by its name', () => {
    const text = '# exported\nfrom,to,location,market\n1793491200,1793494800,380,0\n1793494800,1793502000,350,12\n';
    expect(told(text, '2026-11-01T00:00Z', '2026-11-01T03:00Z', { ...PRICES, column: 'Market' })).toEqual([['11-01T00:00', 0], ['11-01T01:00', 12]]);
  });

  it.each([
    ['times that overlap', 'from,to,value\n2026-11-01T00:00Z,2026-11-01T02:00Z,1\n2026-11-01T01:00Z,2026-11-01T03:00Z,2\n', /lines 2 and 3: their times overlap/],
    ['two values for one time', 'time,value\n2026-11-01T00:00Z,1\n2026-11-01T00:00Z,2\n2026-11-01T01:00Z,2\n', /lines 2 and 3: two values for one time/],
    ['a time that the zone leaves out', 'time,value\n2026-03-29T02:30,1\n2026-03-29T03:30,1\n', /line 2: '2026-03-29T02:30' is no time in Europe\/Berlin/],
    ['text for a number', 'time,value\n2026-11-01T00:00Z,free\n2026-11-01T01:00Z,2\n', /line 2: 'free' is no number/],
    ['a value below what can be', 'time,value\n2026-11-01T00:00Z,-1\n2026-11-01T01:00Z,2\n', /line 2: -1 is below 0/],
    ['no times', 'hour,value\n1,2\n', /no column of times/],
    ['several columns and no word which', 'time,a,b\n2026-11-01T00:00Z,1,2\n', /no column 'value'/],
    ['an empty file', '', /no line with a value/],
    ['one line that does not say how long', 'time,value\n2026-11-01T00:00Z,1\n', /add a column to/],
  ])('refuses %s', (_what, text, expected) => expect(faults(text, { zone: 'Europe/Berlin', least: 0 })).toMatch(expected));
});
