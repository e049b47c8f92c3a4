/** Plugs and clamp meters that answer with JSON: Shelly, Tasmota, or anything whose paths are given. */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { seconds, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled, type Poller } from '../../polled.js';
import type { LiveContext, LivePower, PowerEvent } from '../../source.js';
import { addressOption, httpAsker } from './http-asker.js';
import { HTTP_PROFILES, jsonProfile, type HttpProfile, type MeterSays } from './http-meter-profiles.js';
import { parseJson } from '../json-value.js';
import { ABSURD_PDU_WATTS, accuracyOption, ENERGY_UNITS, meter, POWER_UNITS, sensorOf, type Meter } from './meter.js';
import { reveal, secretOption } from '../secret.js';
import { PLUG } from '../sensors.js';

const NAME = 'http-meter';
const HINT = 'a clamp that is turned round says its power with a minus';

const options = z
  .strictObject({
    url: addressOption,
    profile: z.enum(['shelly', 'shelly-gen1', 'tasmota', 'json']),
    /** Of profile json. */
    watts: z.string().min(1).optional(),
    unit: z.enum(POWER_UNITS).default('watts'),
    scale: z.number().refine((value) => value !== 0, 'a scale is not 0').default(1),
    energy: z.string().min(1).optional(),
    energyUnit: z.enum(ENERGY_UNITS).default('wattHours'),
    /** One part of a device that has several: `switch:0`, `emeter:1`, `channel 2`. */
    component: z.string().min(1).optional(),
    device: z.string().min(1).optional(),
    contains: z.array(z.string().min(1)).min(1).optional(),
    user: z.string().min(1).default('admin'),
    password: secretOption.optional(),
    accuracy: accuracyOption,
    period: duration.prefault('1s').refine((value) => value >= 0.05 && value <= 300, 'a period is 50 ms to 5 m'),
    timeout: duration.prefault('5s').refine((value) => value >= 0.1 && value <= 60, 'a timeout is 100 ms to 60 s'),
  })
  .refine(({ profile, watts }) => (profile === 'json') === (watts !== undefined), { path: ['watts'], message: "profile json needs 'watts', the path of the power in the answer; the others know theirs" });
export type HttpMeterOptions = z.output<typeof options>;

export const liveHttpMeter: LivePowerKind = liveKind({
  name: NAME,
  summary: 'plugs and meters that answer with JSON: Shelly, Tasmota, any other by paths',
  options,
  open: httpMeter,
  detect: async () => ({ found: false, reason: `a meter is not looked for; name it: power: [{ source: ${NAME}, url: …, profile: shelly }]` }),
});

export function httpMeter(given: HttpMeterOptions): LivePower {
  const address = new URL(given.url);
  const profile = given.profile === 'json' ? jsonProfile({ ...given, watts: given.watts ?? '' }) : HTTP_PROFILES[given.profile];
  return polled({
    name: NAME,
    description: `meter ${address.origin}${address.pathname} (${given.profile}) every ${given.period} s`,
    period: seconds(given.period),
    limit: seconds(given.timeout * 2 + 1),
    open: async (context) => openMeter(given, address, profile, context),
  });
}

function openMeter(given: HttpMeterOptions, address: URL, profile: HttpProfile, { now, signal, environment }: LiveContext): Poller {
  const password = given.password && reveal(given.password, environment, 'password');
  const asker = httpAsker(address, { timeout: seconds(given.timeout), credentials: password === undefined ? undefined : { user: given.user, password } });
  const path = address.pathname === '/' && address.search === '' ? profile.path : `${address.pathname}${address.search}`;
  // Tasmota takes the password of its web pages as part of the question.
  const question = given.profile === 'tasmota' && password !== undefined ? `${path}&user=${encodeURIComponent(given.user)}&password=${encodeURIComponent(password)}` : path;
  const points = meteredPoints(given, address);
  return {
    close: () => asker.close(),
    async read() {
      try {
        const { text, at } = await asker.ask(question, now, signal);
        const document = parseJson(text, asker.shown);
        const said = profile.read(document).filter(({ point }) => given.component === undefined || point === given.component);
        if (said.length === 0) throw new TelemetryError('METER_SILENT', `${asker.shown} says no power${given.component === undefined ? '' : ` of '${given.component}'`}: does it measure, and is it a ${given.profile}?`, 'retry');
        return points.events(said, profile.serial?.(document), at);
      } catch (error) {
        if (signal.aborted) return [];
        throw error;
      }
    },
  };
}

/** One meter per point; a device with several names each by its point. */
function meteredPoints(given: HttpMeterOptions, address: URL): { events(said: readonly MeterSays[], serial: string | undefined, at: Instant): PowerEvent[] } {
  const meters = new Map<string, Meter>();
  let alone: boolean | undefined;
  let name: string | undefined;
  const open = (point: string): Meter =>
    meter({ source: NAME, device: alone ? (name ?? '') : `${name} ${point}`, sensor: sensorOf(PLUG, given.accuracy), contains: given.contains, absurdWatts: ABSURD_PDU_WATTS, hint: HINT, energyUse: 'check' });
  return {
    events(said, serial, at) {
      alone ??= said.length === 1;
      name ??= given.device ?? (serial === undefined ? address.host : `${given.profile} ${serial}`);
      for (const { point } of said) if (!meters.has(point)) meters.set(point, open(point));
      return [...meters].flatMap(([point, each]) => {
        const its = said.find((one) => one.point === point);
        return its ? [...each.power(its.watts, at), ...each.energy(its.microjoules, at)] : each.power({ fault: 'it is not in the answer any more' }, at);
      });
    },
  };
}
