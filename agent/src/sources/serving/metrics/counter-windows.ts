/**
 * Cumulative counters, looked at now and then → what happened in between.
 *
 *     look      1        2            3                5
 *     engine 0  100 ───▶ 140 ───▶     10 (restarted)   30
 *     engine 1  200 ───▶ 260 ───▶    300               300
 *     engine 2                         5 (new)           5
 *     window      ├ 100 ─┤├ 10+40+5 ─┤ ×  ├─── 20 ───────┤
 *
 * - The first look is the baseline: nothing is known of what was before it.
 * - Deltas are summed over every label set; one that appears later counts from 0.
 * - A lower value than before means that its process began again: all counters of that process count in full from 0.
 *   What it counted between the last look and its end is lost; nothing can know it. A new process start time says the
 *   same when the values are higher already.
 * - A look that failed has no window; the next one's reaches back to the last good one, so that no token is lost. When
 *   that is too long for one window, it is a hole as well: nothing tells when in it the engine was idle.
 * - Hits of a prefix cache are counted when a request is scheduled, its prompt at the first token: hits in excess of
 *   the prompt tokens of a window are carried into the next ones, so cached ≤ input in each and the totals agree.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { OUTCOMES, type Outcome } from '@joulebook/shared/slice.js';
import { elapsed, toIso, tokens, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Flagged, HoleEvidence, TokenCounts, WindowEvidence } from '../../source.js';

/**
 * `prompt` is all input, the cached part included; `input` the computed part alone, where a counter says just that. An
 * outcome counts requests that ended so. The others tell work, and are not booked: prompt tokens computed (whatever the
 * tokens credit), first tokens, iterations that decoded, the time that sequences spent decoding, and the engine in each phase.
 */
export type Counted = 'prompt' | 'input' | 'cachedInput' | 'output' | Outcome | Work;
type Work = 'prefillTokens' | 'prompts' | 'decodeSteps' | 'sequenceSeconds' | 'prefillSeconds' | 'decodeSeconds';

export interface Counter {
  readonly counts: Counted;
  readonly value: number;
  readonly model?: string | undefined;
  /** Counters with the same text begin again together. */
  readonly process: string;
}

export interface Look {
  readonly at: Instant;
  /** By what tells one counter from another for ever: its name and labels. */
  readonly counters: ReadonlyMap<string, Counter>;
  /** Requests running or waiting, by model (undefined: not told apart); empty when there is no such gauge. */
  readonly busy: ReadonlyMap<string | undefined, number>;
  /** Requests running now, by model. */
  readonly running?: ReadonlyMap<string | undefined, number> | undefined;
  /** Of the KV cache, 0 to 1, by model. */
  readonly kvUsage?: ReadonlyMap<string | undefined, number> | undefined;
  /** Its prompt counters move when a request gives its first token, not when it is computed. */
  readonly credits?: 'firstToken' | undefined;
  readonly processStart?: number | undefined;
}

export interface CounterWindows {
  /** What is known of the time since the look before. Looks must come in order of time. */
  since(look: Look): (WindowEvidence | HoleEvidence | Flagged)[];
}

type Amounts = Map<Counted, number>;

/** Process start times come from the same clock each time; a smaller difference is rounding. */
const SAME_START_SECONDS = 1;

/**
 * @param label names the source in flags
 * @param period normal time between two looks
 */
