/** Lines through the reader of recorded logs into a parser, without a file: for the tests of llama.cpp and Ollama. */
import { instant, type Instant } from '@joulebook/shared/units.js';
import { zone } from '../../timestamps.js';
import type { IdleEvidence, RequestEvidence, ServingEvent } from '../../source.js';
import { lineAssembler } from './assemble.js';
import { liveClock, recordedClock } from './clock.js';
import type { LogContext, LogDialect, LogParser } from './dialect.js';

export interface Reading {
  readonly lastChange?: number;
  readonly tz?: string;
  readonly model?: string;
}

export interface Heard {
  readonly events: ServingEvent[];
  readonly skipped: string[];
  used: number;
}

const silent = (): Heard => ({ events: [], skipped: [], used: 0 });

function contextOf(heard: Heard, clock: LogContext['clock'], { lastChange, model }: Reading): LogContext {
  return {
    label: 'server.log',
    clock,
    model,
    lastChange: lastChange === undefined ? undefined : instant(lastChange),
    skip: (line, reason) => heard.skipped.push(`${line.number}: ${reason}`),
    used: () => void (heard.used += 1),
  };
}

/** A finished file, read to its end. */
export function readLog(dialect: Pick<LogDialect, 'isOf'>, parserOf: (context: LogContext) => LogParser, text: string, reading: Reading = {}): Heard {
  const heard = silent();
  const lastChange = reading.lastChange === undefined ? undefined : instant(reading.lastChange);
  const clock = recordedClock({ zone: zone(reading.tz ?? 'UTC'), lastChange });
  const assembler = lineAssembler(dialect, clock);
  const parser = parserOf(contextOf(heard, clock, reading));
  for (const [index, line] of text.split('\n').entries()) for (const whole of assembler.push({ number: index + 1, text: line })) heard.events.push(...parser.line(whole));
  for (const whole of assembler.flush()) heard.events.push(...parser.line(whole));
  heard.events.push(...parser.end());
  return heard;
}

export interface Tail extends Heard {
  /** A line is read; without a time it was there before the reading began. */
  says(text: string, arrived?: number): void;
  quiet(at: number): readonly ServingEvent[];
}

/** A file that is being written. */
export function tailLog(dialect: Pick<LogDialect, 'isOf'>, parserOf: (context: LogContext) => LogParser): Tail {
  const heard = silent();
  const utc = zone('UTC');
  const clock = liveClock({ host: utc, utc });
  const assembler = lineAssembler(dialect, clock);
  const parser = parserOf(contextOf(heard, clock, {}));
  let number = 0;
  return Object.assign(heard, {
    says(text: string, arrived?: number) {
      number += 1;
      for (const whole of assembler.push({ number, text, ...(arrived !== undefined && { arrived: instant(arrived) }) })) heard.events.push(...parser.line(whole));
    },
    quiet: (at: number) => parser.quiet(instant(at)),
  });
}

export const requestsIn = (events: readonly ServingEvent[]): RequestEvidence[] => events.filter((event) => event.kind === 'request');
export const idleIn = (events: readonly ServingEvent[]): number[][] => events.filter((event): event is IdleEvidence => event.kind === 'idle').map(({ from, to }) => [rounded(from), rounded(to)]);
export const codesIn = (events: readonly ServingEvent[]): string[] => events.flatMap((event) => (event.kind === 'flagged' ? [event.code] : []));
/** To microseconds. */
export const rounded = (at: Instant | number): number => Math.round(at * 1e6) / 1e6;

/** [start, scheduled, first token, end] */
export const timesOf = ({ start, scheduled, firstToken, end }: RequestEvidence): (number | undefined)[] => [start, scheduled, firstToken, end].map((at) => (at === undefined ? undefined : rounded(at)));
