/**
 * LMDeploy's log: every 10 s one line of statistics per engine, unless no token moved in these 10 s.
 *
 *   [2026-02-05 17:05:17 DP0] Avg thr (in/out): 4618.5 / 2756.3 tokens/s, API server (completed/routed/waiting): …, Engine (running/waiting): 45 / 5, KV cache: 21.6%,
 *   [2026-07-01 09:00:10 Engine 000] Avg thr (in/out): …, Server (succeeded/failed/routed/waiting): …, Engine (running/waiting): …
 *
 * - A line tells of the 10 s before it, also after silence: an interval that isn't printed starts its counters anew.
 * - A prompt counts, cached part included, in the interval of its first token, which may be long after its prefill began.
 * - Silence is intervals without a token. Who ran in the line before runs on, in a long prefill.
 * - With `--log-level INFO` requests are told as well (`lmdeploy-sessions.ts`). Their tokens are those of the statistics, so
 *   they are evidence only where there are none (`--disable-metrics`).
 */
import { instant, later, seconds, tokens, type Instant } from '@joulebook/shared/units.js';
import type { ServingEvent, WindowEvidence } from '../../source.js';
import type { LogContext, LogDialect, LogLine, LogParser } from './dialect.js';
import { isSession, sessions } from './lmdeploy-sessions.js';

const INTERVAL = seconds(10);
/** Stamps are cut to seconds: two lines in a row are 9 to 11 s apart by them. */
const SLACK = seconds(1.5);
/** Who ran and gave no token for so long is not in a long prefill: the server was gone. */
const LONGEST_PREFILL = seconds(600);
/** No engine moves as many tokens in a second. */
const ABSURD_RATE = 5e6;

const STATISTICS = 'Avg thr (in/out): ';
const LINE = /\[(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?: (?:DP|Engine )(\d+))?\] Avg thr \(in\/out\): (\d+(?:\.\d+)?) \/ (\d+(?:\.\d+)?) tokens\/s, /;
const ENGINE = /Engine \(running\/waiting\): (\d+) \/ (\d+)/;
const KV_CACHE = /KV cache: (\d+(?:\.\d+)?)%/;

export const lmdeploy: LogDialect = {
  name: 'lmdeploy-log',
  summary: "LMDeploy's log: tokens in and out per 10 s, running and waiting requests",
  options: {},
  isOf: (text) => text.includes(STATISTICS) || isSession(text),
  isCut: (text) => text.includes(STATISTICS) && !KV_CACHE.test(text),
  parser,
};

interface Statistics {
  readonly rank: string;
  /** Its time was somewhere in the second of the stamp: the middle of it. */
  readonly to: Instant;
  readonly input: number;
  readonly output: number;
  readonly running?: number;
  readonly waiting?: number;
  readonly kvUsage?: number;
}

/** What was last heard of an engine, and up to when its silence has been told. */
interface Heard {
  readonly line: Statistics;
  readonly told: Instant;
}

function parser(context: LogContext): LogParser {
  const heard = new Map<string, Heard>();
  const requests = sessions(context);
  let said: Instant | undefined;

  /** An interval of which no line came, although one would have come by now, had no token. */
  function* silences(at: Instant, speaking?: string): Generator<ServingEvent> {
    for (const [rank, { line, told }] of heard) {
      const intervals = Math.floor((at - told - SLACK) / INTERVAL);
      if (intervals < 1 || rank === speaking) continue;
      const until = later(told, seconds(intervals * INTERVAL));
      heard.set(rank, { line, told: until });
      yield* silence(context, line, told, until);
    }
  }

  function* statistics(now: Statistics): Generator<ServingEvent> {
    yield* silences(now.to, now.rank);
    const before = heard.get(now.rank);
    const gap = before ? now.to - before.told : Number.POSITIVE_INFINITY;
    const follows = before && Math.abs(gap - INTERVAL) <= SLACK;
    const from = follows || (before && gap > 0 && gap < INTERVAL) ? before.told : instant(now.to - INTERVAL);
    if (before && from > before.told) yield* silence(context, before.line, before.told, from);
    heard.set(now.rank, { line: now, told: now.to });
    const busy = busyOf(now);
    const highest = busy === undefined ? undefined : Math.max(busy, (follows && busyOf(before.line)) || 0);
    yield windowOf(context, now, from, now.to, { input: tokens(now.input), output: tokens(now.output) }, highest);
    yield* gauges(heard, now, context.model);
  }

  /** A line that comes now tells of what was up to one interval ago, and no request that is open has been told. */
  function* watermark(at: Instant): Generator<ServingEvent> {
    const open = requests.since;
    const upTo = instant(Math.min(at - INTERVAL - SLACK, open ?? Number.POSITIVE_INFINITY));
    if (said !== undefined && upTo <= said) return;
    said = upTo;
    yield { kind: 'watermark', at: upTo };
  }

  function* read(line: LogLine): Generator<ServingEvent> {
    const found = statisticsOf(line, context);
    if (typeof found === 'string') {
      context.skip(line, found);
      return;
    }
    context.used();
    requests.statisticsSeen();
    yield* statistics(found);
    yield* watermark(found.to);
  }

  return {
    line: (line) => (line.text.includes(STATISTICS) ? [...read(line)] : requests.line(line)),
    quiet: (at) => [...requests.upTo(at), ...silences(at), ...watermark(at)],
    end: () => [...requests.end()],
  };
}

