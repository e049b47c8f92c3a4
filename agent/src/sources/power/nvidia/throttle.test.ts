import { instant, seconds } from '@joulebook/shared/units.js';
import { expect, it } from 'vitest';
import { gaugesOfReasons, REASON_BITS, throttledShares } from './throttle.js';

const reason = (name: keyof typeof REASON_BITS, active: boolean) => ({ bit: REASON_BITS[name], active });

it('says nothing of a class none of whose reasons is told', () => {
  expect(gaugesOfReasons([reason('sw_power_cap', true)])).toEqual([{ gauge: 'gpu.throttle.power', value: 1 }]);
  expect(gaugesOfReasons([reason('sw_power_cap', false), reason('hw_thermal_slowdown', true)])).toEqual([{ gauge: 'gpu.throttle.power', value: 0 }, { gauge: 'gpu.throttle.thermal', value: 1 }]);
  expect(gaugesOfReasons([])).toEqual([]);
});

it('is the share of the time between two looks, of a source that repeats itself over a whole round', () => {
  const share = throttledShares(seconds(30));
  expect(share('a', 5e9, instant(0))).toBeUndefined();
  expect(share('a', 5e9, instant(10))).toBeUndefined();
  expect(share('a', 11e9, instant(40))).toBeCloseTo(0.15, 12);
  expect(share('b', 11e9, instant(40))).toBeUndefined();
  // The driver was loaded anew.
  expect(share('a', 1e9, instant(41))).toBeUndefined();
  expect(share('a', 61e9, instant(81))).toBe(1);
});
