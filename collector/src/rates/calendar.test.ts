import { describe, expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { parseCalendar, type CalendarText } from './calendar.js';
import type { Piece } from './pieces.js';

const at = (iso: string) => epochMicros(Date.parse(iso) * 1000);
const range = (from: string, to: string) => ({ from: at(from), to: at(to) });
const told = (pieces: readonly Piece<string>[]) => pieces.map(({ from, value }) => `${new Date(from / 1000).toISOString().slice(0, 16)} ${value}`);

function calendar(text: CalendarText) {
  const parsed = parseCalendar(text);
  if (!('value' in parsed)) throw new Error(parsed.faults.join('; '));
  return parsed.value;
}
function faults(text: CalendarText): readonly string[] {
  const parsed = parseCalendar(text);
  return 'faults' in parsed ? parsed.faults : [];
}

const PEAK = { name: 'peak', days: ['mon-fri'], from: '08:00', to: '20:00' };
const REST = { name: 'off-peak' };

describe('a tariff by time of use', () => {
  it('follows local time over the change to summer time', () => {
    const over = calendar({ zone: 'Europe/Berlin', periods: [PEAK, REST] });
    // Friday in winter: 08:00 is 07:00 UTC. Monday after the change: 06:00 UTC.
    expect(told(over(range('2026-03-27T00:00Z', '2026-03-31T00:00Z')))).toEqual([
      '2026-03-27T00:00 off-peak', '2026-03-27T07:00 peak', '2026-03-27T19:00 off-peak', '2026-03-30T06:00 peak', '2026-03-30T18:00 off-peak',
    ]);
  });

  it('equals an hour-by-hour computation over a year with both changes, where clocks change by an hour, and by half of one', () => {
    for (const zone of ['Europe/Berlin', 'Australia/Lord_Howe']) {
      const over = calendar({ zone, periods: [{ ...PEAK, months: ['10-3'] }, { name: 'summer', days: ['mon-sun'], from: '13:30', to: '21:15', months: ['4-9'] }, { name: 'night', days: ['mon-fri'], from: '22:00', to: '06:00', months: ['10-3'] }, REST] });
      const clock = new Intl.DateTimeFormat('en-GB', { timeZone: zone, weekday: 'short', month: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
      const year = range('2026-01-01T00:00Z', '2027-01-01T00:00Z');
      const pieces = over(year);
      const differing: string[] = [];
      for (let time = year.from, index = 0; time < year.to; time = epochMicros(time + 900e6)) {
        while ((pieces[index]?.to ?? Infinity) <= time) index += 1;
        const part = Object.fromEntries(clock.formatToParts(new Date(time / 1000)).map(({ type, value }) => [type, value]));
        const minute = Number(part['hour']) * 60 + Number(part['minute']);
        const working = !['Sat', 'Sun'].includes(part['weekday'] ?? '');
        const winter = Number(part['month']) >= 10 || Number(part['month']) <= 3;
        const expected = winter && working && minute >= 480 && minute < 1200 ? 'peak' : winter && working && (minute >= 1320 || minute < 360) ? 'night' : !winter && minute >= 810 && minute < 1275 ? 'summer' : 'off-peak';
        if (pieces[index]?.value !== expected) differing.push(`${zone} ${new Date(time / 1000).toISOString()}: ${pieces[index]?.value} for ${expected}`);
      }
      expect(differing).toEqual([]);
    }
  });

  it('takes holidays of a region, and those listed, out of the week', () => {
    // 2026-03-08 is a Sunday; 2027-03-08, International Women's Day, a Monday and a holiday in Berlin only.
    const days = range('2027-03-08T10:00Z', '2027-03-08T11:00Z');
    const periods = [PEAK, { name: 'feast', days: ['holidays'] }, REST];
    expect(told(calendar({ zone: 'Europe/Berlin', holidays: 'DE-BE', periods })(days))).toEqual(['2027-03-08T10:00 feast']);
    expect(told(calendar({ zone: 'Europe/Berlin', holidays: 'DE-BY', periods })(days))).toEqual(['2027-03-08T10:00 peak']);
    expect(told(calendar({ zone: 'Europe/Berlin', holidays: ['2027-03-08'], periods })(days))).toEqual(['2027-03-08T10:00 feast']);
  });

  it.each<[string, CalendarText, RegExp]>([
    ['hours without a price', { zone: 'UTC', periods: [PEAK] }, /no period holds on mon 00:00–08:00/],
    ['hours with two', { zone: 'UTC', periods: [PEAK, { name: 'noon', days: ['wed'], from: '12:00', to: '13:00' }, REST] }, /'peak' and 'noon' overlap on wed 12:00–13:00/],
    ['a zone that is none', { zone: 'Berlin', periods: [REST] }, /'Berlin' is no time zone/],
    ['a day that is none', { zone: 'UTC', periods: [{ ...PEAK, days: ['lundi'] }, REST] }, /period 'peak': days: 'lundi' is no day/],
    ['a time that is none', { zone: 'UTC', periods: [{ ...PEAK, from: '8 am' }, REST] }, /'8 am' is no time of day/],
    ['holidays of nowhere', { zone: 'UTC', holidays: 'XX', periods: [REST] }, /'XX' is no country/],
    ['a region of another country', { zone: 'UTC', holidays: 'DE-CA', periods: [REST] }, /'DE' has no region 'CA'; known are BB/],
    ['days off that nobody names', { zone: 'UTC', periods: [{ name: 'feast', days: ['holidays'] }, REST] }, /needs the tariff to say which/],
    ['one name twice', { zone: 'UTC', periods: [PEAK, { ...REST, name: 'peak' }] }, /two periods are called 'peak'/],
  ])('refuses %s', (_what, text, expected) => expect(faults(text).join('\n')).toMatch(expected));
});
