import { describe, expect, it } from 'vitest';
import { zone } from '../../timestamps.js';
import { dcmiTime, dcmiTimeText, dcmiWatts, sensorRows, sensorSum } from './ipmi-output.js';

const output = (watts: number, time: string): string => `
    Instantaneous power reading:                  ${watts} Watts
    Minimum during sampling period:                 38 Watts
    Maximum during sampling period:                242 Watts
    Average power reading over sample period:      102 Watts
    IPMI timestamp:                           ${time}
    Power reading state is:                   deactivated

`;

describe('dcmi power reading', () => {
  it('is its instantaneous value and no other, whatever the state', () => {
    expect(dcmiWatts(output(319, 'Thu Jan  1 00:00:00 1970'))).toBe(319);
    expect(dcmiWatts(output(0, 'x'))).toBe(0);
    expect(dcmiWatts('    Average power reading over sample period:      102 Watts\n')).toBeUndefined();
  });

  it("reads FreeIPMI's words too", () => {
    expect(dcmiWatts('Current Power                        : 164 Watts\nMinimum Power over sampling duration : 1 watts\n')).toBe(164);
  });

  it.each([
    ['    IPMI timestamp:                           Sun Mar  6 15:13:42 2022', 'UTC', '2022-03-06T15:13:42Z'],
    ['    IPMI timestamp:                           10/12/23 13:29:17 CEST    Sampling period:                          00065530 Seconds.', 'Europe/Berlin', '2023-10-12T11:29:17Z'],
    ['    IPMI timestamp:                           11/21/26 21:22:57 UTC    Sampling period: 1 Seconds.', 'Europe/Berlin', '2026-11-21T21:22:57Z'],
    ['    IPMI timestamp:                           03/06/2022 15:13:42', '-05:00', '2022-03-06T20:13:42Z'],
  ])('is stamped %s in %s', (line, tz, iso) => {
    expect(dcmiTime(dcmiTimeText(line) ?? '', zone(tz))).toBe(Date.parse(iso) / 1000);
  });

  it('has no time where the clock was never set', () => {
    expect(dcmiTime('Thu Jan  1 00:00:00 1970', zone('UTC'))).toBeUndefined();
    expect(dcmiTime('01/01/70 00:00:00 UTC', zone('UTC'))).toBeUndefined();
    expect(dcmiTime('Unspecified', zone('UTC'))).toBeUndefined();
  });
});

describe('sdr elist', () => {
  const text = ['PSU1 Input Power | 02h | ok  | 10.1 | 704 Watts', 'PSU2 Input Power | 03h | ok  | 10.2 | 688 Watts', 'Power Supply 1   | 04h | ok  | 10.1 | 110 Watts, Presence detected', 'PSU1 Input Power | 02h | ok  | 10.1 | 704 Watts', 'PSU1 Input Power | 07h | ok  | 10.1 | 8 Watts', 'Sleeping PSU     | 08h | ns  | 10.3 | No Reading', 'Inlet Temp       | 09h | ok  |  7.1 | 22 degrees C', ''].join('\n');
  const rows = sensorRows(text);

  it('keeps two sensors of one name apart and counts one sensor of two records once', () => {
    expect(rows.filter(({ name }) => name === 'PSU1 Input Power')).toEqual([{ name: 'PSU1 Input Power', number: '02h', watts: 704 }, { name: 'PSU1 Input Power', number: '07h', watts: 8 }]);
    expect(sensorSum(rows, ['PSU1 Input Power', 'PSU2 Input Power'])).toEqual({ watts: 1400 });
    expect(sensorSum(rows, ['Power Supply 1'])).toEqual({ watts: 110 });
  });

  it('is unknown, not smaller, where one of the sensors says nothing or is not there', () => {
    expect(sensorSum(rows, ['PSU1 Input Power', 'Sleeping PSU'])).toEqual({ missing: "'Sleeping PSU' says no watts" });
    expect(sensorSum(rows, ['Inlet Temp'])).toEqual({ missing: "'Inlet Temp' says no watts" });
    expect(sensorSum(rows, ['PSU9', 'PSU1 Input Power'])).toEqual({ missing: "no sensor is called 'PSU9'" });
  });
});
