/**
 * One line of `nvidia-smi --query-gpu=… --format=csv`, live or recorded. There is no quoting, cells are separated by
 * `, ` (or `,`), header cells carry the unit (`power.draw [W]`), and values carry it too unless `nounits` was asked for.
 * What can't be measured is text in the cell (`[N/A]`, `[Unknown Error]`, `[GPU is lost]`…): missing, never 0.
 */
import { watts, type Watts } from '@joulebook/shared/units.js';
import { gaugesOfReasons, REASON_BITS, throttleGauges } from './throttle.js';

/** In the order in which they stand in for each other. */
export const POWER_COLUMNS = ['power.draw', 'power.draw.average', 'power.draw.instant'] as const;
export type PowerColumn = (typeof POWER_COLUMNS)[number];
/** Never in the place of a board's: each GPU of a superchip reports the whole module. */
export const MODULE_COLUMNS = ['module.power.draw.average', 'module.power.draw.instant'] as const;
export type ModuleColumn = (typeof MODULE_COLUMNS)[number];

/** No board draws this much; such a value is a sensor's or a log's mistake. */
export const ABSURD_GPU_WATTS = 5000;

interface GaugeColumn {
  readonly position: number;
  readonly gauge: string;
  readonly perUnit: number;
}

interface Place<Name> {
  readonly position: number;
  readonly name: Name;
}

export interface NvidiaSmiColumns {
  /** How many cells a whole row has. */
  readonly count: number;
  readonly timestamp?: number;
  readonly index?: number;
  readonly uuid?: number;
  /** The product's: `NVIDIA H100 80GB HBM3`. */
  readonly name?: number;
  /** Of the board, or of the module that it is on. */
  readonly serial?: number;
  /** Why the clocks are held down, as a bit mask; and where that was not asked for, reason by reason: `Active`. */
  readonly throttle?: number;
  readonly reasons: readonly { readonly position: number; readonly bit: number }[];
  /** The one to take where only one is taken. */
  readonly power: Place<PowerColumn>;
  /** All that are there. */
  readonly powers: readonly Place<PowerColumn>[];
  readonly modules: readonly Place<ModuleColumn>[];
  readonly gauges: readonly GaugeColumn[];
}

export type PowerCell =
  | { readonly kind: 'power'; readonly power: Watts }
  /** The text that stood in the cell. */
  | { readonly kind: 'missing'; readonly reason: string }
  | { readonly kind: 'absurd'; readonly power: Watts };

export type NvidiaSmiRow =
  | {
      readonly kind: 'row';
      /** Local time without a zone; absent when the column was not asked for. */
      readonly timestamp?: string;
      readonly index?: string;
      readonly uuid?: string;
      readonly name?: string;
      readonly serial?: string;
      readonly power: PowerCell;
      readonly gauges: readonly { readonly gauge: string; readonly value: number }[];
    }
  | { readonly kind: 'unusable'; readonly reason: string };

const GAUGES: Readonly<Record<string, Omit<GaugeColumn, 'position'>>> = {
  'utilization.gpu': { gauge: 'gpu.utilization', perUnit: 100 },
  'temperature.gpu': { gauge: 'gpu.temperature', perUnit: 1 },
  'clocks.sm': { gauge: 'gpu.clock.sm', perUnit: 1 },
  'clocks.current.sm': { gauge: 'gpu.clock.sm', perUnit: 1 },
  'clocks.max.sm': { gauge: 'gpu.clock.sm.max', perUnit: 1 },
  'memory.used': { gauge: 'gpu.memory.used', perUnit: 1 },
  'enforced.power.limit': { gauge: 'gpu.power.limit', perUnit: 1 },
  'power.current_limit': { gauge: 'gpu.power.limit', perUnit: 1 },
};

const REASON = /^clocks_(?:event|throttle)_reasons\.(\w+)$/;
export const THROTTLE_COLUMNS = ['clocks_event_reasons.active', 'clocks_throttle_reasons.active'] as const;

/** Not `N/A`, and not the `0` of a board without one. */
export const SERIAL = /^(?=.*[1-9])[0-9A-Z]{4,}$/i;
const UNIT_SUFFIX = /\s*\[[^\]]*\]$/;
/** A number with at most a unit after it: `631.95`, `631.95 W`, `100 %`. */
const NUMBER = /^([+-]?\d+(?:\.\d+)?)(?:\s*([A-Za-z%µ]+))?$/;

export const nvidiaSmiCells = (line: string): string[] => line.split(',').map((cell) => cell.trim());

/** `power.draw [W]` → `power.draw`; newer drivers also call it `gpu.power.draw`. */
const columnName = (headerCell: string): string => headerCell.trim().replace(UNIT_SUFFIX, '').replace(/^gpu\.power\./, 'power.');

/**
 * Where in a row things are.
 * @param wanted the only power column to take; without it the first of POWER_COLUMNS that is there
 * @returns undefined when the header has no such power column
 */
