/** Throttling on a page of dcgm-exporter: counters where it has them, since a mask says nothing of the time between two looks. */
import type { Instant, Seconds } from '@joulebook/shared/units.js';
import type { PowerEvent } from '../../source.js';
import { isBlankCounter, isDcgmBlank } from './dcgm-value.js';
import { throttledShares, throttleGauge, throttleGauges, type Throttle } from './throttle.js';

/** NVML's mask of what holds the clocks back. */
const MASKS: readonly string[] = ['DCGM_FI_DEV_CLOCKS_EVENT_REASONS', 'DCGM_FI_DEV_CLOCK_THROTTLE_REASONS'];
/** ns since the driver was loaded, whatever older help texts say of µs. */
const COUNTERS: Readonly<Record<string, Throttle>> = {
  DCGM_FI_DEV_POWER_VIOLATION: 'power',
  DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP_NS: 'power',
  DCGM_FI_DEV_THERMAL_VIOLATION: 'thermal',
};
const reasonOf = (name: string): Throttle | undefined => (Object.hasOwn(COUNTERS, name) ? COUNTERS[name] : undefined);

export const tellsThrottling = (name: string): boolean => MASKS.includes(name) || reasonOf(name) !== undefined;

export interface DeviceSample {
  readonly name: string;
  readonly device: string;
  readonly value: number;
}

/** @param every how often the exporter reads: scraped faster, a page repeats itself */
export function dcgmThrottling(every: Seconds): (samples: readonly DeviceSample[], at: Instant) => PowerEvent[] {
  const shareOf = throttledShares(every);
  return (samples, at) => {
    const gauges = new Map<string, PowerEvent | undefined>();
    // One of several instances of a board, or of two names, speaks for it.
    const say = (device: string, gauge: string, value: () => number | undefined): void => {
      const key = `${device} ${gauge}`;
      if (gauges.has(key)) return;
      const said = value();
      gauges.set(key, said === undefined ? undefined : { kind: 'gauge', device, gauge, value: said, at });
    };
    const whole = samples.filter(({ value }) => Number.isFinite(value) && value >= 0);
    for (const { name, device, value } of whole) {
      const reason = reasonOf(name);
      if (reason !== undefined && !isBlankCounter(value)) say(device, throttleGauge(reason), () => shareOf(`${device} ${reason}`, value, at));
    }
    for (const { name, device, value } of whole) if (MASKS.includes(name) && !isDcgmBlank(value)) for (const { gauge, value: held } of throttleGauges(value)) say(device, gauge, () => held);
    return [...gauges.values()].flatMap((event) => event ?? []);
  };
}
