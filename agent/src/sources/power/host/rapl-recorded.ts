/**
 * Recorded RAPL counters. Lines of `<time> <zone name> <energy_uj> [max_energy_range_uj]`, as a loop of `cat` over
 * `/sys/class/powercap/intel-rapl:*` writes them, or CSV with the same in named columns. A bare `dram` is that of the
 * package in front of it, which is the order of a shell's glob; `package-1/dram` and `dram-1` say it themselves.
 */
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { z } from 'zod';
import { cellText, isFault, readInstant } from '../../cells.js';
import { notThisFormat } from '../../dialects.js';
import { lineTally, type LineTally } from '../../line-tally.js';
import { powerFormat, type RecordedPowerEntry } from '../../recorded.js';
import type { Channel, PowerEvent, Reading } from '../../source.js';
import { columnPosition, openTable, type Cell } from '../../table.js';
import { textLines } from '../../text-lines.js';
import { zone, type Zone } from '../../timestamps.js';
import { isPackage, isPart, raplChannel, raplDomain, wrapGuard } from './rapl-domain.js';

const NAME = 'rapl';

const column = z.string().min(1);
const options = { columns: z.strictObject({ time: column.optional(), zone: column.optional(), energyUj: column.optional(), maxEnergyRangeUj: column.optional() }).optional() };
type Columns = NonNullable<z.output<z.ZodObject<typeof options>>['columns']>;

export const recordedRapl = powerFormat({
  name: NAME,
  summary: 'RAPL counters: lines of time, zone name, energy_uj and max_energy_range_uj, or CSV with columns: { time, zone, energyUj, maxEnergyRangeUj }',
  options,
  open(entry, { columns }) {
    const local = zone(entry.tz);
    const where = `${entry.file.label} (${NAME})`;
    const fixed = (['device', 'boundary'] as const).filter((key) => entry[key] !== undefined);
    if (fixed.length > 0) throw new UsageError(fixed.map((key) => `${where}: ${key}: the file's zones say it (cpu0, dram0); choose among them with devices`));
    return { description: where, events: () => events(entry, local, columns) };
  },
});

interface Row {
  readonly line: number;
  /** Time, zone, counter, range. */
  readonly cells: readonly Cell[];
  readonly flaw?: string | undefined;
}

async function* events(entry: RecordedPowerEntry, local: Zone, columns: Columns | undefined): AsyncGenerator<PowerEvent, void> {
  const { file } = entry;
  const tally = lineTally(file.label);
  const wanted = entry.devices?.map(String);
  const channels = new Map<string, Channel>();
  const guard = wrapGuard();
  let owner: string | undefined;

  for await (const { line, cells, flaw } of await rowsOf(entry, columns, tally)) {
    const [time, name, energy, range] = cells;
    const zoneName = cellText(name);
    const at = readInstant(time, local);
    const total = counter(energy);
    if (flaw !== undefined || at === undefined || isFault(at) || zoneName === undefined || total === undefined) {
      const why = flaw ?? (zoneName === undefined ? 'no zone' : total === undefined ? 'no counter value' : `time ${isFault(at) ? at.fault : 'is missing'}`);
      tally.skip(line, why);
      continue;
    }
    if (isPackage(zoneName)) owner = zoneName;
    const domain = raplDomain(zoneName, owner);
    if (!domain && !isPart(zoneName)) {
      tally.skip(line, 'not a zone of RAPL');
      continue;
    }
    tally.used();
    if (!domain || (wanted && !wanted.includes(domain.device))) continue;
    const channel = channels.get(domain.device) ?? raplChannel(domain);
    channels.set(domain.device, channel);
    const wrapsAt = counter(range);
    const reading: Reading = { kind: 'reading', channel, at, measures: 'counter', total, ...(wrapsAt !== undefined && { wrapsAt }) };
    yield* guard(reading);
  }
  tally.judge(NAME);
  const absent = wanted?.filter((device) => !channels.has(device)) ?? [];
  if (absent.length > 0) throw new TelemetryError('DEVICES_MISMATCH', `${file.label} has no device ${absent.join(', ')}: correct devices; zones are called cpu0, dram0 and so on.`, 'abort');
  yield* tally.flagged();
}

const counter = (cell: Cell): bigint | undefined => {
  const text = cellText(cell);
  return text !== undefined && /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
};

async function rowsOf(entry: RecordedPowerEntry, columns: Columns | undefined, tally: LineTally): Promise<AsyncIterable<Row>> {
  if (columns === undefined && !(await looksLikeCsv(entry))) return lines(entry, tally);
  return tableRows(entry, columns ?? {});
}

async function looksLikeCsv({ file }: RecordedPowerEntry): Promise<boolean> {
  for await (const { text } of textLines(file)) if (isData(text)) return text.includes(',');
  return false;
}

const isData = (text: string): boolean => text.trim() !== '' && !text.startsWith('#');

/** An ISO time may be written with a space. */
const LINE = /^(?<time>\S+(?: \d\d:\d\d\S*)?)\s+(?<zone>\S+)\s+(?<energy>\d+)(?:\s+(?<range>\d+))?$/;

async function* lines({ file }: RecordedPowerEntry, tally: LineTally): AsyncGenerator<Row> {
  let seen = false;
  for await (const { number, text, tooLong, terminated } of textLines(file)) {
    if (!tooLong && !isData(text)) continue;
    const { time, zone: name, energy, range } = LINE.exec(text.trim())?.groups ?? {};
    if (!seen && energy === undefined) throw new TelemetryError('FILE_FORMAT', notThisFormat(file.label, NAME, `line ${number} is not <time> <zone name> <energy_uj>`, text), 'abort');
    seen = true;
    // Cut in its last number it would still be a number, of less energy.
    const flaw = tooLong ? 'longer than 1 MiB' : !terminated ? 'cut off' : energy === undefined ? 'not <time> <zone name> <energy_uj>' : undefined;
    yield { line: number, cells: [time, name, energy, range], flaw };
  }
  if (!seen) tally.judge(NAME);
}

async function* tableRows({ file }: RecordedPowerEntry, names: Columns): AsyncGenerator<Row> {
  const table = await openTable(file, NAME);
  const range = names.maxEnergyRangeUj ?? (table.columns.includes('max_energy_range_uj') ? 'max_energy_range_uj' : undefined);
  const positions = [
    columnPosition(table, file, names.time ?? 'time', 'columns.time'),
    columnPosition(table, file, names.zone ?? 'zone', 'columns.zone'),
    columnPosition(table, file, names.energyUj ?? 'energy_uj', 'columns.energyUj'),
    range === undefined ? -1 : columnPosition(table, file, range, 'columns.maxEnergyRangeUj'),
  ];
  for await (const { line, cells, flaw } of table.rows()) yield { line, cells: positions.map((position) => cells[position]), flaw };
}
