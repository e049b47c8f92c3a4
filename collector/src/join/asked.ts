/**
 * How long a row should have been seen, where the question names a range. What nobody asked about is the uncovered rest:
 *
 *   rest of a device = window − Σ its asked seconds, over all deployments and phases in the window
 *
 * A row takes the rest of each of its devices in proportion to its share of what was asked of the device: all of it where
 * the row has all that the device did, half where another deployment or phase has the other half. So a device that was
 * seen throughout has coverage 1 in every row, and one seen half of the time has 0.5, however the rows divide it.
 */
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import type { GroupSum } from '../store/store.js';
import { identity, type Group } from './groups.js';
import type { Window } from './row.js';

/** Sums of doubles fall short of a window by less than this. */
const ROUNDING = 1e-6;

/** Asked seconds by the keys of the question, then node and device: of the question's facts, and (`devices`) of all facts by node and device alone. */
export interface AskedOfDevices {
  readonly own: readonly GroupSum<'booked'>[];
  readonly devices: readonly GroupSum<'booked'>[];
}

/** @param windowOf what a group is asked for; undefined where the question names no range */
export function askedInWindow({ own, devices }: AskedOfDevices, windowOf: (group: Group) => Window | undefined): (group: Group) => Seconds | undefined {
  const all = new Map(devices.map((device) => [identity(device), device.sums.askedSeconds]));
  const asked = new Map<string, number>();
  for (const { step, values, sums } of own) {
    const group = { step, values: values.slice(0, -2) };
    const window = windowOf(group);
    // Totals of a run say nothing about time.
    if (!window || sums.askedSeconds <= 0) continue;
    const ofDevice = all.get(identity({ step, values: values.slice(-2) })) ?? sums.askedSeconds;
    const share = sums.askedSeconds / ofDevice;
    const length = (window.to - window.from) / 1e6;
    const rest = length - ofDevice > ROUNDING * length ? length - ofDevice : 0;
    const key = identity(group);
    asked.set(key, (asked.get(key) ?? 0) + sums.askedSeconds + rest * share);
  }
  return (group) => {
    const found = asked.get(identity(group));
    return found === undefined ? undefined : seconds(found);
  };
}
