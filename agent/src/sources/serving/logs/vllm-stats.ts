/**
 * The lines of statistics of one engine → windows, and what their silence means.
 *
 *     INFO … [loggers.py:271] Engine 000: Avg prompt throughput: 1486.9 tokens/s, Avg generation throughput: 18.8 tokens/s, Running: 3 reqs, Waiting: 0 reqs, …
 *
 *     prompt      400     0   (nothing is written)   1982      the prompt of a request is told when it gives its first token,
 *     generation   90     0                            0.8     and lines of nothing after a line of nothing are left out
 *     running       1     1                              1
 *                ├─────┼─────┼── busy, no tokens ──┼─────┤     somebody was running: a long prompt was being computed
 *
 * Where nobody ran at the last line, the silence is idle. A prompt that is told after it may have been begun within it:
 * as long as its computing may have taken at the slowest, nothing is claimed.
 *
 * Tokens are rate × interval, as whole numbers whose sum follows the exact sum. vLLM before 0.16 counts what it found in
 * its prefix cache as prompt tokens like the rest, so `input` is all of it; since then `input` is what was computed. No
 * line tells how much was cached.
 */
import { instant, seconds, tokens, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { ServingEvent, TokenCounts, WindowEvidence } from '../../source.js';
import { LATE, stampWidth, ticks, type Tick } from './vllm-ticks.js';
import type { DraftsLine, StatsLine } from './vllm-line.js';
import { implausible, wholeTokens } from './vllm-rates.js';

export interface StatsReader {
  line(stats: StatsLine, at: Instant): ServingEvent[];
  /** Belongs to the line of statistics before it. */
  drafts(line: DraftsLine): void;
  /** A request of this engine came: whatever follows is not idle. */
  arrived(at: Instant): void;
  ended(outcome: 'ok' | 'aborted', requests: number, at: Instant): void;
  /** Something else was written at this moment: what is held belongs to a second that is over. */
  settle(now: Instant): ServingEvent[];
  /** Nothing was written until this moment. */
  quiet(at: Instant): ServingEvent[];
  end(): ServingEvent[];
  /** The process ended: what comes next is of another. */
  restart(): ServingEvent[];
  /** Until when everything has been said. */
  readonly said: Instant | undefined;
}

export interface StatsContext {
  readonly label: string;
  readonly rank?: string | undefined;
  readonly model?: string | undefined;
  /** Whether these lines are what tokens are booked from, see vllm.ts. */
  readonly booked: () => boolean;
  /** Of one engine. */
  readonly kvCacheTokens: () => number | undefined;
}

type Ended = { readonly [outcome in 'ok' | 'aborted']?: number };

/** A line and the window that it tells of, until it is known that nothing more is said of it. */
interface Held {
  readonly stats: StatsLine;
  readonly tick: Tick;
  /** Absent: one interval, as soon as that is known. */
  readonly from?: Instant;
  /** What the rates were divided by, where that is not the interval. */
  readonly divided?: Seconds;
  readonly before: StatsLine | undefined;
  readonly requests?: Ended;
  decodeSteps?: number;
}

const USUAL = { V0: seconds(5), V1: seconds(10) } as const;
const LONGEST_V0 = 11;
/** A stamp is cut to seconds, and lines take a moment to arrive. */
const SETTLED = 1.5;
/** A line that should have been written is late for as many intervals at most; then lines are missing. */
const LATEST = 3;
/** Prompts are computed faster than this (tokens/s) by anything that serves. */
export const SLOWEST_PREFILL = 500;
/** Longer silence with requests running is of a server that is gone. */
const LONGEST_PREFILL = 600;
export function statsReader(context: StatsContext): StatsReader {
  const { label, rank, model } = context;
  let clock = ticks(USUAL.V1);
  let generation: StatsLine['generation'] | undefined;
  let last: StatsLine | undefined;
  let lastTick = instant(0);
  let held: Held | undefined;
  let said: Instant | undefined;
  let cameAt: Instant | undefined;
  let totalDrafts: number | undefined;
  let ends: Ended = {};
  /** Who says only which requests were aborted tells nothing of how many were not. */
  let tellsEnds = false;
  let lastEnd: Instant | undefined;
  const prompt = wholeTokens();
  const generated = wholeTokens();

  const of = { ...(rank !== undefined && { rank }), ...(model !== undefined && { model }) };

  /** Nothing was written from one tick to another, and then came a line that told of `promptTokens` (0: not yet). */
  function silence(from: Instant, to: Instant, promptTokens: number): ServingEvent[] {
    if (to <= from || last === undefined) return [];
    const credits = last.generation === 'V1' ? { credits: 'firstToken' as const } : {};
    const busy = last.running + (last.waiting ?? 0);
    const none = noTokens(context.booked());
    said = to;
    if (busy > 0) {
      const busyUntil = instant(Math.min(to, Math.max(from, lastTick + LONGEST_PREFILL)));
      const events: ServingEvent[] = busyUntil > from ? [{ kind: 'window', from, to: busyUntil, tokens: none, ...credits, busy, running: last.running, ...of }] : [];
      if (busyUntil < to) events.push({ kind: 'hole', from: busyUntil, to, reason: `${label}: nothing was written for longer than a prompt takes, though requests were running` });
      return events;
    }
    const began = Math.min(cameAt ?? to, to - Math.max(0, promptTokens / SLOWEST_PREFILL - clock.interval()));
    const idleUntil = instant(Math.max(from, began));
    const events: ServingEvent[] = idleUntil > from ? [{ kind: 'idle', from, to: idleUntil, ...(rank !== undefined && { rank }) }] : [];
    if (idleUntil < to) events.push({ kind: 'window', from: idleUntil, to, tokens: none, ...credits, ...of });
    return events;
  }

  function release(): ServingEvent[] {
    if (!held) return [];
    const { stats, tick, before, decodeSteps, requests } = held;
    const from = held.from ?? instant(tick.at - clock.interval());
    const length = held.divided ?? (held.from === undefined || stats.generation === 'V1' ? clock.interval() : tick.at - from);
    held = undefined;
    const to = tick.at;
    said = to;
    if (implausible(stats, before)) {
      const busy = stats.running + (stats.waiting ?? 0);
      return [
        { kind: 'window', from, to, tokens: {}, busy, running: stats.running, ...of },
        { kind: 'flagged', code: 'IMPLAUSIBLE_RATE', count: 1, detail: `${label}: a line of statistics tells more tokens per second than can be; its tokens are left out. Compare the totals with the metrics page` },
      ];
    }
    const counts = { input: prompt(stats.promptRate * length), output: generated(stats.generationRate * length) };
    if (before && !somebody(before) && !somebody(stats) && stats.promptRate === 0 && stats.generationRate === 0) return [{ kind: 'idle', from, to, ...(rank !== undefined && { rank }) }];
    const size = context.kvCacheTokens();
    const window: WindowEvidence = {
      kind: 'window', from, to, tokens: context.booked() ? counts : {},
      ...(stats.generation === 'V1' && { credits: 'firstToken' }),
      busy: Math.max(before ? before.running + (before.waiting ?? 0) : 0, stats.running + (stats.waiting ?? 0)),
      running: stats.running,
      ...(stats.kvUsage !== undefined && { kvUsage: stats.kvUsage }),
      ...(stats.engines > 1 && { engines: stats.engines }),
      ...(stats.kvUsage !== undefined && size !== undefined && { kvTokens: Math.round(stats.kvUsage * size * stats.engines) }),
      ...(decodeSteps !== undefined && { decodeSteps }),
      ...(requests && { requests }),
      ...of,
    };
    return [window];
  }

  function begin(stats: StatsLine): void {
    generation = stats.generation;
    clock = ticks(USUAL[generation]);
    last = undefined;
  }

  /** Requests that ended after the last line of statistics are told without tokens. */
  function finish(): ServingEvent[] {
    const events = release();
    const from = lastTick;
    if (tellsEnds && lastEnd !== undefined && lastEnd > from) events.push({ kind: 'window', from, to: lastEnd, tokens: {}, requests: ends, ...of });
    ends = {};
    lastEnd = undefined;
    return events;
  }

  /** The first line waits for the second, which tells the interval. */
  function settle(now: Instant): ServingEvent[] {
    if (!held || now - held.tick.at < (held.from === undefined ? clock.interval() : 0) + SETTLED) return [];
    return release();
  }

  return {
    line(stats, at) {
      const events: ServingEvent[] = [];
      if (stats.generation !== generation) {
        events.push(...release());
        begin(stats);
      }
      const before = last;
      const due = before !== undefined && (before.promptRate > 0 || before.generationRate > 0);
      const tick = clock.next(at, due);
      events.push(...release());
      const interval = clock.interval();
      const { previous } = tick;
      const missing = due && previous !== undefined && tick.at - previous > LATEST * interval;
      const late = due && !missing && previous !== undefined && Math.abs(tick.at - previous - interval) > LATE;
      // V0 writes at least every 10 s where it writes at all, and divides by the time since it last did.
      const silent = tick.silent > 0 && previous !== undefined && (stats.generation === 'V1' || tick.at - previous > LONGEST_V0);
      const oneBefore = instant(tick.at - interval);
      if (previous !== undefined && missing) {
        events.push({ kind: 'hole', from: previous, to: oneBefore, reason: `${label}: lines of statistics are missing` });
      } else if (previous !== undefined && silent) events.push(...silence(previous, oneBefore, stats.promptRate * interval));
      const from = previous === undefined ? undefined : missing || silent ? oneBefore : previous;
      held = { stats, tick, before: previous === undefined ? undefined : before, ...(from !== undefined && { from }), ...(late && previous !== undefined && { divided: seconds(tick.at - previous) }), ...(tellsEnds && { requests: ends }) };
      ends = {};
      lastEnd = undefined;
      last = stats;
      lastTick = tick.at;
      cameAt = undefined;
      return events;
    },
    drafts(line) {
      const drafts = line.of === 'window' ? line.drafts : line.drafts - (totalDrafts ?? line.drafts);
      if (line.of === 'total') totalDrafts = line.drafts;
      if (!held || drafts <= 0) return;
      // Each step drafts once for every sequence that decodes: as many as ran in the mean of both ends.
      held.decodeSteps = drafts / Math.max(1, ((held.before?.running ?? held.stats.running) + held.stats.running) / 2);
    },
    arrived(at) {
      cameAt ??= at;
    },
    ended(outcome, requests, at) {
      lastEnd = instant(at + stampWidth(at));
      ends = { ...ends, [outcome]: (ends[outcome] ?? 0) + requests };
      tellsEnds ||= outcome === 'ok';
    },
    settle,
    quiet(at) {
      const events = settle(at);
      if (held || !last || said === undefined || last.promptRate > 0 || last.generationRate > 0) return events;
      const from = said;
      const passed = clock.pass(instant(at - SETTLED));
      return passed === 0 ? events : [...events, ...silence(from, instant(from + passed * clock.interval()), 0)];
    },
    end: finish,
    restart() {
      const events = finish();
      clock.restart();
      last = undefined;
      cameAt = undefined;
      totalDrafts = undefined;
      return events;
    },
    get said() {
      return said;
    },
  };
}

const noTokens = (booked: boolean): TokenCounts => (booked ? { input: tokens(0), output: tokens(0) } : {});

const somebody = ({ running, waiting }: StatsLine): boolean => running + (waiting ?? 0) > 0;
