/**
 * Rows of Intel's xpu-smi, in either of its two shapes, known by the header:
 *
 *     Timestamp, DeviceId, GPU Power (W), GPU Energy Consumed (J)          1.x  dump -m 1,8
 *     06:14:46.000,    0, 14.61, 3456.70
 *
 *     index, uuid, power.draw [W], energy.consumed [J]                     2.x  --query-gpu=…, as nvidia-smi's
 */
import { watts, type Instant } from '@joulebook/shared/units.js';
import type { Channel, PowerEvent } from '../../source.js';
import { checkedCounters } from './counter-check.js';
import { lineBuffer } from '../../line-buffer.js';
import type { ChildText } from '../long-lived-child.js';
import { ABSURD_GPU_WATTS } from '../nvidia/nvidia-smi-row.js';
import { GPU_BOARD } from '../sensors.js';
import { silences } from '../silences.js';

export const XPU_SMI = 'xpu-smi';
const LONGEST_WORDS = 300;

const COLUMNS: Readonly<Record<string, 'index' | 'uuid' | 'power' | 'energy'>> = {
  deviceid: 'index',
  index: 'index',
  uuid: 'uuid',
  'gpu power': 'power',
  'power.draw': 'power',
  'gpu energy consumed': 'energy',
  'energy.consumed': 'energy',
};
const GAUGES: Readonly<Record<string, { readonly gauge: string; readonly perUnit: number }>> = {
  'utilization.gpu': { gauge: 'gpu.utilization', perUnit: 100 },
  'temperature.gpu': { gauge: 'gpu.temperature', perUnit: 1 },
};

interface Position {
  readonly index: number | undefined;
  readonly uuid: number | undefined;
  readonly power: number;
  readonly energy: number | undefined;
  readonly count: number;
  readonly gauges: readonly { readonly position: number; readonly gauge: string; readonly perUnit: number }[];
}

export interface XpuSmiText extends ChildText {
  /** What its numbers stand for, where the rows do not say. */
  uuids: ReadonlyMap<number, string>;
}

export function xpuSmiText(): XpuSmiText {
  const buffer = lineBuffer();
  const silence = silences(XPU_SMI);
  const channels = new Map<string, Channel>();
  /** The card's counter of an Arc B580 stands still. */
  const counters = checkedCounters(XPU_SMI);
  let uuids: ReadonlyMap<number, string> = new Map();
  let columns: Position | undefined;
  let words: string | undefined;

  const channelOf = (device: string, index: number | undefined, measures: Channel['measures']): Channel => {
    const id = `${XPU_SMI}/${device}/${measures === 'counter' ? 'energy' : 'power'}`;
    const channel = channels.get(id) ?? { id, device, ...(index !== undefined && { index }), boundary: 'gpu', source: XPU_SMI, measures, sensor: GPU_BOARD };
    channels.set(id, channel);
    return channel;
  };

  function* row(cells: readonly string[], at: Position, now: Instant): Generator<PowerEvent> {
    const index = numberOf(cells, at.index);
    const device = identity(cells, at.uuid) ?? (index === undefined ? undefined : (uuids.get(index) ?? `gpu${index}`));
    if (device === undefined) return;
    const power = numberOf(cells, at.power);
    if (power === undefined || power < 0) yield* silence.missing(device, 'power', power === undefined ? (cells[at.power] ?? '') || 'empty' : 'negative');
    else if (power > ABSURD_GPU_WATTS) yield* silence.absurd(device, 'power', `${power} W`);
    else {
      yield* silence.speaks(device, 'power');
      yield { kind: 'reading', channel: channelOf(device, index, 'power'), at: now, measures: 'power', power: watts(power) };
      const joules = numberOf(cells, at.energy);
      if (joules !== undefined && joules >= 0) yield* counters.read(channelOf(device, index, 'counter'), BigInt(Math.round(joules * 1e6)), watts(power), now);
    }
    for (const { position, gauge, perUnit } of at.gauges) {
      const value = numberOf(cells, position);
      if (value !== undefined && value >= 0) yield { kind: 'gauge', device, gauge, value: value / perUnit, at: now };
    }
  }

  function line(text: string, at: Instant): PowerEvent[] {
    const cells = text.split(',').map((cell) => cell.trim());
    const header = positions(cells);
    if (header) {
      columns = header;
      return [];
    }
    if (columns && cells.length === columns.count) return [...row(cells, columns, at)];
    words ??= text.slice(0, LONGEST_WORDS);
    return [];
  }

  return {
    get uuids() {
      return uuids;
    },
    set uuids(found) {
      uuids = found;
    },
    get words() {
      return words;
    },
    get channels() {
      return [...channels.values()];
    },
    begin() {
      buffer.clear();
      columns = undefined;
      words = undefined;
    },
    read(chunk, at) {
      const lines = buffer.push(chunk);
      const events = lines.flatMap((text) => (text === undefined || text.trim() === '' ? [] : line(text.trim(), at)));
      return { events, alive: lines.length > 0, readings: events.filter(({ kind }) => kind === 'reading').length };
    },
  };
}

function positions(cells: readonly string[]): Position | undefined {
  // `GPU Power (W)` and `power.draw [W]` without their units.
  const names = cells.map((cell) => cell.replace(/\s*[([][^)\]]*[)\]]$/, '').toLowerCase());
  const place = (what: string): number | undefined => {
    const position = names.findIndex((name) => Object.hasOwn(COLUMNS, name) && COLUMNS[name] === what);
    return position < 0 ? undefined : position;
  };
  const power = place('power');
  if (power === undefined) return undefined;
  const gauges = names.flatMap((name, position) => {
    const gauge = Object.hasOwn(GAUGES, name) ? GAUGES[name] : undefined;
    return gauge ? [{ ...gauge, position }] : [];
  });
  return { index: place('index'), uuid: place('uuid'), power, energy: place('energy'), count: cells.length, gauges };
}

function numberOf(cells: readonly string[], position: number | undefined): number | undefined {
  const cell = position === undefined ? undefined : cells[position];
  return cell !== undefined && /^-?\d+(?:\.\d+)?$/.test(cell) ? Number(cell) : undefined;
}

function identity(cells: readonly string[], position: number | undefined): string | undefined {
  const cell = position === undefined ? undefined : cells[position];
  return cell !== undefined && /^[0-9a-f-]{16,}$/i.test(cell) ? cell : undefined;
}
