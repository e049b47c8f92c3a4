/**
 * A recorded table of rows and named columns, whatever it is written as: CSV (quoted cells may hold line ends), lines of
 * JSON objects, a JSON array of objects, or one JSON object of equally long arrays. What it is, its content says.
 * CSV and lines of JSON are streamed; a JSON document is held in memory.
 */
import { parse as parseCsv } from 'csv-parse/sync';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { nearest } from '@joulebook/shared/settings.js';
import { columnList, notThisFormat } from './dialects.js';
import type { RecordedFile } from './recorded.js';
import { MAX_LINE_CHARACTERS, textLines, wholeText } from './text-lines.js';

/** Undefined where nothing was said: an empty cell, null, a column that this object lacks. */
export type Cell = string | number | boolean | readonly number[] | undefined;

export interface TableRow {
  /** Line of the file where the row begins; in a JSON document the number of the row, from 1. */
  readonly line: number;
  readonly cells: readonly Cell[];
  /** Why the row can't be used whole; `cells` has what could be read. */
  readonly flaw?: string;
}

export interface Table {
  readonly columns: readonly string[];
  rows(): AsyncIterable<TableRow>;
}

/**
 * @param format what the file was called, for messages
 * @throws TelemetryError FILE_EMPTY, FILE_FORMAT
 */
export async function openTable(file: RecordedFile, format: string): Promise<Table> {
  const [first, second] = await firstLines(file);
  if (first === undefined) throw new TelemetryError('FILE_EMPTY', `${file.label} is empty: give a ${format} file with at least one row.`, 'abort');
  if (!/^\s*[[{]/.test(first)) return csvTable(file, format, first);
  const object = jsonObject(first);
  const isLines = second === undefined ? object !== undefined && !columnsOfArrays(object) && !rowsInside(object) : first.trimStart().startsWith('{') && jsonObject(second) !== undefined;
  return isLines ? linesOfJson(file) : jsonDocument(file, format);
}

/**
 * Position of a column that the manifest names.
 * @throws TelemetryError FILE_FORMAT with the nearest column there is
 */
export function columnPosition(table: Table, { label }: RecordedFile, name: string, purpose: string): number {
  const position = table.columns.indexOf(name);
  if (position >= 0) return position;
  const guess = nearest(name, table.columns);
  const known = guess === undefined ? `; it has ${columnList(table.columns)}` : `; did you mean '${guess}'?`;
  throw new TelemetryError('FILE_FORMAT', `${label} has no column '${name}' (${purpose})${known}.`, 'abort');
}

/** The first two lines that say something; a JSON document may be one line longer than is kept. */
async function firstLines(file: RecordedFile): Promise<string[]> {
  const lines: string[] = [];
  for await (const { text, tooLong } of textLines(file)) {
    if (tooLong || text.trim() !== '') lines.push(tooLong ? '{' : text);
    if (lines.length === 2) break;
  }
  return lines;
}

// --- CSV ---

/** No one names a column so. */
const DATA = /^(?:[+-]?\d[\d.]*|\d{4}[-/]\d\d[-/]\d\d.*)$/;

function csvTable(file: RecordedFile, format: string, header: string): Table {
  const delimiter = [',', ';', '\t'].toSorted((a, b) => header.split(b).length - header.split(a).length)[0] ?? ',';
  const columns = csvRecords(header, delimiter)[0] ?? [];
  if (columns.length < 2 || columns.some((cell) => DATA.test(cell))) {
    throw new TelemetryError('FILE_FORMAT', notThisFormat(file.label, format, columns.length < 2 ? 'it is neither CSV nor JSON' : 'its first line is data, not the names of columns', header), 'abort');
  }
  return { columns, rows: () => csvRows(file, delimiter, columns.length) };
}

const csvRecords = (text: string, delimiter: string): string[][] => parseCsv(text, { delimiter, relax_quotes: true, relax_column_count: true, trim: true, skip_empty_lines: true });

async function* csvRows(file: RecordedFile, delimiter: string, count: number): AsyncGenerator<TableRow, void> {
  let header = true;
  for await (const { line, text, flaw } of csvTexts(file)) {
    if (text.trim() === '' && flaw === undefined) continue;
    if (header) {
      header = false;
      continue;
    }
    if (flaw !== undefined) {
      yield { line, cells: [], flaw };
      continue;
    }
    // Quotes cost the library's care; most lines have none.
    for (const record of text.includes('"') ? csvRecords(text, delimiter) : [text.split(delimiter)]) {
      const cells = record.map((cell): Cell => (cell.trim() === '' ? undefined : cell.trim()));
      // A line may end in a delimiter.
      if (cells.length === count + 1 && cells[count] === undefined) cells.pop();
      yield { line, cells, ...(cells.length !== count && { flaw: cells.length < count ? 'cut off' : 'more cells than the header has' }) };
    }
  }
}

/** Lines, joined while a quote is open. A quote that never closes costs its own line and not the rest of the file. */
async function* csvTexts(file: RecordedFile): AsyncGenerator<{ line: number; text: string; flaw?: string }, void> {
  let open: { line: number; text: string }[] = [];
  let length = 0;
  let quotes = 0;
  const whole = (): { line: number; text: string }[] => {
    const joined = { line: open[0]?.line ?? 0, text: open.map((each) => each.text).join('\n') };
    open = [];
    length = 0;
    quotes = 0;
    return [joined];
  };
  const giveUp = (): { line: number; text: string; flaw?: string }[] => {
    const [start, ...rest] = open;
    open = [];
    length = 0;
    quotes = 0;
    return start ? [{ ...start, flaw: 'a quote that is never closed' }, ...rest.map((each) => ({ ...each, ...(quotesIn(each.text) % 2 === 1 && { flaw: 'a quote that is never closed' }) }))] : [];
  };
  for await (const { number, text, tooLong } of textLines(file)) {
    if (tooLong) {
      yield* giveUp();
      yield { line: number, text: '', flaw: 'longer than 1 MiB' };
      continue;
    }
    open.push({ line: number, text });
    length += text.length;
    quotes += quotesIn(text);
    if (quotes % 2 === 0) yield* whole();
    else if (length > MAX_LINE_CHARACTERS) yield* giveUp();
  }
  yield* giveUp();
}

function quotesIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) count += 1;
  return count;
}

