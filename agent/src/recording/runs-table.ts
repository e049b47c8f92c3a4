/** A table of whole runs: energy and tokens per row, no time series. Each row becomes one fact. */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { joules, seconds, tokens, type Instant, type Joules, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { cellText, isFault, readCount, readInstant, readQuantity, type Fault, type Read } from '../sources/cells.js';
import { columnList } from '../sources/dialects.js';
import { lineTally } from '../sources/line-tally.js';
import { checkOptions, type RecordedFile } from '../sources/recorded.js';
import type { Flagged, TokenCounts } from '../sources/source.js';
import { columnPosition, openTable, type Cell, type Table } from '../sources/table.js';
import { zone } from '../sources/timestamps.js';

const NAME = 'runs';
const COLUMN_NAMES = ['joules', 'seconds', 'start', 'inputTokens', 'cachedInputTokens', 'outputTokens', 'requests'] as const;
type ColumnName = (typeof COLUMN_NAMES)[number];

const name = z.string().min(1);
const column = name.optional();
const options = z.strictObject({
  columns: z.strictObject({ joules: column, seconds: column, start: column, inputTokens: column, cachedInputTokens: column, outputTokens: column, requests: column }).default({}),
  /** The same for every row. */
  labels: z.record(name, z.union([z.string(), z.number(), z.boolean()]).transform(String)).default({}),
  /** Label → the column that holds its value. */
  labelColumns: z.record(name, name).default({}),
});
/** Manifest keys of a `runs` entry that are read here. */
export const runsOptionNames: readonly string[] = Object.keys(options.shape);

export interface Run {
  readonly line: number;
  readonly joules: Joules;
  readonly seconds?: Seconds;
  readonly start?: Instant;
  readonly tokens: TokenCounts;
  readonly requests?: number;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * @throws UsageError for options it does not know; TelemetryError FILE_MISSING, FILE_EMPTY, FILE_FORMAT, TIMEZONE
 */
export async function readRuns(file: RecordedFile & { readonly tz: string }, rawOptions: unknown): Promise<{ runs: Run[]; flagged: Flagged[] }> {
  const { columns: names, labels, labelColumns } = checkOptions(options, rawOptions, `${file.label} (${NAME})`);
  const local = zone(file.tz);
  const table = await openTable(file, NAME);
  const columns = columnsOf(table, file, names);
  const labelPositions = Object.entries(labelColumns).map(([label, from]) => [label, columnPosition(table, file, from, `labelColumns.${label}`)] as const);
  const tally = lineTally(file.label);
  const runs: Run[] = [];
  for await (const { line, cells, flaw } of table.rows()) {
    const run = flaw === undefined ? readRun(cells, columns, (cell) => readInstant(cell, local)) : { fault: flaw };
    if ('fault' in run) {
      tally.skip(line, run.fault);
      continue;
    }
    tally.used();
    const own = labelPositions.flatMap(([label, position]) => {
      const text = cellText(cells[position]);
      return text === undefined ? [] : [[label, text] as const];
    });
    runs.push({ line, ...run, labels: { ...labels, ...Object.fromEntries(own) } });
  }
  tally.judge(NAME);
  return { runs, flagged: tally.flagged() };
}

type Columns = { readonly [name in ColumnName]?: number };

function columnsOf(table: Table, file: RecordedFile, names: z.output<typeof options>['columns']): Columns {
  const columns: { -readonly [name in ColumnName]?: number } = {};
  for (const each of COLUMN_NAMES) {
    const named = names[each];
    if (named !== undefined) columns[each] = columnPosition(table, file, named, `columns.${each}`);
    else if (table.columns.includes(each)) columns[each] = table.columns.indexOf(each);
  }
  if (columns.joules === undefined) throw new TelemetryError('FILE_FORMAT', `${file.label} has no column 'joules': say which one it is with columns: { joules: … }; it has ${columnList(table.columns)}.`, 'abort');
  return columns;
}

function readRun(cells: readonly Cell[], columns: Columns, toInstant: (cell: Cell) => Read<Instant>): Omit<Run, 'line' | 'labels'> | Fault {
  const faults: string[] = [];
  const read = <T>(each: ColumnName, how: (cell: Cell) => Read<T>): T | undefined => {
    const position = columns[each];
    const value = how(position === undefined ? undefined : cells[position]);
    if (!isFault(value)) return value;
    faults.push(`${each} ${value.fault}`);
    return undefined;
  };
  const energy = read('joules', readQuantity);
  const length = read('seconds', readQuantity);
  const start = read('start', toInstant);
  const input = read('inputTokens', readCount);
  const cached = read('cachedInputTokens', readCount);
  const output = read('outputTokens', readCount);
  const requests = read('requests', readCount);
  // A meter that says 0 J for a run that took place was not measuring.
  if (faults[0] === undefined && !energy) faults.push(energy === 0 ? 'joules is 0: not measured' : 'joules is missing');
  if (input !== undefined && cached !== undefined && cached > input) faults.push('cachedInputTokens is more than inputTokens');
  if (faults[0] !== undefined) return { fault: faults[0] };
  return {
    joules: joules(energy ?? 0),
    ...(length !== undefined && { seconds: seconds(length) }),
    ...(start !== undefined && { start }),
    ...(requests !== undefined && { requests }),
    tokens: {
      ...(input !== undefined && { input: tokens(input - (cached ?? 0)) }),
      ...(cached !== undefined && { cachedInput: tokens(cached) }),
      ...(output !== undefined && { output: tokens(output) }),
    },
  };
}
