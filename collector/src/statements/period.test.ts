import { expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { lastMonth, lastWeek, localText, monthBefore, monthIn, weekBefore, weekIn } from './period.js';

const iso = (span: { from: number; to: number } | undefined): unknown => span && [span.from, span.to].map((at) => new Date(at / 1000).toISOString());
const at = (text: string) => epochMicros(Date.parse(text) * 1000);

it.each([
  ['Europe/Berlin', '2026-10', '2026-09-30T22:00:00.000Z', '2026-10-31T23:00:00.000Z'],
  ['Europe/Berlin', '2026-03', '2026-02-28T23:00:00.000Z', '2026-03-31T22:00:00.000Z'],
  ['America/New_York', '2026-11', '2026-11-01T04:00:00.000Z', '2026-12-01T05:00:00.000Z'],
  // Begins at 01:00, as clocks go forward at midnight.
  ['America/Asuncion', '2023-10', '2023-10-01T04:00:00.000Z', '2023-11-01T03:00:00.000Z'],
  // Has two midnights at its end, and the month after begins with the first of them.
  ['America/Havana', '2026-10', '2026-10-01T04:00:00.000Z', '2026-11-01T04:00:00.000Z'],
  ['America/Havana', '2026-11', '2026-11-01T04:00:00.000Z', '2026-12-01T05:00:00.000Z'],
  ['Asia/Kolkata', '2026-10', '2026-09-30T18:30:00.000Z', '2026-10-31T18:30:00.000Z'],
])('a month of %s begins and ends by its clocks: %s', (zone, month, from, to) => {
  expect(iso(monthIn(zone, month))).toEqual([from, to]);
});

it('a week with a change of clocks has 169 or 167 hours, and begins where the one before ends', () => {
  const week = weekIn('Europe/Berlin', '2026-W43');
  expect(iso(week)).toEqual(['2026-10-18T22:00:00.000Z', '2026-10-25T23:00:00.000Z']);
  expect(iso(week && weekBefore('Europe/Berlin', { ...week, from: week.to }))).toEqual(iso(week));
  expect(iso(weekIn('UTC', '2026-W53'))).toEqual(['2026-12-28T00:00:00.000Z', '2027-01-04T00:00:00.000Z']);
  expect(iso(monthBefore('Europe/Berlin', { from: at('2026-10-31T23:00Z'), to: at('2026-11-30T23:00Z') }))).toEqual(['2026-09-30T22:00:00.000Z', '2026-10-31T23:00:00.000Z']);
});

it.each(['2026-13', '2026-1', '2026', '2026-10-01', '1969-12', 'october'])("'%s' is no month", (text) => {
  expect(monthIn('UTC', text)).toBeUndefined();
});
it.each(['2026-W54', '2025-W53', '2026-W00', '2026-W4', '2026-46'])("'%s' is no week", (text) => {
  expect(weekIn('UTC', text)).toBeUndefined();
});

it('the last ones are those that are over, by the zone', () => {
  expect([lastMonth('UTC', at('2026-10-31T23:30Z')), lastMonth('Europe/Berlin', at('2026-10-31T23:30Z')), lastMonth('UTC', at('2026-01-05T00:00Z'))]).toEqual(['2026-09', '2026-10', '2025-12']);
  expect([lastWeek('UTC', at('2026-11-22T23:59Z')), lastWeek('UTC', at('2026-11-23T00:00Z')), lastWeek('UTC', at('2027-01-05T00:00Z'))]).toEqual(['2026-W46', '2026-W47', '2026-W53']);
  expect(localText(at('2026-10-31T23:00Z'), 'Europe/Berlin')).toBe('2026-11-01T00:00:00+01:00');
});
