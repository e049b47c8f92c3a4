/** Rack PDUs by SNMP: active power of their inlets, or of the outlets that are named. */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled, type Poller } from '../../polled.js';
import type { LiveContext, LivePower } from '../../source.js';
import { ABSURD_PDU_WATTS, accuracyOption, meter, sensorOf, type Meter } from './meter.js';
import { reveal, secretOption } from '../secret.js';
import { PDU } from '../sensors.js';
import { PDU_VENDOR_NAMES, PDU_VENDORS, type PduVendor } from './snmp-pdu-tables.js';
import { pointsOf, vendorOf, type PduPoint } from './snmp-points.js';
import { AUTH_PROTOCOLS, PRIV_PROTOCOLS, snmpSession, type SnmpSession, type SnmpTarget } from './snmp-session.js';

const NAME = 'snmp-pdu';
const HINT = 'a negative value is how some firmware says that a point is not metered';

const point = z.strictObject({
  point: z.string().regex(/^(?:inlet|outlet|sensor) [\d.]+$/, "a point is written 'inlet 1', 'outlet 7' or 'sensor 1001'"),
  device: z.string().min(1).optional(),
  contains: z.array(z.string().min(1)).min(1).optional(),
});
/** Inlets contain their outlets: booked together, every joule of an outlet would be there twice. */
const noInletWithOutlets = (points: readonly { point: string }[] | undefined): boolean => !(points?.some((each) => each.point.startsWith('inlet')) && points.some((each) => each.point.startsWith('outlet')));
const allDifferent = (values: readonly (string | undefined)[]): boolean => {
  const said = values.filter((value) => value !== undefined);
  return new Set(said).size === said.length;
};

const options = z
  .strictObject({
    host: z.string().min(1),
    port: z.int().min(1).max(65_535).default(161),
    version: z.enum(['2c', '3']).default('2c'),
    community: secretOption.default('public'),
    user: z.string().min(1).optional(),
    authProtocol: z.enum(AUTH_PROTOCOLS).default('sha'),
    authKey: secretOption.optional(),
    privProtocol: z.enum(PRIV_PROTOCOLS).default('aes'),
    privKey: secretOption.optional(),
    vendor: z.enum(['auto', ...PDU_VENDOR_NAMES]).default('auto'),
    /** What the PDU is called; otherwise its serial number, otherwise its address. */
    device: z.string().min(1).optional(),
    points: z
      .array(point)
      .min(1)
      .optional()
      .refine(noInletWithOutlets, 'inlets contain their outlets: name inlets or outlets, not both')
      .refine((points) => allDifferent((points ?? []).map((each) => each.point)), 'a point is named twice')
      .refine((points) => allDifferent((points ?? []).map((each) => each.device)), 'every point needs a device of its own'),
    accuracy: accuracyOption,
    period: duration.prefault('5s').refine((value) => value >= 0.1 && value <= 300, 'a period is 100 ms to 5 m'),
    timeout: duration.prefault('2s').refine((value) => value >= 0.1 && value <= 10, 'a timeout is 100 ms to 10 s'),
    retries: z.int().min(0).max(5).default(1),
  })
  .refine(({ version, user }) => version === '2c' || user !== undefined, { path: ['user'], message: 'SNMPv3 needs a user' })
  .refine(({ authKey, privKey }) => privKey === undefined || authKey !== undefined, { path: ['authKey'], message: 'privKey needs an authKey: SNMPv3 encrypts only what it signs' });
export type SnmpPduOptions = z.output<typeof options>;

export const liveSnmpPdu: LivePowerKind = liveKind({
  name: NAME,
  summary: 'power of rack PDUs by SNMP v2c or v3: APC, Raritan, Server Technology, Eaton, Vertiv Geist, ENTITY-SENSOR-MIB',
  options,
  open: snmpPdu,
  detect: async () => ({ found: false, reason: `a PDU is not looked for; name it: power: [{ source: ${NAME}, host: … }]` }),
});

/** A walk of a PDU's tables takes some cards seconds. */
const LONGEST_LOOK_SECONDS = 30;

export function snmpPdu(given: SnmpPduOptions): LivePower {
  const where = `${given.host}:${given.port}`;
  const period = seconds(given.period);
  return polled({
    name: NAME,
    description: `PDU ${where} by SNMP every ${given.period} s`,
    period,
    limit: seconds(Math.max(LONGEST_LOOK_SECONDS, 2 * given.period)),
    open: (context) => openPdu(given, where, context),
  });
}

