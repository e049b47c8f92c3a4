/**
 * The iteration lines of one engine (`--enable-logging-iteration-details`) → steps.
 *
 *     INFO … [core.py:349] Iteration(515): 1 context requests, 2048 context tokens, 20 generation requests, 20 generation tokens, iteration elapsed time: 10.99 ms
 *
 * A line is written when its iteration ends, with a stamp cut to seconds; the elapsed time is that of waiting for the
 * result, which under asynchronous scheduling is next to nothing. So the lines of one second are held together, and the
 * time between one second and the next is shared among them:
 *
 *     lines in :16 ┃ Σ elapsed within 20 % of the second: by their elapsed times           → exact
 *                  ┃ else: by their work, a step costing as much as 256 prompt tokens      → inferred
 *
 * where seconds follow each other. At the ends of a run the shares are as long as they were in its last whole second.
 * Indices follow each other as long as no line is missing; only then a time without lines is idle.
 */
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import type { ServingEvent, StepsEvidence, TokenCounts } from '../../source.js';
import { SLOWEST_PREFILL } from './vllm-stats.js';
import { stampWidth } from './vllm-ticks.js';
import type { IterationLine } from './vllm-line.js';

export interface IterationReader {
  /** What it says carries the tokens of the iterations; who books from elsewhere leaves them out. */
  line(iteration: IterationLine, at: Instant): ServingEvent[];
  settle(now: Instant): ServingEvent[];
  end(): ServingEvent[];
  restart(): ServingEvent[];
  readonly said: Instant | undefined;
}

export interface IterationContext {
  readonly label: string;
  readonly rank?: string | undefined;
  readonly model?: string | undefined;
  readonly chunkTokens: () => number | undefined;
  readonly kvCacheTokens: () => number | undefined;
  /** Tokens per step and sequence, where drafts are accepted and a line said how many. */
  readonly perStep: () => number | undefined;
}

/** The lines of one second, or a single one whose moment is known. */
interface Group {
  readonly stamp: Instant;
  readonly width: number;
  readonly lines: IterationLine[];
  /** No line is missing before it. */
  readonly whole: boolean;
}

const STEP_IN_PROMPT_TOKENS = 256;
/** Drafts are at most 16 tokens; whoever schedules more per sequence computes a preempted request again. */
const MOST_PER_SEQUENCE = 17;
const SETTLED = 1.5;
/** A shorter time without lines is a pause between iterations. */
const SHORTEST_IDLE = 1;

