/** For the tests of vLLM's log: lines as the program writes them, through peel and the parser. */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { IdleEvidence, ServingEvent, StepsEvidence, WindowEvidence } from '../../source.js';
import type { LogLine, LogParser, Stamp } from './dialect.js';
import { peel } from './peel.js';
import { vllmLog } from './vllm.js';

/** 2026-06-01T12:00:00Z; the moments of tests count from here. */
const NOON = Date.UTC(2026, 5, 1, 12) / 1000;
export const at = (seconds: number): Instant => instant(NOON + seconds);
export const since = (moment: Instant): number => Math.round((moment - NOON) * 1000) / 1000;

const two = (value: number): string => String(value).padStart(2, '0');
export const header = (seconds: number, file = 'loggers.py:271'): string => {
  const time = new Date((NOON + seconds) * 1000);
  return `INFO ${two(time.getUTCMonth() + 1)}-${two(time.getUTCDate())} ${two(time.getUTCHours())}:${two(time.getUTCMinutes())}:${two(time.getUTCSeconds())} [${file}] `;
};

export interface Said {
  readonly prompt?: number;
  readonly output?: number;
  readonly running?: number;
  readonly waiting?: number;
  readonly kv?: number;
  readonly hits?: number;
  readonly engine?: string;
  readonly more?: string;
}
export const v1 = (seconds: number, { prompt = 0, output = 0, running = 0, waiting = 0, kv = 0, hits = 0, engine = 'Engine 000: ', more = '' }: Said = {}): string =>
  `(APIServer pid=1) ${header(seconds)}${engine}Avg prompt throughput: ${prompt.toFixed(1)} tokens/s, Avg generation throughput: ${output.toFixed(1)} tokens/s, Running: ${running} reqs, Waiting: ${waiting} reqs${more}, GPU KV cache usage: ${kv.toFixed(1)}%, Prefix cache hit rate: ${hits.toFixed(1)}%`;
export const v0 = (seconds: number, { prompt = 0, output = 0, running = 0, waiting = 0, kv = 0 }: Said = {}): string =>
  `${header(seconds, 'metrics.py:449')}Avg prompt throughput: ${prompt.toFixed(1)} tokens/s, Avg generation throughput: ${output.toFixed(1)} tokens/s, Running: ${running} reqs, Swapped: 0 reqs, Pending: ${waiting} reqs, GPU KV cache usage: ${kv.toFixed(1)}%, CPU KV cache usage: 0.0%.`;
/** Context requests and tokens, generation requests and tokens, elapsed milliseconds. */
export const iteration = (seconds: number, index: number, [contexts, contextTokens, generations, generationTokens]: readonly [number, number, number, number], elapsed = 0.03, more = ''): string =>
  `(EngineCore_DP0 pid=437) ${header(seconds, 'core.py:407')}Iteration(${index}): ${contexts} context requests, ${contextTokens} context tokens, ${generations} generation requests, ${generationTokens} generation tokens, iteration elapsed time: ${elapsed.toFixed(2)} ms${more}`;

const written = ({ year = 2026, month = 1, day = 1, hour, minute, second, zone }: Stamp): Instant => instant(Date.UTC(year, month - 1, day, hour, minute) / 1000 + second - (typeof zone === 'number' ? zone * 60 : 0));

export interface Reader {
  readonly parser: LogParser;
  readonly skipped: string[];
  readonly used: () => number;
  read(...raw: readonly string[]): ServingEvent[];
  /** All that the lines say, to their end. */
  all(...raw: readonly string[]): ServingEvent[];
}

export function reader(): Reader {
  const skipped: string[] = [];
  let used = 0;
  let number = 0;
  const clock = { at: (line: LogLine, stamp?: Stamp) => line.wrapped ?? (stamp ? written(stamp) : line.arrived) };
  const parser = vllmLog.parser({ label: 'vllm.log', clock, model: 'm', skip: (line, reason) => void skipped.push(`${line.number}: ${reason}`), used: () => void (used += 1) }, {});
  const read = (...raw: readonly string[]): ServingEvent[] =>
    raw.flatMap((each) => {
      const { text, wrapper, writer } = peel(each);
      number += 1;
      return parser.line({ number, text, ...(wrapper && !wrapper.rough && { wrapped: written(wrapper.stamp) }), ...(writer !== undefined && { writer }) });
    });
  return { parser, skipped, used: () => used, read, all: (...raw) => [...read(...raw), ...parser.end()] };
}

export const windowsIn = (events: readonly ServingEvent[]): WindowEvidence[] => events.filter((event) => event.kind === 'window');
export const idleIn = (events: readonly ServingEvent[]): IdleEvidence[] => events.filter((event) => event.kind === 'idle');
export const stepsIn = (events: readonly ServingEvent[]): StepsEvidence[] => events.filter((event) => event.kind === 'steps');
export const codesIn = (events: readonly ServingEvent[]): string[] => events.flatMap((event) => (event.kind === 'flagged' ? [event.code] : []));

/** `0 to 10: 400/90`, `10 to 40 idle`: evidence of time, in its order. */
export const story = (events: readonly ServingEvent[]): string[] =>
  events.flatMap((event) => {
    if (event.kind === 'window') return [`${since(event.from)} to ${since(event.to)}: ${event.tokens.input ?? '-'}/${event.tokens.output ?? '-'}${event.busy === undefined ? '' : ` busy ${event.busy}`}`];
    if (event.kind === 'idle' || event.kind === 'hole') return [`${since(event.from)} to ${since(event.to)} ${event.kind}`];
    return [];
  });
