import { describe, expect, it } from 'vitest';
import { all, flags, ifAbsent, isPresent, recordedFile, refusal, sharedFile } from '../recorded-file.testing.js';
import type { RecordedPowerEntry } from '../recorded.js';
import type { PowerEvent } from '../source.js';
import { csv, exactTotal } from './csv.js';

const read = (content: string, options: unknown = {}, entry: Partial<RecordedPowerEntry> = {}): Promise<PowerEvent[]> => all(csv.open({ file: recordedFile(content), tz: 'UTC', ...entry }, options).events());
const readCounter = (name: string, text: string): Promise<PowerEvent[]> => read(`time,${name}\n1713452957,${text}\n`, { wrapsAt: '262143.328850' });
const brief = (list: readonly PowerEvent[]): unknown[] => list.flatMap((event) => (event.kind === 'reading' ? [[event.channel.device, event.at, event.measures === 'power' ? event.power : event.total]] : []));

describe('csv power', () => {
  it('goes by its own names where the manifest names none', async () => {
    const list = await read('time,watts\n1713452957.5,100\n1713452958.5,110.5\n');
    expect(brief(list)).toEqual([['gpu0', 1713452957.5, 100], ['gpu0', 1713452958.5, 110.5]]);
    expect(list[0]).toMatchObject({ channel: { id: 'csv/gpu0/watts', boundary: 'gpu', source: 'csv', measures: 'power' } });
  });

  it('reads named columns, a device column, any separator and local time', async () => {
    const list = await read('when;"P [W]";outlet\n2024-07-17 09:52:23.5;93;A\n2024-07-17 09:52:23.5;94;B\n', { columns: { time: 'when', watts: 'P [W]', device: 'outlet' } }, { tz: '+01:00', boundary: 'meter' });
    const at = Date.parse('2024-07-17T08:52:23.5Z') / 1000;
    expect(brief(list)).toEqual([['A', at, 93], ['B', at, 94]]);
    expect(list[0]).toMatchObject({ channel: { boundary: 'meter' } });
  });

  it('keeps counters exact, in microjoules', async () => {
    expect((await readCounter('microjoulesTotal', '9007199254740993'))[0]).toMatchObject({ measures: 'counter', total: 9007199254740993n, wrapsAt: 262143n });
    expect((await readCounter('joulesTotal', '12345.678901'))[0]).toMatchObject({ total: 12345678901n, wrapsAt: 262143328850n });
    expect((await readCounter('wattHoursTotal', '94268.5'))[0]).toMatchObject({ total: 339366600000000n });
  });

  it('rounds a counter written as a float, and no other', () => {
    expect(exactTotal('1.5e3', 1_000_000n)).toBe(1_500_000_000n);
    expect(exactTotal(0.1, 1_000_000n)).toBe(100_000n);
    for (const bad of ['-1', '', 'abc', undefined, true]) expect(exactTotal(bad, 1n)).toBeUndefined();
  });

  it('counts what is missing and makes no 0 W of it', async () => {
    const list = await read('time,watts\n1713452957,\n1713452958,nan\n1713452959,-1\n1713452960,x\n1713452961,9000\n1713452962,50\n');
    expect(brief(list)).toEqual([['gpu0', 1713452962, 50]]);
    expect(flags(list)).toEqual([['MISSING_READINGS', 2], ['MISSING_READINGS', 1], ['MISSING_READINGS', 1], ['ABSURD_READING', 1]]);
  });

  it('skips rows without a time or cut off', async () => {
    const list = await read('time,watts,x\n1713452957,50,a\nsoon,50,a\n1713452958,51,a\n1713452959,5');
    expect(brief(list)).toHaveLength(2);
    expect(flags(list)).toEqual([['SKIPPED_LINES', 1], ['SKIPPED_LINES', 1]]);
  });

  it.each([
    [{ columns: { time: 'time', watts: 'Watt' } }, /no column 'Watt' \(columns\.watts\); did you mean 'watts'\?/],
    [{ columns: { time: 'when', watts: 'watts' } }, /no column 'when'.*it has time, watts, joulesTotal/],
    [{}, /the columns watts and joulesTotal: say columns/],
  ])('says what is wrong with %j', async (options, message) => {
    const said = await refusal(read('time,watts,joulesTotal\n1713452957,1,2\n', options));
    expect(said).toMatch(/^FILE_FORMAT/);
    expect(said).toMatch(message);
  });

  it('refuses two measures of the same thing, and a power that wraps', () => {
    const file = recordedFile('');
    expect(() => csv.open({ file, tz: 'UTC' }, { columns: { watts: 'a', joulesTotal: 'b' } })).toThrow(/watts and joulesTotal/);
    expect(() => csv.open({ file, tz: 'UTC' }, { columns: { watts: 'a' }, wrapsAt: 10 })).toThrow(/power does not wrap/);
    expect(() => csv.open({ file, tz: 'UTC' }, { columns: { wats: 'a' } })).toThrow("'wats' is not a setting here; did you mean 'watts'?");
  });

  it('selects devices, and refuses those that are not there', async () => {
    const content = 'time,watts,device\n1713452957,1,a\n1713452957,2,b\n';
    expect(brief(await read(content, {}, { devices: ['b'] }))).toEqual([['b', 1713452957, 2]]);
    await expect(read(content, {}, { devices: ['c'] })).rejects.toMatchObject({ code: 'DEVICES_MISMATCH', message: 'power.csv has no device c: it holds a, b; correct devices.' });
    await expect(read('time,watts\n1713452957,1\n', {}, { devices: [0, 1] })).rejects.toMatchObject({ code: 'DEVICES_MISMATCH' });
  });
});

describe.skipIf(!isPresent)(`a real PDU${ifAbsent}`, () => {
  it('gaissa: 53 readings of power, or of a counter in Wh', async () => {
    const entry = { file: sharedFile('recordings/gaissa-pdu/wattmeter_experiment.csv'), tz: 'UTC', boundary: 'meter' } as const;
    const power = await all(csv.open(entry, { columns: { time: 'True timestamp', watts: 'Load' } }).events());
    expect(power).toHaveLength(53);
    const counter = await all(csv.open(entry, { columns: { time: 'Wattmetter Timestamp', wattHoursTotal: 'Energy' } }).events());
    expect(counter[0]).toMatchObject({ at: Date.parse('2024-05-29T18:00:19Z') / 1000, total: 94268n * 3_600_000_000n });
  });
});