/** @returns why it can't be used */
function statisticsOf(line: LogLine, { clock }: LogContext): Statistics | string {
  const match = LINE.exec(line.text);
  if (!match) return 'statistics in a form that is not known';
  const [, year, month, day, hour, minute, second, rank = '0', input, output] = match;
  const at = clock.at(line, { year: Number(year), month: Number(month), day: Number(day), hour: Number(hour), minute: Number(minute), second: Number(second) });
  if (at === undefined) return 'its time does not exist in this zone';
  if (Math.max(Number(input), Number(output)) > ABSURD_RATE) return 'more tokens per second than any engine moves';
  const [, running, waiting] = ENGINE.exec(line.text) ?? [];
  const kv = KV_CACHE.exec(line.text)?.[1];
  return {
    rank: String(Number(rank)),
    to: Number.isInteger(at) ? later(at, seconds(0.5)) : at,
    input: Math.round(Number(input) * INTERVAL),
    output: Math.round(Number(output) * INTERVAL),
    ...(running !== undefined && waiting !== undefined && { running: Number(running), waiting: Number(waiting) }),
    ...(kv !== undefined && { kvUsage: Number(kv) / 100 }),
  };
}

const busyOf = ({ running, waiting }: Statistics): number | undefined => (running === undefined || waiting === undefined ? undefined : running + waiting);

function silence(context: LogContext, line: Statistics, from: Instant, to: Instant): ServingEvent[] {
  const busy = busyOf(line);
  const believed = busy === 0 ? to : instant(Math.min(to, Math.max(from, line.to + LONGEST_PREFILL)));
  return [
    ...(believed > from ? [windowOf(context, line, from, believed, { input: tokens(0), output: tokens(0) }, busy)] : []),
    ...(to > believed ? [{ kind: 'hole' as const, from: believed, to, reason: `${context.label}: no statistics for more than ${LONGEST_PREFILL} s after a line with requests running` }] : []),
  ];
}

function windowOf({ model }: LogContext, { rank, running, kvUsage }: Statistics, from: Instant, to: Instant, moved: WindowEvidence['tokens'], busy: number | undefined): WindowEvidence {
  return {
    kind: 'window',
    from,
    to,
    tokens: moved,
    credits: 'firstToken',
    ...(busy !== undefined && { busy }),
    ...(running !== undefined && { running }),
    ...(kvUsage !== undefined && { kvUsage }),
    rank,
    ...(model !== undefined && { model }),
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Of all engines together, as each said last; the use of the cache is their mean. */
function* gauges(heard: ReadonlyMap<string, Heard>, { to: at }: Statistics, model: string | undefined): Generator<ServingEvent> {
  const lines = [...heard.values()].map(({ line }) => line);
  const of = { at, ...(model !== undefined && { model }) };
  const running = lines.flatMap((line) => line.running ?? []);
  const waiting = lines.flatMap((line) => line.waiting ?? []);
  const usage = lines.flatMap((line) => line.kvUsage ?? []);
  if (running.length > 0) yield { kind: 'gauge', gauge: 'serving.requests.running', value: sum(running), ...of };
  if (waiting.length > 0) yield { kind: 'gauge', gauge: 'serving.requests.waiting', value: sum(waiting), ...of };
  if (usage.length > 0) yield { kind: 'gauge', gauge: 'serving.kv_cache.usage', value: sum(usage) / usage.length, ...of };
}
