/** What a board says besides energy, once a second: temperature, clock, utilisation, memory, and what held its clocks back. */
import { seconds, type Instant } from '@joulebook/shared/units.js';
import type { PowerEvent } from '../../source.js';
import type { Answer, Nvml, NvmlHandle } from './nvml-library.js';
import { THROTTLES, throttledShares, throttleGauge, throttles, type Throttle } from './throttle.js';

interface GaugeQuery {
  readonly gauge: string;
  ask(nvml: Nvml, handle: NvmlHandle): Answer<number>;
  /** From NVML's unit to the gauge's. */
  readonly factor: number;
}

const GAUGES: readonly GaugeQuery[] = [
  { gauge: 'gpu.temperature', ask: (nvml, handle) => nvml.temperature(handle), factor: 1 },
  { gauge: 'gpu.clock.sm', ask: (nvml, handle) => nvml.smClock(handle), factor: 1 },
  { gauge: 'gpu.clock.sm.max', ask: (nvml, handle) => nvml.maxSmClock(handle), factor: 1 },
  { gauge: 'gpu.utilization', ask: (nvml, handle) => nvml.utilization(handle), factor: 0.01 },
  { gauge: 'gpu.memory.used', ask: (nvml, handle) => nvml.memoryUsed(handle), factor: 2 ** -20 },
];

export interface NvmlGauges {
  /**
   * @param throttledNanos time spent throttled so far, for the reasons whose counter the board has
   * @param unsupported told the code of each failure; true: never ask that again
   */
  read(nvml: Nvml, handle: NvmlHandle, at: Instant, throttledNanos: Partial<Record<Throttle, number>>, unsupported: (code: number) => boolean): PowerEvent[];
}

export function nvmlGauges(device: string): NvmlGauges {
  const never = new Set<string>();
  const shareOf = throttledShares(seconds(0));

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
      for (const reason of THROTTLES) {
        const nanos = throttledNanos[reason];
        const value = (nanos === undefined ? undefined : shareOf(reason, nanos, at)) ?? now?.[reason];
        if (value !== undefined) say(throttleGauge(reason), value);
      }
      return events;
    },
  };
}
