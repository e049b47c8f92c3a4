/** The finished log of an engine, in any wrapper: which lines it has, when they were written, and what the dialect makes of them. */
import { stat } from 'node:fs/promises';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { looksLike } from '../../dialects.js';
import { lineTally } from '../../line-tally.js';
import type { RecordedFile, RecordedServingEntry, ServingFormat } from '../../recorded.js';
import type { ServingEvent } from '../../source.js';
import { lineGroups, textLines, type TextLine } from '../../text-lines.js';
import { zone } from '../../timestamps.js';
import { lineAssembler } from './assemble.js';
import { recordedClock, type RecordedClock } from './clock.js';
import type { LogClock, LogContext, LogDialect, LogLine, LogParser, Stamp } from './dialect.js';
import { COPY, printedTwiceIn } from './printed-twice.js';
import { readerOptions } from './reader-options.js';
import { whichFile } from './which.js';

const readerShape = {
  /** Of the first line, where its stamps leave the year out; else the file's last change tells. */
  year: z.int().min(2000).max(2100).optional(),
};

/** A dialect with its options in place. */
interface Bound {
  readonly dialect: LogDialect;
  readonly parserOf: (context: LogContext) => LogParser;
}

/** @param among the dialects that a file may be of instead, for the message of one that is not of this */
export const recordedLog = <Shape extends z.ZodRawShape>(dialect: LogDialect<Shape>, among: readonly LogDialect[]): ServingFormat => ({
  name: dialect.name,
  summary: dialect.summary,
  tokensFrom: dialect.tokensFrom ?? 'engine log',
  optionNames: Object.keys({ ...readerShape, ...dialect.options }),
  open(entry, given) {
    const { reader, own } = readerOptions(readerShape, dialect.options, given, `${entry.file.label} (${dialect.name})`);
    zone(entry.tz);
    const bound = { dialect, parserOf: (context: LogContext) => dialect.parser(context, own) };
    return { description: `${entry.file.label} (${dialect.name})`, ordered: true, events: () => read(bound, entry, reader.year, among) };
  },
});

/** The log of an engine that nobody named. Its dialect has no options but their defaults. */
export const autoLog = (dialects: readonly LogDialect[]): ServingFormat => ({
  name: 'log',
  tokensFrom: 'engine log',
  summary: `an engine's log; of which engine follows from its lines (${dialects.map(({ name }) => name).join(', ')})`,
  optionNames: Object.keys(readerShape),
  open(entry, given) {
    const { reader } = readerOptions(readerShape, {}, given, `${entry.file.label} (log)`);
    zone(entry.tz);
    return { description: `${entry.file.label} (log)`, ordered: true, events: () => readUnnamed(dialects, entry, reader.year) };
  },
});

async function* readUnnamed(dialects: readonly LogDialect[], entry: RecordedServingEntry, year: number | undefined): AsyncGenerator<ServingEvent> {
  const dialect = await whichFile(entry.file, dialects);
  if (!dialect) throw await notOf(entry.file, 'the log of an engine that is known here', dialects);
  const { own } = readerOptions({}, dialect.options, {}, `${entry.file.label} (${dialect.name})`);
  yield* read({ dialect, parserOf: (context) => dialect.parser(context, own) }, entry, year, dialects);
}

async function* read({ dialect, parserOf }: Bound, { file, tz, model }: RecordedServingEntry, year: number | undefined, among: readonly LogDialect[]): AsyncGenerator<ServingEvent> {
  const { label } = file;
  const tally = lineTally(label);
  const changed = await lastChange(file);
  const clock = recordedClock({ zone: zone(tz), year, lastChange: changed });
  const assembler = lineAssembler(dialect, clock);
  const twice = await printedTwiceIn(file, dialect);
  let used = 0;
  const skip = (line: LogLine, reason: string): void => tally.skip(line.number, reason);
  const parser = parserOf({ label, clock: rememberingLast(clock), model, lastChange: changed, skip, used: () => void (used += 1) });
  const eventsOf = (whole: LogLine): readonly ServingEvent[] => {
    if (!twice.isCopy(whole)) return parser.line(whole);
    skip(whole, COPY);
    return [];
  };
  for await (const lines of lineGroups(file)) {
    for (const line of lines) {
      const unusable = whyUnusable(line, dialect);
      if (unusable !== undefined) tally.skip(line.number, unusable);
      // `yield*` would wait once for each line that tells nothing, and most tell nothing.
      else for (const whole of assembler.push(line)) for (const event of eventsOf(whole)) yield event;
    }
  }
  for (const whole of assembler.flush()) yield* eventsOf(whole);
  yield* parser.end();
  if (used === 0) throw await notOf(file, dialect.name, among, tally.flagged()[0]?.detail);
  yield* tally.flagged();
  yield* assumedYear(label, clock);
}

/** A busy server stamps hundreds of lines with the same second, and finding out which year or day is meant takes longer than reading them. */
function rememberingLast(clock: RecordedClock): LogClock {
  let last: { readonly stamp: Stamp; readonly at: Instant | undefined } | undefined;
  return {
    at(line, stamp) {
      if (!stamp || line.wrapped !== undefined) {
        last = undefined;
        return clock.at(line, stamp);
      }
      if (!last || !isSame(last.stamp, stamp)) last = { stamp, at: clock.at(line, stamp) };
      return last.at;
    },
  };
}

const isSame = (one: Stamp, other: Stamp): boolean =>
  one.second === other.second && one.minute === other.minute && one.hour === other.hour && one.day === other.day && one.month === other.month && one.year === other.year && one.zone === other.zone;

function whyUnusable({ text, tooLong, terminated }: TextLine, dialect: LogDialect): string | undefined {
  if (tooLong) return 'longer than 1 MiB';
  // A number at the very end may have had more digits.
  return !terminated && /[\d.]$/.test(text) && dialect.isOf(text) ? 'the last line of the file is cut off' : undefined;
}

async function lastChange({ file }: RecordedFile): Promise<Instant | undefined> {
  // Whether it can be read at all is said by who reads it.
  const found = await stat(file).catch(() => undefined);
  return found && instant(found.mtimeMs / 1000);
}

function assumedYear(label: string, { yearOfFile }: RecordedClock): ServingEvent[] {
  if (yearOfFile === undefined) return [];
  return [{ kind: 'flagged', code: 'YEAR_ASSUMED', count: 1, detail: `${label}: its stamps leave out the year or the day; ${yearOfFile} was taken from the file's last change. Say it with year: … if that is wrong` }];
}

async function notOf(file: RecordedFile, what: string, among: readonly LogDialect[], why?: string): Promise<TelemetryError> {
  let first: string | undefined;
  let lines = 0;
  for await (const { text } of textLines(file)) {
    lines += 1;
    if (text.trim() !== '') first ??= text;
  }
  if (first === undefined) return new TelemetryError('FILE_EMPTY', `${file.label} holds no data: give a file with at least one line of ${what}.`, 'abort');
  const likely = (await whichFile(file, among))?.name;
  const guess = likely !== undefined && likely !== what ? likely : looksLike(first);
  const problem = why ?? `none of its ${lines} lines tells of work`;
  return new TelemetryError('FILE_FORMAT', `${file.label} is not ${what}: ${problem}${guess === undefined ? '' : `; it looks like ${guess}`}.`, 'abort');
}