export function counterWindows({ label, period }: { readonly label: string; readonly period: Seconds }): CounterWindows {
  const longest = Math.max(5 * period, 5);
  const totals = new Map<string, Counter>();
  const known = new Map<string | undefined, Set<Counted>>();
  const surplusHits = new Map<string | undefined, number>();
  let last: Look | undefined;

  /** Forgets the totals of processes that began again. */
  function forgetRestarted(look: Look): Flagged[] {
    const started = look.processStart;
    const before = last?.processStart;
    const anew = started !== undefined && before !== undefined && Math.abs(started - before) > SAME_START_SECONDS;
    const restarted = new Set<string>();
    for (const [key, counter] of look.counters) {
      const total = totals.get(key);
      if (total && usable(counter) && (anew || counter.value < total.value)) restarted.add(total.process);
    }
    for (const [key, { process, model }] of totals) {
      if (!anew && !restarted.has(process)) continue;
      totals.delete(key);
      // The prompts that these hits were for will never be counted.
      surplusHits.delete(model);
    }
    if (restarted.size === 0) return [];
    return [{ kind: 'flagged', code: 'COUNTER_RESET', count: restarted.size, detail: `${label}: counters began again before ${toIso(look.at)} (the server was restarted); tokens between the last look and the restart are not known` }];
  }

  /** What each counter moved by, summed by model; remembers the new totals. */
  function amounts(look: Look): Map<string | undefined, Amounts> {
    const moved = new Map<string | undefined, Amounts>();
    for (const [key, counter] of look.counters) {
      if (!usable(counter)) continue;
      const delta = counter.value - (totals.get(key)?.value ?? 0);
      totals.set(key, counter);
      const ofModel = moved.get(counter.model) ?? new Map<Counted, number>();
      moved.set(counter.model, ofModel.set(counter.counts, (ofModel.get(counter.counts) ?? 0) + delta));
      known.set(counter.model, (known.get(counter.model) ?? new Set()).add(counter.counts));
    }
    return moved;
  }

  /** What is counted at all: for a model, or by all together. */
  const kindsOf = (model: string | undefined): ReadonlySet<Counted> => known.get(model) ?? new Set([...known.values()].flatMap((kinds) => [...kinds]));

  function tokenCounts(model: string | undefined, moved: Amounts): TokenCounts {
    const kinds = kindsOf(model);
    const output = moved.get('output') ?? 0;
    const prompt = moved.get('prompt') ?? 0;
    const hits = (surplusHits.get(model) ?? 0) + (moved.get('cachedInput') ?? 0);
    const cached = kinds.has('prompt') ? Math.min(hits, prompt) : hits;
    surplusHits.set(model, hits - cached);
    return {
      ...(kinds.has('prompt') && { input: tokens(prompt - cached) }),
      ...(kinds.has('input') && { input: tokens(moved.get('input') ?? 0) }),
      ...(kinds.has('cachedInput') && { cachedInput: tokens(cached) }),
      ...(kinds.has('output') && { output: tokens(output) }),
    };
  }

  function windowOf(model: string | undefined, moved: Amounts, from: Look, to: Look): WindowEvidence {
    const busy = busyOf(model, from, to);
    const told = OUTCOMES.some((outcome) => kindsOf(model).has(outcome));
    const requests = Object.fromEntries(OUTCOMES.flatMap((outcome) => ((moved.get(outcome) ?? 0) > 0 ? [[outcome, moved.get(outcome)]] : [])));
    return {
      kind: 'window',
      from: from.at,
      to: to.at,
      tokens: tokenCounts(model, moved),
      ...(to.credits && { credits: to.credits }),
      ...(busy !== undefined && { busy }),
      ...workOf(kindsOf(model), moved),
      ...gaugesOf(model, to),
      ...(model !== undefined && { model }),
      ...(told && { requests }),
    };
  }

  return {
    since(look) {
      const from = last;
      const flags = from ? forgetRestarted(look) : [];
      const moved = amounts(look);
      last = look;
      if (!from) return [];
      const hole: HoleEvidence = { kind: 'hole', from: from.at, to: look.at, reason: `${label}: no look at the counters for ${elapsed(from.at, look.at).toFixed(3)} s` };
      const gap: Flagged = { kind: 'flagged', code: 'COUNTER_GAP', count: 1, detail: `${hole.reason}, from ${toIso(from.at)}; tokens in it are counted, idle time in it can't be told` };
      const holes = look.at - from.at > longest ? [hole, gap] : [];

      const active = [...known.keys()].filter((model) => [...(moved.get(model)?.values() ?? [])].some((amount) => amount > 0) || (ownBusy(model, from, look) ?? 0) > 0);
      // Nothing moved: that is evidence too, of all models together.
      const spoken = active.length > 0 ? active : [known.size === 1 ? [...known.keys()][0] : undefined];
      return [...flags, ...holes, ...spoken.map((model) => windowOf(model, moved.get(model) ?? new Map<Counted, number>(), from, look))];
    },
  };
}

function workOf(kinds: ReadonlySet<Counted>, moved: Amounts): Pick<WindowEvidence, 'prefillTokens' | 'prompts' | 'decodeSteps' | 'sequenceSeconds' | 'phaseSeconds'> {
  const of = (kind: Work): number => moved.get(kind) ?? 0;
  return {
    ...(kinds.has('prefillTokens') && { prefillTokens: of('prefillTokens') }),
    ...(kinds.has('prompts') && { prompts: of('prompts') }),
    ...(kinds.has('sequenceSeconds') && { sequenceSeconds: of('sequenceSeconds') }),
    ...(kinds.has('decodeSteps') && { decodeSteps: of('decodeSteps') }),
    ...(kinds.has('prefillSeconds') && kinds.has('decodeSeconds') && { phaseSeconds: { prefill: of('prefillSeconds'), decode: of('decodeSeconds') } }),
  };
}

function gaugesOf(model: string | undefined, { running, kvUsage }: Look): Pick<WindowEvidence, 'running' | 'kvUsage'> {
  const now = ofModel(running, model);
  const usage = ofModel(kvUsage, model);
  return { ...(now !== undefined && { running: now }), ...(usage !== undefined && { kvUsage: usage }) };
}

/** Of the model where it is told apart, else of all. */
const ofModel = (values: ReadonlyMap<string | undefined, number> | undefined, model: string | undefined): number | undefined => (values === undefined ? undefined : (values.get(model) ?? sum(values)));

/** A recording of less than two looks says nothing about any time. */
export const tooFewLooks = (label: string, looks: number): TelemetryError =>
  new TelemetryError('TOO_FEW_LOOKS', `${label} has ${looks} usable looks at the counters; what happened is told by the difference of two or more.`, 'abort');

const usable = ({ value }: Counter): boolean => Number.isFinite(value) && value >= 0;

/** The higher of both ends, of this model where it is told apart, else of all. */
function busyOf(model: string | undefined, from: Look, to: Look): number | undefined {
  return ownBusy(model, from, to) ?? highest(sum(from.busy), sum(to.busy));
}

const ownBusy = (model: string | undefined, from: Look, to: Look): number | undefined => (model === undefined ? undefined : highest(from.busy.get(model), to.busy.get(model)));

function highest(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined) return other;
  return other === undefined ? one : Math.max(one, other);
}

const sum = (busy: Look['busy']): number | undefined => (busy.size === 0 ? undefined : [...busy.values()].reduce((total, value) => total + value, 0));
