/**
 * A value over time from a file: prices of a day-ahead market, the intensity of a grid, a PUE that was measured.
 *
 *     time,value                              or    from,to,value
 *     2026-11-01T00:00:00+01:00,0.0912              2026-11-01T00:00Z,2026-11-01T01:00Z,0.0912
 *
 * With `time` alone a value holds until the next line, but no longer than the lines are usually apart: what is missing is
 * not known, never bridged. Times without an offset are in the zone that is named; an hour that comes twice (when clocks go back)
 * is first the earlier, then the later one.
 */
import { parse } from 'csv-parse/sync';
import { DateTime } from 'luxon';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { momentsOf } from './local-time.js';
import { filled, joined, type Over, type Piece } from './pieces.js';
import type { Parsed } from './calendar.js';

const FAULTS_SHOWN = 5;
const TIME_COLUMNS = ['time', 'from', 'start', 'timestamp', 'datetime'] as const;

export interface SeriesText {
  /** Of times without an offset. */
  readonly zone: string;
  /** Values below are refused; -Infinity where any will do. */
  readonly least: number;
  /** Default: `value`, or the only column beside the times. */
  readonly column?: string | undefined;
}

interface Line {
  readonly line: number;
  readonly from: EpochMicros;
  readonly to: EpochMicros | undefined;
  readonly value: number;
}

interface Columns {
  readonly from: number;
  readonly to: number;
  readonly value: number;
}

function columnsOf(head: readonly string[], wanted: string | undefined): Parsed<Columns> {
  const names = head.map((name) => name.trim().toLowerCase());
  const from = names.findIndex((name) => TIME_COLUMNS.some((known) => known === name));
  const to = names.findIndex((name) => name === 'to' || name === 'end');
  const others = names.flatMap((name, index) => (index === from || index === to ? [] : [{ name, index }]));
  const value = wanted === undefined ? (others.find(({ name }) => name === 'value') ?? (others.length === 1 ? others[0] : undefined)) : others.find(({ name }) => name === wanted.toLowerCase());
  if (from < 0) return { faults: [`line 1: no column of times; call it one of ${TIME_COLUMNS.join(', ')}`] };
  if (!value) return { faults: [`line 1: ${wanted === undefined ? "no column 'value'; name the one to read with column:" : `no column '${wanted}'`} (there are ${head.join(', ')})`] };
  return { value: { from, to, value: value.index } };
}

/** Undefined where the text is no time, or one that the zone leaves out. */
function momentOf(text: string, zone: string, after: EpochMicros | undefined): EpochMicros | undefined {
  if (/^\d{9,11}(\.\d+)?$/.test(text)) return epochMicros(Math.round(Number(text) * 1e6));
  const iso = text.trim().replace(' ', 'T');
  if (/(Z|[+-]\d{2}:?\d{2})$/i.test(iso)) {
    const at = DateTime.fromISO(iso);
    return at.isValid ? epochMicros(at.toMillis() * 1000) : undefined;
  }
  const local = DateTime.fromISO(iso, { zone: 'utc' });
  if (!local.isValid) return undefined;
  const [first, second] = momentsOf(zone, local.toMillis());
  return second !== undefined && after !== undefined && after >= (first ?? 0) ? second : first;
}

function mostCommon(values: readonly number[]): number | undefined {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].toSorted(([a, times], [b, others]) => others - times || a - b)[0]?.[0];
}

/** How long a line holds that does not say so; undefined where one line alone can't tell. */
const usualLength = (lines: readonly Line[]): number | undefined => mostCommon(lines.slice(1).map(({ from }, index) => from - (lines[index]?.from ?? from)));

/** @param text of a CSV file with a head; faults name its lines */
export function parseSeries(text: string, { zone, least, column }: SeriesText): Parsed<Over<number | null>> {
  const rows: string[][] = parse(text, { skip_empty_lines: true, relax_column_count: true, trim: true, bom: true, comment: '#' });
  const [head, ...data] = rows;
  if (!head || data.length === 0) return { faults: ['no line with a value'] };
  const columns = columnsOf(head, column);
  if ('faults' in columns) return columns;

  const faults: string[] = [];
  const lines: Line[] = [];
  for (const [index, row] of data.entries()) {
    const line = index + 2;
    const from = momentOf(row[columns.value.from] ?? '', zone, lines.at(-1)?.from);
    const until = columns.value.to < 0 ? undefined : momentOf(row[columns.value.to] ?? '', zone, from);
    const said = row[columns.value.value] ?? '';
    const value = /^[+-]?\d*\.?\d+(e[+-]?\d+)?$/i.test(said) ? Number(said) : Number.NaN;
    if (from === undefined || (columns.value.to >= 0 && until === undefined)) faults.push(`line ${line}: '${row[columns.value.from] ?? ''}' is no time in ${zone}`);
    else if (until !== undefined && until <= from) faults.push(`line ${line}: ends before it begins`);
    else if (!Number.isFinite(value)) faults.push(`line ${line}: '${said}' is no number`);
    else if (value < least) faults.push(`line ${line}: ${said} is below ${least}`);
    else lines.push({ line, from, to: until, value });
  }
  const sorted = lines.toSorted((a, b) => a.from - b.from);
  const usual = usualLength(sorted);
  if (usual === undefined && columns.value.to < 0 && faults.length === 0) faults.push('one line alone does not say how long it holds; add a column to');
  const pieces = sorted.map(({ from, to, value }, index): Piece<number | null> & { line: number } => {
    const next = sorted[index + 1]?.from ?? Infinity;
    return { from, to: to ?? epochMicros(Math.min(next, from + (usual ?? 0))), value, line: sorted[index]?.line ?? 0 };
  });
  for (const [index, piece] of pieces.entries()) {
    const before = pieces[index - 1];
    if (before && piece.from === before.from) faults.push(`lines ${before.line} and ${piece.line}: two values for one time`);
    else if (before && piece.from < before.to) faults.push(`lines ${before.line} and ${piece.line}: their times overlap`);
  }
  if (faults.length > 0) return { faults: faults.length <= FAULTS_SHOWN ? faults : [...faults.slice(0, FAULTS_SHOWN), `… and ${faults.length - FAULTS_SHOWN} more lines`] };
  return { value: fromPieces(pieces) };
}

/** @param pieces in order and apart; between them nothing is known */
export const fromPieces = (pieces: readonly Piece<number | null>[]): Over<number | null> => (span) => joined(filled(pieces, null, span));
