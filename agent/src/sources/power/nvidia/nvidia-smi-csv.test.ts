import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { all, details, flags, ifAbsent, isPresent, recordedFile, refusal, sharedFile } from '../../recorded-file.testing.js';
import type { RecordedFile } from '../../recorded.js';
import type { PowerEvent } from '../../source.js';
import { nvidiaSmiCsv } from './nvidia-smi-csv.js';

type Entry = { file: RecordedFile; tz?: string; devices?: (string | number)[] };
const events = (entry: Entry, options: unknown = {}): Promise<PowerEvent[]> => all(nvidiaSmiCsv.open({ tz: 'UTC', ...entry }, options).events());
const read = (content: string | Uint8Array, options?: unknown, devices?: (string | number)[]): Promise<PowerEvent[]> => events({ file: recordedFile(content), ...(devices && { devices }) }, options);

const readings = (list: readonly PowerEvent[]): [device: string, watts: number][] => list.flatMap((event) => (event.kind === 'reading' && event.measures === 'power' ? [[event.channel.device, event.power]] : []));

const sensorOf = (list: readonly PowerEvent[]) => list.find((event) => event.kind === 'reading')?.channel.sensor;

const stamp = (millis: number): string => new Date(Date.UTC(2024, 3, 18, 10) + millis).toISOString().replace('T', ' ').replaceAll('-', '/').slice(0, 23);
const bare = (text: string): string => text.replaceAll(' W', '');
const HEADER = 'timestamp, power.draw [W], utilization.gpu [%]\n';
/** Rounds of `watts.length` GPUs, 5 ms apart, every 100 ms; a GPU always draws the same. */
const rounds = (watts: readonly number[], count: number): string[] => Array.from({ length: count }, (_, round) => watts.map((each, index) => `${stamp(round * 100 + index * 5)}, ${each.toFixed(2)} W, 50 %`)).flat();

