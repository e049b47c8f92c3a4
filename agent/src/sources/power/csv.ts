/** Power or a cumulative energy counter from any CSV (or JSON) whose columns the manifest names. */
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { watts, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { cellText, isAbsent, isFault, readInstant, readNumber } from '../cells.js';
import { columnList } from '../dialects.js';
import { ABSURD_READING, lineTally, MISSING_READINGS } from '../line-tally.js';
import { powerFormat, type RecordedFile, type RecordedPowerEntry } from '../recorded.js';
import type { Channel, PowerEvent } from '../source.js';
import { columnPosition, openTable, type Cell, type Table } from '../table.js';
import { zone, type Zone } from '../timestamps.js';
import { ABSURD_GPU_WATTS } from './nvidia/nvidia-smi-row.js';
import { sensorAt } from './sensors.js';

const NAME = 'csv';
/** More than a hall of racks. */
const ABSURD_WATTS = 1e7;

const MEASURES = ['watts', 'joulesTotal', 'microjoulesTotal', 'wattHoursTotal'] as const;
type Measure = (typeof MEASURES)[number];
/** What a counter's unit is in whole microjoules, so that a total converts without rounding. */
const MICROJOULES: Readonly<Record<Exclude<Measure, 'watts'>, bigint>> = { joulesTotal: 1_000_000n, microjoulesTotal: 1n, wattHoursTotal: 3_600_000_000n };

const name = z.string().min(1);
const options = {
  columns: z.strictObject({ time: name.optional(), device: name.optional(), watts: name.optional(), joulesTotal: name.optional(), microjoulesTotal: name.optional(), wattHoursTotal: name.optional() }).default({}),
  /** Where a counter starts again at 0, in its own unit. */
  wrapsAt: z.union([z.number().positive(), z.string().regex(/^\d+(?:\.\d+)?$/)]).optional(),
};
type Options = z.output<z.ZodObject<typeof options>>;

export const csv = powerFormat({
  name: NAME,
  summary: 'any CSV of power or energy: columns: { time, watts | joulesTotal | microjoulesTotal | wattHoursTotal, device }, wrapsAt',
  options,
  open(entry, chosen) {
    const local = zone(entry.tz);
    const where = `${entry.file.label} (${NAME})`;
    const named = MEASURES.filter((measure) => chosen.columns[measure] !== undefined);
    if (named.length > 1) throw new UsageError([`${where}: columns names ${named.join(' and ')}: book one of them; the others measure the same`]);
    if (chosen.wrapsAt !== undefined && named[0] === 'watts') throw new UsageError([`${where}: wrapsAt: power does not wrap; leave it out, or name a counter's column`]);
    return { description: where, events: () => events(entry, local, chosen) };
  },
});

interface Columns {
  readonly time: number;
  readonly device?: number;
  readonly measure: Measure;
  readonly measureName: string;
  readonly value: number;
}

async function* events(entry: RecordedPowerEntry, local: Zone, { columns: names, wrapsAt }: Options): AsyncGenerator<PowerEvent, void> {
  const { file, boundary = 'gpu' } = entry;
  const table = await openTable(file, NAME);
  const columns = columnsOf(table, file, names);
  const tally = lineTally(file.label);
  const channels = new Map<string, Channel>();
  const perUnit = columns.measure === 'watts' ? undefined : MICROJOULES[columns.measure];
  const wrap = perUnit === undefined || wrapsAt === undefined ? undefined : exactTotal(wrapsAt, perUnit);
  const absurd = boundary === 'gpu' ? ABSURD_GPU_WATTS : ABSURD_WATTS;
  const only = entry.device ?? (entry.devices?.length === 1 ? String(entry.devices[0]) : boundary === 'gpu' ? 'gpu0' : boundary);
  const wanted = columns.device === undefined ? undefined : entry.devices?.map(String);
  const found = new Set<string>();
  const latest = new Map<string, Instant>();

  const channelOf = (device: string): Channel => {
    const known: Channel = channels.get(device) ?? { id: `${NAME}/${device}/${columns.measureName}`, device, boundary, source: NAME, measures: perUnit === undefined ? 'power' : 'counter', sensor: sensorAt(boundary) };
    channels.set(device, known);
    return known;
  };

  for await (const { line, cells, flaw } of table.rows()) {
    const device = columns.device === undefined ? only : cellText(cells[columns.device]);
    const at = readInstant(cells[columns.time], local, device === undefined ? undefined : latest.get(device));
    if (flaw !== undefined || at === undefined || isFault(at) || device === undefined) {
      tally.skip(line, flaw ?? (device === undefined ? 'no device' : `time ${isFault(at) ? at.fault : 'is missing'}`));
      continue;
    }
    tally.used();
    latest.set(device, at);
    found.add(device);
    if (wanted && !wanted.includes(device)) continue;
    const cell = cells[columns.value];
    if (perUnit !== undefined) {
      const total = exactTotal(cell, perUnit);
      if (total === undefined) tally.note(MISSING_READINGS, line, isAbsent(cell) ? 'empty' : 'not a counter value');
      else yield { kind: 'reading', channel: channelOf(device), at, measures: 'counter', total, ...(wrap !== undefined && { wrapsAt: wrap }) };
      continue;
    }
    const power = readNumber(cell);
    if (power === undefined || isFault(power) || power < 0) tally.note(MISSING_READINGS, line, power === undefined ? 'empty' : isFault(power) ? 'not a number' : 'negative');
    else if (power > absurd) tally.note(ABSURD_READING, line, `more than ${absurd} W`, `${power} W`);
    else yield { kind: 'reading', channel: channelOf(device), at, measures: 'power', power: watts(power) };
  }
  tally.judge(NAME);
  const missing = wanted?.filter((each) => !found.has(each)) ?? [];
  if (missing.length > 0) throw new TelemetryError('DEVICES_MISMATCH', `${file.label} has no device ${missing.join(', ')}: it holds ${[...found].join(', ')}; correct devices.`, 'abort');
  if (columns.device === undefined && (entry.devices?.length ?? 0) > 1) throw new TelemetryError('DEVICES_MISMATCH', `${file.label}: devices lists ${entry.devices?.length} but no column says which device a row is of: name it with columns: { device: … }.`, 'abort');
  yield* tally.flagged();
}

function columnsOf(table: Table, file: RecordedFile, names: Options['columns']): Columns {
  const named = MEASURES.find((each) => names[each] !== undefined);
  const own = MEASURES.filter((each) => table.columns.includes(each));
  if (named === undefined && own.length !== 1) {
    const problem = own.length === 0 ? 'no column of power or energy' : `the columns ${own.join(' and ')}`;
    throw new TelemetryError('FILE_FORMAT', `${file.label} has ${problem}: say columns: { ${MEASURES.join(' | ')}: … }; it has ${columnList(table.columns)}.`, 'abort');
  }
  const measure = named ?? own[0] ?? 'watts';
  const measureName = names[measure] ?? measure;
  const device = names.device ?? (table.columns.includes('device') ? 'device' : undefined);
  return {
    time: columnPosition(table, file, names.time ?? 'time', 'columns.time'),
    measure,
    measureName,
    value: columnPosition(table, file, measureName, `columns.${measure}`),
    ...(device !== undefined && { device: columnPosition(table, file, device, 'columns.device') }),
  };
}

/** `94268.5` Wh → microjoules, by whole numbers; what is finer than a microjoule is cut off. */
export function exactTotal(cell: Cell, perUnit: bigint): bigint | undefined {
  const match = /^(\d+)(?:\.(\d+))?$/.exec(cellText(cell) ?? '');
  if (!match) {
    const value = readNumber(cell);
    return typeof value === 'number' && value >= 0 ? BigInt(Math.round(value * Number(perUnit))) : undefined;
  }
  const [, whole = '0', fraction = ''] = match;
  return (BigInt(whole + fraction) * perUnit) / 10n ** BigInt(fraction.length);
}
