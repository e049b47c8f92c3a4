/**
 * One measured point of a meter outside the server: what it says → readings, and what can't be one → flags.
 * Its power is booked. Its energy is a cross-check: meters count in steps of 3.6 kJ (1 Wh) to 360 kJ (0.1 kWh) and
 * their users may set the count back.
 */
import type { Boundary } from '@joulebook/shared/slice.js';
import { watts, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { isFault, type Fault, type Read } from '../../cells.js';
import { ABSURD_READING, MISSING_READINGS } from '../../line-tally.js';
import type { Channel, PowerEvent, Sensor } from '../../source.js';
import { plausible } from '../plausible.js';
import { trouble } from '../trouble.js';

/** More is a wrong scale: a PDU's inlet or a plug with three phases of 125 A gives 87 kW. */
export const ABSURD_PDU_WATTS = 100_000;

/** The meter's class, e.g. 0.005 for 0.5 %, where it is better known than by its kind. */
export const accuracyOption = z.number().gt(0).max(0.5).optional();
export const sensorOf = (usual: Sensor, accuracy: number | undefined): Sensor => (accuracy === undefined ? usual : { ...usual, gain: { low: -accuracy, high: accuracy } });

/** A channel that knows which nodes it feeds, for whoever divides a wide reading over them. */
export interface MeterChannel extends Channel {
  readonly contains?: readonly string[];
}

export interface MeterPoint {
  /** The kind's name in `sources/index.ts`. */
  readonly source: string;
  readonly device: string;
  readonly boundary?: Boundary;
  readonly sensor: Sensor;
  readonly contains?: readonly string[] | undefined;
  readonly absurdWatts?: number;
  /** What to look at when the value is negative or absurd: `the clamp may be turned round`. */
  readonly hint?: string;
  /** `check` when the energy is not to be booked. */
  readonly energyUse?: 'check';
  readonly powerUse?: 'check';
}

export interface Meter {
  /** @param value watts; undefined or a fault in words when nothing usable was said */
  power(value: Read<number>, at: Instant): readonly PowerEvent[];
  /** @param total microjoules since an unknown start; undefined when there is no such count, a fault when there should be one */
  energy(total: bigint | Fault | undefined, at: Instant): readonly PowerEvent[];
}

export function meter(point: MeterPoint): Meter {
  const { source, device, boundary = 'meter', sensor, contains, absurdWatts = Infinity, hint } = point;
  const common = { device, boundary, source, ...(contains && { contains }) };
  const powerChannel: MeterChannel = { ...common, id: `${source}/${device}/power`, measures: 'power', sensor, ...(point.powerUse && { use: point.powerUse }) };
  // A counter is averaged over nothing.
  const { averagedOver: _, ...counter } = sensor;
  const energyChannel: MeterChannel = { ...common, id: `${source}/${device}/energy`, measures: 'counter', sensor: counter, ...(point.energyUse && { use: point.energyUse }) };
  const now = trouble(device);
  const counting = trouble(device);
  return {
    power(value, at) {
      if (value === undefined || isFault(value)) {
        const reason = value === undefined ? 'no value' : value.fault;
        return now.is(reason, { code: MISSING_READINGS.code, detail: `${source}: ${device} says no power: ${reason}` });
      }
      // A meter that feeds nothing says 0 and is right; what measures itself is switched on.
      const judged = boundary === 'meter' && value === 0 ? 'power' : plausible(boundary, value);
      if (judged === 'power' || (judged.kind === 'power' && value <= absurdWatts)) return [...now.over(), { kind: 'reading', channel: powerChannel, at, measures: 'power', power: watts(value) }];
      const reason = judged.kind === 'power' ? `more than ${absurdWatts} W` : judged.reason;
      return now.is(reason, { code: ABSURD_READING.code, detail: `${source}: ${device} said ${value} W (${reason}), which can't be: check scale and unit${hint === undefined ? '' : `; ${hint}`}` });
    },
    energy(total, at) {
      if (total === undefined) return [];
      const fault = typeof total === 'bigint' ? (total < 0n ? 'the count is negative' : undefined) : total.fault;
      if (typeof total !== 'bigint' || fault !== undefined) return counting.is(fault ?? '', { code: MISSING_READINGS.code, detail: `${source}: ${device} says no energy: ${fault}` });
      return [...counting.over(), { kind: 'reading', channel: energyChannel, at, measures: 'counter', total }];
    },
  };
}

/** Microjoules in one unit of energy. */
export const MICROJOULES = { microjoules: 1n, millijoules: 1_000n, joules: 1_000_000n, wattMinutes: 60_000_000n, wattHours: 3_600_000_000n, kilowattHours: 3_600_000_000_000n } as const;
export type EnergyUnit = keyof typeof MICROJOULES;
export const ENERGY_UNITS = ['microjoules', 'millijoules', 'joules', 'wattMinutes', 'wattHours', 'kilowattHours'] as const satisfies readonly EnergyUnit[];

/** Watts in one unit of power. */
export const WATTS = { milliwatts: 0.001, watts: 1, kilowatts: 1000 } as const;
export const POWER_UNITS = ['milliwatts', 'watts', 'kilowatts'] as const satisfies readonly (keyof typeof WATTS)[];

/** A count of energy units → microjoules, exact for whole numbers. */
export function microjoulesOf(count: number | bigint | undefined, each: bigint): bigint | undefined {
  if (count === undefined || typeof count === 'bigint') return count === undefined ? undefined : count * each;
  if (Number.isSafeInteger(count)) return BigInt(count) * each;
  return Number.isFinite(count) ? BigInt(Math.round(count * Number(each))) : undefined;
}
