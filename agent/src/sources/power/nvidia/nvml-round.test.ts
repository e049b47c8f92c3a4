import { instant, seconds, watts } from '@joulebook/shared/units.js';
import { expect, it } from 'vitest';
import type { Channel, PowerEvent } from '../../source.js';
import { roundPacker, roundUnpacker } from './nvml-round.js';

const power: Channel = { id: 'nvml/GPU-a/power.instant', device: 'GPU-a', boundary: 'gpu', source: 'nvml', measures: 'power', sensor: { gain: { low: -0.05, high: 0.05 }, refresh: seconds(0.1) } };
const energy: Channel = { ...power, id: 'nvml/GPU-a/energy', measures: 'counter' };

const said = (at: number): PowerEvent[] => [
  { kind: 'reading', channel: power, at: instant(at), measures: 'power', power: watts(312.5) },
  { kind: 'reading', channel: energy, at: instant(at + 0.001), measures: 'counter', total: 9_007_199_254_740_993_000n },
  { kind: 'gauge', device: 'GPU-a', gauge: 'gpu.temperature', value: 61, at: instant(at) },
  { kind: 'break', channels: [power], at: instant(at), reason: 'GPU is lost (NVML 15)' },
];

it('brings every event over, a counter beyond 2^53 to the last digit, breaks in front of readings', () => {
  const pack = roundPacker();
  const unpack = roundUnpacker();
  for (const at of [1.8e9, 1.8e9 + 0.1]) {
    const [first, second, third, last] = said(at);
    expect(unpack(structuredClone(pack(said(at))))).toEqual([last, first, second, third]);
  }
});

it('sends a channel once', () => {
  const pack = roundPacker();
  expect(pack(said(1)).channels).toEqual([power, energy]);
  expect(pack(said(2))).toMatchObject({ channels: [], names: [] });
});
