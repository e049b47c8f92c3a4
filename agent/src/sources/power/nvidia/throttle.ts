/**
 * What holds a board's clocks back. It is told two ways: as a mask of reasons at a moment, and for the power cap and for heat
 * as a counter of nanoseconds. A gauge `gpu.throttle.power` is the share of time, 0 to 1: of the time since the last look where
 * there is a counter, else 0 or 1 of the moment. Its value·seconds are the seconds throttled.
 */
import type { Instant, Seconds } from '@joulebook/shared/units.js';

export type Throttle = 'power' | 'thermal' | 'other';
export const THROTTLES = ['power', 'thermal', 'other'] as const satisfies readonly Throttle[];

/** nvmlClocksThrottleReason…; idle (0x1), clocks set by the user (0x2) and by a display (0x100) hold nothing back that was asked for. */
const SOFTWARE_POWER_CAP = 0x4;
const HARDWARE_SLOWDOWN = 0x8;
const SYNC_BOOST = 0x10;
const SOFTWARE_THERMAL = 0x20;
const HARDWARE_THERMAL = 0x40;
const HARDWARE_POWER_BRAKE = 0x80;

/** By the ends of the names that nvidia-smi gives them: `clocks_event_reason_sw_power_cap`. */
export const REASON_BITS = {
  sw_power_cap: SOFTWARE_POWER_CAP,
  hw_slowdown: HARDWARE_SLOWDOWN,
  sync_boost: SYNC_BOOST,
  sw_thermal_slowdown: SOFTWARE_THERMAL,
  hw_thermal_slowdown: HARDWARE_THERMAL,
  hw_power_brake_slowdown: HARDWARE_POWER_BRAKE,
} as const satisfies Readonly<Record<string, number>>;

export function throttles(mask: number): Readonly<Record<Throttle, 0 | 1>> {
  const has = (bits: number): 0 | 1 => ((mask & bits) === 0 ? 0 : 1);
  const power = has(SOFTWARE_POWER_CAP | HARDWARE_POWER_BRAKE);
  const thermal = has(SOFTWARE_THERMAL | HARDWARE_THERMAL);
  // The slowdown bit comes beside the thermal or the power brake bit that says why; alone it says nothing more.
  const unexplained = has(HARDWARE_SLOWDOWN) === 1 && has(HARDWARE_THERMAL | HARDWARE_POWER_BRAKE) === 0;
  return { power, thermal, other: unexplained || has(SYNC_BOOST) === 1 ? 1 : 0 };
}

export const throttleGauge = (reason: Throttle): string => `gpu.throttle.${reason}`;

/** All reasons of one moment. */
export const throttleGauges = (mask: number): { gauge: string; value: number }[] => Object.entries(throttles(mask)).map(([reason, value]) => ({ gauge: `gpu.throttle.${reason}`, value }));

/** Of the reasons that are told, one by one; a gauge whose reasons are not told is not said to be 0. */
export function gaugesOfReasons(told: readonly { readonly bit: number; readonly active: boolean }[]): { gauge: string; value: number }[] {
  const maskOf = (reasons: typeof told): number => reasons.reduce((mask, { bit }) => mask | bit, 0);
  const known = throttleGauges(maskOf(told));
  return throttleGauges(maskOf(told.filter(({ active }) => active))).filter((_, index) => known[index]?.value === 1);
}

/**
 * Counters of nanoseconds → shares of the time between two looks.
 * @param least between two looks; a source that repeats its values for that long says nothing in between
 * @returns undefined at the first look, too soon after one, and when the counter began anew
 */
export function throttledShares(least: Seconds): (counter: string, nanos: number, at: Instant) => number | undefined {
  const before = new Map<string, { readonly nanos: number; readonly at: Instant }>();
  return (counter, nanos, at) => {
    const last = before.get(counter);
    if (last && nanos >= last.nanos && (at <= last.at || at - last.at < least)) return undefined;
    before.set(counter, { nanos, at });
    return last && nanos >= last.nanos ? Math.min(1, (nanos - last.nanos) / 1e9 / (at - last.at)) : undefined;
  };
}
