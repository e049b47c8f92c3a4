/**
 * What of `/sys/class/hwmon` is power, of what, and which of several values of one thing is booked.
 *
 *   power_meter, power1_oem_info "Module Power Socket N"      GPU + CPU module          module   booked
 *                                "Grace Power Socket N"       CPU socket with memory    cpu      booked where there is no Module
 *                                "CPU …", "SysIO … Socket N"  parts of the socket       cpu      check
 *   power_meter without such a text                           the whole server          server   booked (the first)
 *   amdgpu                       power1_average, power1_input                           gpu      booked; check where it sits in a CPU
 *   xe, i915                     energyK_input by its label: card, else pkg             gpu      booked; the other is a check
 *
 * Values are µW and µJ; the number in a file's name differs between kernels, the label does not. Newer firmware says
 * "… Input Power …". Older drivers have the attributes on the device, newer ones on the hwmon itself.
 */
import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { seconds } from '@joulebook/shared/units.js';
import type { Channel, Sensor } from '../../source.js';
import { GPU_BOARD, sensorAt } from '../sensors.js';
import { attributeExists, attributeText, numbered } from './sysfs.js';

export interface HwmonValue {
  readonly channel: Channel;
  /** Of the attribute that says it. */
  readonly path: string;
}

interface Chip {
  readonly folder: string;
  readonly name: string;
}

const SOURCE = 'hwmon';

export async function findChips(sysfs: string): Promise<HwmonValue[]> {
  const root = join(sysfs, 'class/hwmon');
  const chips: Chip[] = [];
  for (const entry of await numbered(root, /^hwmon\d+$/)) {
    const folder = join(root, entry);
    const name = await attributeText(join(folder, 'name'), join(folder, 'device/name'));
    if (name !== undefined) chips.push({ folder, name });
    else if ((await attributeText(join(folder, 'device/power1_oem_info'))) !== undefined) chips.push({ folder, name: 'power_meter' });
  }
  const named = (...names: readonly string[]): Chip[] => chips.filter(({ name }) => names.includes(name));
  const gpus = await Promise.all([...named('amdgpu').map(amdGpu), ...named('xe', 'i915').map(intelGpu)]);
  return [...(await powerMeters(named('power_meter'))), ...gpus.flat()];
}

// --- ACPI power meters ---

const RAIL = /^(?<rail>Module|Grace|CPU|SysIO)\s+(?:Input\s+)?Power\s+Socket\s+(?<socket>\d+)$/i;

interface Meter {
  readonly path: string;
  readonly sensor: Pick<Sensor, 'averagedOver'>;
  readonly rail?: string;
  readonly socket?: string;
}

async function powerMeters(chips: readonly Chip[]): Promise<HwmonValue[]> {
  const meters = (await Promise.all(chips.map(meterOf))).filter((meter) => meter !== undefined);
  const hasModule = (socket: string): boolean => meters.some((meter) => meter.rail === 'module' && meter.socket === socket);
  let servers = 0;
  return meters.map(({ path, sensor, rail, socket }): HwmonValue => {
    if (rail === undefined || socket === undefined) {
      servers += 1;
      // Several are supplies of one server, or the same one twice: the kernel does not say. One is booked.
      return { path, channel: { id: `${SOURCE}/server/power_meter${servers === 1 ? '' : `-${servers}`}`, device: 'server', boundary: 'server', source: SOURCE, measures: 'power', sensor: { ...sensorAt('server'), ...sensor }, ...(servers > 1 && { use: 'check' }) } };
    }
    const boundary = rail === 'module' ? 'module' : 'cpu';
    const isBooked = rail === 'module' || (rail === 'grace' && !hasModule(socket));
    return { path, channel: { id: `${SOURCE}/${boundary}${socket}/${rail}`, device: `${boundary}${socket}`, boundary, source: SOURCE, measures: 'power', sensor: { gain: sensorAt(boundary).gain, ...sensor }, ...(!isBooked && { use: 'check' }) } };
  });
}

async function meterOf({ folder }: Chip): Promise<Meter | undefined> {
  for (const base of [folder, join(folder, 'device')]) {
    const path = join(base, 'power1_average');
    if (!(await attributeExists(path))) continue;
    const millis = Number((await attributeText(join(base, 'power1_average_interval'))) ?? Number.NaN);
    const info = RAIL.exec((await attributeText(join(folder, 'device/power1_oem_info'), join(folder, 'power1_oem_info'))) ?? '')?.groups;
    return {
      path,
      sensor: millis > 0 ? { averagedOver: seconds(millis / 1000) } : {},
      ...(info?.['rail'] !== undefined && { rail: info['rail'].toLowerCase() }),
      ...(info?.['socket'] !== undefined && { socket: info['socket'] }),
    };
  }
  return undefined;
}

// --- GPUs ---

/** The board's own number where its driver says one, else its PCI address. */
async function gpuName(folder: string): Promise<string> {
  const device = join(folder, 'device');
  const unique = await attributeText(join(device, 'unique_id'));
  if (unique !== undefined && !/^0*$/.test(unique)) return unique;
  const slot = /^PCI_SLOT_NAME=(.+)$/m.exec((await attributeText(join(device, 'uevent'))) ?? '')?.[1];
  return slot ?? basename(await realpath(device).catch(() => folder));
}

const gpuChannel = (device: string, what: string, measures: Channel['measures'], use?: 'check'): Channel => ({ id: `${SOURCE}/${device}/${what}`, device, boundary: 'gpu', source: SOURCE, measures, sensor: GPU_BOARD, ...(use && { use }) });

/** Older boards average, newer ones say the moment; where a value is not supported reading it fails. */
async function amdGpu({ folder }: Chip): Promise<HwmonValue[]> {
  const device = await gpuName(folder);
  // Only a GPU inside a CPU has this rail; its power is that of the whole socket, which others book.
  const isInCpu = (await attributeText(join(folder, 'in1_label'))) === 'vddnb';
  const values: HwmonValue[] = [];
  for (const what of ['power1_average', 'power1_input']) {
    const path = join(folder, what);
    if (await attributeExists(path)) values.push({ path, channel: gpuChannel(device, what, 'power', isInCpu ? 'check' : undefined) });
  }
  return values;
}

async function intelGpu({ folder, name }: Chip): Promise<HwmonValue[]> {
  const device = await gpuName(folder);
  const counters: { path: string; label: string; total: string }[] = [];
  for (const file of await numbered(folder, /^energy\d+_input$/)) {
    const path = join(folder, file);
    const total = await attributeText(path);
    const label = await attributeText(path.replace(/_input$/, '_label'));
    // i915 has one counter and no label: the card's.
    if (total !== undefined) counters.push({ path, total, label: label ?? (name === 'i915' ? 'card' : '') });
  }
  // On some boards the card's counter stands at 0 for ever.
  const usable = counters.filter(({ label, total }) => (label === 'card' || label === 'pkg') && /^[1-9]\d*$/.test(total));
  const hasCard = usable.some(({ label }) => label === 'card');
  return usable.map(({ path, label }) => ({ path, channel: gpuChannel(device, label, 'counter', label === 'pkg' && hasCard ? 'check' : undefined) }));
}
