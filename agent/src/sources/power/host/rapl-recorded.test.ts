import { describe, expect, it } from 'vitest';
import { all, details, flags, recordedFile, refusal } from '../../recorded-file.testing.js';
import type { RecordedPowerEntry } from '../../recorded.js';
import type { PowerEvent } from '../../source.js';
import { readingsOf } from '../live.testing.js';
import { recordedRapl } from './rapl-recorded.js';

const read = (text: string, options: unknown = {}, entry: Partial<RecordedPowerEntry> = {}): Promise<PowerEvent[]> => all(recordedRapl.open({ file: recordedFile(text, 'rapl.txt'), tz: 'UTC', ...entry }, options).events());
const said = (events: readonly PowerEvent[]): unknown[] => readingsOf(events).map((reading) => [reading.channel.device, reading.at, reading.measures === 'counter' ? reading.total : reading.power]);

describe('lines', () => {
  it('reads what a loop over the zones prints: a bare dram is that of the package in front of it', async () => {
    const events = await read(
      ['# two sockets', '1750000000.5 package-0 100 262143328850', '1750000000.5 core 7', '1750000000.5 dram 200 65712999613', '1750000000.5 package-1 300 262143328850', '1750000000.5 dram 400 65712999613', '2025-06-15T15:06:41Z psys 500 1', ''].join('\n'),
    );
    expect(said(events)).toEqual([
      ['cpu0', 1_750_000_000.5, 100n],
      ['dram0', 1_750_000_000.5, 200n],
      ['cpu1', 1_750_000_000.5, 300n],
      ['dram1', 1_750_000_000.5, 400n],
      ['server', 1_750_000_001, 500n],
    ]);
    expect(readingsOf(events)[1]).toMatchObject({ wrapsAt: 65_712_999_613n, channel: { id: 'rapl/dram0/dram', source: 'rapl', boundary: 'dram' } });
    expect(readingsOf(events)[4]?.channel.use).toBe('check');
  });

  it('understands memory that says its package', async () => {
    expect(said(await read('1750000000 package-1/dram 1\n1750000000 dram-3 2\n'))).toEqual([
      ['dram1', 1_750_000_000, 1n],
      ['dram3', 1_750_000_000, 2n],
    ]);
  });

  it('takes a counter that began anew for a break, not for a wrap', async () => {
    const events = await read('1750000000 package-0 9000000000 262143328850\n1750000001 package-0 100 262143328850\n');
    expect(events.map(({ kind }) => kind)).toEqual(['reading', 'break', 'flagged', 'reading']);
  });

  it('counts lines that are cut off or of no zone, and leaves out the last one without its end', async () => {
    const events = await read('1750000000 package-0 1\n1750000001 package-0 2\nnonsense\n1750000002 fan 3\n1750000003 package-0 4\n1750000004 package-0 56');
    expect(said(events)).toHaveLength(3);
    expect(flags(events)).toEqual([['SKIPPED_LINES', 1], ['SKIPPED_LINES', 1], ['SKIPPED_LINES', 1]]);
    expect(details(events).join(' ')).toMatch(/line 3.*line 4: not a zone of RAPL.*line 6: cut off/);
  });

  it('reads the devices that are wanted, and says which there are not', async () => {
    const text = '1750000000 package-0 1\n1750000000 package-1 2\n';
    expect(said(await read(text, {}, { devices: ['cpu1'] }))).toEqual([['cpu1', 1_750_000_000, 2n]]);
    expect(await refusal(read(text, {}, { devices: ['cpu7'] }))).toMatch(/^DEVICES_MISMATCH: rapl.txt has no device cpu7/);
    expect(() => recordedRapl.open({ file: recordedFile(text), tz: 'UTC', device: 'x' }, {})).toThrow(/device: the file's zones say it/);
  });

  it('refuses a file that is something else', async () => {
    expect(await refusal(read('power is high today\n'))).toMatch(/^FILE_FORMAT: rapl.txt is not rapl: line 1 is not <time> <zone name> <energy_uj>/);
    expect(await refusal(read(''))).toMatch(/^FILE_EMPTY/);
  });
});

describe('CSV', () => {
  it('reads named columns', async () => {
    const events = await read('when,domain,uj,max\n2025-06-15 15:06:40,package-0,5,100\n', { columns: { time: 'when', zone: 'domain', energyUj: 'uj', maxEnergyRangeUj: 'max' } });
    expect(readingsOf(events)).toMatchObject([{ at: 1_750_000_000, total: 5n, wrapsAt: 100n }]);
  });

  it('knows its own names of columns, and counts cells that say nothing', async () => {
    const events = await read('time,zone,energy_uj\n1750000000,package-0,5\n1750000001,package-0,\n1750000002,package-0,6\n');
    expect(said(events)).toHaveLength(2);
    expect(details(events)).toEqual(['rapl.txt: 1 line skipped: line 3: no counter value']);
  });
});
