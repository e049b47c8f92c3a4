/**
 * The table of `dcgmi dmon -e 155,157,156,…`, live or recorded:
 *
 *     #Entity         POWER             POWINST           TOTEC                   SMACT
 *     ID              W                 W                 mJ
 *     GPU 0           78.174            77.774            257936490               0.412
 *     GPU 1                             55.542            187610267               N/A
 *
 * Columns begin where their names begin; one without a value is spaces, so a row is cut by place and not split. The
 * header comes again every 14 rounds. Text that is too wide for its column ends in `...`.
 */
import { watts, type Instant } from '@joulebook/shared/units.js';
import type { Channel, PowerEvent } from '../../source.js';
import { isBlankCounter, isDcgmBlank } from './dcgm-value.js';
import { gpuSensor } from './gpu-sensors.js';
import { ABSURD_GPU_WATTS } from './nvidia-smi-row.js';
import { silences, type Silences } from '../silences.js';
import { throttleGauges } from './throttle.js';

export const DCGMI = 'dcgmi';
/** Power, instant power, energy; then temperature, utilisation, SM clock now and at most, memory in use, what holds the clocks back. None of these needs root. */
export const DCGMI_FIELDS = [155, 157, 156, 150, 203, 100, 113, 252, 112] as const;

interface DmonColumn {
  readonly name: string;
  readonly from: number;
  readonly to: number | undefined;
}

/** By the short names of DCGM's field list. */
const POWERS: Readonly<Record<string, 'unspecified' | 'instant'>> = { POWER: 'unspecified', POWINST: 'instant' };
const ENERGY = 'TOTEC';
const GAUGES: Readonly<Record<string, { readonly gauge: string; readonly perUnit: number }>> = {
  TMPTR: { gauge: 'gpu.temperature', perUnit: 1 },
  GPUTL: { gauge: 'gpu.utilization', perUnit: 100 },
  SMCLK: { gauge: 'gpu.clock.sm', perUnit: 1 },
  SMMAX: { gauge: 'gpu.clock.sm.max', perUnit: 1 },
  FBUSD: { gauge: 'gpu.memory.used', perUnit: 1 },
};
/** NVML's mask of reasons. Counters of the time throttled (PVIOL, TVIOL) are nanoseconds in a column of ten: too narrow within hours. */
const THROTTLE = 'DVCCTR';

