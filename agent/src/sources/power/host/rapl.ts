/** CPU packages and their memory by RAPL's counters in powercap (`/sys/class/powercap/intel-rapl:*`, AMD's too). */
import { join } from 'node:path';
import { codeOf, TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled, type Poller } from '../../polled.js';
import type { Channel, LiveContext, LivePower, PowerEvent, Reading } from '../../source.js';
import { isPackage, MOST_SOCKET_WATTS, raplChannel, raplDomain, wrapGuard } from './rapl-domain.js';
import { attributeText, numbered, openAttribute, type Attribute } from './sysfs.js';

const NAME = 'rapl';

export interface RaplOptions {
  /** Where sysfs is mounted; a container may see the host's elsewhere. */
  readonly sysfs?: string | undefined;
  readonly period?: Seconds | undefined;
}

const options = z.strictObject({
  sysfs: z.string().min(1).default('/sys'),
  period: duration.prefault('1s').refine((value) => value >= 0.05 && value <= 10, 'a period is 50 ms to 10 s'),
});

export const liveRapl: LivePowerKind = liveKind({
  name: NAME,
  summary: "energy of CPU packages and their memory by RAPL's counters (powercap)",
  options,
  open: ({ sysfs, period }) => rapl({ sysfs, period: seconds(period) }),
  detect: () => probeRapl(),
});

export function rapl({ sysfs = '/sys', period = seconds(1) }: RaplOptions = {}): LivePower {
  return polled({ name: NAME, description: `RAPL every ${period} s`, period, open: (context) => open(sysfs, period, context) });
}

/** Whether there are counters here that this process may read, and if not, why. */
export async function probeRapl(sysfs = '/sys'): Promise<{ readonly found: true; readonly options: Readonly<Record<string, unknown>> } | { readonly found: false; readonly reason: string }> {
  try {
    const zones = await openZones(sysfs);
    await closeZones(zones);
    return { found: true, options: {} };
  } catch (error) {
    return { found: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

interface Zone {
  readonly channel: Channel;
  readonly energy: Attribute;
  /** µJ at which it starts again at 0. */
  readonly wrapsAt?: bigint;
}

/** A wrap must not pass unseen in the longest pause that is still integrated across: five periods. */
const PERIODS_PER_WRAP = 5;

async function open(sysfs: string, period: Seconds, context: LiveContext): Promise<Poller> {
  const zones = await openZones(sysfs);
  const smallest = Math.min(...zones.flatMap(({ wrapsAt }) => (wrapsAt === undefined ? [] : [Number(wrapsAt) / 1e6])));
  const longest = smallest / MOST_SOCKET_WATTS / PERIODS_PER_WRAP;
  if (period > longest) {
    await closeZones(zones);
    throw new TelemetryError('RAPL_PERIOD', `rapl: a counter here starts again after ${Math.round(smallest)} J; set its period to ${longest.toPrecision(2)} s or less, so that no wrap is missed.`, 'disable');
  }
  const guard = wrapGuard();
  return {
    async read() {
      const at = context.now();
      const texts = await Promise.all(zones.map(({ energy }) => energy.read()));
      return zones.flatMap(({ channel, wrapsAt }, index): PowerEvent[] => {
        const text = texts[index] ?? '';
        if (!/^\d+$/.test(text)) throw new TelemetryError('RAPL_READ', `${channel.id} says no number`, 'retry');
        const reading: Reading = { kind: 'reading', channel, at, measures: 'counter', total: BigInt(text), ...(wrapsAt !== undefined && { wrapsAt }) };
        return guard(reading);
      });
    },
    close: () => closeZones(zones),
  };
}

const closeZones = async (zones: readonly Zone[]): Promise<void> => {
  await Promise.all(zones.map(({ energy }) => energy.close()));
};

/** `intel-rapl:0` and its children `intel-rapl:0:1`; `intel-rapl-mmio:0` is the same package again. */
const ZONE = /^intel-rapl:(\d+)(?::\d+)?$/;

/** @throws TelemetryError RAPL_MISSING, RAPL_PERMISSION: `disable` */
async function openZones(sysfs: string): Promise<Zone[]> {
  const root = join(sysfs, 'class/powercap');
  const folders = await numbered(root, ZONE);
  const names = new Map<string, string>();
  for (const folder of folders) names.set(folder, (await attributeText(join(root, folder, 'name'))) ?? '');
  const zones = new Map<string, Zone>();
  try {
    for (const [folder, name] of names) {
      const parent = /^(intel-rapl:\d+):/.exec(folder)?.[1];
      const owner = parent === undefined ? undefined : names.get(parent);
      // Memory hangs under its package; a dram elsewhere, or a package inside something, is not what we know.
      const isKnown = name === 'dram' ? owner !== undefined && isPackage(owner) : parent === undefined;
      const domain = isKnown ? raplDomain(name, owner) : undefined;
      if (!domain) continue;
      const channel = raplChannel(domain);
      const zone = zones.has(channel.id) ? undefined : await openZone(join(root, folder), channel);
      if (zone) zones.set(channel.id, zone);
    }
    if (![...zones.values()].some(({ channel }) => channel.use !== 'check')) throw missing(root);
    return [...zones.values()];
  } catch (error) {
    await closeZones([...zones.values()]);
    throw error;
  }
}

/** @returns undefined for a zone that has no counter, or a cross-check that is switched off */
async function openZone(folder: string, channel: Channel): Promise<Zone | undefined> {
  const isCheck = channel.use === 'check';
  if (isCheck && (await attributeText(join(folder, 'enabled'))) === '0') return undefined;
  const path = join(folder, 'energy_uj');
  let energy: Attribute | undefined;
  try {
    energy = await openAttribute(path);
    await energy.read();
    const range = await attributeText(join(folder, 'max_energy_range_uj'));
    return { channel, energy, ...(range !== undefined && /^\d+$/.test(range) && BigInt(range) > 0n && { wrapsAt: BigInt(range) }) };
  } catch (error) {
    await energy?.close();
    const code = codeOf(error);
    if (isCheck || code === 'ENOENT') return undefined;
    if (code === 'EACCES' || code === 'EPERM') throw forbidden(path);
    throw new TelemetryError('RAPL_READ', `${path} can't be read (${code ?? 'unknown error'})`, 'retry');
  }
}

const missing = (root: string): TelemetryError =>
  new TelemetryError('RAPL_MISSING', `There are no RAPL counters in ${root}: virtual machines and most clouds have none; on a bare machine load the module intel_rapl_msr.`, 'disable');

const forbidden = (path: string): TelemetryError =>
  new TelemetryError(
    'RAPL_PERMISSION',
    `${path} may be read by root only (since Linux 5.10): give the agent's service AmbientCapabilities=CAP_DAC_READ_SEARCH, or let its unit open the file with ExecStartPre=+/bin/chmod a+r, or a udev or tmpfiles rule.`,
    'disable',
  );
