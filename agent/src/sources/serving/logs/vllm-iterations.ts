/**
 * The iteration lines of one engine (`--enable-logging-iteration-details`) → steps.
 *
 *     INFO … [core.py:349] Iteration(515): 1 context requests, 2048 context tokens, 20 generation requests, 20 generation tokens, iteration elapsed time: 10.99 ms
 *
 * A line is written when its iteration ends, with a stamp cut to seconds; the elapsed time is that of waiting for the
 * result, which under asynchronous scheduling is next to nothing. When the iterations really ended vllm-moments.ts finds
 * out; where a wrapper tells it to the millisecond it is taken from there.
 *
 * Indices follow each other as long as no line is missing; only then a time without lines is idle. The first has index 0:
 * before it nobody ran since the server was started.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { ServingEvent, StepsEvidence } from '../../source.js';
import type { IterationLine } from './vllm-line.js';
import { moments, type Placed } from './vllm-moments.js';
import { SLOWEST_PREFILL } from './vllm-stats.js';
import { goesOn, stepsOf, type IterationContext as StepsContext } from './vllm-steps.js';
import { stampWidth } from './vllm-ticks.js';

export interface IterationReader {
  /** What it says carries the tokens of the iterations; who books from elsewhere leaves them out. */
  line(iteration: IterationLine, at: Instant): ServingEvent[];
  settle(now: Instant): ServingEvent[];
  end(): ServingEvent[];
  restart(): ServingEvent[];
  readonly said: Instant | undefined;
}

export interface IterationContext extends StepsContext {
  /** When the server last said something of its start. */
  readonly startedUp: () => Instant | undefined;
}

/** Lines take a moment to arrive. */
const SETTLED = 1.5;
/** Of an engine whose lines tell their own moment. */
const LONGEST_PAUSE = 1;
/** A shorter time without lines is a pause between iterations; it is longer where their lengths were guessed. */
const SHORTEST_IDLE = 0.1;
const SHORTEST_IDLE_BY_WORK = 1;

export function iterationReader(context: IterationContext): IterationReader {
  const { label, rank } = context;
  const clock = moments();
  /** Stamps have fractions. One of them may be of no fraction all the same. */
  let fine = false;
  let before: IterationLine | undefined;
  /** Nobody ran after the last line, or lines are missing. */
  let rested = false;
  let whole = true;
  let lastIndex: number | undefined;
  let lastAt: Instant | undefined;
  /** Of the last iteration that was told; and the piece with it, which is told when it is known what follows. */
  let end: Instant | undefined;
  let held: StepsEvidence | undefined;

  function tell(placed: Placed): ServingEvent[] {
    const { from, lines, byWork, timing, ends } = placed;
    const events: ServingEvent[] = [];
    const pause = end === undefined ? 0 : from - end;
    if (end !== undefined && pause > 0 && !placed.whole) events.push(...release(), { kind: 'hole', from: end, to: from, reason: `${label}: iteration lines are missing` });
    else if (end !== undefined && pause >= (byWork ? SHORTEST_IDLE_BY_WORK : SHORTEST_IDLE)) {
      const doubt = !byWork ? 0 : timing === 'placed' ? (ends[0] ?? from) - from : (lines[0]?.contextTokens ?? 0) / SLOWEST_PREFILL;
      const to = instant(from - doubt);
      events.push(...release());
      if (to > end) events.push({ kind: 'idle', from: end, to, ...(rank !== undefined && { rank }) });
    } else events.push(...release(from));
    const steps = stepsOf(placed, context);
    held = steps.pop();
    end = placed.ends.at(-1) ?? end;
    return [...events, ...steps];
  }

  /** @param next begins so soon that the pause belongs to the iteration before it */
  function release(next?: Instant): StepsEvidence[] {
    const piece = held;
    held = undefined;
    return piece ? [next !== undefined && next > piece.to ? { ...piece, to: next } : piece] : [];
  }

  const flush = (): ServingEvent[] => [...clock.flush().flatMap(tell), ...release()];

  function forget(): void {
    clock.restart();
    before = undefined;
    lastAt = undefined;
    end = undefined;
  }

  /** Its own moment is known: it is as long as it says, or began when the one before it ended. */
  function exactly(line: IterationLine, at: Instant): ServingEvent[] {
    const events = clock.flush().flatMap(tell);
    const { elapsed = 0 } = line;
    const follows = end !== undefined && at - end < LONGEST_PAUSE;
    const told = follows || elapsed > 0;
    const from = instant(Math.min(at, follows && end !== undefined ? end : Math.max(end ?? -Infinity, at - elapsed)));
    return [...events, ...tell({ from, ends: [at], lines: [line], timing: told ? 'exact' : 'inferred', byWork: !told, whole })];
  }

  return {
    line(line, at) {
      const events: ServingEvent[] = [];
      const restarted = lastIndex !== undefined && line.index <= lastIndex;
      const missing = lastIndex !== undefined && line.index > lastIndex + 1;
      if (restarted || (lastAt !== undefined && at + 1 < lastAt)) {
        events.push(...flush());
        forget();
      }
      if (lastIndex === undefined && line.index === 0) end = context.startedUp();
      lastIndex = line.index;
      whole &&= !missing;
      if (line.dummy || line.contextTokens + line.generationTokens === 0) {
        rested = true;
        return events;
      }
      const joined = before !== undefined && !rested && whole && (line.generationRequests > 0 || goesOn(before, context.chunkTokens()));
      fine ||= stampWidth(at) === 0;
      events.push(...(fine ? exactly(line, at) : clock.add(line, at, { joined, whole }).flatMap(tell)));
      before = line;
      lastAt = at;
      rested = false;
      whole = true;
      return events;
    },
    settle: (now) => (lastAt !== undefined && now - lastAt >= (fine ? 0 : 1) + SETTLED ? flush() : []),
    end: flush,
    restart() {
      const events = flush();
      forget();
      lastIndex = undefined;
      return events;
    },
    get said() {
      return held?.from ?? end;
    },
  };
}
