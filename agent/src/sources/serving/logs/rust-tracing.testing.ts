/** For the tests of the dialects of Rust programs: raw lines through peel and a parser, with times as they are written. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { RequestEvidence, ServingEvent } from '../../source.js';
import type { LogDialect, LogLine, LogParser, Stamp } from './dialect.js';
import { peel } from './peel.js';

export const utc = (text: string): Instant => instant(Date.parse(text) / 1000);

const written = (stamp: Stamp): Instant => {
  const { year = 1970, month = 1, day = 1, hour, minute, second, zone } = stamp;
  return instant(Date.UTC(year, month - 1, day, hour, minute) / 1000 + second - (typeof zone === 'number' ? zone * 60 : 0));
};

export interface Reader {
  readonly parser: LogParser;
  readonly skipped: string[];
  /** How many lines said something. */
  readonly used: () => number;
  /** Events of raw lines, numbered on from those before. */
  read(...raw: readonly string[]): ServingEvent[];
}

export function reader(dialect: LogDialect, model?: string): Reader {
  const skipped: string[] = [];
  let used = 0;
  let number = 0;
  const clock = { at: (line: LogLine, stamp?: Stamp) => line.wrapped ?? (stamp ? written(stamp) : line.arrived) };
  const parser = dialect.parser({ label: 'x.log', clock, model, skip: (line, reason) => void skipped.push(`${line.number}: ${reason}`), used: () => void (used += 1) }, {});
  return {
    parser,
    skipped,
    used: () => used,
    read: (...raw) =>
      raw.flatMap((each) => {
        const { text, wrapper, writer } = peel(each);
        number += 1;
        return parser.line({ number, text, ...(wrapper && !wrapper.rough && { wrapped: written(wrapper.stamp) }), ...(writer !== undefined && { writer }) });
      }),
  };
}

export const requestsIn = (events: readonly ServingEvent[]): RequestEvidence[] => events.filter((event) => event.kind === 'request');

/** Seconds as a person would write them: a double of today's time has 0.24 µs steps. */
export const rounded = (value: number | undefined): number | undefined => (value === undefined ? undefined : Math.round(value * 1e5) / 1e5);

/** Real logs are not part of the project: tests of them are skipped where they are absent. */
const logs = new URL('../../../../../../shared/logs/', import.meta.url);
export const haveLogs = existsSync(fileURLToPath(logs));
export const ifNoLogs = haveLogs ? '' : ' (skipped: ../shared/logs is not here)';
export const linesOf = (name: string): string[] => readFileSync(new URL(name, logs), 'utf8').split('\n').filter((line) => line !== '');