export function iterationReader(context: IterationContext): IterationReader {
  const { label, rank, model } = context;
  const of = { ...(rank !== undefined && { rank }), ...(model !== undefined && { model }) };
  let held: Group | undefined;
  let lastIndex: number | undefined;
  let end: Instant | undefined;
  /** Of the last whole second: what a unit of work took, and whether its elapsed times filled it. */
  let perWork: number | undefined;
  let trusted = false;

  function close(next: Instant | undefined): ServingEvent[] {
    if (!held) return [];
    const { stamp, width, lines, whole } = held;
    held = undefined;
    const placed = spanOf(stamp, width, lines, next);
    // A pause between iterations belongs to one of them.
    const span = whole && end !== undefined && placed.from - end < SHORTEST_IDLE ? { ...placed, from: end } : placed;
    const events: ServingEvent[] = [];
    if (end !== undefined && span.from > end) {
      const doubt = trusted || span.exact ? 0 : (lines[0]?.contextTokens ?? 0) / SLOWEST_PREFILL;
      const idleUntil = instant(span.from - doubt);
      if (!whole) events.push({ kind: 'hole', from: end, to: span.from, reason: `${label}: iteration lines are missing` });
      else if (idleUntil - end >= SHORTEST_IDLE) events.push({ kind: 'idle', from: end, to: idleUntil, ...(rank !== undefined && { rank }) });
    }
    events.push(...stepsOf(span));
    end = span.to;
    return events;
  }

  interface Span {
    readonly from: Instant;
    readonly to: Instant;
    readonly exact: boolean;
    readonly lines: readonly IterationLine[];
    readonly shares: readonly number[];
  }

  function spanOf(stamp: Instant, width: number, lines: readonly IterationLine[], next: Instant | undefined): Span {
    const waited = lines.reduce((sum, { elapsed }) => sum + (elapsed ?? 0), 0);
    const work = lines.reduce((sum, line) => sum + workOf(line), 0);
    const follows = end !== undefined && stamp - end < Math.max(SHORTEST_IDLE * (1 - width), 0.001);
    const followed = width > 0 && next === stamp + width;
    const earliest = end ?? -Infinity;
    if (width === 0) {
      // Its own moment is known: it is as long as it says, or began when the one before it ended.
      const from = follows && end !== undefined ? end : Math.max(earliest, stamp - Math.max(waited, perWork === undefined ? 0 : work * perWork));
      perWork = (stamp - from) / work;
      return { from: instant(from), to: stamp, exact: follows || waited > 0, lines, shares: [1] };
    }
    if (follows && followed) {
      trusted = Math.abs(waited - width) <= 0.2 * width;
      perWork = width / work;
    }
    const exact = trusted && waited > 0;
    const shares = exact ? lines.map(({ elapsed }) => elapsed ?? 0) : lines.map(workOf);
    const longest = Math.max(...lines.map(({ elapsed }) => elapsed ?? 0));
    const length = exact ? waited : perWork !== undefined ? work * perWork : Math.max(longest * lines.length, 0.001 * lines.length);
    if (follows && end !== undefined) return { from: end, to: instant(followed ? stamp + width : Math.min(end + length, stamp + width)), exact, lines, shares };
    if (followed) return { from: instant(Math.max(earliest, stamp + width - (exact || perWork !== undefined ? length : width))), to: instant(stamp + width), exact, lines, shares };
    const to = stamp + width / 2 + Math.min(length, width * 0.99) / 2;
    return { from: instant(Math.max(earliest, to - length)), to: instant(to), exact, lines, shares };
  }

  /** Consecutive iterations of the same kind are one piece of evidence. */
  function stepsOf({ from, to, exact, lines, shares }: Span): StepsEvidence[] {
    const whole = shares.reduce((sum, share) => sum + share, 0);
    const steps: StepsEvidence[] = [];
    let passed = 0;
    let start = from;
    for (let first = 0; first < lines.length; ) {
      let next = first;
      const [line] = lines.slice(first);
      if (!line) break;
      for (let other = lines[next]; other && alike(line, other); other = lines[++next]) passed += shares[next] ?? 0;
      const until = next === lines.length ? to : instant(from + (to - from) * (passed / whole));
      steps.push({ kind: 'steps', from: start, to: until, ...evidenceOf(line, next - first), timing: exact ? 'exact' : 'inferred', ...of });
      start = until;
      first = next;
    }
    return steps;
  }

  function evidenceOf(line: IterationLine, steps: number): Pick<StepsEvidence, 'steps' | 'prefillTokens' | 'prefills' | 'decodes' | 'decodeTokens' | 'kvTokens' | 'tokens'> {
    const { contextTokens, contextRequests, generationRequests, generationTokens } = line;
    const again = generationTokens > MOST_PER_SEQUENCE * generationRequests ? generationTokens - generationRequests : 0;
    const drafted = again === 0 && generationTokens > generationRequests;
    const yielded = drafted ? Math.min(generationTokens, generationRequests * (context.perStep() ?? 1)) : generationRequests;
    const size = context.kvCacheTokens();
    const kvTokens = line.kvTokens ?? (line.kvUsage !== undefined && size !== undefined ? Math.round(line.kvUsage * size) : undefined);
    return {
      steps,
      prefillTokens: steps * (contextTokens + again),
      prefills: steps * (contextRequests + (again > 0 ? 1 : 0)),
      decodes: steps * generationRequests,
      decodeTokens: steps * yielded,
      ...(kvTokens !== undefined && { kvTokens }),
      tokens: tokenCounts(line, steps, drafted),
    };
  }

  /** How many of the drafts were accepted no iteration line says: then the output is not known. */
  function tokenCounts(line: IterationLine, steps: number, drafted: boolean): TokenCounts {
    const first = line.contextRequests - (chunked(line) ? 1 : 0);
    return { input: tokens(steps * line.contextTokens), ...(!drafted && { output: tokens(steps * (line.generationRequests + first)) }) };
  }

  /** The last prompt of a full iteration goes on in the next one and gives no token yet. */
  function chunked({ contextRequests, contextTokens, generationTokens }: IterationLine): boolean {
    const scheduled = contextTokens + generationTokens;
    const chunk = context.chunkTokens();
    return contextRequests > 0 && (chunk === undefined ? scheduled >= 512 && Number.isInteger(Math.log2(scheduled)) : scheduled >= chunk);
  }

  return {
    line(line, at) {
      const whole = lastIndex === undefined || line.index <= lastIndex + 1;
      const events: ServingEvent[] = [];
      if (lastIndex !== undefined && line.index <= lastIndex) {
        events.push(...close(undefined));
        end = undefined;
      }
      lastIndex = line.index;
      if (line.dummy || line.contextTokens + line.generationTokens === 0) return events;
      const width = stampWidth(at);
      if (held && held.width > 0 && at === held.stamp) {
        held.lines.push(line);
        return events;
      }
      events.push(...close(at));
      if (end !== undefined && at + width < end) end = undefined;
      held = { stamp: at, width, lines: [line], whole };
      if (width === 0) events.push(...close(undefined));
      return events;
    },
    settle: (now) => (held && now - held.stamp >= held.width + SETTLED ? close(undefined) : []),
    end: () => close(undefined),
    restart() {
      const events = close(undefined);
      lastIndex = undefined;
      end = undefined;
      return events;
    },
    get said() {
      return end;
    },
  };
}

const workOf = ({ contextTokens }: IterationLine): number => 1 + contextTokens / STEP_IN_PROMPT_TOKENS;

const alike = (one: IterationLine, other: IterationLine): boolean =>
  one.contextRequests === other.contextRequests && one.contextTokens === other.contextTokens && one.generationRequests === other.generationRequests && one.generationTokens === other.generationTokens;
