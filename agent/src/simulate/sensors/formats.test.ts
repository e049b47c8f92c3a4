/** What is written is what our own sources of these formats read. */
import { instant, seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, flags, recordedFile } from '../../sources/recorded-file.testing.js';
import { powerFormats } from '../../sources/index.js';
import { named } from '../../sources/named.js';
import type { PowerEvent } from '../../sources/source.js';
import { wallClock } from '../clock.js';
import { Random } from '../random.js';
import { constantPower, serverOf, squareWave, stepPower } from './known-trace.testing.js';
import type { Board, SensorParts } from './format.js';
import { sensorFormats } from './index.js';

const START = instant(1_768_467_600);
const at = (time: number): number => START + time;

const board = (index: number, gain: number): Board => ({
  index,
  uuid: `GPU-0000000${index}-1111-2222-3333-444444444444`,
  product: 'NVIDIA H100 80GB HBM3',
  error: { gain, offset: 0 },
  paces: {
    instant: { window: seconds(0.025), refresh: seconds(0.1), delay: seconds(0), phase: seconds(0.01) },
    average: { window: seconds(1), refresh: seconds(0.1), delay: seconds(0), phase: seconds(0.01) },
    counter: { refresh: seconds(0.1), delay: seconds(0), phase: seconds(0.01) },
  },
  draw: 'average',
});
const parts = (given: Partial<SensorParts> = {}): SensorParts => ({
  power: serverOf([squareWave(100, 500, 2), constantPower(333.333)]),
  boards: [board(0, 1.02), board(1, 1)],
  clock: (tz) => wallClock(START, tz),
  random: (name) => {
    const dice = new Random(1, name);
    return () => dice.next();
  },
  ...given,
});

const written = (format: string, options: object, given?: Partial<SensorParts>, until = 60) => {
  const file = named('format', sensorFormats, format).open('f', options, 'test')(parts(given));
  return { text: [...file.next(until / 3), ...file.next(until)].join(''), file };
};

async function read(format: string, options: object = {}, given?: Partial<SensorParts>, until?: number): Promise<PowerEvent[]> {
  const { text, file } = written(format, options, given, until);
  const { format: reader, file: _, tz = 'UTC', ...rest } = file.entry;
  expect(reader).toBe(format);
  return all(named('format', powerFormats, format).open({ file: recordedFile(text), tz: String(tz) }, rest).events());
}

const readings = (events: readonly PowerEvent[], device: string, measures: 'power' | 'counter', id = '') =>
  events.flatMap((event) => (event.kind === 'reading' && event.channel.device.startsWith(device) && event.measures === measures && event.channel.id.includes(id) ? [event] : []));
const energyOf = (events: readonly PowerEvent[], device: string): number => {
  const totals = readings(events, device, 'counter').map((event) => (event.measures === 'counter' ? Number(event.total) / 1e6 : 0));
  return (totals.at(-1) ?? 0) - (totals[0] ?? 0);
};

describe('nvidia-smi-csv', () => {
  it('writes rows as nvidia-smi does: local stamps, units, two decimals', () => {
    const { text } = written('nvidia-smi-csv', { columns: ['power.draw', 'power.draw.instant'], tz: 'America/Chicago', jitter: 0 }, {}, 0.3);
    const [header = '', first = '', second = ''] = text.split('\n');
    expect(header).toBe('timestamp, index, uuid, name, power.draw [W], power.draw.instant [W]');
    expect(first).toMatch(/^2026\/01\/15 03:00:00\.\d{3}, 0, GPU-00000000-1111-2222-3333-444444444444, NVIDIA H100 80GB HBM3, 102\.00 W, 102\.00 W$/);
    expect(second).toMatch(/, 1, GPU-00000001-.*, 333\.33 W, 333\.33 W$/);
    expect(written('nvidia-smi-csv', { units: false }, {}, 0.3).text).toMatch(/, 333\.33$/m);
  });

  it('is read at the moments and with the watts that were shown', async () => {
    const events = await read('nvidia-smi-csv', { columns: ['power.draw.instant'], tz: '+05:30', jitter: 0, period: 0.1 });
    const shown = readings(events, board(0, 1).uuid, 'power');
    expect(shown).toHaveLength(600);
    expect(flags(events)).toEqual([['COLUMN_FALLBACK', 1]]);
    expect(shown[0]?.at).toBeGreaterThanOrEqual(at(0));
    expect(shown.at(-1)?.at).toBeLessThan(at(60));
    const powers = shown.map((event) => (event.measures === 'power' ? event.power : 0));
    expect([Math.min(...powers), Math.max(...powers)]).toEqual([102, 510]);
    // One refresh in twenty looks across an edge.
    expect(powers.filter((power) => power === 102 || power === 510).length).toBeGreaterThan(540);
  });

  it('shows the instant as power.draw of boards that do so', () => {
    const given = { power: serverOf([stepPower(100, 500, 5)]), boards: [{ ...board(0, 1), draw: 'instant' as const }] };
    const rows = written('nvidia-smi-csv', { columns: ['power.draw', 'power.draw.instant', 'power.draw.average'] }, given, 5.4).text.trim().split('\n');
    expect(rows.at(-1)).toMatch(/, 500\.00 W, 500\.00 W, [23]\d\d\.\d\d W$/);
  });
});

