import { instant, seconds, watts } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { details, flags } from '../../recorded-file.testing.js';
import type { PowerEvent } from '../../source.js';
import { amdReader, type AmdGpu } from './amd-reader.js';
import { amdSmi, amdSmiMetric, amdSmiUuids, liveAmdSmi } from './amd-smi.js';
import { counterCheck } from './counter-check.js';
import { standIns, until, values, type StandIns } from '../program.testing.js';
import { liveRocmSmi, rocmSmiGpus } from './rocm-smi.js';

const gpu = (power: unknown, energy?: unknown): object => ({ gpu: 0, power: { socket_power: power }, energy: { total_energy_consumption: energy } });

const one = (answer: unknown): AmdGpu | undefined => amdSmiMetric(JSON.stringify(answer))?.[0];

describe('the answer of amd-smi metric', () => {

  it.each([
    ['an array', [gpu({ value: 142, unit: 'W' }, { value: 1234.5, unit: 'J' })]],
    ['gpu_data', { gpu_data: [gpu({ value: 142, unit: 'W' }, { value: 1234.5, unit: 'J' })] }],
    ['bare numbers', [gpu(142, 1234.5)]],
    ['text', [gpu('142', '1234.5')]],
  ])('is read as %s', (_, answer) => {
    expect(one(answer)).toEqual({ index: 0, device: 'gpu0', power: 142, energy: 1_234_500_000n });
  });

  it('may have warnings before it', () => {
    expect(amdSmiMetric(`WARNING: not in render group\n${JSON.stringify([gpu(5)], undefined, 2)}`)?.[0]?.power).toBe(5);
    expect(amdSmiMetric('ERROR: no driver')).toBeUndefined();
  });

  it("takes the average where the current is N/A, and says what stood there where none is known", () => {
    expect(one([{ gpu: 0, power: { current_socket_power: 'N/A', average_socket_power: { value: 94, unit: 'W' } } }])?.power).toBe(94);
    expect(one([gpu('N/A')])?.power).toEqual({ missing: 'N/A' });
    expect(one([gpu({ value: 'N/A', unit: 'W' })])?.power).toEqual({ missing: 'N/A W' });
    expect(one([gpu({ value: 5, unit: 'mW' })])?.power).toEqual({ missing: '5 mW' });
    expect(one([{ gpu: 0, power: 'N/A' }])?.power).toEqual({ missing: 'it is not in the answer' });
  });

  it('names devices by the list', () => {
    expect(amdSmiUuids('[{"gpu":0,"uuid":"b6ff74a0-0000-1000-80ae-7c8cefe1f084"},{"gpu":1,"uuid":"N/A"}]')).toEqual(new Map([[0, 'b6ff74a0-0000-1000-80ae-7c8cefe1f084']]));
  });
});

const at = (index: number, power: AmdGpu['power'], energy?: bigint): AmdGpu => ({ index, device: `gpu${index}`, power, ...(energy !== undefined && { energy }) });

describe('readings of AMD GPUs', () => {

  it('of a package of two dies are one package', () => {
    const reader = amdReader('rocm-smi');
    const events = reader.read([at(0, 237), at(1, { missing: 'N/A (Secondary die)' }, 5n), at(2, 230), at(3, 0, 5n)], instant(1));
    expect(values(events)).toEqual([['gpu0', 'power', 237], ['gpu2', 'power', 230]]);
    expect(flags(events)).toEqual([['MISSING_READINGS', 1], ['MISSING_READINGS', 1]]);
    expect(reader.read([at(1, { missing: 'N/A (Secondary die)' })], instant(2))).toEqual([]);
  });

  it.each([
    ['as fast as the power', 100_000_000n * 2n, true],
    ['a quarter too fast', 124_000_000n * 2n, true],
    ['fifteen times too slow', 6_600_000n * 2n, false],
    ['frozen', 0n, false],
    ['a third too fast', 133_000_000n * 2n, false],
  ])('have the counter only when it rises as it should: %s', (_, rise, good) => {
    const reader = amdReader('amd-smi');
    const start = 7_000_000_000n;
    const first = reader.read([at(0, 100, start)], instant(10));
    const second = reader.read([at(0, 100, start + rise)], instant(12));
    const third = reader.read([at(0, 100, start + rise * 2n)], instant(14));
    const counters = [...first, ...second, ...third].flatMap((event) => (event.kind === 'reading' && event.measures === 'counter' ? [event.total] : []));
    expect(counters).toEqual(good ? [start + rise, start + rise * 2n] : []);
    expect(flags([...first, ...second, ...third])).toEqual(good ? [] : [['COUNTER_IMPLAUSIBLE', 1]]);
  });

  it('allow for a tool that takes its time: what may be right is not dropped, what can not be is', () => {
    const slow = counterCheck();
    expect(slow.judge(0n, watts(100), instant(0), seconds(0.4)).kind).toBe('wait');
    expect(slow.judge(60_000_000n, watts(100), instant(1), seconds(0.4)).kind).toBe('wait');
    expect(slow.judge(140_000_000n, watts(100), instant(2), seconds(0.4)).kind).toBe('wait');
    expect(slow.judge(230_000_000n, watts(100), instant(3), seconds(0.2)).kind).toBe('good');
    const wrong = counterCheck();
    wrong.judge(0n, watts(100), instant(0), seconds(0.4));
    expect(wrong.judge(20_000_000n, watts(100), instant(3), seconds(0.4)).kind).toBe('differs');
  });

  it('allow for a load that changed between two looks', () => {
    const check = counterCheck();
    expect(check.judge(0n, watts(100), instant(0)).kind).toBe('wait');
    expect(check.judge(600_000_000n, watts(500), instant(2)).kind).toBe('good');
  });
});