async function openPdu(given: SnmpPduOptions, where: string, { environment, signal, now }: LiveContext): Promise<Poller> {
  const session = await snmpSession(targetOf(given, environment));
  const close = (): void => {
    signal.removeEventListener('abort', close);
    session.close();
  };
  signal.addEventListener('abort', close);
  try {
    const vendor = given.vendor === 'auto' ? await vendorOf(session, where) : PDU_VENDORS.find(({ name }) => name === given.vendor);
    const meters = vendor ? (await chosen(session, vendor, given, where)).map((each) => metered(each, given)) : [];
    const oids = meters.flatMap(({ point: { oids: all } }) => all);
    return {
      close,
      async read() {
        try {
          const asked = now();
          const values = await session.get(oids);
          const at = instant((asked + now()) / 2);
          return meters.flatMap(({ point: each, events }) => [...events.power(each.watts(values), at), ...events.energy(each.microjoules(values), at)]);
        } catch (error) {
          // Stopping closes the session under the question.
          if (signal.aborted) return [];
          throw error;
        }
      },
    };
  } catch (error) {
    close();
    if (signal.aborted) return { read: () => [] };
    throw error;
  }
}

function targetOf({ host, port, timeout, retries, version, community, user, authProtocol, authKey, privProtocol, privKey }: SnmpPduOptions, environment: NodeJS.ProcessEnv): SnmpTarget {
  const common = { host, port, timeout: seconds(timeout), retries };
  if (version === '2c' || user === undefined) return { ...common, login: { community: reveal(community, environment, 'community') } };
  return {
    ...common,
    login: {
      user,
      authProtocol,
      privProtocol,
      ...(authKey !== undefined && { authKey: reveal(authKey, environment, 'authKey') }),
      ...(privKey !== undefined && { privKey: reveal(privKey, environment, 'privKey') }),
    },
  };
}

interface Chosen {
  readonly point: PduPoint;
  readonly device?: string | undefined;
  readonly contains?: readonly string[] | undefined;
}

/** The points that were named, else all inlets. */
async function chosen(session: SnmpSession, vendor: PduVendor, { points }: SnmpPduOptions, where: string): Promise<Chosen[]> {
  const kinds = new Set(points?.map(({ point: name }) => name.split(' ')[0]));
  const asked = (['inlet', 'outlet', 'sensor'] as const).filter((what) => (points ? kinds.has(what) : what !== 'outlet'));
  const there: PduPoint[] = [];
  for (const what of asked) there.push(...(await pointsOf(session, vendor, what)));

  if (!points) {
    // Which of several sensors contain each other nobody says.
    const [only] = there;
    if (!only || (only.what === 'sensor' && there.length > 1)) {
      throw new TelemetryError('PDU_POINTS', `${where} (${vendor.name}): ${only ? `name the points that are to be booked: ${list(there)}` : "no inlet says its power; name outlets in 'points' if it meters those"}.`, 'disable');
    }
    return there.map((each) => ({ point: each }));
  }
  const missing = points.filter(({ point: name }) => !there.some((each) => each.name === name));
  if (missing.length > 0) throw new TelemetryError('PDU_POINTS', `${where} (${vendor.name}) has no ${missing.map(({ point: name }) => name).join(', ')}; it has ${there.length > 0 ? list(there) : 'none of that kind'}.`, 'disable');
  return points.flatMap(({ point: name, ...rest }) => there.filter((each) => each.name === name).map((each) => ({ ...rest, point: each })));
}

const list = (points: readonly PduPoint[]): string => points.map(({ name, label }) => (label === undefined ? name : `${name} (${label})`)).join(', ');

function metered({ point: found, device, contains }: Chosen, { device: pdu, host, accuracy }: SnmpPduOptions): { readonly point: PduPoint; readonly events: Meter } {
  const name = device ?? `${pdu ?? found.serial ?? host} ${found.name}`;
  return { point: found, events: meter({ source: NAME, device: name, sensor: sensorOf(PDU, accuracy), contains, absurdWatts: ABSURD_PDU_WATTS, hint: HINT, energyUse: 'check' }) };
}
