import { instant, seconds } from '@joulebook/shared/units.js';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flags } from '../../recorded-file.testing.js';
import { standIns, until, values, type StandIns } from '../program.testing.js';
import { liveXpuSmi, xpuSmi } from './xpu-smi.js';
import { xpuSmiText } from './xpu-smi-text.js';

const UUID = '00000000-0000-0000-da55-00000bd58086';

describe('rows of xpu-smi', () => {
  it('of dump give power, and the counter once it is seen to rise as it should', () => {
    const text = xpuSmiText();
    const first = text.read('Timestamp, DeviceId, GPU Power (W), GPU Energy Consumed (J)\n06:14:46.000,    0, 100.00, 1000.00\n06:14:46.000,    1, N/A, 5\n', instant(1)).events;
    expect(values(first)).toEqual([['gpu0', 'power', 100]]);
    expect(flags(first)).toEqual([['MISSING_READINGS', 1]]);
    expect(values(text.read('06:14:47.000,    0, 104.00, 1102.00\n', instant(2)).events)).toEqual([['gpu0', 'power', 104], ['gpu0', 'energy', 1_102_000_000n]]);
  });

  it('of --query-gpu give the same under the UUID', () => {
    const { events } = xpuSmiText().read(`index, uuid, power.draw [W], energy.consumed [J], utilization.gpu [%]\n0, ${UUID}, 61.25, 12.5, 40\n`, instant(1));
    expect(values(events)).toEqual([[UUID, 'power', 61.25]]);
    expect(events.find((event) => event.kind === 'gauge')).toMatchObject({ device: UUID, gauge: 'gpu.utilization', value: 0.4 });
  });

  it('of a card whose counter stands still have no energy', () => {
    const text = xpuSmiText();
    text.read('Timestamp, DeviceId, GPU Power (W), GPU Energy Consumed (J)\n06:14:46.000, 0, 100.00, 0\n', instant(1));
    const { events } = text.read('06:14:47.000, 0, 100.00, 0\n06:14:48.000, 0, 100.00, 0\n', instant(2));
    expect(values(events).map(([, what]) => what)).toEqual(['power', 'power']);
    expect(flags(events)).toEqual([['COUNTER_IMPLAUSIBLE', 1]]);
  });
});

describe('a running xpu-smi', () => {
  let stand: StandIns;
  beforeEach(() => {
    stand = standIns();
  });
  afterEach(() => stand.remove());
  const program = (help: string): string =>
    stand.program('xpu-smi', `require('fs').appendFileSync(__dirname + '/asked', args + '\\n');
      if (args === '--help') { say('${help}'); process.exit(0); }
      if (args === 'discovery -j') { say('{"device_list":[{"device_id":0,"device_name":"x","uuid":"${UUID}"}]}'); process.exit(0); }
      if (args.startsWith('--query-gpu')) say('index, uuid, power.draw [W], energy.consumed [J]\\n'); else say('Timestamp, DeviceId, GPU Power (W), GPU Energy Consumed (J)\\n');
      setInterval(() => say(args.startsWith('--query-gpu') ? '0, ${UUID}, 50.5, 1\\n' : '06:14:46.000, 0, 50.5, 1\\n'), 30);`);
  const asked = (): string[] => readFileSync(`${stand.directory}/asked`, 'utf8').trim().split('\n');

  it.each([
    ['1.x', 'Usage: xpu-smi dump', /^dump -d -1 -m 1,8 -i 1$/],
    ['2.0', 'xpu-smi --query-gpu=<fields>', /^--query-gpu=index,uuid,power\.draw,energy\.consumed,\S+ --format=csv,nounits --loop-ms=200$/],
  ])('of %s is asked as it can be', async (_, help, args) => {
    program(help);
    const events = await until(xpuSmi({ period: seconds(0.2) }), stand.environment, (soFar) => values(soFar).length >= 1);
    expect(values(events)).toContainEqual([UUID, 'power', 50.5]);
    expect(asked().at(-1)).toMatch(args);
  });

  it('is found by its GPUs, and missing with a reason', async () => {
    program('');
    expect(await liveXpuSmi.detect(stand.environment)).toEqual({ found: true, options: {} });
    expect(await liveXpuSmi.detect({ PATH: '/nowhere' })).toEqual({ found: false, reason: "'xpu-smi' is not on this machine" });
    await expect(until(xpuSmi({ command: `${stand.directory}/none` }), {}, () => true)).rejects.toMatchObject({ code: 'XPU_SMI_MISSING', remedy: 'disable' });
  });
});
