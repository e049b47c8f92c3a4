/**
 * What `nvidia-smi -q -x` says of each GPU. Three generations of names, told apart by the elements and never by the
 * version (555.58 has the older names although 550.163 has the newer):
 *
 *     ≤ 525           power_readings/power_draw
 *     535 … 555       gpu_power_readings/power_draw,          module_power_readings/power_draw, gpu_memory_power_readings/…
 *     550.163, 570 …  gpu_power_readings/average_power_draw + instant_power_draw, and the same in the other two
 *
 * The names of the children repeat: only the parent says whose power it is. Unknown elements are passed over, text that is
 * no quantity (`N/A`, `Requested functionality has been deprecated`) is missing.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { XMLParser } from 'fast-xml-parser';
import { z } from 'zod';
import { powerCell, SERIAL, type PowerCell } from './nvidia-smi-row.js';
import { gaugesOfReasons, REASON_BITS } from './throttle.js';

export interface NvidiaPowers {
  readonly average?: PowerCell;
  readonly instant?: PowerCell;
  /** Of a driver that does not say which of the two it is. */
  readonly unspecified?: PowerCell;
}

export interface NvidiaGpu {
  readonly uuid?: string;
  readonly name?: string;
  /** Of the board, or of the module: GPUs of one superchip have the same. */
  readonly serial?: string;
  readonly busId?: string;
  readonly migEnabled?: boolean;
  readonly migDevices: readonly { readonly gpuInstance: number | undefined; readonly computeInstance: number | undefined }[];
  readonly power: NvidiaPowers;
  /** Part of `power`. */
  readonly memoryPower: NvidiaPowers;
  /** Of the whole module, said by each GPU on it. */
  readonly modulePower: NvidiaPowers;
  /** Watts; the one enforced now, and between which it can be set. */
  readonly limits: { readonly enforced: number | undefined; readonly lowest: number | undefined; readonly highest: number | undefined };
  readonly gauges: readonly { readonly gauge: string; readonly value: number }[];
}

export interface NvidiaSmiLog {
  /** As written: local time without a zone, `Fri Aug 21 11:01:42 2026`. */
  readonly timestamp?: string;
  readonly driver?: string;
  readonly gpus: readonly NvidiaGpu[];
}

/** Text, or missing: an element may hold other elements in another version. */
const text = z.string().optional().catch(undefined);
const part = <Shape extends z.ZodRawShape>(shape: Shape) => z.object(shape).optional().catch(undefined);
const powers = { average_power_draw: text, instant_power_draw: text, power_draw: text };
const limits = { current_power_limit: text, enforced_power_limit: text, min_power_limit: text, max_power_limit: text };
/** `clocks_event_reason_sw_power_cap`; with `throttle` until driver 530. */
const reasons = z.record(z.string(), z.unknown()).optional().catch(undefined);

const gpu = z.object({
  '@_id': text,
  uuid: text,
  product_name: text,
  serial: text,
  mig_mode: part({ current_mig: text }),
  mig_devices: part({ mig_device: z.array(z.object({ gpu_instance_id: text, compute_instance_id: text })).optional().catch(undefined) }),
  power_readings: part({ ...powers, ...limits }),
  gpu_power_readings: part({ ...powers, ...limits }),
  gpu_memory_power_readings: part(powers),
  module_power_readings: part(powers),
  utilization: part({ gpu_util: text }),
  temperature: part({ gpu_temp: text }),
  clocks: part({ sm_clock: text }),
  max_clocks: part({ sm_clock: text }),
  clocks_event_reasons: reasons,
  clocks_throttle_reasons: reasons,
  fb_memory_usage: part({ used: text }),
});
const log = z.object({ nvidia_smi_log: z.object({ timestamp: text, driver_version: text, gpu: z.array(gpu).default([]) }) });

const parser = new XMLParser({ ignoreAttributes: false, parseTagValue: false, parseAttributeValue: false, processEntities: false, isArray: (name) => name === 'gpu' || name === 'mig_device' });

const refuse = (why: string): TelemetryError => new TelemetryError('NVIDIA_SMI_XML', `This is no output of nvidia-smi -q -x: ${why}.`, 'discard');

