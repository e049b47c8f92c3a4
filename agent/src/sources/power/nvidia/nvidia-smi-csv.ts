/** A log of `nvidia-smi --query-gpu=timestamp,…,power.draw --format=csv -lms N > file`. Times in it are local and name no zone. */
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { watts, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { notThisFormat } from '../../dialects.js';
import { ABSURD_READING, lineTally, MISSING_READINGS, type LineTally } from '../../line-tally.js';
import { powerFormat, type RecordedPowerEntry } from '../../recorded.js';
import type { Channel, PowerEvent } from '../../source.js';
import { textLines, type TextLine } from '../../text-lines.js';
import { parseInstant, zone, type Zone } from '../../timestamps.js';
import { columnSensor } from './nvidia-column.js';
import { ABSURD_GPU_WATTS, deviceOfRow, nvidiaSmiCells, nvidiaSmiColumns, parseNvidiaSmiRow, POWER_COLUMNS, type NvidiaSmiColumns, type NvidiaSmiRow, type PowerColumn } from './nvidia-smi-row.js';
import { placeByRound, placeInTurn, roundsOf, type Placing, type Rounds } from './rounds.js';

const NAME = 'nvidia-smi-csv';
/** The source whose words these are, live or recorded. */
const SOURCE = 'nvidia-smi';

export const nvidiaSmiCsv = powerFormat({
  name: NAME,
  summary: 'nvidia-smi --query-gpu=… --format=csv, with its header line; `devices:` lists the GPUs in the order of the rows where no column says which, `gpu:` names the product where no column does',
  options: { column: z.enum(POWER_COLUMNS).optional(), gpu: z.string().min(1).optional() },
  open(entry, { column, gpu }) {
    const local = zone(entry.tz);
    const twice = entry.devices?.find((each, index, all) => all.indexOf(each) !== index);
    if (twice !== undefined) throw new UsageError([`${entry.file.label} (${NAME}): devices lists ${twice} twice`]);
    return { description: `${entry.file.label} (${NAME})`, events: () => events(entry, local, column, gpu) };
  },
});

/** What a line of the file is, once its header is known. */
interface Line {
  readonly number: number;
  readonly text: string;
  readonly columns: NvidiaSmiColumns;
  readonly row: NvidiaSmiRow;
  /** Undefined when it can't be read. */
  readonly at: Instant | undefined;
}

async function* events(entry: RecordedPowerEntry, local: Zone, column: PowerColumn | undefined, gpu: string | undefined): AsyncGenerator<PowerEvent, void> {
  const { label } = entry.file;
  const tally = lineTally(label);
  const devices = deviceNaming(entry);
  const channels = new Map<string, Channel>();
  let placing: Placing<Line> | undefined;
  let rounds: Rounds | undefined;
  let last: Instant | undefined;
  let columns: NvidiaSmiColumns | undefined;

  const channelOf = (device: string, index: number | undefined, name: PowerColumn, product: string | undefined): Channel => {
    const id = `${SOURCE}/${device}/${name}`;
    const known: Channel = channels.get(id) ?? { id, device, ...(index !== undefined && { index }), boundary: entry.boundary ?? 'gpu', source: SOURCE, measures: 'power', sensor: columnSensor(product, name) };
    channels.set(id, known);
    return known;
  };

  const said = function* (line: Line, device: string): Generator<PowerEvent, void> {
    const { row, at, number, text } = line;
    if (row.kind === 'unusable' || at === undefined) {
      tally.skip(number, row.kind === 'unusable' ? row.reason : `no time, or one that the clocks of ${local.name} skipped`, text);
      return;
    }
    tally.used();
    if (!devices.wants(device, row)) return;
    if (row.power.kind === 'missing') tally.note(MISSING_READINGS, number, row.power.reason);
    else if (row.power.kind === 'absurd') tally.note(ABSURD_READING, number, `more than ${ABSURD_GPU_WATTS} W for one GPU`, `${row.power.power} W`);
    else yield { kind: 'reading', channel: channelOf(device, indexOf(device, row.index), line.columns.power.name, gpu ?? row.name), at, measures: 'power', power: watts(row.power.power) };
    for (const { gauge, value } of row.gauges) yield { kind: 'gauge', device, gauge, value, at };
  };

  for await (const line of linesOf(entry, local, column, tally)) {
    if (line.columns !== columns && columns === undefined && line.columns.power.name !== (column ?? POWER_COLUMNS[0])) {
      yield { kind: 'flagged', code: 'COLUMN_FALLBACK', count: 1, detail: `${label}: no column ${POWER_COLUMNS[0]}; ${line.columns.power.name} is used instead` };
    }
    columns = line.columns;
    if (columns.index !== undefined || columns.uuid !== undefined) {
      const device = line.row.kind === 'row' ? deviceOfRow(line.row) : undefined;
      if (device !== undefined || line.row.kind === 'unusable') yield* said(line, device ?? '');
      else tally.skip(line.number, 'no GPU index or UUID', line.text);
      continue;
    }
    if (!rounds || !placing) {
      rounds = await scanRounds(entry, local, column);
      const names = devices.inTurn(rounds);
      placing = names.length > 1 && (rounds.size ?? rounds.mostly) === names.length ? placeByRound(names.length, (row) => tally.skip(row.number, `in a round of other than ${names.length} rows`, row.text)) : placeInTurn(names.length);
    }
    const pause = line.at === undefined ? undefined : last !== undefined && (line.at - last) * 1000 > rounds.pauseMillis;
    for (const { row, place } of placing.next(line, pause)) yield* said(row, devices.named(place));
    last = line.at ?? last;
  }
  for (const { row, place } of placing?.end() ?? []) yield* said(row, devices.named(place));
  tally.judge(NAME);
  devices.check();
  yield* tally.flagged();
}

/** nvidia-smi's own number, or the one that stands for it in `devices`. */
function indexOf(device: string, said: string | undefined): number | undefined {
  const text = said ?? /^gpu(\d+)$/.exec(device)?.[1];
  return text === undefined ? undefined : Number(text);
}

/** Rows are looked at so far to see how many GPUs take turns. */
const ROWS_SCANNED = 200_000;

async function scanRounds(entry: RecordedPowerEntry, local: Zone, column: PowerColumn | undefined): Promise<Rounds> {
  const steps: (number | undefined)[] = [];
  let last: Line | undefined;
  for await (const line of linesOf(entry, local, column, lineTally(entry.file.label))) {
    // Whole milliseconds, as in the file: a difference of doubles is not.
    if (last) steps.push(line.at === undefined || last.at === undefined ? undefined : Math.round((line.at - last.at) * 1000));
    last = line;
    if (steps.length >= ROWS_SCANNED) break;
  }
  return roundsOf(steps);
}

/** @throws TelemetryError FILE_FORMAT when the first line is not a header with a time and a power column */
async function* linesOf(entry: RecordedPowerEntry, local: Zone, column: PowerColumn | undefined, tally: LineTally): AsyncGenerator<Line, void> {
  let columns: NvidiaSmiColumns | undefined;
  let style: CellStyle | undefined;
  let last: Instant | undefined;
  for await (const line of textLines(entry.file)) {
    if (line.tooLong) {
      tally.skip(line.number, 'longer than 1 MiB');
      continue;
    }
    if (line.text.trim() === '') continue;
    const cells = nvidiaSmiCells(line.text);
    if (!columns || cells.includes('timestamp')) {
      // Logs of several runs are appended to one file: a header in the middle says what follows.
      columns = headerOf(entry, cells, line, column);
      style = undefined;
      continue;
    }
    let row = parseNvidiaSmiRow(columns, cells);
    const powerText = cells[columns.power.position] ?? '';
    style ??= cellStyle(powerText);
    if (row.kind === 'row' && !line.terminated && columns.power.position === columns.count - 1 && !sameStyle(style, cellStyle(powerText))) row = { kind: 'unusable', reason: 'cut off' };
    const at = row.kind === 'row' && row.timestamp !== undefined ? parseInstant(row.timestamp, local, last) : undefined;
    last = at ?? last;
    yield { number: line.number, text: line.text, columns, row, at };
  }
}

function headerOf(entry: RecordedPowerEntry, cells: readonly string[], line: TextLine, column: PowerColumn | undefined): NvidiaSmiColumns {
  const columns = nvidiaSmiColumns(cells, column);
  const { label } = entry.file;
  const refuse = (problem: string): TelemetryError => new TelemetryError('FILE_FORMAT', notThisFormat(label, NAME, `${problem} (line ${line.number})`, line.text), 'abort');
  if (columns?.timestamp !== undefined) return columns;
  if (columns) throw refuse('no timestamp column in the header; ask nvidia-smi for --query-gpu=timestamp,…');
  const other = column === undefined ? undefined : nvidiaSmiColumns(cells);
  throw refuse(other ? `no column ${column} in the header, but ${other.power.name}` : 'no power column in the header');
}

/** `376.74 W` cut to `37` is a number still: a last line must look like the others. */
interface CellStyle {
  readonly unit: boolean;
  readonly decimals: number;
}
const cellStyle = (cell: string): CellStyle => ({ unit: cell.endsWith('W'), decimals: /\.(\d+)/.exec(cell)?.[1]?.length ?? 0 });
const sameStyle = (a: CellStyle, b: CellStyle): boolean => a.unit === b.unit && a.decimals === b.decimals;

const mismatch = (message: string): TelemetryError => new TelemetryError('DEVICES_MISMATCH', message, 'abort');

/** Who is who: by a column of the file and `devices:` as a choice, or by `devices:` alone, in the order of the rows. */
function deviceNaming({ file: { label }, devices, device: only = 'gpu0' }: RecordedPowerEntry) {
  const wanted = devices?.map(String);
  const listed = devices?.map((each) => (typeof each === 'number' || /^\d+$/.test(each) ? `gpu${each}` : each)) ?? [only];
  const found = new Set<string>();
  const matched = new Set<string>();
  return {
    wants(device: string, row: { readonly index?: string; readonly uuid?: string }): boolean {
      if (!wanted || (row.index === undefined && row.uuid === undefined)) return true;
      const names = [device, row.uuid, row.index, row.index === undefined ? undefined : `gpu${row.index}`];
      found.add(row.index === undefined ? device : `${row.index}${row.uuid === undefined ? '' : ` (${row.uuid})`}`);
      const mine = wanted.filter((each) => names.includes(each));
      for (const each of mine) matched.add(each);
      return mine.length > 0;
    },
    /** @throws TelemetryError when the file has GPUs, but not all that are listed */
    check(): void {
      const missing = wanted?.filter((each) => !matched.has(each)) ?? [];
      if (found.size > 0 && missing.length > 0) throw mismatch(`${label} has no device ${missing.join(', ')}: it holds ${[...found].join(', ')}; correct devices.`);
    },
    named: (place: number): string => listed[place] ?? `gpu${place}`,
    /** @throws TelemetryError when the rows show another number of GPUs than the list */
    inTurn(rounds: Rounds): readonly string[] {
      const shown = rounds.size ?? rounds.mostly;
      if (shown === undefined || shown === listed.length) return listed;
      const rows = `${shown} ${shown === 1 ? 'row' : 'rows'} per round${rounds.mostly === undefined ? '' : ' most of the time'}`;
      throw mismatch(
        devices
          ? `${label}: the file shows ${rows} but devices lists ${devices.length}: list them in the order of the rows.`
          : `${label}: the file shows ${rows} and no column says which GPU a row is of: list them in devices in the order of the rows, e.g. devices: [${Array.from({ length: shown }, (_, index) => index).join(', ')}].`,
      );
    },
  };
}
