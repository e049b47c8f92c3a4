/** Feeds lines to the dialect as a reader of logs does, with stamps in UTC. */
import { instant, toIso, type Instant } from '@joulebook/shared/units.js';
import type { HoleEvidence, IdleEvidence, ServingEvent, StepsEvidence } from '../../source.js';
import type { LogClock, LogLine, LogParser } from './dialect.js';
import { sglang } from './sglang.js';

export const utcClock: LogClock = {
  at({ wrapped, arrived }, stamp): Instant | undefined {
    if (wrapped !== undefined) return wrapped;
    if (stamp?.year === undefined) return arrived;
    const { year, month = 1, day = 1, hour, minute, second } = stamp;
    return instant(Date.UTC(year, month - 1, day, hour, minute) / 1000 + second);
  },
};

export interface Fed {
  readonly parser: LogParser;
  readonly skipped: string[];
  readonly used: () => number;
}

export function sglangParser(decodeLogInterval?: number): Fed {
  const skipped: string[] = [];
  let used = 0;
  const parser = sglang.parser(
    {
      label: 'server.log',
      clock: utcClock,
      skip: (_, reason) => skipped.push(reason),
      used: () => {
        used += 1;
      },
    },
    decodeLogInterval === undefined ? {} : { decodeLogInterval },
  );
  return { parser, skipped, used: () => used };
}

export const asLines = (text: string): LogLine[] => text.split('\n').map((line, index) => ({ number: index + 1, text: line.replace(/\r$/, '') }));

/** A whole file. */
export function readWhole(text: string, decodeLogInterval?: number): { readonly events: readonly ServingEvent[]; readonly skipped: readonly string[]; readonly used: number } {
  const { parser, skipped, used } = sglangParser(decodeLogInterval);
  const events = [...asLines(text).flatMap((line) => parser.line(line)), ...parser.end()];
  return { events, skipped, used: used() };
}

export const stepsIn = (events: readonly ServingEvent[]): StepsEvidence[] => events.filter((event) => event.kind === 'steps');
export const idleIn = (events: readonly ServingEvent[]): IdleEvidence[] => events.filter((event) => event.kind === 'idle');
export const holesIn = (events: readonly ServingEvent[]): HoleEvidence[] => events.filter((event) => event.kind === 'hole');
export const codesIn = (events: readonly ServingEvent[]): string[] => events.flatMap((event) => (event.kind === 'flagged' ? [event.code] : []));

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
export const booked = (events: readonly ServingEvent[]): { readonly input: number; readonly cachedInput: number; readonly output: number; readonly steps: number } => {
  const counted = events.flatMap((event) => (event.kind === 'steps' || event.kind === 'request' || event.kind === 'window' ? [event.tokens] : []));
  return {
    input: sum(counted.map(({ input }) => input ?? 0)),
    cachedInput: sum(counted.map(({ cachedInput }) => cachedInput ?? 0)),
    output: sum(counted.map(({ output }) => output ?? 0)),
    steps: sum(stepsIn(events).map(({ steps }) => steps)),
  };
};

export const DAY = Date.UTC(2026, 1, 3) / 1000;
/** `[2026-02-03 00:00:07.250]`; without its fraction when cut. */
export const stamp = (second: number, ranks = '', cut = false): string => `[${toIso(instant(DAY + second)).replace('T', ' ').slice(0, cut ? 19 : 23)}${ranks === '' ? '' : ` ${ranks}`}]`;

interface Prefill {
  readonly sequences?: number;
  readonly tokens: number;
  readonly cached?: number;
  readonly running?: number;
  readonly queue?: number;
  /** Since 0.5.9 printed at the end. */
  readonly atEnd?: boolean;
  readonly more?: string;
}
export const prefill = (at: string, { sequences = 1, tokens, cached = 0, running = 0, queue = 0, atEnd = true, more = '' }: Prefill): string =>
  `${at} Prefill batch, #new-seq: ${sequences}, #new-token: ${tokens}, #cached-token: ${cached}, token usage: 0.10, #running-req: ${running}, #queue-req: ${queue}${more}${atEnd ? ', cuda graph: True, input throughput (token/s): 1.00' : ', '}`;

interface Decode {
  readonly running: number;
  readonly kv?: number;
  readonly rate?: number;
  readonly accept?: number;
  readonly queue?: number;
  readonly more?: string;
}
export const decode = (at: string, { running, kv = 101, rate = 100, accept, queue = 0, more = '' }: Decode): string =>
  `${at} Decode batch, #running-req: ${running}, #token: ${kv}, token usage: 0.20, ${accept === undefined ? '' : `accept len: ${accept.toFixed(2)}, accept rate: 0.50, `}${more}cuda graph: True, gen throughput (token/s): ${rate.toFixed(2)}, #queue-req: ${queue}`;

/** One of 100 tokens, then 4 × 40 steps of 10 ms of it: the first Decode line with 40 tokens more in the cache. */
export const oneRequest = (from: number, ranks = '', cut = false): string[] => [
  prefill(stamp(from, ranks, cut), { tokens: 100 }),
  ...[1, 2, 3, 4].map((line) => decode(stamp(from + 0.4 * line, ranks, cut), { running: 1, kv: 101 + 40 * line })),
];

export const read = (...lines: readonly string[]): ReturnType<typeof readWhole> => readWhole(lines.join('\n'));
/** Rounded to the millisecond, from the start of the day. */
export const told = (events: readonly ServingEvent[]): string[] =>
  events.flatMap((event) => {
    if (event.kind !== 'steps' && event.kind !== 'idle' && event.kind !== 'hole') return [];
    const span = `${(event.from - DAY).toFixed(3)}–${(event.to - DAY).toFixed(3)}`;
    return [event.kind === 'steps' ? `${span} ${event.prefillTokens > 0 ? `prefill ${event.prefillTokens}` : `${event.steps.toFixed(1)} steps of ${Math.round(event.decodes / event.steps)}`}` : `${span} ${event.kind}`];
  });
export const watermarks = (events: readonly ServingEvent[]): number[] => events.flatMap((event) => (event.kind === 'watermark' ? [event.at - DAY] : []));