describe('a machine with AMD GPUs', () => {
  let stand: StandIns;
  beforeEach(() => {
    stand = standIns();
  });
  afterEach(() => stand.remove());
  const AMD = `if (args === 'list --json') say('[{"gpu":0,"uuid":"b6ff74a0-0000-1000-80ae-7c8cefe1f084"}]');
    else if (args === 'metric -p -E --json') say('[{"gpu":0,"power":{"socket_power":{"value":717,"unit":"W"}},"energy":{"total_energy_consumption":{"value":' + Date.now() / 1000 * 717 + ',"unit":"J"}}}]');
    else process.exit(1); process.exit(0);`;

  it('is read by amd-smi under the UUID', async () => {
    const command = stand.program('amd-smi', AMD);
    const events = await until(amdSmi({ command, period: seconds(0.5) }), stand.environment, (soFar) => values(soFar).some(([, what]) => what === 'energy'));
    expect(values(events)[0]).toEqual(['b6ff74a0-0000-1000-80ae-7c8cefe1f084', 'power', 717]);
    expect(values(events).filter(([, what]) => what === 'energy')).toHaveLength(1);
    expect(events.find((event: PowerEvent) => event.kind === 'reading')).toMatchObject({ channel: { source: 'amd-smi', boundary: 'gpu', index: 0 } });
  });

  it('whose amd-smi fails is tried again; whose amd-smi is missing is left alone', async () => {
    const command = stand.program('amd-smi', `say('Driver not initialized\\n'); process.exit(4);`);
    const events = await until(amdSmi({ command, period: seconds(0.1) }), stand.environment, (soFar) => flags(soFar).length > 0);
    expect(details(events)[0]).toContain('exit code 4: Driver not initialized');
    await expect(until(amdSmi({ command: `${stand.directory}/none`, period: seconds(0.1) }), {}, () => true)).rejects.toMatchObject({ code: 'AMD_SMI_MISSING', remedy: 'disable' });
  });

  it('is found by one of the tools and not by both', async () => {
    stand.program('rocm-smi', `say('{"card0": {"Unique ID": "0x79ccd55167a2124a", "Average Graphics Package Power (W)": "36.0"}}'); process.exit(0);`);
    expect(await liveAmdSmi.detect(stand.environment)).toEqual({ found: false, reason: "'amd-smi' is not on this machine" });
    expect(await liveRocmSmi.detect(stand.environment)).toEqual({ found: true, options: {} });
    stand.program('amd-smi', AMD);
    expect(await liveAmdSmi.detect(stand.environment)).toEqual({ found: true, options: {} });
    expect(await liveRocmSmi.detect(stand.environment)).toEqual({ found: false, reason: 'amd-smi is here and knows more' });
  });
});

describe('the answer of rocm-smi', () => {
  it('gives power, the counter in microjoules and the unique id', () => {
    const answer = { card0: { 'Unique ID': '0x79ccd55167a2124a', 'Average Graphics Package Power (W)': '36.0', 'Energy counter': '65628', 'Accumulated Energy (uJ)': '1004108.41' }, system: { 'Driver version': '6.3.6' } };
    expect(rocmSmiGpus(`\n${JSON.stringify(answer)}`)).toEqual([{ index: 0, device: '0x79ccd55167a2124a', power: 36, energy: 1_004_108n }]);
  });

  it('prefers the current power of newer boards, and keeps the words of a second die', () => {
    expect(rocmSmiGpus('{"card0": {"Current Socket Graphics Package Power (W)": "717.0"}, "card1": {"Average Graphics Package Power (W)": "N/A (Secondary die)"}}')).toEqual([
      { index: 0, device: 'gpu0', power: 717 },
      { index: 1, device: 'gpu1', power: { missing: 'N/A (Secondary die)' } },
    ]);
  });

  it('is told from words', () => {
    expect(rocmSmiGpus('ROCm driver not loaded')).toBeUndefined();
    expect(rocmSmiGpus('{"card0"')).toBeUndefined();
  });
});
