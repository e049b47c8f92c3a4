import { expect, it } from 'vitest';
import { instant, watts } from '@joulebook/shared/units.js';
import { GPU_BOARD } from '../sources/power/sensors.js';
import type { Channel, Reading } from '../sources/source.js';
import { frozenWatch } from './frozen.js';

const channel: Channel = { id: 'c', device: 'gpu0', boundary: 'gpu', source: 'test', measures: 'power', sensor: GPU_BOARD };
const power = (at: number, value: number): Reading => ({ kind: 'reading', channel, at: instant(at), measures: 'power', power: watts(value) });
const counter = (at: number, total: bigint): Reading => ({ kind: 'reading', channel: { ...channel, measures: 'counter' }, at: instant(at), measures: 'counter', total });

it('believes no sensor that shows the same decimals for more than five minutes, until it moves', () => {
  const watch = frozenWatch();
  const seen = [0, 100, 299, 301, 302].map((at) => watch.see(power(at, 61.37)));
  expect(seen).toEqual(['alive', 'alive', 'alive', 'just froze', 'frozen']);
  expect(watch.see(power(303, 61.38))).toBe('alive');
});

it('lets a sensor in whole watts stand still', () => {
  const watch = frozenWatch();
  expect([0, 1000].map((at) => watch.see(power(at, 232)))).toEqual(['alive', 'alive']);
});

it('believes no counter that stands still for more than a minute', () => {
  const watch = frozenWatch();
  expect([0, 30, 61, 62].map((at) => watch.see(counter(at, 5n)))).toEqual(['alive', 'alive', 'just froze', 'frozen']);
  expect(watch.see(counter(63, 6n))).toBe('alive');
});
