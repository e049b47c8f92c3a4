/**
 * The log of an engine as it is written: a file, a unit of journald, a container, or what a command prints.
 *
 * What was written before the start is read back a little, so that the parser knows what is going on (versions, who is
 * running); its evidence was another run's to tell, and is left out.
 */
import type { Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveServingKind, type LiveServingKind } from '../../live.js';
import { lineTally } from '../../line-tally.js';
import type { LiveContext, LiveServing, ServingEvent } from '../../source.js';
import { zone, type Zone } from '../../timestamps.js';
import { lineAssembler } from './assemble.js';
import { autoDialect } from './auto-dialect.js';
import { liveClock, type LiveClock } from './clock.js';
import type { LogContext, LogDialect, LogLine, LogParser } from './dialect.js';
import { hostZone, learnZone } from './live-zone.js';
import { lookAtLog } from './look.js';
import { placeOf, placeShape, type LogPlace } from './places.js';
import { COPY, printedTwice } from './printed-twice.js';
import { readerOptions } from './reader-options.js';

const QUIET_SECONDS = 1;
const DELAY_SECONDS = 10;
const SKIPPED_SECONDS = 60;
export const DELAY_GAUGE = 'serving.log.delay_seconds';

/** @param among whose log it may be instead */
export const liveLog = <Shape extends z.ZodRawShape>(dialect: LogDialect<Shape>, among: readonly LogDialect[] = [dialect]): LiveServingKind =>
  liveServingKind({
    name: dialect.name,
    summary: dialect.summary,
    tokensFrom: dialect.tokensFrom ?? 'engine log',
    mustBeTold: true,
    options: z.record(z.string(), z.unknown()),
    open(given) {
      const { reader, own } = readerOptions(placeShape, dialect.options, given, dialect.name);
      const place = placeOf(reader, dialect.name);
      const parserOf = (context: LogContext): LogParser => dialect.parser(context, own);
      return { ...logFrom(dialect, parserOf, place, reader.tz), examine: (context) => lookAtLog({ dialect, parserOf, among, place, tz: reader.tz }, context) };
    },
    detect: () => Promise.resolve({ found: false, reason: `a log has no usual place; configure it: serving: [{ source: ${dialect.name}, file: … }] (or unit, container, command)` }),
  });

/** The log of an engine that nobody named. */
export const liveAutoLog = (dialects: readonly LogDialect[]): LiveServingKind => liveLog(autoDialect(dialects), dialects);

export function logFrom(dialect: Pick<LogDialect, 'name' | 'isOf' | 'isCut' | 'tellsRequests'>, parserOf: (context: LogContext) => LogParser, place: LogPlace, tz: Zone | undefined): LiveServing {
  const description = `${dialect.name} from ${place.name}`;
  return { description, ...(dialect.tellsRequests !== undefined && { tellsRequests: dialect.tellsRequests }), events: (context) => follow(dialect, parserOf, place, tz, description, context) };
}

async function* follow(dialect: Pick<LogDialect, 'isOf' | 'isCut'>, parserOf: (context: LogContext) => LogParser, place: LogPlace, tz: Zone | undefined, label: string, context: LiveContext): AsyncGenerator<ServingEvent> {
  const start = context.now();
  const clock = liveClock({ zone: tz, host: hostZone(), utc: zone('UTC') });
  const assembler = lineAssembler(dialect, clock);
  const twice = printedTwice((text) => dialect.isOf(text));
  const reports = reportsOf(label, clock, start);
  let old = true;
  const parser = parserOf({ label, clock, used: () => undefined, skip: (line, reason) => void (old || reports.skip(line.number, reason)) });
  let number = 0;
  let quietAt = start;
  let heard = false;

  const raw = (text: string | undefined, arrived?: Instant): readonly LogLine[] => {
    number += 1;
    if (text !== undefined) return assembler.push({ number, text, arrived });
    reports.skip(number, 'longer than 1 MiB');
    return [];
  };
  function* said(lines: readonly LogLine[]): Generator<ServingEvent> {
    for (const line of lines) {
      old = line.arrived === undefined || (line.wrapped !== undefined && line.wrapped < start);
      const before = old;
      if (twice.isCopy(line)) {
        if (!before) reports.skip(line.number, COPY);
        continue;
      }
      yield* parser.line(line).filter((event) => (before ? event.kind === 'engine' : isNews(event, start)));
    }
  }

  for await (const { lines, at, caughtUp, old: lastWritten, missedSince } of place.batches(context)) {
    if (lastWritten !== undefined) learnZone(lines, lastWritten, clock, dialect, parserOf, label);
    for (const text of lines) yield* said(raw(text, lastWritten === undefined ? at : undefined));
    if (missedSince !== undefined) yield { kind: 'hole', from: missedSince, to: at, reason: `${label}: was not running` };
    heard ||= lines.length > 0;
    if (!caughtUp || at - quietAt < QUIET_SECONDS) continue;
    if (!heard) yield* said(assembler.flush());
    old = false;
    yield* parser.quiet(at).filter((event) => isNews(event, start));
    yield* reports.due(at);
    quietAt = at;
    heard = false;
  }
  yield* said(assembler.flush());
  yield* parser.end().filter((event) => isNews(event, start));
  yield* reports.left();
}

/** What is known from before the start is not told again; what an engine said of itself holds. */
function isNews(event: ServingEvent, start: Instant): boolean {
  if (event.kind === 'engine' || event.kind === 'flagged') return true;
  if (event.kind === 'gauge' || event.kind === 'watermark') return event.at >= start;
  return (event.kind === 'request' ? event.end : event.to) > start;
}

/** What is said now and then: how late lines come, and which could not be used. */
function reportsOf(label: string, clock: LiveClock, start: Instant) {
  let tally = lineTally(label);
  let delayAt = start;
  let skippedAt = start;
  return {
    skip: (line: number, reason: string) => tally.skip(line, reason),
    *due(at: Instant): Generator<ServingEvent> {
      if (at - delayAt >= DELAY_SECONDS) {
        delayAt = at;
        const delay = clock.delay();
        if (delay !== undefined) yield { kind: 'gauge', gauge: DELAY_GAUGE, value: delay, at };
      }
      if (at - skippedAt < SKIPPED_SECONDS) return;
      skippedAt = at;
      yield* tally.flagged();
      tally = lineTally(label);
    },
    /** Since it was said last. */
    left: () => tally.flagged(),
  };
}