export function nvidiaSmiColumns(headerCells: readonly string[], wanted?: PowerColumn): NvidiaSmiColumns | undefined {
  const names = headerCells.map(columnName);
  const name = (wanted === undefined ? POWER_COLUMNS : [wanted]).find((candidate) => names.includes(candidate));
  if (name === undefined) return undefined;
  const gauges = new Map<string, GaugeColumn>();
  for (const [position, column] of names.entries()) {
    const known = Object.hasOwn(GAUGES, column) ? GAUGES[column] : undefined;
    if (known && !gauges.has(known.gauge)) gauges.set(known.gauge, { ...known, position });
  }
  const place = (column: string): number | undefined => (names.includes(column) ? names.indexOf(column) : undefined);
  const timestamp = place('timestamp');
  const index = place('index');
  const uuid = place('uuid');
  const product = place('name');
  const serial = place('serial');
  const throttle = THROTTLE_COLUMNS.map(place).find((position) => position !== undefined);
  return {
    count: names.length,
    ...(timestamp !== undefined && { timestamp }),
    ...(index !== undefined && { index }),
    ...(uuid !== undefined && { uuid }),
    ...(product !== undefined && { name: product }),
    ...(serial !== undefined && { serial }),
    ...(throttle !== undefined && { throttle }),
    reasons: throttle === undefined ? reasonsIn(names) : [],
    power: { position: names.indexOf(name), name },
    powers: placesOf(POWER_COLUMNS, names),
    modules: placesOf(MODULE_COLUMNS, names),
    gauges: [...gauges.values()],
  };
}

const placesOf = <Name extends string>(wanted: readonly Name[], names: readonly string[]): Place<Name>[] => wanted.filter((name) => names.includes(name)).map((name) => ({ name, position: names.indexOf(name) }));

export function parseNvidiaSmiRow(columns: NvidiaSmiColumns, cells: readonly string[]): NvidiaSmiRow {
  if (cells.length < columns.count) return { kind: 'unusable', reason: /[a-z]{3}/i.test(cells[0] ?? '') ? 'a message, not a row' : 'cut off' };
  if (cells.length > columns.count) return { kind: 'unusable', reason: 'more cells than the header has' };
  const index = identity(cells, columns.index, /^\d+$/);
  const uuid = identity(cells, columns.uuid, /^[A-Z]+-[0-9A-Za-z/-]+$/);
  const timestamp = columns.timestamp === undefined ? undefined : cells[columns.timestamp];
  const gauges: { gauge: string; value: number }[] = [];
  for (const { position, gauge, perUnit } of columns.gauges) {
    const value = quantity(cells[position] ?? '');
    if (value !== undefined && value >= 0) gauges.push({ gauge, value: value / perUnit });
  }
  if (columns.throttle !== undefined) gauges.push(...maskGauges(cells[columns.throttle] ?? ''));
  gauges.push(...reasonGauges(columns, cells));
  const name = identity(cells, columns.name, /^[A-Za-z]/);
  const serial = identity(cells, columns.serial, SERIAL);
  return {
    kind: 'row',
    ...(timestamp !== undefined && { timestamp }),
    ...(index !== undefined && { index }),
    ...(uuid !== undefined && { uuid }),
    ...(name !== undefined && { name }),
    ...(serial !== undefined && { serial }),
    power: powerCell(cells[columns.power.position] ?? ''),
    gauges,
  };
}

/** UUID where nvidia-smi says it, else `gpu<index>`, else undefined: the place of the row in its round must tell. */
export function deviceOfRow(row: { readonly index?: string; readonly uuid?: string }): string | undefined {
  if (row.uuid !== undefined) return row.uuid;
  return row.index === undefined ? undefined : `gpu${row.index}`;
}

export function powerCell(cell: string): PowerCell {
  const match = NUMBER.exec(cell);
  if (!match || (match[2] !== undefined && match[2] !== 'W')) return { kind: 'missing', reason: cell === '' ? 'empty' : cell };
  const power = watts(Number(match[1]));
  if (power < 0) return { kind: 'missing', reason: 'negative' };
  return power > ABSURD_GPU_WATTS ? { kind: 'absurd', power } : { kind: 'power', power };
}

/** `0x0000000000000004`: NVML's mask of reasons. */
function maskGauges(cell: string): { gauge: string; value: number }[] {
  // The reasons are its lowest bits.
  return /^0x[0-9a-f]{1,16}$/i.test(cell) ? throttleGauges(Number(BigInt(cell) & 0xffffn)) : [];
}

const reasonsIn = (names: readonly string[]): NvidiaSmiColumns['reasons'] =>
  names.flatMap((name, position) => {
    const bit = Object.entries(REASON_BITS).find(([reason]) => reason === REASON.exec(name)?.[1])?.[1];
    return bit === undefined ? [] : [{ position, bit }];
  });

const reasonGauges = ({ reasons }: NvidiaSmiColumns, cells: readonly string[]): { gauge: string; value: number }[] =>
  gaugesOfReasons(reasons.flatMap(({ position, bit }) => (/^(?:Not )?Active$/.test(cells[position] ?? '') ? [{ bit, active: cells[position] === 'Active' }] : [])));

function identity(cells: readonly string[], position: number | undefined, shape: RegExp): string | undefined {
  const cell = position === undefined ? undefined : cells[position];
  return cell !== undefined && shape.test(cell) ? cell : undefined;
}

function quantity(cell: string): number | undefined {
  const match = NUMBER.exec(cell);
  return match ? Number(match[1]) : undefined;
}