/** @throws TelemetryError (`discard`) NVIDIA_SMI_XML when the text is no such document */
export function parseNvidiaSmiXml(document: string): NvidiaSmiLog {
  let tree: unknown;
  try {
    tree = parser.parse(document, true);
  } catch {
    throw refuse('it is not well-formed XML, perhaps cut off');
  }
  const read = log.safeParse(tree);
  if (!read.success) throw refuse('it has no nvidia_smi_log');
  const { timestamp, driver_version: driver, gpu: gpus } = read.data.nvidia_smi_log;
  return { ...(timestamp !== undefined && { timestamp }), ...(said(driver) && { driver }), gpus: gpus.map(gpuOf) };
}

const said = (cell: string | undefined): cell is string => cell !== undefined && cell !== '' && cell !== 'N/A' && !cell.startsWith('[');

function gpuOf(element: z.output<typeof gpu>): NvidiaGpu {
  const own = element.gpu_power_readings ?? element.power_readings;
  const { uuid, product_name: name, serial, '@_id': busId } = element;
  const mig = element.mig_mode?.current_mig;
  return {
    ...(uuid?.startsWith('GPU-') && { uuid }),
    ...(said(name) && { name }),
    ...(serial !== undefined && SERIAL.test(serial) && { serial }),
    ...(said(busId) && { busId }),
    ...((mig === 'Enabled' || mig === 'Disabled') && { migEnabled: mig === 'Enabled' }),
    migDevices: (element.mig_devices?.mig_device ?? []).map((each) => ({ gpuInstance: quantity(each.gpu_instance_id), computeInstance: quantity(each.compute_instance_id) })),
    power: powersOf(own),
    memoryPower: powersOf(element.gpu_memory_power_readings),
    modulePower: powersOf(element.module_power_readings),
    limits: { enforced: quantity(own?.current_power_limit ?? own?.enforced_power_limit), lowest: quantity(own?.min_power_limit), highest: quantity(own?.max_power_limit) },
    gauges: [
      ...gauge('gpu.utilization', element.utilization?.gpu_util, 100),
      ...gauge('gpu.temperature', element.temperature?.gpu_temp),
      ...gauge('gpu.clock.sm', element.clocks?.sm_clock),
      ...gauge('gpu.clock.sm.max', element.max_clocks?.sm_clock),
      ...gauge('gpu.memory.used', element.fb_memory_usage?.used),
      ...gauge('gpu.power.limit', own?.current_power_limit ?? own?.enforced_power_limit),
      ...throttled(element.clocks_event_reasons ?? element.clocks_throttle_reasons),
    ],
  };
}

const throttled = (told: Readonly<Record<string, unknown>> = {}): { gauge: string; value: number }[] =>
  gaugesOfReasons(
    Object.entries(REASON_BITS).flatMap(([reason, bit]) => {
      const state = told[`clocks_event_reason_${reason}`] ?? told[`clocks_throttle_reason_${reason}`];
      return state === 'Active' || state === 'Not Active' ? [{ bit, active: state === 'Active' }] : [];
    }),
  );

function powersOf(readings: { readonly average_power_draw?: string | undefined; readonly instant_power_draw?: string | undefined; readonly power_draw?: string | undefined } | undefined): NvidiaPowers {
  const { average_power_draw: average, instant_power_draw: instant, power_draw: unspecified } = readings ?? {};
  return {
    ...(average !== undefined && { average: powerCell(average) }),
    ...(instant !== undefined && { instant: powerCell(instant) }),
    ...(unspecified !== undefined && { unspecified: powerCell(unspecified) }),
  };
}

/** `1200.00 W`, `35 %`, `0 MiB`, `5`. */
const quantity = (cell: string | undefined): number | undefined => {
  const [, value] = /^(\d+(?:\.\d+)?)(?:\s*[A-Za-z%]+)?$/.exec(cell ?? '') ?? [];
  return value === undefined ? undefined : Number(value);
};
function gauge(name: string, cell: string | undefined, perUnit = 1): { gauge: string; value: number }[] {
  const value = quantity(cell);
  return value === undefined ? [] : [{ gauge: name, value: value / perUnit }];
}