// --- JSON ---

type JsonObject = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value);
const isArray = (value: unknown): value is readonly unknown[] => Array.isArray(value);

function jsonObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Two passes: one for the names of all columns, since an object may lack some. */
async function linesOfJson(file: RecordedFile): Promise<Table> {
  const names = new Set<string>();
  for await (const { text } of textLines(file)) for (const name of Object.keys(jsonObject(text) ?? {})) names.add(name);
  const columns = [...names];
  return {
    columns,
    rows: async function* rows() {
      for await (const { number, text, tooLong } of textLines(file)) {
        if (text.trim() === '' && !tooLong) continue;
        const object = jsonObject(text);
        yield object ? { line: number, cells: columns.map((name) => cellOf(object[name])) } : { line: number, cells: [], flaw: tooLong ? 'longer than 1 MiB' : 'not a JSON object, or cut off' };
      }
    },
  };
}

async function jsonDocument(file: RecordedFile, format: string): Promise<Table> {
  const text = await wholeText(file);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new TelemetryError('FILE_FORMAT', `${file.label} is not ${format}: it begins like JSON but is not valid JSON, perhaps cut off; write it again, or as one object per line.`, 'abort');
  }
  const objects = isArray(document) ? document : isObject(document) ? rowsInside(document) : undefined;
  if (objects) return tableOfObjects(file, objects);
  const arrays = isObject(document) ? columnsOfArrays(document) : undefined;
  if (arrays && isObject(document)) return tableOfArrays(file, arrays, document);
  if (isObject(document) && Object.keys(document).length > 0) return tableOfObjects(file, [document]);
  throw new TelemetryError('FILE_FORMAT', `${file.label} is not ${format}: give an array of objects, an object of equally long arrays, or one object per line.`, 'abort');
}

/** `{ "results": [{…}, {…}] }`: the one array of objects in an object. */
function rowsInside(object: JsonObject): readonly unknown[] | undefined {
  const found = Object.values(object).filter((value): value is readonly unknown[] => isArray(value) && value.length > 0 && value.every(isObject));
  return found.length === 1 ? found[0] : undefined;
}

/** A row may hold an array too (the steps between its tokens); a column is what nearly all values of a table of arrays are. */
function columnsOfArrays(object: JsonObject): ReadonlyMap<string, readonly unknown[]> | undefined {
  const arrays = Object.entries(object).filter((entry): entry is [string, readonly unknown[]] => isArray(entry[1]));
  return arrays.length >= 2 ? new Map(arrays) : undefined;
}

function tableOfObjects(file: RecordedFile, objects: readonly unknown[]): Table {
  if (objects.length === 0) throw new TelemetryError('FILE_EMPTY', `${file.label} holds no rows.`, 'abort');
  const columns = [...new Set(objects.flatMap((each) => (isObject(each) ? Object.keys(each) : [])))];
  return {
    columns,
    rows: async function* rows() {
      for (const [index, each] of objects.entries()) {
        const line = index + 1;
        yield isObject(each) ? { line, cells: columns.map((name) => cellOf(each[name])) } : { line, cells: [], flaw: 'not an object' };
      }
    },
  };
}

/** What is no array holds for every row. */
function tableOfArrays(file: RecordedFile, arrays: ReadonlyMap<string, readonly unknown[]>, document: JsonObject): Table {
  const [[name, model] = ['', []]] = arrays;
  for (const [other, values] of arrays) {
    if (values.length !== model.length) throw new TelemetryError('FILE_FORMAT', `${file.label}: its arrays are not equally long: ${name} has ${model.length} values, ${other} ${values.length}.`, 'abort');
  }
  if (model.length === 0) throw new TelemetryError('FILE_EMPTY', `${file.label} holds no rows.`, 'abort');
  const columns = Object.keys(document);
  return {
    columns,
    rows: async function* rows() {
      for (const index of model.keys()) yield { line: index + 1, cells: columns.map((column) => cellOf(arrays.has(column) ? arrays.get(column)?.[index] : document[column])) };
    },
  };
}

function cellOf(value: unknown): Cell {
  if (typeof value === 'string') return value.trim() === '' ? undefined : value.trim();
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  return isArray(value) && value.every((each): each is number => typeof each === 'number') ? value : undefined;
}
