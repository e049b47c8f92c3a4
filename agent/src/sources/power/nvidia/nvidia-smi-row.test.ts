import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ifAbsent, isPresent, sharedPath } from '../../recorded-file.testing.js';
import { deviceOfRow, nvidiaSmiCells, nvidiaSmiColumns, parseNvidiaSmiRow, powerCell } from './nvidia-smi-row.js';

const HEADER = 'timestamp, index, uuid, power.draw [W], power.draw.instant [W], utilization.gpu [%], temperature.gpu, clocks.current.sm [MHz], memory.used [MiB]';
const parse = (line: string, wanted?: 'power.draw.instant') => {
  const columns = nvidiaSmiColumns(nvidiaSmiCells(HEADER), wanted);
  if (!columns) throw new Error('no columns');
  return parseNvidiaSmiRow(columns, nvidiaSmiCells(line));
};

describe('nvidia-smi rows', () => {
  it('reads a row with units, and the same without', () => {
    const expected = {
      kind: 'row',
      timestamp: '2026/07/14 08:12:53.500',
      index: '0',
      uuid: 'GPU-1f-2a',
      power: { kind: 'power', power: 631.95 },
      gauges: [
        { gauge: 'gpu.utilization', value: 0.68 },
        { gauge: 'gpu.temperature', value: 63 },
        { gauge: 'gpu.clock.sm', value: 1980 },
        { gauge: 'gpu.memory.used', value: 19818 },
      ],
    };
    expect(parse('2026/07/14 08:12:53.500, 0, GPU-1f-2a, 631.95 W, 625.68 W, 68 %, 63, 1980 MHz, 19818 MiB')).toEqual(expected);
    expect(parse('2026/07/14 08:12:53.500,0,GPU-1f-2a,631.95,625.68,68,63,1980,19818\r')).toEqual(expected);
  });

  it('takes the power column that is asked for, and no other in its place', () => {
    expect(parse('2026/07/14 08:12:53.500, 0, GPU-1, 631.95 W, 625.68 W, 68 %, 63, 1980 MHz, 1 MiB', 'power.draw.instant')).toMatchObject({ power: { power: 625.68 } });
    expect(nvidiaSmiColumns(['timestamp', 'power.draw [W]'], 'power.draw.average')).toBeUndefined();
  });

  it.each(['[N/A]', 'N/A', '[Not Supported]', '[Unknown Error]', '[GPU is lost]', '[GPU requires reset]', '[Insufficient Permissions]', '[Function Not Found]', '[Requested functionality has been deprecated]', '', 'nan', '-1.00 W', '12.5 mW', '1e3'])("'%s' is a missing reading, never 0", (cell) => {
    expect(powerCell(cell).kind).toBe('missing');
  });

  it('knows that no GPU draws 65,535 W', () => {
    expect(powerCell('65535.00 W').kind).toBe('absurd');
    expect(powerCell('0.00 W')).toEqual({ kind: 'power', power: 0 });
  });

  it('leaves out a gauge that is not known', () => {
    expect(parse('2026/07/14 08:12:53.500, 0, GPU-1, 1.00 W, 1.00 W, [N/A], [N/A], [N/A], [N/A]')).toMatchObject({ gauges: [] });
  });

  it('tells throttling of the reasons that were asked for, and nothing of others', () => {
    const columns = nvidiaSmiColumns(['index', 'power.draw [W]', 'clocks.max.sm [MHz]', 'clocks_event_reasons.sw_power_cap', 'clocks_event_reasons.gpu_idle']);
    const gauges = (line: string) => {
      const read = columns && parseNvidiaSmiRow(columns, nvidiaSmiCells(line));
      return read?.kind === 'row' ? read.gauges : undefined;
    };
    expect(gauges('0, 1.00 W, 1980 MHz, Active, Not Active')).toEqual([{ gauge: 'gpu.clock.sm.max', value: 1980 }, { gauge: 'gpu.throttle.power', value: 1 }]);
    expect(gauges('0, 1.00 W, [N/A], Not Active, Active')).toEqual([{ gauge: 'gpu.throttle.power', value: 0 }]);
    expect(gauges('0, 1.00 W, [N/A], [N/A], Active')).toEqual([]);
  });

  it('does not read a row of another length than its header', () => {
    expect(parse('2026/07/14 08:12:53.500, 0, GPU-1, 631')).toEqual({ kind: 'unusable', reason: 'cut off' });
    expect(parse('2026/07/14 08:12:53.500, 0, GPU-1, 6312026/07/14 08:12:53.500, 0, GPU-1, 1, 2, 3, 4, 5, 6').kind).toBe('unusable');
    expect(parse('Unable to determine the device handle for GPU0000:05:00.0: Unknown Error')).toEqual({ kind: 'unusable', reason: 'a message, not a row' });
  });

  it('names a device by its UUID, else by its index', () => {
    expect(deviceOfRow({ index: '3', uuid: 'GPU-1' })).toBe('GPU-1');
    expect(deviceOfRow({ index: '3' })).toBe('gpu3');
    expect(deviceOfRow({})).toBeUndefined();
  });
});

describe.skipIf(!isPresent)(`captures of real nvidia-smi${ifAbsent}`, () => {
  const folder = sharedPath('power-samples/');
  const names = isPresent ? readdirSync(folder).filter((name) => /query-gpu.*\.csv$/.test(name)) : [];

  it('are many', () => {
    expect(names.length).toBeGreaterThanOrEqual(20);
  });

  it.each(names)('%s: every power column gives the number in the file, or says it is missing', (name) => {
    const [header = '', line = ''] = readFileSync(`${folder}${name}`, 'utf8').split('\n');
    for (const wanted of ['power.draw', 'power.draw.average', 'power.draw.instant'] as const) {
      const columns = nvidiaSmiColumns(nvidiaSmiCells(header), wanted);
      const position = header.split(',').findIndex((cell) => cell.trim() === `${wanted} [W]`);
      const text = line.split(',')[position]?.trim() ?? '';
      const row = columns && parseNvidiaSmiRow(columns, nvidiaSmiCells(line));
      if (row?.kind !== 'row') throw new Error(`${wanted}: not a row`);
      expect(deviceOfRow(row)).toMatch(/^GPU-/);
      expect(row.power).toEqual(text === '[N/A]' ? { kind: 'missing', reason: '[N/A]' } : { kind: 'power', power: Number.parseFloat(text) });
    }
  });

  it('their sentinels are all missing readings', () => {
    for (const text of readFileSync(`${folder}nvidia-smi-csv-sentinels.txt`, 'utf8').split('\n')) expect(powerCell(text.trim()).kind).toBe('missing');
  });
});