describe('nvidia-smi-csv', () => {
  it('yields a power reading and gauges per row, at the local time of tz', async () => {
    const [reading, gauge] = await events({ file: recordedFile(`${HEADER}2024/04/18 10:08:41.761, 52.61 W, 40 %\n`), tz: 'America/Chicago' });
    expect(reading).toMatchObject({
      kind: 'reading',
      channel: { id: 'nvidia-smi/gpu0/power.draw', device: 'gpu0', index: 0, boundary: 'gpu', source: 'nvidia-smi', measures: 'power' },
      at: Date.parse('2024-04-18T15:08:41.761Z') / 1000,
      measures: 'power',
      power: 52.61,
    });
    expect(gauge).toMatchObject({ kind: 'gauge', device: 'gpu0', gauge: 'gpu.utilization', value: 0.4 });
  });

  it('says the same each time, gzipped or not, with CRLF or LF', async () => {
    const content = HEADER + rounds([50], 5).join('\n');
    const source = nvidiaSmiCsv.open({ file: recordedFile(content), tz: 'UTC' }, {});
    const first = await all(source.events());
    expect(await all(source.events())).toEqual(first);
    expect(await read(gzipSync(content))).toEqual(first);
    expect(await read(content.replaceAll('\n', '\r\n'))).toEqual(first);
  });

  it('skips a last line that was cut off and says which', async () => {
    const list = await read(`${HEADER}${rounds([50], 9).join('\n')}\n2024/04/18 10:13:28.`);
    expect(readings(list)).toHaveLength(9);
    expect(flags(list)).toEqual([['SKIPPED_LINES', 1]]);
    expect(details(list)).toEqual(['power.csv: 1 line skipped: line 11: cut off ("2024/04/18 10:13:28.")']);
  });

  it('does not take the rest of a cut number for a reading', async () => {
    const header = 'timestamp, power.draw [W]\n';
    const whole = `${stamp(0)}, 376.74 W\n${stamp(100)}, 376.74 W\n${stamp(200)}, `;
    for (const cut of ['37', '376.7', '376.74']) expect(readings(await read(`${header}${whole}${cut}`))).toHaveLength(2);
    expect(readings(await read(`${header}${whole}376.74 W`))).toHaveLength(3);
    expect(readings(await read(`${header}${bare(whole)}37`))).toHaveLength(2);
    expect(readings(await read(`${header}${bare(whole)}376.74`))).toHaveLength(3);
  });

  it('counts missing and absurd readings by reason and makes no 0 W of them', async () => {
    const rows = ['[N/A]', '[N/A]', '[Unknown Error]', '-3.00 W', '-5.00 W', '65535.00 W', '50.00 W', '0.00 W'].map((cell, index) => `${stamp(index * 100)}, ${cell}, 0 %`);
    const list = await read(HEADER + rows.join('\n'));
    expect(readings(list).map(([, watts]) => watts)).toEqual([50, 0]);
    expect(flags(list)).toEqual([['MISSING_READINGS', 2], ['MISSING_READINGS', 1], ['MISSING_READINGS', 2], ['ABSURD_READING', 1]]);
    expect(details(list)[0]).toBe('power.csv: 2 readings missing: line 2: [N/A]; line 3: [N/A]');
  });

  it('falls back from power.draw to the average, and says so; not from a column that was asked for', async () => {
    const content = `timestamp, power.draw.instant [W], power.draw.average [W]\n${stamp(0)}, 60.00 W, 50.00 W\n`;
    const list = await read(content);
    expect(readings(list)).toEqual([['gpu0', 50]]);
    expect(flags(list)).toEqual([['COLUMN_FALLBACK', 1]]);
    expect(readings(await read(content, { column: 'power.draw.instant' }))).toEqual([['gpu0', 60]]);
    await expect(read(content, { column: 'power.draw' })).rejects.toThrow(/no column power\.draw in the header, but power\.draw\.average/);
  });

  it('knows the sensor by the name column, or by the option gpu', async () => {
    const named = `timestamp, name, power.draw [W]\n${stamp(0)}, NVIDIA A100-SXM4-80GB, 52.61 W\n`;
    expect(sensorOf(await read(named))).toMatchObject({ averagedOver: 0.025, refresh: 0.1 });
    expect(sensorOf(await read(named.replace('A100-SXM4-80GB', 'H100 80GB HBM3')))).toMatchObject({ averagedOver: 1 });
    const nameless = `timestamp, power.draw [W]\n${stamp(0)}, 52.61 W\n`;
    expect(sensorOf(await read(nameless))?.averagedOver).toBeUndefined();
    expect(sensorOf(await read(nameless, { gpu: 'NVIDIA A100-SXM4-80GB' }))).toMatchObject({ averagedOver: 0.025 });
  });

  it('refuses options it does not know, naming the nearest', () => {
    const file = recordedFile('');
    expect(() => nvidiaSmiCsv.open({ file, tz: 'UTC' }, { colum: 'power.draw' })).toThrow("power.csv (nvidia-smi-csv): 'colum' is not a setting here; did you mean 'column'?");
    expect(() => nvidiaSmiCsv.open({ file, tz: 'UTC' }, { column: 'module.power.draw' })).toThrow(/column/);
    expect(() => nvidiaSmiCsv.open({ file, tz: 'America/Chicag' }, {})).toThrow(/America\/Chicago/);
    expect(() => nvidiaSmiCsv.open({ file, tz: 'UTC', devices: [0, 1, 0] }, {})).toThrow(/lists 0 twice/);
  });

  describe('devices', () => {
    const indexed = `timestamp, index, uuid, power.draw [W]\n${stamp(0)}, 0, GPU-a, 50.00 W\n${stamp(5)}, 1, GPU-b, 60.00 W\n${stamp(100)}, 0, GPU-a, 51.00 W\n`;

    it('are named by UUID, and the index is kept', async () => {
      const list = await read(indexed);
      expect(readings(list)).toEqual([['GPU-a', 50], ['GPU-b', 60], ['GPU-a', 51]]);
      expect(list.find((event) => event.kind === 'reading')?.channel).toMatchObject({ index: 0 });
    });

    it.each([[[1]], [['GPU-b']], [['gpu1']], [['1']]])('%j selects one of the file', async (devices) => {
      expect(readings(await read(indexed, {}, devices))).toEqual([['GPU-b', 60]]);
    });

    it('that the file does not hold are refused, with those it holds', async () => {
      await expect(read(indexed, {}, [0, 7])).rejects.toMatchObject({ code: 'DEVICES_MISMATCH', message: 'power.csv has no device 7: it holds 0 (GPU-a), 1 (GPU-b); correct devices.' });
    });

    it('follow each other in the order of the list where no column names them', async () => {
      const list = await read(HEADER + rounds([50, 60, 70], 10).join('\n'), {}, [4, 'left', 2]);
      expect(readings(list).slice(0, 4)).toEqual([['gpu4', 50], ['left', 60], ['gpu2', 70], ['gpu4', 50]]);
      expect(readings(list)).toHaveLength(30);
    });

    it('must be as many as the rows of a round', async () => {
      const content = HEADER + rounds([50, 60, 70, 80], 20).join('\n');
      await expect(read(content, {}, [0, 1, 2])).rejects.toMatchObject({ code: 'DEVICES_MISMATCH', message: 'power.csv: the file shows 4 rows per round but devices lists 3: list them in the order of the rows.' });
      await expect(read(content)).rejects.toThrow(/4 rows per round.*devices: \[0, 1, 2, 3\]/);
      await expect(read(HEADER + rounds([50], 20).join('\n'), {}, [0, 1])).rejects.toThrow(/1 row per round but devices lists 2/);
    });

    it.each([
      ['torn in its middle', (lines: string[]) => lines.with(5, '2024/04/18 10:0')],
      ['lost', (lines: string[]) => lines.toSpliced(5, 1)],
      ['written into another', (lines: string[]) => lines.toSpliced(5, 2, `${lines[5]?.slice(0, 12)}${lines[6]}`)],
      ['written twice', (lines: string[]) => lines.toSpliced(5, 0, lines[5] ?? '')],
      ['late', (lines: string[]) => lines.with(5, `${stamp(100 + 60)}, 60.00 W, 50 %`).with(6, `${stamp(165)}, 70.00 W, 50 %`).with(7, `${stamp(170)}, 80.00 W, 50 %`)],
    ])('a row that is %s shifts no other to another GPU', async (_, harm) => {
      const list = await read(HEADER + harm(rounds([50, 60, 70, 80], 20)).join('\n'), {}, [0, 1, 2, 3]);
      for (const [device, watts] of readings(list)) expect(`${device} draws ${watts}`).toBe(`${device} draws ${{ gpu0: 50, gpu1: 60, gpu2: 70, gpu3: 80 }[device]}`);
      expect(readings(list).length).toBeGreaterThanOrEqual(76);
    });
  });

  it('goes by the header in the middle of a file of several runs', async () => {
    const list = await read(`timestamp, index, power.draw [W]\n${stamp(0)}, 0, 50.00 W\ntimestamp, power.draw [W], index\n${stamp(100)}, 60.00 W, 1\n`);
    expect(readings(list)).toEqual([['gpu0', 50], ['gpu1', 60]]);
  });

  it.each([
    ['', 'FILE_EMPTY', /holds no data/],
    [HEADER, 'FILE_EMPTY', /at least one line of data/],
    ['NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver.\n', 'FILE_FORMAT', /error message/],
    [`${stamp(0)}, 52.61 W, 0 %\n`, 'FILE_FORMAT', /without its header/],
    ['Time,07-17-2024 07:02:47.866,Watts,2381.8,Volts,239.2\n', 'FILE_FORMAT', /ptdaemon/],
    ['[{"start": 1, "prompt": "secret"}]', 'FILE_FORMAT', /^power\.csv is not nvidia-smi-csv: no power column in the header \(line 1\); it looks like JSON\.$/],
    ['start,inputTokens\n1,2\n', 'FILE_FORMAT', /CSV with the columns start, inputTokens/],
    ['index, power.draw [W]\n0, 50 W\n', 'FILE_FORMAT', /no timestamp column/],
    [`${HEADER}a\nb\n${stamp(0)}, 50.00 W, 0 %\n`, 'FILE_FORMAT', /only 1 of 3 data lines can be used/],
    ['\0\0\0\n\0\0', 'FILE_FORMAT', /not nvidia-smi-csv/],
  ])('ends in an error for %j', async (content, code, message) => {
    const [said, ...rest] = (await refusal(read(content))).split(': ');
    expect(said).toBe(code);
    expect(rest.join(': ')).toMatch(message);
  });
});

