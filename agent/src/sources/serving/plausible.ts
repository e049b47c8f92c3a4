/**
 * What serving evidence can't be: more tokens than any machine makes. A row that was shifted, a unit that was mistaken, or
 * a counter that was damaged would else decide every ratio. Time and outcome of such evidence are kept, its tokens are
 * left out and told. So are numbers and times beyond all measure: a collector would refuse the batch that they are in, with
 * all its joules. Every source passes here once (`sources/index.ts`).
 */
import { elapsed, toIso, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { LiveServingKind } from '../live.js';
import type { ServingFormat } from '../recorded.js';
import { toldTwice } from './told-twice.js';
import type { Flagged, RequestEvidence, ServingEvent, StepsEvidence, WindowEvidence } from '../source.js';

/** No context is so long. */
const MOST_INPUT = 1e7;
/** Of one request; the fastest give some thousand. */
const MOST_OUTPUT_PER_SECOND = 1e5;
/** Of a server, cached input left out: what a prefill computes, and what all sequences get. */
const MOST_PER_SECOND = 1e7;
/** Times are rounded, some requests tell none at all, and counters move in lumps. */
const LONGER_SECONDS = 10;

/** Of anything that is counted or shown: requests at once, KV tokens, cached prompts, lines that could not be used. */
const MOST_OF_ANYTHING = 1e12;

export const mostTokens = (length: Seconds): number => MOST_PER_SECOND * (length + LONGER_SECONDS);

interface Plausible {
  check(event: ServingEvent): ServingEvent;
  /** What was found since this was asked last. */
  flagged(): Flagged[];
}

export function plausible(label: string): Plausible {
  let found: { requests: number; windows: number; readonly first: string } | undefined;

  function without(event: RequestEvidence | StepsEvidence | WindowEvidence, what: string): ServingEvent {
    found ??= { requests: 0, windows: 0, first: what };
    found[event.kind === 'request' ? 'requests' : 'windows'] += 1;
    if (event.kind === 'request') return { ...event, tokens: {} };
    const { from, to, rank, model } = event;
    const busy = event.kind === 'steps' ? 1 : event.busy === undefined ? undefined : Math.min(event.busy, MOST_OF_ANYTHING);
    return { kind: 'window', from, to, tokens: {}, ...(busy !== undefined && { busy }), ...(rank !== undefined && { rank }), ...(model !== undefined && { model }) };
  }

  return {
    check(event) {
      if (event.kind === 'gauge' && !isPossible(event.value)) return { kind: 'flagged', code: 'IMPLAUSIBLE_GAUGE', count: 1, detail: `${label}: ${event.gauge} is shown as more than can be, and left out` };
      if (!isTimed(event)) return { kind: 'flagged', code: 'IMPLAUSIBLE_TIME', count: 1, detail: `${label}: what tells of a time before 1970 or after the year 9999 is left out` };
      if (event.kind === 'flagged') return { ...event, count: Math.min(event.count, MOST_OF_ANYTHING) };
      const fault = faultOf(event);
      return fault === undefined || !('tokens' in event) ? event : without(event, fault);
    },
    flagged() {
      if (!found) return [];
      const { requests, windows, first } = found;
      found = undefined;
      const what = [...(requests > 0 ? [`${requests} requests`] : []), ...(windows > 0 ? [`${windows} spans of time`] : [])].join(' and ');
      return [{ kind: 'flagged', code: 'IMPLAUSIBLE_TOKENS', count: requests + windows, detail: `${label}: ${what} tell more tokens than can be, and their tokens are left out; the first is ${first}` }];
    },
  };
}

/** s: the year 10000. Times are written with four digits of a year. */
const END_OF_TIME = 253_402_300_800;
const TIMES = new Set(['at', 'from', 'to', 'start', 'scheduled', 'firstToken', 'end']);
const isTimed = (event: ServingEvent): boolean => Object.entries(event).every(([name, value]) => !TIMES.has(name) || typeof value !== 'number' || (value >= 0 && value < END_OF_TIME));

const isPossible = (value: number): boolean => Math.abs(value) <= MOST_OF_ANYTHING;

function faultOf(event: ServingEvent): string | undefined {
  if (event.kind === 'request') {
    const { id, line, start, end, tokens: { input = 0, cachedInput = 0, output = 0 } } = event;
    const whose = `request ${id}${line === undefined ? '' : ` in line ${line}`}`;
    if (input + cachedInput > MOST_INPUT) return `${whose}: ${input + cachedInput} input tokens`;
    return output > MOST_OUTPUT_PER_SECOND * (end - start + LONGER_SECONDS) ? `${whose}: ${output} output tokens in ${(end - start).toFixed(3)} s` : undefined;
  }
  if (event.kind !== 'window' && event.kind !== 'steps') return undefined;
  const { from, to, tokens: { input = 0, output = 0 } } = event;
  for (const [what, value] of Object.entries({ ...event, ...event.tokens })) if (typeof value === 'number' && !isPossible(value)) return `${what} ${value} before ${toIso(to)}`;
  return input + output > mostTokens(elapsed(from, to)) ? `${input + output} tokens in ${(to - from).toFixed(3)} s before ${toIso(to)}` : undefined;
}

export const believedFormat = (format: ServingFormat): ServingFormat => ({
  ...format,
  open(entry, options) {
    const opened = format.open(entry, options);
    return { ...opened, events: () => believedFile(opened.events(), entry.file.label, opened.ordered ?? false) };
  },
});

async function* believedFile(events: AsyncIterable<ServingEvent>, label: string, ordered: boolean): AsyncGenerator<ServingEvent> {
  const can = plausible(label);
  const twice = toldTwice(label);
  for await (const event of events) {
    if (ordered && isTimed(event)) twice.see(event);
    yield can.check(event);
  }
  yield* can.flagged();
  yield* twice.flagged();
}

const FLAGGED_SECONDS = 60;

export const believedKind = (kind: LiveServingKind): LiveServingKind => ({
  ...kind,
  open(options) {
    const opened = kind.open(options);
    return { ...opened, events: (context) => believedLive(opened.events(context), opened.description, context.now) };
  },
});

async function* believedLive(events: AsyncIterable<ServingEvent>, label: string, now: () => Instant): AsyncGenerator<ServingEvent> {
  const can = plausible(label);
  let told = now();
  for await (const event of events) {
    yield can.check(event);
    if (now() - told < FLAGGED_SECONDS) continue;
    told = now();
    yield* can.flagged();
  }
  yield* can.flagged();
}
