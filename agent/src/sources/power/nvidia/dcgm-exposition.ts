/**
 * What a page of dcgm-exporter says of power, in the names of its versions. With MIG a board's power and energy stand once
 * per instance, all under the UUID of the board (and read at slightly different moments): one of them is the board's.
 */
import { watts, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Sample } from '../../serving/metrics/prometheus-text.js';
import type { Channel, PowerEvent } from '../../source.js';
import { dcgmThrottling, tellsThrottling } from './dcgm-throttle.js';
import { isBlankCounter, isDcgmBlank } from './dcgm-value.js';
import { gpuSensor } from './gpu-sensors.js';
import { ABSURD_GPU_WATTS } from './nvidia-smi-row.js';
import { GPU_BOARD } from '../sensors.js';
import { silences } from '../silences.js';

interface Metric {
  /** The oldest name of DCGM 2 and later; what channels are called. */
  readonly name: string;
  readonly measures: 'power' | 'counter';
  readonly of: 'gpu' | 'module' | 'cpu';
  readonly column?: 'unspecified' | 'instant';
}

const POWER: Metric = { name: 'DCGM_FI_DEV_POWER_USAGE', measures: 'power', of: 'gpu', column: 'unspecified' };
const INSTANT: Metric = { name: 'DCGM_FI_DEV_POWER_USAGE_INSTANT', measures: 'power', of: 'gpu', column: 'instant' };
/** mJ since the driver was loaded, whatever its help text says of boot. */
const ENERGY: Metric = { name: 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION', measures: 'counter', of: 'gpu' };
const MODULE: Metric = { name: 'DCGM_FI_DEV_MODULE_POWER_UTIL_CURRENT', measures: 'power', of: 'module' };
/** The CPU rail of a Grace socket; not its memory, not the socket. */
const CPU_RAIL: Metric = { name: 'DCGM_FI_DEV_CPU_POWER_UTIL_CURRENT', measures: 'power', of: 'cpu' };

const METRICS: ReadonlyMap<string, Metric> = new Map([
  ...[POWER, INSTANT, ENERGY, MODULE, CPU_RAIL].map((metric) => [metric.name, metric] as const),
  ['DCGM_FI_DEV_BOARD_POWER_WATTS', POWER],
  ['DCGM_FI_DEV_BOARD_POWER_RAW_WATTS', INSTANT],
  ['DCGM_FI_DEV_CPU_POWER_WATTS', CPU_RAIL],
  ['dcgm_power_usage', POWER],
  ['dcgm_total_energy_consumption', ENERGY],
]);
const GAUGES: Readonly<Record<string, { readonly gauge: string; readonly perUnit: number }>> = {
  DCGM_FI_DEV_GPU_TEMP: { gauge: 'gpu.temperature', perUnit: 1 },
  DCGM_FI_DEV_GPU_TEMP_CELSIUS: { gauge: 'gpu.temperature', perUnit: 1 },
  DCGM_FI_DEV_GPU_UTIL: { gauge: 'gpu.utilization', perUnit: 100 },
  DCGM_FI_DEV_SM_CLOCK: { gauge: 'gpu.clock.sm', perUnit: 1 },
  DCGM_FI_DEV_MAX_SM_CLOCK: { gauge: 'gpu.clock.sm.max', perUnit: 1 },
  DCGM_FI_DEV_FB_USED: { gauge: 'gpu.memory.used', perUnit: 1 },
};

/** Whether a sample says anything here; a page holds hundreds that do not. */
export const isOfDcgm = ({ name }: Sample): boolean => METRICS.has(name) || Object.hasOwn(GAUGES, name) || tellsThrottling(name);

export interface DcgmPages {
  /** Readings carry the time of the look: when the exporter read the sensor, up to its interval before, it does not say. */
  read(samples: readonly Sample[], at: Instant): readonly PowerEvent[];
  readonly channels: readonly Channel[];
}

/** @param every how often the exporter reads its sensors (its option -c) */
export function dcgmPages(source: string, every: Seconds): DcgmPages {
  const channels = new Map<string, Channel>();
  const silence = silences(source);
  const throttling = dcgmThrottling(every);

  function channelOf(metric: Metric, device: string, { labels }: Sample): Channel {
    const id = `${source}/${device}/${metric.name}`;
    const sensor = metric.of === 'gpu' ? gpuSensor(label(labels, 'modelName', 'model_name'), metric.measures === 'counter' ? 'counter' : (metric.column ?? 'unspecified')) : GPU_BOARD;
    const number = labels.get('gpu');
    const channel = channels.get(id) ?? {
      id,
      device,
      ...(metric.of === 'gpu' && number !== undefined && /^\d+$/.test(number) && { index: Number(number) }),
      boundary: metric.of,
      source,
      measures: metric.measures,
      // Whatever the board does, the page shows it so often.
      sensor: { ...sensor, refresh: every },
      ...(metric === CPU_RAIL && { use: 'check' }),
    };
    channels.set(id, channel);
    return channel;
  }

  function* reading(metric: Metric, device: string, sample: Sample, at: Instant): Generator<PowerEvent> {
    const { value } = sample;
    const blank = metric.measures === 'counter' ? isBlankCounter(value) : isDcgmBlank(value);
    if (!Number.isFinite(value) || value < 0 || blank) yield* silence.missing(device, metric.name, blank ? "DCGM's value for none" : value < 0 ? 'negative' : 'not a number');
    else if (metric.measures === 'counter') {
      yield* silence.speaks(device, metric.name);
      yield { kind: 'reading', channel: channelOf(metric, device, sample), at, measures: 'counter', total: BigInt(Math.round(value)) * 1000n };
    } else if (value > ABSURD_GPU_WATTS) yield* silence.absurd(device, metric.name, `${value} W`);
    else {
      yield* silence.speaks(device, metric.name);
      yield { kind: 'reading', channel: channelOf(metric, device, sample), at, measures: 'power', power: watts(value) };
    }
  }

  return {
    get channels() {
      return [...channels.values()];
    },
    read(samples, at) {
      const events: PowerEvent[] = [];
      const said = new Set<string>();
      const uuids = boardUuids(samples);
      for (const sample of samples) {
        const metric = METRICS.get(sample.name);
        const gauge = Object.hasOwn(GAUGES, sample.name) ? GAUGES[sample.name] : undefined;
        const device = deviceOf(metric?.of ?? 'gpu', sample.labels, uuids);
        const key = `${device}\u0000${metric?.name ?? gauge?.gauge}`;
        if (device === undefined || (!metric && !gauge) || said.has(key)) continue;
        if (metric) {
          const found = [...reading(metric, device, sample, at)];
          // A blank of one instance does not keep the next from speaking for the board.
          if (found.some(({ kind }) => kind === 'reading')) said.add(key);
          events.push(...found);
        } else if (gauge && Number.isFinite(sample.value) && sample.value >= 0 && !isDcgmBlank(sample.value)) {
          said.add(key);
          events.push({ kind: 'gauge', device, gauge: gauge.gauge, value: sample.value / gauge.perUnit, at });
        }
      }
      const ofThrottling = samples.filter(({ name }) => tellsThrottling(name)).flatMap(({ name, labels, value }) => {
        const device = deviceOf('gpu', labels, uuids);
        return device === undefined ? [] : [{ name, device, value }];
      });
      return [...events, ...throttling(ofThrottling, at)];
    },
  };
}

type Labels = ReadonlyMap<string, string>;
const label = (labels: Labels, ...names: readonly string[]): string | undefined => names.map((name) => labels.get(name)).find((value) => value !== undefined && value !== '');
const uuidOf = (labels: Labels): string | undefined => label(labels, 'UUID', 'uuid', 'gpu_uuid');

/** By the exporter's number: a row of an instance may carry the instance's own UUID. */
function boardUuids(samples: readonly Sample[]): ReadonlyMap<string, string> {
  const uuids = new Map<string, string>();
  for (const { labels } of samples) {
    const uuid = uuidOf(labels);
    const gpu = labels.get('gpu');
    if (gpu !== undefined && uuid?.startsWith('GPU-')) uuids.set(gpu, uuid);
  }
  return uuids;
}

function deviceOf(of: Metric['of'], labels: Labels, uuids: ReadonlyMap<string, string>): string | undefined {
  if (of !== 'gpu') {
    const socket = label(labels, 'cpu', 'Socket', 'socket') ?? '0';
    return `${of}${socket}`;
  }
  const uuid = uuidOf(labels);
  if (uuid?.startsWith('GPU-')) return uuid;
  const gpu = labels.get('gpu');
  return gpu === undefined ? undefined : (uuids.get(gpu) ?? `gpu${gpu}`);
}