/** @returns undefined when the line is no header */
export function dmonColumns(line: string): readonly DmonColumn[] | undefined {
  if (!/^#\s?Entity\b/.test(line)) return undefined;
  const names = [...line.matchAll(/[^\s#]+/g)].slice(1);
  return names.map(({ 0: name, index }, place) => ({ name, from: index, to: names[place + 1]?.index }));
}

export interface DmonRow {
  /** `GPU 0`; DCGM's own number. Other entities (`GPU-I 3`: a part of a board, its power is the board's) are none. */
  readonly gpu: number;
  readonly cells: ReadonlyMap<string, string>;
}

/** @returns undefined for what is no row of a whole GPU: units, rows of instances, words */
export function dmonRow(columns: readonly DmonColumn[], line: string): DmonRow | undefined {
  const [, gpu] = /^GPU (\d+)(?=\s|$)/.exec(line) ?? [];
  if (gpu === undefined) return undefined;
  // A value wider than its column is cut by dmon; should one run on all the same, neither it nor the next can be told.
  const runsInto = (at: number | undefined): boolean => at !== undefined && at < line.length && line[at - 1] !== ' ';
  return { gpu: Number(gpu), cells: new Map(columns.map(({ name, from, to }) => [name, runsInto(from) || runsInto(to) ? 'runs over its column' : line.slice(from, to).trim()])) };
}

/** Whether a line is part of a table at all. */
export const isDmonLine = (line: string): boolean => /^(?:#\s?Entity\b|ID\s|(?:GPU|GPU-I|GPU-CI|CPU|CPU-?Core|Switch|Link)\s+\d)/i.test(line);

/** What DCGM's numbers stand for: `dcgmi discovery -l`. */
export interface DcgmGpu {
  readonly uuid: string;
  readonly name?: string;
}

export interface DmonReader {
  read(row: DmonRow, at: Instant): readonly PowerEvent[];
  readonly channels: readonly Channel[];
  readonly silence: Silences;
}

/** Rows → readings; what GPU a number means may be learnt late, until then it is `gpu<number>`. */
export function dmonReader(source: string, gpuOf: (index: number) => DcgmGpu | undefined): DmonReader {
  const channels = new Map<string, Channel>();
  const silence = silences(source);

  function channelOf(index: number, gpu: DcgmGpu | undefined, column: string): Channel {
    const device = gpu?.uuid ?? `gpu${index}`;
    const id = `${source}/${device}/${column}`;
    const channel = channels.get(id) ?? {
      id,
      device,
      index,
      boundary: 'gpu',
      source,
      measures: column === ENERGY ? 'counter' : 'power',
      sensor: gpuSensor(gpu?.name, column === ENERGY ? 'counter' : (POWERS[column] ?? 'unspecified')),
    };
    channels.set(id, channel);
    return channel;
  }

  return {
    silence,
    get channels() {
      return [...channels.values()];
    },
    read({ gpu: index, cells }, at) {
      const gpu = gpuOf(index);
      const device = gpu?.uuid ?? `gpu${index}`;
      const events: PowerEvent[] = [];
      for (const [column, cell] of cells) {
        const value = /^-?\d+(?:\.\d+)?$/.test(cell) ? Number(cell) : undefined;
        const gauge = Object.hasOwn(GAUGES, column) ? GAUGES[column] : undefined;
        if (gauge) {
          if (value !== undefined && value >= 0 && !isDcgmBlank(value)) events.push({ kind: 'gauge', device, gauge: gauge.gauge, value: value / gauge.perUnit, at });
          continue;
        }
        if (column === THROTTLE && value !== undefined && value >= 0 && !isDcgmBlank(value)) events.push(...throttleGauges(value).map((said) => ({ kind: 'gauge' as const, device, ...said, at })));
        if (column !== ENERGY && !Object.hasOwn(POWERS, column)) continue;
        const what = column === ENERGY ? 'energy (TOTEC)' : `power (${column})`;
        const blank = value !== undefined && (column === ENERGY ? isBlankCounter(value) : isDcgmBlank(value));
        if (value === undefined || value < 0 || blank) events.push(...silence.missing(device, what, reasonOf(cell, blank)));
        else if (column === ENERGY) events.push(...silence.speaks(device, what), { kind: 'reading', channel: channelOf(index, gpu, column), at, measures: 'counter', total: BigInt(cell.split('.')[0] ?? '0') * 1000n });
        else if (value > ABSURD_GPU_WATTS) events.push(...silence.absurd(device, what, `${value} W`));
        else events.push(...silence.speaks(device, what), { kind: 'reading', channel: channelOf(index, gpu, column), at, measures: 'power', power: watts(value) });
      }
      return events;
    },
  };
}

const reasonOf = (cell: string, blank: boolean): string => (cell === '' ? 'no value' : blank ? "DCGM's value for none" : cell.startsWith('-') ? 'negative' : cell);

/** `| 0 | Name: NVIDIA H100 80GB HBM3 |` and, two lines below, `| | Device UUID: GPU-… |`; older ones without the frame. */
export function discoveredGpus(text: string): ReadonlyMap<number, DcgmGpu> {
  const gpus = new Map<number, DcgmGpu>();
  let index: number | undefined;
  let name: string | undefined;
  for (const line of text.split('\n')) {
    const [, framed, bare] = /^\s*(?:\|\s*(\d+)\s*\||GPU ID:\s*(\d+))/.exec(line) ?? [];
    if (framed !== undefined || bare !== undefined) {
      index = Number(framed ?? bare);
      name = undefined;
    }
    name = /\bName:\s*(.*?)\s*\|?\s*$/.exec(line)?.[1] ?? name;
    const [, uuid] = /\bUUID:\s*(GPU-[0-9A-Za-z-]+)/.exec(line) ?? [];
    if (uuid !== undefined && index !== undefined) gpus.set(index, { uuid, ...(name !== undefined && { name }) });
  }
  return gpus;
}
