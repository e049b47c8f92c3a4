/**
 * What a board says besides energy, once a second: temperature, clock, utilisation, memory, and what held its clocks back.
 *
 * Throttling comes two ways: a mask of reasons at a moment, and for the power cap and for heat a counter of nanoseconds.
 * Where there is a counter, `gpu.throttle.power` is the share of the time since the last look, 0 to 1; else it is 0 or 1.
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { PowerEvent } from '../../source.js';
import type { Answer, Nvml, NvmlHandle } from './nvml-library.js';

interface GaugeQuery {
  readonly gauge: string;
  ask(nvml: Nvml, handle: NvmlHandle): Answer<number>;
  /** From NVML's unit to the gauge's. */
  readonly factor: number;
}

const GAUGES: readonly GaugeQuery[] = [
  { gauge: 'gpu.temperature', ask: (nvml, handle) => nvml.temperature(handle), factor: 1 },
  { gauge: 'gpu.clock.sm', ask: (nvml, handle) => nvml.smClock(handle), factor: 1 },
  { gauge: 'gpu.utilization', ask: (nvml, handle) => nvml.utilization(handle), factor: 0.01 },
  { gauge: 'gpu.memory.used', ask: (nvml, handle) => nvml.memoryUsed(handle), factor: 2 ** -20 },
];

export type Throttle = 'power' | 'thermal' | 'other';

/** nvmlClocksThrottleReason…; idle (0x1), clocks set by the user (0x2) and by a display (0x100) hold nothing back that was asked for. */
const SOFTWARE_POWER_CAP = 0x4;
const HARDWARE_SLOWDOWN = 0x8;
const SYNC_BOOST = 0x10;
const SOFTWARE_THERMAL = 0x20;
const HARDWARE_THERMAL = 0x40;
const HARDWARE_POWER_BRAKE = 0x80;

export function throttles(mask: number): Readonly<Record<Throttle, 0 | 1>> {
  const has = (bits: number): 0 | 1 => ((mask & bits) === 0 ? 0 : 1);
  const power = has(SOFTWARE_POWER_CAP | HARDWARE_POWER_BRAKE);
  const thermal = has(SOFTWARE_THERMAL | HARDWARE_THERMAL);
  // The slowdown bit comes beside the thermal or the power brake bit that says why; alone it says nothing more.
  const unexplained = has(HARDWARE_SLOWDOWN) === 1 && has(HARDWARE_THERMAL | HARDWARE_POWER_BRAKE) === 0;
  return { power, thermal, other: unexplained || has(SYNC_BOOST) === 1 ? 1 : 0 };
}

export interface NvmlGauges {
  /**
   * @param throttledNanos time spent throttled so far, for the reasons whose counter the board has
   * @param unsupported told the code of each failure; true: never ask that again
   */
  read(nvml: Nvml, handle: NvmlHandle, at: Instant, throttledNanos: Partial<Record<Throttle, number>>, unsupported: (code: number) => boolean): PowerEvent[];
}

export function nvmlGauges(device: string): NvmlGauges {
  const never = new Set<string>();
  const counters = new Map<string, { readonly nanos: number; readonly at: Instant }>();

  function share(reason: string, nanos: number | undefined, at: Instant): number | undefined {
    if (nanos === undefined) return undefined;
    const before = counters.get(reason);
    counters.set(reason, { nanos, at });
    if (!before || nanos < before.nanos || at <= before.at) return undefined;
    return Math.min(1, (nanos - before.nanos) / 1e9 / (at - before.at));
  }

  return {
    read(nvml, handle, at, throttledNanos, unsupported) {
      const events: PowerEvent[] = [];
      const say = (gauge: string, value: number): void => void events.push({ kind: 'gauge', device, gauge, value, at });
      const ask = (gauge: string, query: () => Answer<number>): number | undefined => {
        if (never.has(gauge)) return undefined;
        const answer = query();
        if (answer.ok) return answer.value;
        if (unsupported(answer.code)) never.add(gauge);
        return undefined;
      };
      for (const query of GAUGES) {
        const value = ask(query.gauge, () => query.ask(nvml, handle));
        if (value !== undefined) say(query.gauge, value * query.factor);
      }
      const mask = ask('gpu.throttle', () => nvml.throttleReasons(handle));
      const now = mask === undefined ? undefined : throttles(mask);
      for (const reason of ['power', 'thermal', 'other'] as const) {
        const value = share(reason, throttledNanos[reason], at) ?? now?.[reason];
        if (value !== undefined) say(`gpu.throttle.${reason}`, value);
      }
      return events;
    },
  };
}
