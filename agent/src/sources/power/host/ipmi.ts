/** The whole server's power as its management controller says it by IPMI, asked through ipmitool. */
import { access, constants } from 'node:fs/promises';
import { messageOf } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled, type Poller } from '../../polled.js';
import type { Channel, LiveContext, LivePower } from '../../source.js';
import { dcmiWatts, sensorRows, sensorSum } from './ipmi-output.js';
import { ipmitool, type IpmiTarget } from './ipmitool.js';
import { plausible } from '../plausible.js';
import { powerGauge } from '../power-gauge.js';
import { secretOption } from '../secret.js';
import { BMC } from '../sensors.js';

const NAME = 'ipmi';

export interface IpmiOptions extends Partial<IpmiTarget> {
  /** What the server is called; with several remote controllers each needs its own. */
  readonly device?: string | undefined;
  /** Names of sensors whose sum is the server's input power; absent: DCMI's reading. */
  readonly sdr?: readonly string[] | undefined;
  readonly period?: Seconds | undefined;
  /** How long one run of ipmitool may take. */
  readonly limit?: Seconds | undefined;
}

const name = z.string().min(1);
const options = z
  .strictObject({
    command: name.default('ipmitool'),
    host: name.optional(),
    port: z.int().min(1).max(65_535).optional(),
    user: name.optional(),
    password: secretOption.optional(),
    cipher: z.union([z.literal(3), z.literal(17)]).optional(),
    device: name.optional(),
    sdr: z.array(name).min(1).optional(),
    period: duration.prefault('10s').refine((value) => value >= 1 && value <= 300, 'a period is 1 s to 5 min'),
  })
  .refine(({ host, port, user, password, cipher }) => host !== undefined || [port, user, password, cipher].every((each) => each === undefined), 'port, user, password and cipher are for a remote controller: name it in host');

export const liveIpmi: LivePowerKind = liveKind({
  name: NAME,
  summary: "the server's power as its management controller says it: DCMI, or named sensors, by ipmitool",
  options,
  open: ({ period, ...rest }) => ipmi({ ...rest, period: seconds(period) }),
  detect: (environment) => probeIpmi(environment),
});

export function ipmi({ command = 'ipmitool', host, port, user, password, cipher, device, sdr, period = seconds(10), limit = seconds(Math.min(10, Math.max(5, period))) }: IpmiOptions = {}): LivePower {
  const target: IpmiTarget = { command, host, port, user, password, cipher };
  const called = device ?? 'server';
  return polled({
    name: NAME,
    description: `ipmitool${host === undefined ? '' : ` of ${host}`} every ${period} s`,
    period,
    // What kills a run comes first, then the schedule's own limit.
    limit: seconds(limit + 2),
    open: async (context) => poller(target, called, sdr, limit, context),
  });
}

function poller(target: IpmiTarget, device: string, sdr: readonly string[] | undefined, limit: Seconds, context: LiveContext): Poller {
  const { environment, signal } = context;
  const channel: Channel = { id: `${NAME}/${device}/${sdr ? 'sdr' : 'dcmi'}`, device, boundary: 'server', source: NAME, measures: 'power', sensor: BMC };
  const gauge = powerGauge(channel);
  return {
    async read() {
      try {
        const text = await ipmitool(target, sdr ? SDR : DCMI, { environment, limit, signal });
        // It answers when it has looked, and a look takes longer than the way back.
        const at = context.now();
        if (!sdr) return gauge.say(dcmiWatts(text), at, 'ipmitool said no instantaneous power');
        const sum = sensorSum(sensorRows(text), sdr);
        return 'watts' in sum ? gauge.say(sum.watts, at) : gauge.say(undefined, at, sum.missing);
      } catch (error) {
        if (signal.aborted) return [];
        throw error;
      }
    },
  };
}

const DCMI = ['dcmi', 'power', 'reading'];
const SDR = ['sdr', 'elist', 'full'];
const DEVICES = ['/dev/ipmi0', '/dev/ipmi/0', '/dev/ipmidev/0'];
const PROBE_LIMIT = seconds(5);

/** Whether this machine's own controller says its power, and if not, why. */
export async function probeIpmi(environment: NodeJS.ProcessEnv, command = 'ipmitool', devices: readonly string[] = DEVICES): Promise<{ readonly found: true; readonly options: Readonly<Record<string, unknown>> } | { readonly found: false; readonly reason: string }> {
  const present = await Promise.all(devices.map(async (device) => access(device, constants.F_OK).then(() => true, () => false)));
  if (!present.includes(true)) return { found: false, reason: `there is no ${devices[0]}` };
  try {
    const said = plausible('server', dcmiWatts(await ipmitool({ command }, DCMI, { environment, limit: PROBE_LIMIT })));
    return said.kind === 'power' ? { found: true, options: {} } : { found: false, reason: `the controller says no power: ${said.reason}` };
  } catch (error) {
    return { found: false, reason: messageOf(error) };
  }
}
