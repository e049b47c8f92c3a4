/**
 * Power and energy in `/sys/class/hwmon`: the platform's ACPI meter, the rails of Grace sockets, AMD and Intel GPUs.
 * Which of a chip's values are booked is decided in `hwmon-chips.ts`; here they are found, kept open and read together.
 */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { codeOf, messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled, type Poller } from '../../polled.js';
import type { Channel, LiveContext, LivePower, PowerEvent } from '../../source.js';
import { findChips, type HwmonValue } from './hwmon-chips.js';
import { powerGauge, type PowerGauge } from '../power-gauge.js';
import { openAttribute, type Attribute } from './sysfs.js';

const NAME = 'hwmon';

export interface HwmonOptions {
  /** Where sysfs is mounted; a container may see the host's elsewhere. */
  readonly sysfs?: string | undefined;
  readonly period?: Seconds | undefined;
  /** `check`: another source books the GPUs, which may name them otherwise. */
  readonly gpus?: 'book' | 'check' | undefined;
}

const options = z.strictObject({
  sysfs: z.string().min(1).default('/sys'),
  period: duration.prefault('1s').refine((value) => value >= 0.05 && value <= 60, 'a period is 50 ms to 60 s'),
  gpus: z.enum(['book', 'check']).default('book'),
});

export const liveHwmon: LivePowerKind = liveKind({
  name: NAME,
  summary: "power sensors of the Linux kernel: the server's ACPI meter, Grace sockets, AMD and Intel GPUs",
  options,
  open: ({ sysfs, period, gpus }) => hwmon({ sysfs, period: seconds(period), gpus }),
  async detect(environment) {
    const answer = await probeHwmon();
    return answer.found && (await anyOnPath(GPU_TOOLS, environment)) ? { found: true, options: { gpus: 'check' } } : answer;
  },
});

/** Where one of these is, it reads the GPUs, by names that the kernel does not know. */
const GPU_TOOLS = ['amd-smi', 'rocm-smi', 'xpu-smi'];

async function anyOnPath(programs: readonly string[], environment: NodeJS.ProcessEnv): Promise<boolean> {
  const places = (environment['PATH'] ?? '').split(delimiter).flatMap((folder) => programs.map((program) => join(folder, program)));
  const found = await Promise.all(places.map((place) => access(place, constants.X_OK).then(() => true, () => false)));
  return found.includes(true);
}

export function hwmon({ sysfs = '/sys', period = seconds(1), gpus = 'book' }: HwmonOptions = {}): LivePower {
  return polled({ name: NAME, description: `hwmon every ${period} s`, period, open: (context) => open(sysfs, gpus, context) });
}

export async function probeHwmon(sysfs = '/sys'): Promise<{ readonly found: true; readonly options: Readonly<Record<string, unknown>> } | { readonly found: false; readonly reason: string }> {
  try {
    const values = await openValues(sysfs);
    await closeValues(values);
    return { found: true, options: {} };
  } catch (error) {
    return { found: false, reason: messageOf(error) };
  }
}

interface OpenValue {
  readonly channel: Channel;
  readonly attribute: Attribute;
  readonly gauge: PowerGauge;
}

function onlyChecked(value: OpenValue): OpenValue {
  const channel: Channel = { ...value.channel, use: 'check' };
  return { ...value, channel, gauge: powerGauge(channel) };
}

async function open(sysfs: string, gpus: 'book' | 'check', context: LiveContext): Promise<Poller> {
  const found = await openValues(sysfs);
  const values = gpus === 'book' ? found : found.map((value) => (value.channel.boundary === 'gpu' ? onlyChecked(value) : value));
  return {
    async read() {
      // One time for all: rails of a socket are compared with each other.
      const at = context.now();
      const read = await Promise.all(values.map(async ({ attribute }) => attribute.read().catch((error: unknown) => ({ failed: codeOf(error) ?? messageOf(error) }))));
      const failed = read.flatMap((each) => (typeof each === 'string' ? [] : [each.failed]));
      if (failed.length === values.length) throw new TelemetryError('HWMON_READ', `no sensor of hwmon can be read (${failed[0]})`, 'retry');
      return values.flatMap((value, index) => said(value, read[index], at));
    },
    close: () => closeValues(values),
  };
}

function said({ channel, gauge }: OpenValue, read: string | { readonly failed: string } | undefined, at: Instant): readonly PowerEvent[] {
  const text = typeof read === 'string' && /^-?\d+$/.test(read) ? read : undefined;
  const why = typeof read === 'object' ? `can't be read (${read.failed})` : 'no number';
  if (channel.measures === 'power') return gauge.say(text === undefined ? undefined : Number(text) / 1e6, at, why);
  // A counter at 0 has not been fed yet, or never will be.
  if (text !== undefined && !text.startsWith('-') && text !== '0') return [{ kind: 'reading', channel, at, measures: 'counter', total: BigInt(text) }];
  return gauge.say(undefined, at, text === undefined ? why : 'a counter at 0');
}

const closeValues = async (values: readonly OpenValue[]): Promise<void> => {
  await Promise.all(values.map(({ attribute }) => attribute.close()));
};

/** @throws TelemetryError HWMON_MISSING, HWMON_PERMISSION: `disable` */
async function openValues(sysfs: string): Promise<OpenValue[]> {
  const values: OpenValue[] = [];
  let forbidden: string | undefined;
  for (const value of await findChips(sysfs)) {
    const attribute = await openReadable(value).catch((error: unknown) => {
      if (codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM') forbidden = value.path;
      return undefined;
    });
    if (attribute) values.push({ channel: value.channel, attribute, gauge: powerGauge(value.channel) });
  }
  if (values.length > 0) return values;
  if (forbidden !== undefined) throw new TelemetryError('HWMON_PERMISSION', `${forbidden} may not be read by this user: run the agent as root, or give its service AmbientCapabilities=CAP_DAC_READ_SEARCH.`, 'disable');
  throw new TelemetryError('HWMON_MISSING', `No sensor of power in ${sysfs}/class/hwmon: where the firmware has an ACPI power meter load the module acpi_power_meter (some need its option force_cap_on=y); most servers have none.`, 'disable');
}

/** A driver may list an attribute that its board does not have; reading it then fails. */
async function openReadable({ path }: HwmonValue): Promise<Attribute> {
  const attribute = await openAttribute(path);
  try {
    await attribute.read();
    return attribute;
  } catch (error) {
    await attribute.close();
    throw error;
  }
}
