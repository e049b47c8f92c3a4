import { expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { formatTime, parseTime } from './times.js';

it('reads ISO times with a zone and epoch seconds to the microsecond', () => {
  expect(parseTime('1970-01-01T00:00:01Z')).toBe(1e6);
  expect(parseTime('1970-01-01T01:00:00.000001+01:00')).toBe(1);
  expect(parseTime('1970-01-01T01:00:00.5+0100')).toBe(500_000);
  expect(parseTime('1721210543.554321')).toBe(1_721_210_543_554_321);
});

it('refuses times without a zone and what is no time', () => {
  const parsed = ['2026-01-01T00:00:00', '2026-01-01', '', 'now', '-5', '2026-13-01T00:00:00Z'].map(parseTime);
  expect(parsed.every((time) => time === undefined)).toBe(true);
});

it('writes microseconds only where there are any', () => {
  expect(formatTime(epochMicros(1_250_000))).toBe('1970-01-01T00:00:01.250Z');
  expect(formatTime(epochMicros(1_250_007))).toBe('1970-01-01T00:00:01.250007Z');
});
