/**
 * The iterations of one rank as evidence. Each is told when the next line is there, which says how long it took on the
 * device and bounds its end:
 *
 *     line k−1          line k                 line k+1
 *        ├── iteration k ──┤── iteration k+1 ──────┤          without overlap: it ends with its line
 *        ├──── iteration k ────────────────────────┤          with overlap: with the next, see trtllm-overlap.ts
 *
 * Iterations follow on each other without gaps, as the loop of the engine does: what lies between belongs to the one before.
 */
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import type { ServingEvent } from '../../source.js';
import { clamp, momentOf, type Moment } from './trtllm-moments.js';
import { overlapOf } from './trtllm-overlap.js';
import { workOf, type Context, type TimedReport, type Work } from './trtllm-report.js';
import { LEAST_KNOWN_SECONDS, waits } from './trtllm-waits.js';

export interface IterationTimeline {
  add(report: TimedReport): ServingEvent[];
  /** Nothing was printed up to this moment. */
  quiet(at: Instant): ServingEvent[];
  end(): ServingEvent[];
  /** Everything before it has been told. */
  readonly told: Instant;
}

interface Held {
  readonly report: TimedReport;
  readonly moment: Moment;
  /** Its iteration was told without waiting for the next line. */
  readonly told: boolean;
}

/** The loop prints a line per pass: so long a silence between passes means that lines are missing. */
const LONGEST_GAP_SECONDS = 1;
/** Without durations: an iteration that decodes does not last longer. */
const LONGEST_STEP_SECONDS = 30;
/** Between a request's arrival and the start of its work on the device. */
const LAUNCH_SECONDS = 0.01;
/** A silence that is longer, and several times as long as any iteration was, is an engine without requests. */
const SILENCE_SECONDS = 10;
const SILENT_ITERATIONS = 3;
const CLOCK_STEP_SECONDS = 2;
/** Moments that are known to this are as good as exact. */
const EXACT_SECONDS = 0.1;
const ABSENT: Context = { requests: 0, tokens: 0 };

interface Options {
  readonly label: string;
  readonly rank?: string | undefined;
  readonly model?: string | undefined;
  /** Each iteration has a line, numbered one after the other. */
  readonly consecutive: boolean;
}

