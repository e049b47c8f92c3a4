/** Energy meters by Modbus TCP: Eastron, Schneider, or any by its registers. */
import { duration } from '@joulebook/shared/settings.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled, type Poller } from '../../polled.js';
import type { LiveContext, LivePower } from '../../source.js';
import { accuracyOption, ENERGY_UNITS, meter, POWER_UNITS, sensorOf } from './meter.js';
import { modbusConnection } from './modbus-connection.js';
import { MODBUS_PROFILE_NAMES, MODBUS_PROFILES, microjoulesFrom, REGISTER_TYPES, wattsFrom, type ModbusProfile } from './modbus-registers.js';
import { PDU } from '../sensors.js';

const NAME = 'modbus-meter';
const HINT = 'the wrong word order or type gives such numbers, and current transformers turned round a minus';

const register = {
  function: z.union([z.literal(3), z.literal(4)]),
  address: z.int().min(0).max(65_535),
  type: z.enum(REGISTER_TYPES),
  wordOrder: z.enum(['big', 'little']).default('big'),
  scale: z.number().refine((value) => value !== 0, 'a scale is not 0').default(1),
};

const options = z
  .strictObject({
    host: z.string().min(1),
    port: z.int().min(1).max(65_535).default(502),
    unit: z.int().min(0).max(255).default(1),
    profile: z.enum(MODBUS_PROFILE_NAMES).optional(),
    /** Instead of a profile. */
    watts: z.strictObject({ ...register, unit: z.enum(POWER_UNITS).default('watts') }).optional(),
    energy: z.strictObject({ ...register, unit: z.enum(ENERGY_UNITS).default('wattHours') }).optional(),
    device: z.string().min(1).optional(),
    contains: z.array(z.string().min(1)).min(1).optional(),
    accuracy: accuracyOption,
    period: duration.prefault('1s').refine((value) => value >= 0.05 && value <= 300, 'a period is 50 ms to 5 m'),
    timeout: duration.prefault('2s').refine((value) => value >= 0.1 && value <= 60, 'a timeout is 100 ms to 60 s'),
  })
  .refine(({ profile, watts, energy }) => (profile === undefined) === (watts !== undefined) && (profile === undefined || energy === undefined), { path: ['profile'], message: "give a 'profile', or the registers 'watts' and, if there is one, 'energy'" });
export type ModbusMeterOptions = z.output<typeof options>;

export const liveModbusMeter: LivePowerKind = liveKind({
  name: NAME,
  summary: 'energy meters by Modbus TCP: Eastron SDM630 and SDM120, Schneider iEM3155, any other by its registers',
  options,
  open: modbusMeter,
  detect: async () => ({ found: false, reason: `a meter is not looked for; name it: power: [{ source: ${NAME}, host: …, profile: sdm630 }]` }),
});

export function modbusMeter(given: ModbusMeterOptions): LivePower {
  return polled({
    name: NAME,
    description: `meter ${given.host}:${given.port} by Modbus every ${given.period} s`,
    period: seconds(given.period),
    limit: seconds(given.timeout * 3 + 1),
    open: (context) => openMeter(given, context),
  });
}

async function openMeter(given: ModbusMeterOptions, { now, signal }: LiveContext): Promise<Poller> {
  const profile: ModbusProfile | undefined = given.watts ? { watts: given.watts, energy: given.energy } : given.profile && MODBUS_PROFILES[given.profile];
  if (!profile) return { read: () => [] };
  const name = given.device ?? `${given.host} unit ${given.unit}`;
  const its = meter({ source: NAME, device: name, sensor: sensorOf(PDU, given.accuracy), contains: given.contains, hint: HINT, energyUse: 'check' });
  try {
    const connection = await modbusConnection({ ...given, timeout: seconds(given.timeout) }, signal);
    return {
      close: () => connection.close(),
      async read() {
        try {
          const asked = now();
          const power = wattsFrom(profile.watts, await connection.read(profile.watts));
          const at = instant((asked + now()) / 2);
          const energy = profile.energy && microjoulesFrom(profile.energy, await connection.read(profile.energy));
          return [...its.power(power, at), ...its.energy(energy, at)];
        } catch (error) {
          // Stopping closes the connection under the question.
          if (signal.aborted) return [];
          throw error;
        }
      },
    };
  } catch (error) {
    if (signal.aborted) return { read: () => [] };
    throw error;
  }
}
