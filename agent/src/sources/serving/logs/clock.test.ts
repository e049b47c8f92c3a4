import { instant, toIso, type Instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { zone } from '../../timestamps.js';
import { liveClock, recordedClock } from './clock.js';
import type { LogLine, Stamp } from './dialect.js';

const at = (iso: string): Instant => instant(Date.parse(iso) / 1000);
const line = (of: Partial<LogLine> = {}): LogLine => ({ number: 1, text: '', ...of });
const stamp = (text: string, given: Partial<Stamp> = {}): Stamp => {
  const [time = '', day, year] = text.split(' ').toReversed();
  const [hour, minute, second] = time.split(':').map(Number);
  const [month, dayOfMonth] = (day ?? '').split('-').map(Number);
  return { ...(year !== undefined && { year: Number(year) }), ...(day !== undefined && { month, day: dayOfMonth }), hour: hour ?? 0, minute: minute ?? 0, second: second ?? 0, ...given };
};
const iso = (time: Instant | undefined): string | undefined => time && toIso(time);
const UTC = zone('UTC');

describe('the clock of a recorded log', () => {
  it('believes an exact wrapper, then a zone in the stamp, then the stamp in the zone of the entry', () => {
    const clock = recordedClock({ zone: zone('America/Chicago') });
    const wrapped = at('2026-05-12T08:01:39.331Z');
    expect(clock.at(line({ wrapped }), stamp('2026 05-12 08:00:00'))).toBe(wrapped);
    expect(iso(clock.at(line(), stamp('2026 05-12 08:00:00.5', { zone: 'utc' })))).toBe('2026-05-12T08:00:00.500Z');
    expect(iso(clock.at(line(), stamp('2026 05-12 08:00:00', { zone: 120 })))).toBe('2026-05-12T06:00:00.000Z');
    expect(iso(clock.at(line(), stamp('2026 05-12 08:00:00')))).toBe('2026-05-12T13:00:00.000Z');
    expect(clock.at(line({ wrapped }))).toBe(wrapped);
    expect(clock.at(line())).toBeUndefined();
  });

  it('takes the zone from a rough wrapper and the moment from the stamp', () => {
    const clock = recordedClock({ zone: UTC });
    const rough = (wrapped: string, text: string) => iso(clock.at(line({ wrapped: at(wrapped), wrappedRoughly: true }), stamp(text)));
    // Shipped five seconds late.
    expect(rough('2024-04-18T22:44:08.144Z', '04-18 18:44:03')).toBe('2024-04-18T22:44:03.000Z');
    // A launcher's fraction, as far as the stamp allows it.
    expect(rough('2024-04-18T22:44:03.144Z', '04-18 22:44:03')).toBe('2024-04-18T22:44:03.144Z');
    expect(rough('2024-04-18T22:44:04.010Z', '04-18 22:44:03')).toBe('2024-04-18T22:44:03.999Z');
    expect(rough('2025-01-01T00:00:02Z', '12-31 23:59:58')).toBe('2024-12-31T23:59:58.000Z');
    // Half of the day away: no zone is.
    expect(rough('2024-04-18T22:44:08Z', '04-18 02:00:00')).toBe('2024-04-18T22:44:08.000Z');
  });

  it('finds the missing year by the option, and goes on over the New Year', () => {
    const clock = recordedClock({ zone: UTC, year: 2024 });
    expect(['12-31 23:59:58', '01-01 00:00:08', '12-31 23:59:59', '01-02 00:00:00'].map((text) => iso(clock.at(line(), stamp(text))))).toEqual([
      '2024-12-31T23:59:58.000Z', '2025-01-01T00:00:08.000Z', '2024-12-31T23:59:59.000Z', '2025-01-02T00:00:00.000Z',
    ]);
    expect(clock.yearOfFile).toBeUndefined();
  });

  it.each([
    ['05-12 08:00:00', '2026-05-12T09:00:00Z', '2026-05-12T08:00:00.000Z', 2026],
    ['12-30 08:00:00', '2026-01-02T09:00:00Z', '2025-12-30T08:00:00.000Z', 2025],
    ['02-29 08:00:00', '2026-05-12T09:00:00Z', undefined, undefined],
  ])('finds the missing year of %s by the last change of the file, and says so', (text, lastChange, expected, year) => {
    const clock = recordedClock({ zone: UTC, lastChange: at(lastChange) });
    expect(iso(clock.at(line(), stamp(text)))).toBe(expected);
    expect(clock.yearOfFile).toBe(year);
  });

  it('finds the missing day by the last change of the file, and goes on over midnight', () => {
    const clock = recordedClock({ zone: zone('+02:00'), lastChange: at('2026-05-12T22:30:00Z') });
    expect(['23:59:00', '23:58:59', '00:10:00', '13:00:00'].map((text) => iso(clock.at(line(), stamp(text))))).toEqual([
      '2026-05-12T21:59:00.000Z', '2026-05-12T21:58:59.000Z', '2026-05-12T22:10:00.000Z', '2026-05-13T11:00:00.000Z',
    ]);
  });

  it('reads an hour that the clocks go through twice in the order of the log, some disorder allowed', () => {
    const clock = recordedClock({ zone: zone('America/Chicago') });
    const read = (text: string) => iso(clock.at(line(), stamp(`2026 11-01 ${text}`)));
    expect(['01:50:00', '01:49:58', '01:59:59', '01:00:05', '01:30:00'].map(read)).toEqual([
      '2026-11-01T06:50:00.000Z', '2026-11-01T06:49:58.000Z', '2026-11-01T06:59:59.000Z', '2026-11-01T07:00:05.000Z', '2026-11-01T07:30:00.000Z',
    ]);
  });

  it('has no time for a stamp that is none, or that the clocks skipped', () => {
    const clock = recordedClock({ zone: zone('America/Chicago') });
    for (const text of ['2026 13-01 00:00:00', '2026 02-30 00:00:00', '2026 01-01 24:00:00', '2026 01-01 00:60:00', '2026 03-08 02:30:00', '05-12 00:00:00']) expect(clock.at(line(), stamp(text)), text).toBeUndefined();
  });

  it('dates wrappers of their own, apart from the stamps', () => {
    const clock = recordedClock({ zone: zone('-05:00'), year: 2025 });
    expect(iso(clock.wrapped(stamp('12-31 23:59:58')))).toBe('2026-01-01T04:59:58.000Z');
    expect(iso(clock.wrapped(stamp('01-01 00:00:01')))).toBe('2026-01-01T05:00:01.000Z');
  });
});

const clockIn = (host: string, configured?: string) => liveClock({ host: zone(host), utc: UTC, ...(configured !== undefined && { zone: zone(configured) }) });
const read = (clock: ReturnType<typeof liveClock>, text: string, arrived: string) => iso(clock.at(line({ arrived: at(arrived) }), stamp(text)));

describe('the clock of a live log', () => {
  it.each([
    ['the host has', '05-12 03:00:00', '2026-05-12T08:00:01Z'],
    ['is UTC', '05-12 08:00:00', '2026-05-12T08:00:01Z'],
    ['is another', '05-12 13:45:00', '2026-05-12T08:00:01Z'],
    ['is another day', '05-11 21:00:00', '2026-05-12T08:00:01Z'],
  ])('learns the zone that %s by the arrival', (_, text, arrived) => {
    expect(read(clockIn('America/Chicago'), text, arrived)).toBe('2026-05-12T08:00:00.000Z');
  });

  it('keeps the zone while it catches up on old lines, and with the host when its clocks go back', () => {
    const clock = clockIn('America/Chicago');
    expect(read(clock, '11-01 01:59:50', '2026-11-01T06:59:51Z')).toBe('2026-11-01T06:59:50.000Z');
    expect(read(clock, '11-01 01:00:00', '2026-11-01T07:00:01Z')).toBe('2026-11-01T07:00:00.000Z');
    expect(read(clock, '11-01 01:05:00', '2026-11-01T09:00:00Z')).toBe('2026-11-01T07:05:00.000Z');
    expect(read(clock, '11-01 02:50:00', '2026-11-01T09:00:00Z')).toBe('2026-11-01T08:50:00.000Z');
    expect(read(clock, '11-01 03:00:10', '2026-11-01T09:00:11Z')).toBe('2026-11-01T09:00:10.000Z');
  });

  it('learns anew when the stamps stay wrong for half a minute', () => {
    const clock = clockIn('UTC');
    read(clock, '05-12 08:00:00', '2026-05-12T08:00:00Z');
    expect(read(clock, '05-12 10:00:10', '2026-05-12T08:00:10Z')).toBe('2026-05-12T10:00:10.000Z');
    expect(read(clock, '05-12 10:00:45', '2026-05-12T08:00:45Z')).toBe('2026-05-12T08:00:45.000Z');
    expect(read(clock, '05-12 10:00:46', '2026-05-12T08:00:46Z')).toBe('2026-05-12T08:00:46.000Z');
  });

  it('never overrules the configured zone', () => {
    const clock = clockIn('UTC', '+01:00');
    expect(read(clock, '05-12 10:00:00', '2026-05-12T10:00:00Z')).toBe('2026-05-12T09:00:00.000Z');
    expect(read(clock, '05-12 10:01:00', '2026-05-12T10:01:00Z')).toBe('2026-05-12T09:01:00.000Z');
  });

  it('takes the year from the arrival, and the arrival for a line without a stamp', () => {
    const clock = clockIn('UTC');
    expect(read(clock, '12-31 23:59:59', '2027-01-01T00:00:00.2Z')).toBe('2026-12-31T23:59:59.000Z');
    expect(clock.at(line({ arrived: at('2026-05-12T08:00:00.25Z') }))).toBe(at('2026-05-12T08:00:00.25Z'));
  });

  it('says how late lines come, by their median, once', () => {
    const clock = clockIn('UTC');
    for (const late of [0.25, 9, 0.75]) clock.at(line({ arrived: instant(at('2026-05-12T08:00:00Z') + late) }), stamp('05-12 08:00:00'));
    clock.at(line({ arrived: at('2026-05-12T09:00:00Z') }));
    expect(clock.delay()).toBe(0.75);
    expect(clock.delay()).toBeUndefined();
  });
});
