import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { flags } from '../../recorded-file.testing.js';
import type { PowerEvent } from '../../source.js';
import { nvidiaSmiStream } from './nvidia-smi-stream.js';

const readings = (events: readonly PowerEvent[]) => events.filter((event) => event.kind === 'reading');
const HEADER = 'timestamp, index, uuid, name, serial, power.draw [W], power.draw.average [W], power.draw.instant [W], module.power.draw.average [W], module.power.draw.instant [W], enforced.power.limit [W], clocks_event_reasons.active\n';
const row = (gpu: number, name: string, cells: string): string => `2026/07/14 08:12:53.500, ${gpu}, GPU-${gpu}, ${name}, 1650000000001, ${cells}\n`;
const read = (...rows: string[]) => nvidiaSmiStream().read(HEADER + rows.join(''), instant(1)).events;
const shown = (events: readonly PowerEvent[]) => readings(events).map((event) => [event.channel.id, event.measures === 'power' ? event.power : undefined, event.channel.sensor.averagedOver, event.channel.use]);

describe('the columns of nvidia-smi', () => {
  it('are a channel each with what is known of its sensor; the one that repeats another is a check', () => {
    expect(shown(read(row(0, 'NVIDIA H100 80GB HBM3', '631.95, 631.95, 625.68, [N/A], [N/A], 700.00, 0x0000000000000004')))).toEqual([
      ['nvidia-smi/GPU-0/power.draw', 631.95, 1, 'check'],
      ['nvidia-smi/GPU-0/power.draw.average', 631.95, 1, undefined],
      ['nvidia-smi/GPU-0/power.draw.instant', 625.68, 0.025, undefined],
    ]);
  });

  it('that an old board has not are no fault', () => {
    const events = read(row(0, 'Tesla T4', '33.51, [N/A], [N/A], [N/A], [N/A], 70.00, 0x0000000000000001'));
    expect(shown(events)).toEqual([['nvidia-smi/GPU-0/power.draw', 33.51, 0.1, undefined]]);
    expect(flags(events)).toEqual([]);
  });

  it('that fall silent are told, though another speaks', () => {
    const events = read(row(0, 'NVIDIA L4', '30, 30, 31, [N/A], [N/A], 72, 0x0'), row(0, 'NVIDIA L4', '30, [Unknown Error], 31, [N/A], [N/A], 72, 0x0'));
    expect(events.filter((event) => event.kind === 'flagged')).toMatchObject([{ code: 'MISSING_READINGS', detail: 'nvidia-smi: GPU-0 says no power.draw.average: [Unknown Error]' }]);
  });

  it('count a module once, though each of its GPUs says it', () => {
    const events = read(row(0, 'NVIDIA GB200', '165, 165, 166, 467.17, 467.68, 1200, 0x0'), row(1, 'NVIDIA GB200', '168, 168, 168, 460.15, 461.20, 1200, 0x0'));
    expect(readings(events).flatMap((event) => (event.channel.boundary === 'module' ? [[event.channel.device, event.channel.id, event.measures === 'power' ? event.power : 0]] : []))).toEqual([
      ['1650000000001', 'nvidia-smi/1650000000001/module.power.draw.average', 467.17],
      ['1650000000001', 'nvidia-smi/1650000000001/module.power.draw.instant', 467.68],
    ]);
  });

  it('say the limit and why the clocks are held down', () => {
    const gauges = read(row(0, 'NVIDIA H100 80GB HBM3', '631.95, 631.95, 625.68, [N/A], [N/A], 700.00, 0x0000000000000024')).flatMap((event) => (event.kind === 'gauge' ? [[event.gauge, event.value]] : []));
    expect(gauges).toEqual([['gpu.power.limit', 700], ['gpu.throttle.power', 1], ['gpu.throttle.thermal', 1], ['gpu.throttle.other', 0]]);
  });
});

it('reads the same rows however the text is cut into chunks', () => {
  const text = 'timestamp, index, power.draw [W]\n2026/07/14 08:12:53.500, 0, 100.5\n2026/07/14 08:12:53.501, 1, 200.25\n2026/07/14 08:12:53.700, 0, 101\n';
  const inOne = nvidiaSmiStream().read(text, instant(1)).events;
  expect(inOne).toHaveLength(3);
  for (let cut = 0; cut <= text.length; cut += 1) {
    const stream = nvidiaSmiStream();
    expect([...stream.read(text.slice(0, cut), instant(1)).events, ...stream.read(text.slice(cut), instant(1)).events]).toEqual(inOne);
  }
});
