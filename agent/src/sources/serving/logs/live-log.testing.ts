/** For tests of live logs: a dialect of one kind of line, a context, and what was said until something has been seen. */
import { instant } from '@joulebook/shared/units.js';
import { NO_BILL } from '../../no-bill.testing.js';
import type { LiveContext, ServingEvent } from '../../source.js';
import type { LogContext, LogDialect, LogParser } from './dialect.js';

const LINE = /did (\d+)(?: at (\d\d):(\d\d):(\d\d))?$/;

/**
 * `did 7 at 12:00:05`: a request of 7 output tokens that took a second; without `at` it ends when the line came.
 * `version 3`: a fact. `did nothing`: can't be used. What is quiet is idle up to then.
 */
export const plainDialect: LogDialect = {
  name: 'plain-log',
  summary: 'lines of tests',
  options: {},
  isOf: (text) => text.startsWith('did '),
  parser: plainParser,
};

export function plainParser(context: LogContext): LogParser {
  let last: number | undefined;
  return {
    line(line) {
      const fact = /^version (\d+)/.exec(line.text);
      if (fact) return [{ kind: 'engine', at: instant(0), version: fact[1] ?? '' }];
      if (!line.text.startsWith('did ')) return [];
      const match = LINE.exec(line.text);
      const [, output, hour, minute, second] = match ?? [];
      const end = context.clock.at(line, hour === undefined ? undefined : { hour: Number(hour), minute: Number(minute), second: Number(second) });
      if (end === undefined || output === undefined) {
        context.skip(line, 'it says nothing');
        return [];
      }
      context.used();
      last = end;
      return [{ kind: 'request', id: `${line.writer ?? ''}#${output}`, start: instant(end - 1), end, tokens: {}, outcome: 'ok' }];
    },
    quiet: (at) => (last === undefined || at <= last ? [] : [{ kind: 'idle', from: instant(last), to: at }]),
    end: () => [],
  };
}

const PATIENCE_MS = 15_000;

export interface Heard<T> {
  readonly events: readonly T[];
  readonly logged: readonly string[];
}

/** @param until told all so far; may act on the log and answer later */
export async function hear<T = ServingEvent>(source: (context: LiveContext) => AsyncIterable<T>, until: (events: readonly T[]) => boolean | Promise<boolean>, given: Partial<LiveContext> = {}): Promise<Heard<T>> {
  const stop = new AbortController();
  const late = setTimeout(() => stop.abort(), PATIENCE_MS);
  const logged: string[] = [];
  const keep = (message: string): void => void logged.push(message);
  const events: T[] = [];
  try {
    for await (const event of source({ now: () => instant(Date.now() / 1000), environment: { PATH: process.env['PATH'] }, bill: NO_BILL, log: { info: keep, warn: keep }, ...given, signal: stop.signal })) {
      if (stop.signal.aborted) continue;
      events.push(event);
      if (await until(events)) stop.abort();
    }
  } finally {
    clearTimeout(late);
  }
  return { events, logged };
}

export const idsOf = (events: readonly ServingEvent[]): string[] => events.flatMap((event) => (event.kind === 'request' ? [event.id] : []));