describe.skipIf(!isPresent)(`captures without a time of day${ifAbsent}`, () => {
  it.each(['a100', 'a100-step', 'rtx3090'])('truth-%s: is refused, since nothing says when it was', async (name) => {
    expect(await refusal(events({ file: sharedFile(`power-samples/truth-${name}-nvidia-smi.csv`) }))).toMatch(/^FILE_FORMAT: .*no timestamp column/);
  });
});

describe.skipIf(!isPresent)(`recordings of real GPUs${ifAbsent}`, () => {
  it('wilkins llama2-13b: 2710 readings of one GPU and one line cut off', async () => {
    const list = await events({ file: sharedFile('recordings/wilkins-a100-swing/llama2-13b/nvidia-smi.csv'), tz: 'America/Chicago', devices: [0] });
    expect(readings(list)).toHaveLength(2710);
    expect(flags(list)).toEqual([['SKIPPED_LINES', 1]]);
    expect(list.find((event) => event.kind === 'reading')?.at).toBe(Date.parse('2024-04-18T15:08:41.761Z') / 1000);
  });

  it('wilkins llama2-70b: 42962 readings of four GPUs in turn and one line cut off', async () => {
    const file = sharedFile('recordings/wilkins-a100-swing/llama2-70b/nvidia-smi.csv');
    const list = await events({ file, tz: 'America/Chicago', devices: [0, 1, 2, 3] });
    expect(readings(list)).toHaveLength(42962);
    expect(flags(list)).toEqual([['SKIPPED_LINES', 1]]);
    const ofDevice = (name: string): number => readings(list).filter(([device]) => device === name).length;
    expect(['gpu0', 'gpu1', 'gpu2', 'gpu3'].map(ofDevice)).toEqual([10741, 10741, 10740, 10740]);
    await expect(events({ file, tz: 'America/Chicago', devices: [0, 1, 2] })).rejects.toThrow('the file shows 4 rows per round but devices lists 3');
    await expect(events({ file, tz: 'America/Chicago' })).rejects.toMatchObject({ code: 'DEVICES_MISMATCH' });
  });

  it.each([
    ['powertrace-smoke/run1_cache_off/power.csv', '-07:00', 27],
    ['powertrace-smoke/run2_cache_on/power.csv', '-07:00', 24],
    ['gpu-power-sensor-vs-pmd/5050_3090/gpudata.csv', 'Europe/London', 1690],
    ['gpu-power-sensor-vs-pmd/5050_A100/gpudata.csv', 'Europe/London', 965],
    ['gpu-power-sensor-vs-pmd/transient_A100/gpudata.csv', 'Europe/London', 1245],
  ])('%s: one GPU, every row a reading', async (path, tz, count) => {
    const list = await events({ file: sharedFile(`recordings/${path}`), tz });
    expect(flags(list)).toEqual([]);
    expect(readings(list)).toHaveLength(count);
    expect(new Set(readings(list).map(([device]) => device)).size).toBe(1);
    expect(list.filter((event) => event.kind === 'gauge' && event.gauge === 'gpu.clock.sm').length).toBeGreaterThan(0);
  });
});
