import { instant } from '@joulebook/shared/units.js';
import { expect, it } from 'vitest';
import type { Channel } from '../source.js';
import { powerGauge } from './power-gauge.js';
import { BMC } from './sensors.js';

const channel: Channel = { id: 'test/server/power', device: 'server', boundary: 'server', source: 'test', measures: 'power', sensor: BMC };
const at = instant(1_750_000_000);

it('tells what is no power when it begins and for each new reason, and the count of the rest when it ends', () => {
  const gauge = powerGauge(channel);
  const said = [412.5, 0, 0, 0, -5, 200_000, 300_000, undefined, undefined, Number.NaN, 413].map((value) => gauge.say(value, at, value === undefined ? 'the sensor is asleep' : undefined));
  expect(said.map((events) => events.map((event) => (event.kind === 'reading' && event.measures === 'power' ? event.power : event.kind === 'flagged' ? `${event.code} ${event.count}: ${event.detail}` : event.kind)))).toEqual([
    [412.5],
    ['MISSING_READINGS 1: test/server/power: says no power: 0 W'],
    [],
    [],
    ['MISSING_READINGS 2: test/server/power: says no power: 0 W', 'MISSING_READINGS 1: test/server/power: says no power: negative'],
    ["ABSURD_READING 1: test/server/power: said 200000 W; more than 100000 W is no server's power"],
    [],
    ["ABSURD_READING 1: test/server/power: said 200000 W; more than 100000 W is no server's power", 'MISSING_READINGS 1: test/server/power: says no power: the sensor is asleep'],
    [],
    ['MISSING_READINGS 1: test/server/power: says no power: the sensor is asleep', 'MISSING_READINGS 1: test/server/power: says no power: no number of watts'],
    [413],
  ]);
});
