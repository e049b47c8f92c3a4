/** In which zone the stamps of a live log are that say none: told by the lines that were there before the start. */
import type { Instant } from '@joulebook/shared/units.js';
import { zone, type Zone } from '../../timestamps.js';
import { lineAssembler } from './assemble.js';
import { recordedClock, type LiveClock } from './clock.js';
import type { LogClock, LogContext, LogDialect, LogParser, Stamp } from './dialect.js';

/** Reads lines from before the start to find their last stamp without a zone: it was fresh when the file was last written. */
export function learnZone(lines: readonly (string | undefined)[], lastWritten: Instant, clock: LiveClock, dialect: Pick<LogDialect, 'isOf' | 'isCut'>, parserOf: (context: LogContext) => LogParser, label: string): void {
  const reading = recordedClock({ zone: zone('UTC'), lastChange: lastWritten });
  let last: Stamp | undefined;
  const noting: LogClock = {
    at(line, stamp) {
      if (stamp && stamp.zone === undefined && line.wrapped === undefined) last = stamp;
      return reading.at(line, stamp);
    },
  };
  const assembler = lineAssembler(dialect, reading);
  const parser = parserOf({ label, clock: noting, used: () => undefined, skip: () => undefined });
  lines.forEach((text, index) => {
    if (text !== undefined) for (const line of assembler.push({ number: index, text })) parser.line(line);
  });
  // One that does not know yet whose log it is reads them now.
  parser.end();
  if (last) clock.learn(last, lastWritten);
}

/** Of this machine; one that is only an abbreviation is taken for UTC, which is tried anyway. */
export function hostZone(): Zone {
  try {
    return zone(new Intl.DateTimeFormat().resolvedOptions().timeZone);
  } catch {
    return zone('UTC');
  }
}