export function iterationTimeline(first: TimedReport, { label, rank, model, consecutive }: Options): IterationTimeline {
  const whose = { ...(rank !== undefined && { rank }) };
  const wait = waits();
  let overlap = overlapOf();
  let held = begin(first);
  /** Where the held iteration begins. */
  let from = startOf(held);
  /** Lines tell the prompts of the iteration before theirs. */
  let late = false;
  let longest = 0;
  const saidOnce = new Set<string>();

  const once = (code: string, detail: string): ServingEvent[] => {
    if (saidOnce.has(code)) return [];
    saidOnce.add(code);
    return [{ kind: 'flagged', code, detail: `${label}: ${detail}`, count: 1 }];
  };
  const hole = (to: number, reason: string): ServingEvent[] => (to > from ? [{ kind: 'hole', from, to: instant(to), reason: `${label}: ${reason}` }] : []);
  const idle = (to: number): ServingEvent[] => (to > from ? [{ kind: 'idle', from, to: instant(to), ...whose }] : []);

  /** The held iteration, which ends here; `from` moves on. */
  function tell({ report, moment, told }: Held, end: number, context: Context): ServingEvent[] {
    if (told) return [];
    const work = workOf(report, context);
    const to = instant(Math.max(from, end));
    const events = work ? [...waited(work, moment, to), ...worked(report, work, moment, to)] : idle(to);
    from = to;
    return events;
  }

  /** What an iteration waited for its first request, if it did; `from` moves to where its work begins. */
  function waited(work: Work, { at }: Moment, to: Instant): ServingEvent[] {
    const took = to - from;
    if (work.decodes > 0) {
      wait.learn(work, took);
      return [];
    }
    const busy = overlap.seen && to > at ? to - at + Math.min(LAUNCH_SECONDS, Math.max(0, at - from)) : wait.busy(work, took);
    const began = instant(Math.max(from, to - (busy ?? LEAST_KNOWN_SECONDS)));
    const events = busy === undefined ? hole(began, 'nothing tells how long the engine waited for a request') : idle(began);
    from = began;
    if (busy !== undefined) wait.learn(work, busy);
    return events;
  }

  function worked(report: TimedReport, { prefills, prefillTokens, decodes }: Work, { earliest, latest }: Moment, to: Instant): ServingEvent[] {
    longest = Math.max(longest, to - from);
    const drafted = !report.padded && report.scheduled !== undefined && decodes > 0 && report.generationTokens >= 2 * decodes;
    return [
      {
        kind: 'steps', from, to, steps: 1, prefillTokens, prefills, decodes, decodeTokens: decodes,
        ...(report.kvTokens !== undefined && { kvTokens: report.kvTokens }),
        tokens: { input: tokens(prefillTokens), ...(!report.padded && { output: tokens(decodes) }) },
        ...whose,
        timing: latest - earliest <= EXACT_SECONDS ? 'exact' : 'inferred',
        ...(model !== undefined && { model }),
      },
      ...(report.padded && decodes > 0 ? once('PADDED_DECODES', 'this release does not print num_scheduled_requests, so output tokens are not told from padding; count them from another source of the engine') : []),
      ...(drafted ? once('DRAFTS_UNCOUNTED', 'the engine decodes several tokens per request and iteration, and its log does not say how many were accepted; one is counted, take the token counts from its metrics') : []),
    ];
  }

  /** When the held iteration ended, known from the line after it. */
  function endOf({ report, moment }: Held, next: TimedReport, printed: Moment, context: Context): number {
    const begun = next.hostStep === undefined ? moment.at : printed.at - next.hostStep;
    const settled = clamp(begun, moment.at, printed.at);
    if (!overlap.seen || !workOf(report, context) || next.number !== report.number + 1) return settled;
    if (next.scheduled !== 0) return printed.at;
    return next.previousDevice === undefined ? settled : clamp(from + next.previousDevice, settled, printed.at);
  }

  /** The prompts of the held iteration, of which the next line may know better. */
  function contextOf({ report }: Held, next: TimedReport): Context {
    if (next.number !== report.number + 1 || next.scheduled === undefined) return late ? ABSENT : report.context;
    const same = next.context.requests === report.context.requests && next.context.tokens === report.context.tokens;
    // Nothing ran in the next: what it says of prompts is this one's, said before or said late.
    if (next.scheduled === 0 && report.scheduled !== 0 && (!same || next.context.requests > 0)) late = !same;
    return late ? next.context : report.context;
  }

  function follow(last: Held, next: TimedReport): ServingEvent[] {
    const context = contextOf(last, next);
    // An iteration beside a wait would tell the wrong story: only one that decodes can't have begun with one.
    if (next.scheduled !== 0 && (workOf(last.report, context)?.decodes ?? 0) > 0) overlap.learn(last.report, next);
    const printed = momentOf(next, last.moment);
    const begun = next.hostStep === undefined ? last.moment.at : printed.at - next.hostStep;
    const lost = next.hostStep === undefined ? printed.at - last.moment.at > LONGEST_STEP_SECONDS && (workOf(next, next.context)?.decodes ?? 0) > 0 : begun - last.moment.at >= LONGEST_GAP_SECONDS;
    const events = tell(last, lost ? last.moment.at : endOf(last, next, printed, context), context);
    if (lost) {
      const resumed = next.hostStep === undefined ? printed.at : begun;
      events.push(...hole(resumed, 'iterations here are missing from the log'));
      from = instant(resumed);
    }
    const missing = consecutive ? next.number - last.report.number - 1 : 0;
    if (missing > 0) events.push({ kind: 'flagged', code: 'ITERATIONS_MISSING', detail: `${label}: iterations before number ${next.number} are not in the log; their tokens are not counted`, count: missing });
    held = { report: next, moment: printed, told: false };
    return events;
  }

  /** Without a line after it, which would say how long it took on the device. */
  const finish = (): ServingEvent[] => {
    const { report, moment } = held;
    const events = tell(held, overlap.seen ? Math.max(moment.at, from + (report.hostStep ?? 0)) : moment.at, late ? ABSENT : report.context);
    held = { ...held, told: true };
    return events;
  };

  function startAnew(report: TimedReport): void {
    overlap = overlapOf();
    late = false;
    held = begin(report);
  }

  return {
    add(report) {
      const { report: last, moment } = held;
      if (report.at + 1 < moment.at - CLOCK_STEP_SECONDS) {
        const events = finish();
        startAnew(report);
        from = startOf(held);
        return [...events, { kind: 'flagged', code: 'CLOCK_STEP', detail: `${label}: the clock of the log was set back; what it tells of the time that comes twice is told twice`, count: 1 }];
      }
      if (report.number === last.number && report.microBatch === last.microBatch) {
        // The same line again; one of two spellings may say more.
        if (last.scheduled === undefined) held = { ...held, report };
        return [];
      }
      if (report.number > last.number || report.microBatch !== last.microBatch) return follow(held, report);
      const events = finish();
      startAnew(report);
      const start = startOf(held);
      events.push(...hole(start, 'the engine was started anew'));
      from = instant(Math.max(from, start));
      return events;
    },

    quiet(at) {
      const until = at - Math.max(SILENCE_SECONDS, SILENT_ITERATIONS * longest);
      if (until <= held.moment.at) return [];
      const events = [...finish(), ...idle(until)];
      from = instant(Math.max(from, until));
      return events;
    },

    end: finish,

    get told() {
      return from;
    },
  };
}

function begin(report: TimedReport): Held {
  return { report, moment: momentOf(report, undefined), told: false };
}

const startOf = ({ report, moment }: Held): Instant => instant(moment.at - (report.hostStep ?? 0));
