import { instant, seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { all, details, flags, recordedFile, refusal } from '../../recorded-file.testing.js';
import type { PowerEvent } from '../../source.js';
import { dcgmi, liveDcgmi } from './dcgmi.js';
import { dcgmiDmon } from './dcgmi-dmon-file.js';
import { discoveredGpus, dmonColumns, dmonReader, dmonRow } from './dcgmi-dmon.js';
import { standIns, until, values, type StandIns } from '../program.testing.js';

const HEADER = '#Entity         POWER             POWINST           TOTEC                   TMPTR      ';
const UNITS = 'ID              W                 W                 mJ                      C          ';
const row = (entity: string, power: string, instantly: string, energy: string, temperature = '41'): string => `${entity.padEnd(16)}${power.padEnd(18)}${instantly.padEnd(18)}${energy.padEnd(24)}${temperature.padEnd(11)}`;
const table = (...rows: string[]): string => `${[HEADER, UNITS, ...rows].join('\n')}\n`;

const DISCOVERY = `2 GPUs found.
+--------+----------------------------------------------------------------------+
| GPU ID | Device Information                                                   |
+--------+----------------------------------------------------------------------+
| 0      | Name: NVIDIA H100 80GB HBM3                                          |
|        | PCI Bus ID: 00000000:18:00.0                                         |
|        | Device UUID: GPU-aaaa                                                |
+--------+----------------------------------------------------------------------+
| 1      | Name: NVIDIA H100 80GB HBM3                                          |
|        | PCI Bus ID: 00000000:2A:00.0                                         |
|        | Device UUID: GPU-bbbb                                                |
+--------+----------------------------------------------------------------------+
`;

describe('a row of dcgmi dmon', () => {
  const columns = dmonColumns(HEADER) ?? [];
  const read = (line: string): PowerEvent[] => {
    const cells = dmonRow(columns, line);
    return cells ? [...dmonReader('dcgmi', () => undefined).read(cells, instant(1))] : [];
  };

  it('is cut by place: a column without a value moves no other', () => {
    expect(values(read(row('GPU 0', '', '77.774', '257936490')))).toEqual([['gpu0', 'POWINST', 77.774], ['gpu0', 'TOTEC', 257_936_490_000n]]);
  });

  it.each(['', 'N/A', '-1.000', '12345...', '140737488355328.0', '2147483632'])("has no power where '%s' stands", (cell) => {
    expect(values(read(row('GPU 0', cell, '77.774', 'N/A')))).toEqual([['gpu0', 'POWINST', 77.774]]);
    expect(flags(read(row('GPU 0', cell, '77.774', 'N/A')))).toEqual([['MISSING_READINGS', 1], ['MISSING_READINGS', 1]]);
  });

  it('has neither of two values that run into each other', () => {
    const line = row('GPU 0', '9223372036854775794', '', '').slice(0, 35).padEnd(52) + '257936490'.padEnd(24) + '41';
    expect(values(read(line))).toEqual([['gpu0', 'TOTEC', 257_936_490_000n]]);
  });

  it('has no energy where a sentinel stands, and a counter may pass 2^31 mJ', () => {
    expect(values(read(row('GPU 0', 'N/A', 'N/A', '9223372036854775795')))).toEqual([]);
    expect(values(read(row('GPU 0', 'N/A', 'N/A', '2147483640')))).toEqual([['gpu0', 'TOTEC', 2_147_483_640_000n]]);
  });

  it('tells the clocks now and at most, and what holds them back', () => {
    const reader = dmonReader('dcgmi', () => undefined);
    const clocks = dmonColumns('#Entity         SMCLK        SMMAX        DVCCTR                      ') ?? [];
    const gauges = (line: string) => {
      const cells = dmonRow(clocks, line);
      return cells ? reader.read(cells, instant(1)).map((event) => (event.kind === 'gauge' ? [event.gauge, event.value] : event)) : undefined;
    };
    expect(gauges('GPU 0           1200         1980         4                           ')).toEqual([['gpu.clock.sm', 1200], ['gpu.clock.sm.max', 1980], ['gpu.throttle.power', 1], ['gpu.throttle.thermal', 0], ['gpu.throttle.other', 0]]);
    expect(gauges('GPU 0           N/A          N/A          9223372036854775794         ')).toEqual([]);
  });

  it('of an instance, a CPU or the units is not of a GPU', () => {
    for (const entity of ['GPU-I 3', 'CPU 0', 'GPU-CI 1']) expect(read(row(entity, '78', '78', '1'))).toEqual([]);
    expect(read(UNITS)).toEqual([]);
  });

  it('knows that no GPU draws 65,535 W', () => {
    expect(flags(read(row('GPU 0', '65535.000', '70', '1')))).toEqual([['ABSURD_READING', 1]]);
  });
});

it('learns from dcgmi discovery -l what the numbers stand for, framed or not', () => {
  expect(discoveredGpus(DISCOVERY)).toEqual(new Map([[0, { uuid: 'GPU-aaaa', name: 'NVIDIA H100 80GB HBM3' }], [1, { uuid: 'GPU-bbbb', name: 'NVIDIA H100 80GB HBM3' }]]));
  expect(discoveredGpus('GPU ID: 3\nName: Quadro RTX 5000\nDevice UUID: GPU-cc-1\n')).toEqual(new Map([[3, { uuid: 'GPU-cc-1', name: 'Quadro RTX 5000' }]]));
  expect(discoveredGpus('Error: unable to establish a connection')).toEqual(new Map());
});

describe('a running dcgmi', () => {
  let stand: StandIns;
  beforeEach(() => {
    stand = standIns();
  });
  afterEach(() => stand.remove());
  const program = (loop: string): string =>
    stand.program('dcgmi', `require('fs').appendFileSync(__dirname + '/asked', args + '\\n');
      if (args === 'discovery -l') { say(${JSON.stringify(DISCOVERY)}); process.exit(0); }
      const header = ${JSON.stringify(`${HEADER}\n${UNITS}\n`)}; let round = 0;
      const row = (gpu) => ('GPU ' + gpu).padEnd(16) + (100 + round + gpu).toFixed(3).padEnd(18) + ''.padEnd(18) + String(1000000 + round).padEnd(24) + '55'.padEnd(11) + '\\n';
      ${loop}`);

  it('gives power and the counter of each GPU under its UUID, with what is known of its sensor', async () => {
    program(`say(header); setInterval(() => { round += 1; if (round % 14 === 0) say(header); say(row(0) + row(1)); }, 30);`);
    const source = dcgmi({ period: seconds(0.1) });
    const events = await until(source, stand.environment, (soFar) => values(soFar).length >= 8);
    expect(values(events).slice(0, 4)).toEqual([['GPU-aaaa', 'POWER', 101], ['GPU-aaaa', 'TOTEC', 1_000_001_000n], ['GPU-bbbb', 'POWER', 102], ['GPU-bbbb', 'TOTEC', 1_000_001_000n]]);
    const [power, energy] = events.flatMap((event) => (event.kind === 'reading' ? [event.channel] : []));
    expect(power).toMatchObject({ id: 'dcgmi/GPU-aaaa/POWER', index: 0, boundary: 'gpu', source: 'dcgmi', measures: 'power', sensor: { averagedOver: 1 } });
    expect(energy).toMatchObject({ id: 'dcgmi/GPU-aaaa/TOTEC', measures: 'counter' });
    expect(flags(events)).toEqual([['MISSING_READINGS', 1], ['MISSING_READINGS', 1]]);
    expect(events.find((event) => event.kind === 'gauge')).toMatchObject({ device: 'GPU-aaaa', gauge: 'gpu.temperature', value: 55 });
  });

  it('whose rounds are held back and come at once gives the last of them, and says so', async () => {
    program(`setInterval(() => { let text = header; for (let i = 0; i < 5; i += 1) { round += 1; text += row(0); } say(text); }, 50);`);
    const events = await until(dcgmi({ period: seconds(0.1) }), stand.environment, (soFar) => values(soFar).length >= 4);
    expect(values(events).slice(0, 2)).toEqual([['GPU-aaaa', 'POWER', 105], ['GPU-aaaa', 'TOTEC', 1_000_005_000n]]);
    expect(flags(events).filter(([code]) => code === 'READINGS_HELD_BACK')).toHaveLength(1);
  });

  it('that finds no host engine says so and is started again', async () => {
    program(`say('Error: unable to establish a connection to the specified host: localhost\\n'); process.exit(255);`);
    const events = await until(dcgmi({ restart: seconds(0.05) }), stand.environment, (soFar) => flags(soFar).length > 0);
    expect(details(events)[0]).toMatch(/exit code 255.*unable to establish a connection/);
  });

  it('is found by its GPUs, and missing with a reason', async () => {
    program('');
    expect(await liveDcgmi.detect(stand.environment)).toEqual({ found: true, options: {} });
    stand.program('dcgmi', `say('Error: Host engine is not running.\\n'); process.exit(1);`);
    expect(await liveDcgmi.detect(stand.environment)).toEqual({ found: false, reason: 'dcgmi finds no GPU: Error: Host engine is not running.' });
    expect(await liveDcgmi.detect({ PATH: '/nowhere' })).toEqual({ found: false, reason: "'dcgmi' is not on this machine" });
    await expect(until(dcgmi({ command: `${stand.directory}/none` }), {}, () => true)).rejects.toMatchObject({ code: 'DCGMI_MISSING', remedy: 'disable' });
  });
});

const events = (content: string, options: unknown = {}, devices?: (string | number)[]): Promise<PowerEvent[]> =>
  all(dcgmiDmon.open({ file: recordedFile(content, 'dmon.txt'), tz: 'UTC', ...(devices && { devices }) }, options).events());

const times = (list: readonly PowerEvent[]): number[] => list.flatMap((event) => (event.kind === 'reading' ? [event.at] : []));

describe('a recorded dcgmi dmon', () => {
  const rounds = table(row('GPU 0', '78.174', '77.774', '257936490'), row('GPU 1', '55.942', '55.542', '187610267'), row('GPU 0', '78.446', '78.046', '258014936'));

  it('takes start and every for the times of its rounds', async () => {
    const list = await events(rounds, { start: '2026-05-12T08:00:00Z', every: '500ms' });
    const start = Date.parse('2026-05-12T08:00:00Z') / 1000;
    expect(times(list)).toEqual([start, start, start, start, start, start, start + 0.5, start + 0.5, start + 0.5]);
    expect(values(list).at(-1)).toEqual(['gpu0', 'TOTEC', 258_014_936_000n]);
  });

  it('takes a time before each line, and devices as names', async () => {
    const stamped = rounds.trimEnd().split('\n').map((line, index) => `2026-05-12T08:00:0${index}.5+0000 ${line}`).join('\n');
    const list = await events(`${stamped}\n`, {}, ['GPU-x', 'GPU-y']);
    expect(times(list)[0]).toBe(Date.parse('2026-05-12T08:00:02.5Z') / 1000);
    expect(values(list).filter(([, what]) => what === 'POWER')).toEqual([['GPU-x', 'POWER', 78.174], ['GPU-y', 'POWER', 55.942], ['GPU-x', 'POWER', 78.446]]);
  });

  it('without either says what is missing', async () => {
    expect(await refusal(events(rounds))).toMatch(/^TIMES_MISSING: dmon\.txt does not say when its rows were: give start and every/);
    expect(() => dcgmiDmon.open({ file: recordedFile(rounds), tz: 'UTC' }, { start: '2026-05-12T08:00:00Z' })).toThrow(/start and every go together/);
    expect(() => dcgmiDmon.open({ file: recordedFile(rounds), tz: 'UTC' }, { start: 'noon', every: '1s' })).toThrow(/'noon' is not a time/);
    expect(await refusal(events('timestamp, power.draw [W]\n'))).toMatch(/^FILE_FORMAT: .*nvidia-smi CSV/);
  });

  it('does not take the rest of a cut number for a counter', async () => {
    const list = await events(`${rounds}${row('GPU 1', '56.214', '55.814', '18').trimEnd()}`, { start: 1_778_572_800, every: 1 });
    expect(values(list).filter(([, what]) => what === 'TOTEC')).toHaveLength(3);
    expect(flags(list)).toEqual([['SKIPPED_LINES', 1]]);
  });
});