describe('readings', () => {
  it('keep a counter in millijoules that is exact but for the gain', async () => {
    const events = await read('readings', { period: 1, jitter: 0 }, {}, 61);
    const seen = readings(events, board(0, 1).uuid, 'counter');
    // 61 looks at whole seconds from each other: 30 periods of the load.
    expect(seen).toHaveLength(61);
    expect(energyOf(events, board(0, 1).uuid)).toBeCloseTo(300 * 60 * 1.02, 2);
    expect(energyOf(events, board(1, 1).uuid)).toBeCloseTo(333.333 * 60, 2);
    expect(seen.filter((event) => event.measures === 'counter' && event.total % 1000n !== 0n)).toEqual([]);
  });

  it('keep powers too where asked for, as other channels of the same board', async () => {
    const events = await read('readings', { channels: ['counter', 'average', 'instant'] });
    expect(readings(events, board(1, 1).uuid, 'power', 'average')).toHaveLength(60);
    expect(readings(events, board(1, 1).uuid, 'power', 'instant').every((event) => event.measures === 'power' && event.power === 333.333)).toBe(true);
  });
});

describe('dcgm-exporter', () => {
  it('shows power and counter as they were when it last collected', async () => {
    const events = await read('dcgm-exporter', { period: 1, collected: 10, jitter: 0 });
    const seen = readings(events, board(1, 1).uuid, 'counter').map((event) => (event.measures === 'counter' ? event.total : 0n));
    expect(seen).toHaveLength(60);
    expect(new Set(seen).size).toBe(7);
    expect(readings(events, board(1, 1).uuid, 'power').every((event) => event.measures === 'power' && event.power === 333.333)).toBe(true);
  });
});

describe('rapl', () => {
  it('wraps, and gives the energy all the same', async () => {
    const events = await read('rapl', { period: 5, jitter: 0, gain: 1 }, { power: serverOf([], constantPower(4000)) }, 200);
    const totals = readings(events, 'cpu0', 'counter').map((event) => (event.measures === 'counter' ? { total: Number(event.total), range: Number(event.wrapsAt) } : { total: 0, range: 0 }));
    const steps = totals.slice(1).map(({ total, range }, index) => total - (totals[index]?.total ?? 0) + (total < (totals[index]?.total ?? 0) ? range : 0));
    expect(totals.slice(1).filter(({ total }, index) => total < (totals[index]?.total ?? 0)).length).toBeGreaterThan(1);
    for (const step of steps) expect(step / 5e6).toBeCloseTo(4000, -1);
  });
});

describe('ipmi-dcmi', () => {
  it('writes what ipmitool prints, and is read as whole watts of the server', async () => {
    const { text } = written('ipmi-dcmi', { gain: 0.9 }, {}, 6);
    expect(text.split('\n').slice(1, 9)).toEqual([
      '',
      '    Instantaneous power reading:                   810 Watts',
      '    Minimum during sampling period:                810 Watts',
      '    Maximum during sampling period:                810 Watts',
      '    Average power reading over sample period:      810 Watts',
      expect.stringMatching(/^ {4}IPMI timestamp: {27}Thu Jan 15 09:00:0\d 2026$/),
      expect.stringMatching(/^ {4}Sampling period: {26}0000000\d Seconds\.$/),
      '    Power reading state is:                   activated',
    ]);
    const events = await read('ipmi-dcmi', { gain: 0.9, jitter: 0 });
    expect(readings(events, 'server', 'power')).toHaveLength(12);
    expect(readings(events, 'server', 'power').every((event) => event.channel.boundary === 'server' && event.measures === 'power' && event.power === 810)).toBe(true);
  });
});

describe('options of a sensor', () => {
  it.each([
    ['nvidia-smi-csv', { columns: ['power.draws'] }, /test\.columns\.0/],
    ['nvidia-smi-csv', { perod: 1 }, /'perod' is not a setting here; did you mean 'period'/],
    ['dcgm-exporter', { collected: '0s' }, /test\.collected: the exporter collects/],
    ['rapl', { gain: 5 }, /test\.gain/],
    ['readings', { period: '1ms' }, /test\.period: a period is/],
  ])('%s %j is refused by the name of the field', (format, options, fault) => {
    expect(() => named('format', sensorFormats, format).open('f', options, 'test')).toThrow(fault);
  });
});
