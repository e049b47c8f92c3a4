/** A report in the format asked for, as text that ends with a newline. */
import { stringify } from 'csv-stringify/sync';
import Table from 'cli-table3';
import { FIGURE_NAMES } from '../figures/table.js';
import type { Report, Row } from '../join/report.js';
import { CLASSES } from '../join/waste.js';
import { captionOf, columnsOf, flagLines, type Column } from './columns.js';
import { renderHtml, type Markup } from './html.js';
import { noteLines } from './notes.js';

export const FORMATS = ['table', 'json', 'csv', 'html', 'markdown'] as const;
export type Format = (typeof FORMATS)[number];

/** Laying a table out takes time by the square of its rows (20,000 take minutes), so long ones are laid out in parts. */
const PART_ROWS = 25;

/** `widths` of columns, borders not counted; as wide as they have to be where not given. */
function tableLines(columns: readonly Column[], rows: readonly Row[], head: boolean, widths: readonly number[] = []): string[] {
  const table = new Table({
    head: head ? columns.map((column) => column.head) : [], colAligns: columns.map(({ numeric }) => (numeric ? 'right' : 'left')), colWidths: [...widths], style: { head: [], border: [], compact: true },
  });
  for (const row of rows) table.push(columns.map(({ cell }) => cell(row)));
  return table.toString().split('\n');
}

function wholeTable(columns: readonly Column[], rows: readonly Row[]): string[] {
  if (rows.length <= PART_ROWS) return tableLines(columns, rows, true);
  const parts = Array.from({ length: Math.ceil(rows.length / PART_ROWS) }, (_, index) => rows.slice(index * PART_ROWS, (index + 1) * PART_ROWS));
  // The border of a part says how wide its columns are: ┌──┬───┐
  const borders = parts.map((part) => (tableLines(columns, part, true)[0] ?? '').slice(1, -1).split('┬'));
  const widths = columns.map((_, index) => borders.reduce((most, border) => Math.max(most, border[index]?.length ?? 0), 0));
  return parts.flatMap((part, index) => tableLines(columns, part, index === 0, widths).slice(index === 0 ? 0 : 1, index === parts.length - 1 ? undefined : -1));
}

function renderTable(report: Report): string {
  return [captionOf(report), ...wholeTable(columnsOf(report), report.rows), ...noteLines(report), ...flagLines(report)].join('\n');
}

// Html is allowed in markdown, so its characters are escaped too.
export const markdownText = (text: string): string => text.replaceAll(/[\\`*_[\]<>|]/g, String.raw`\$&`);

export const tableLine = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

function renderMarkdown(report: Report): string {
  const columns = columnsOf(report);
  const flags = flagLines(report);
  return [
    captionOf(report),
    '',
    tableLine(columns.map(({ head }) => markdownText(head))),
    tableLine(columns.map(({ numeric }) => (numeric ? '---:' : '---'))),
    ...report.rows.map((row) => tableLine(columns.map(({ cell }) => markdownText(cell(row))))),
    ...noteLines(report).flatMap((note) => ['', markdownText(note)]),
    ...(flags.length === 0 ? [] : ['', ...flags.map((flag) => `- ${markdownText(flag)}`)]),
  ].join('\n');
}

const ends = (name: string, interval: readonly [number, number] | null | undefined): Record<string, number | null> => ({ [`${name}Low`]: interval?.[0] ?? null, [`${name}High`]: interval?.[1] ?? null });

/** Every column but the group's, unrounded, for programs; empty where not measured. */
function csvCells(row: Row): Record<string, string | number | null> {
  return {
    from: row.from, to: row.to,
    joules: row.joules, modelledJoules: row.modelledJoules, seconds: row.seconds, deviceSeconds: row.deviceSeconds,
    inputTokens: row.tokens.input, cachedInputTokens: row.tokens.cachedInput, outputTokens: row.tokens.output, usefulTokens: row.tokens.useful,
    ...Object.fromEntries(CLASSES.slice(1).map((name) => [`${name}Tokens`, row.spending?.[name].outputTokens ?? null])),
    okRequests: row.requests.ok, abortedRequests: row.requests.aborted, failedRequests: row.requests.failed,
    ...Object.fromEntries(FIGURE_NAMES.map((name) => [name, row[name]])),
    ...ends('joules', row.uncertainty?.joules), ...ends('joulesPerToken', row.uncertainty?.joulesPerToken), ...ends('tokensPerWattSecond', row.uncertainty?.tokensPerWattSecond),
    ...ends('tokensPerKwh', row.uncertainty?.tokensPerKwh), ...ends('energyCostPerToken', row.uncertainty?.energyCostPerToken),
    flags: [...new Set(row.flags.map(({ code }) => code))].join(' '),
  };
}

/** A label may be called like a column, e.g. `joules`: its column is then `group.joules`. Other keys stand under their own name. */
function groupColumns(keys: readonly string[], columns: readonly string[]): string[] {
  const taken = new Set([...columns, ...keys.filter((key) => !columns.includes(key))]);
  return keys.map((key) => {
    if (!columns.includes(key)) return key;
    let name = `group.${key}`;
    while (taken.has(name)) name = `group.${name}`;
    taken.add(name);
    return name;
  });
}

/** A name that begins with = must not become a formula in a spreadsheet; a number below zero is none. */
export const csvText = (lines: readonly (readonly (string | number | null)[])[]): string => stringify([...lines], { escape_formulas: true, cast: { number: (value) => ({ value: String(value), escape_formulas: false }) } });

/** By position and not by name, so that no label's name means anything to an object. */
const renderCsv = (report: Report): string => {
  const first = report.rows[0] ?? report.total;
  const columns = Object.keys(csvCells(first));
  const head = [...groupColumns(Object.keys(first.group), columns), ...columns];
  const lines = report.rows.map((row) => [...Object.values(row.group), ...Object.values(csvCells(row))]);
  return csvText([head, ...lines]).trimEnd();
};

const RENDERERS: Readonly<Record<Format, (report: Report, sections: readonly Markup[]) => string>> = {
  table: renderTable,
  json: (report) => JSON.stringify(report, null, 2),
  csv: renderCsv,
  html: (report, sections) => renderHtml(report, sections).trimEnd(),
  markdown: renderMarkdown,
};

/** @param sections of a page, beside the report */
export const render = (report: Report, format: Format, sections: readonly Markup[] = []): string => `${RENDERERS[format](report, sections)}\n`;
