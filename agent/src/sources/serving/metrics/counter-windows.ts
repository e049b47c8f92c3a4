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
 * - Deltas are summed over every label set; one that appears later counts from 0, unless it is an old one by another name
 *   or stands where it can't have come to since (`new-series.ts`).
 * - A look that is not whole (`whole-looks.ts`) or that says less than the one before (`counter-course.ts`) is not believed at
 *   once. Where a process began again, all its counters count in full from 0; what it counted between the last look and its
 *   end is lost; nothing can know it.
 * - A look that failed or was not believed has no window; the next one's reaches back to the last good one, so that no token
 *   is lost. When that is too long for one window, it is a hole as well: nothing tells when in it the engine was idle.
 * - Hits of a prefix cache are counted when a request is scheduled, its prompt at the first token: hits in excess of
 *   the prompt tokens of a window are carried into the next ones, so cached ≤ input in each and the totals agree.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { OUTCOMES } from '@joulebook/shared/slice.js';
import { elapsed, seconds, toIso, tokens, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Flagged, FlaggedDuring, HoleEvidence, TokenCounts, WindowEvidence } from '../../source.js';
import { courseOf, verdictOn, type Before, type Verdict } from './counter-course.js';
import type { Counted, Counter, Look, Work } from './look.js';
import { newSeries, newSeriesFlags, sumsOf, type NewSeries } from './new-series.js';
import { wholeLooks, type TakenLook } from './whole-looks.js';

type CounterEvent = WindowEvidence | HoleEvidence | Flagged;

export interface CounterWindows {
  /** What is known of the time since the look before. Looks must come in order of time. */
  since(look: Look): CounterEvent[];
  /** Up to when everything was told; undefined before the first look that could be used. */
  readonly told: Instant | undefined;
  /** What was not believed since this was asked last. */
  flagged(): Flagged[];
  /** No look comes after those that came. */
  end(): CounterEvent[];
}

type Amounts = Map<Counted, number>;
const NOBODY: Verdict = { restarted: new Set(), replaced: new Set() };

/**
 * @param label names the source in flags
 * @param period normal time between two looks
 */
export function counterWindows({ label, period }: { readonly label: string; readonly period: Seconds }): CounterWindows {
  const longest = seconds(Math.max(5 * period, 5));
  const whole = wholeLooks(label, longest);
  const totals = new Map<string, Counter>();
  const fastest = new Map<string, number>();
  const known = new Map<string | undefined, Set<Counted>>();
  const surplusHits = new Map<string | undefined, number>();
  let last: Look | undefined;
  /** Those that do not follow from the last: what comes after them tells whether they are to be believed. */
  let held: TakenLook[] = [];
  let strays: { count: number; readonly first: Instant } | undefined;

  /** Forgets the totals of processes that began again; of those that were replaced the new ones are the baseline. */
  function forget(look: Look, { restarted, replaced }: Verdict): CounterEvent[] {
    for (const [key, { process, model }] of totals) {
      if (!restarted.has(process) && !replaced.has(process)) continue;
      totals.delete(key);
      // The prompts that these hits were for will never be counted.
      surplusHits.delete(model);
    }
    for (const [key, counter] of look.counters) if (replaced.has(counter.process)) totals.set(key, counter);
    const before = toIso(look.at);
    return [
      ...(restarted.size > 0 ? [{ kind: 'flagged', code: 'COUNTER_RESET', count: restarted.size, detail: `${label}: counters began again before ${before} (the server was restarted); tokens between the last look and the restart are not known` } as const] : []),
      ...(replaced.size > 0 && last ? [
        { kind: 'hole', from: last.at, to: look.at, reason: `${label}: another server's counters from here on` } as const,
        { kind: 'flagged', code: 'COUNTER_REPLACED', count: replaced.size, detail: `${label}: counters stand elsewhere from ${before} on, at what can't have been counted since the last look (another server answers at this address); what was counted between the two looks is not known` } as const,
      ] : []),
    ];
  }

  /** What was renamed goes on from where it stood, what joined from where it stands. */
  function follow({ renamed, joined }: NewSeries): Map<string | undefined, Amounts> {
    const moved = new Map<string | undefined, Amounts>();
    for (const { from, to } of renamed) {
      const ofModel = moved.get(to.model) ?? new Map<Counted, number>();
      for (const [counts, value] of sumsOf(from)) ofModel.set(counts, (ofModel.get(counts) ?? 0) - value);
      moved.set(to.model, ofModel);
      for (const key of from.counters.keys()) totals.delete(key);
      const hits = (surplusHits.get(from.model) ?? 0) + (from.model === to.model ? 0 : (surplusHits.get(to.model) ?? 0));
      surplusHits.delete(from.model);
      surplusHits.set(to.model, hits);
    }
    for (const { counters } of joined) for (const [key, counter] of counters) totals.set(key, counter);
    return moved;
  }

  /** What each counter moved by, summed by model; remembers the new totals. */
  function amounts(look: Look, moved: Map<string | undefined, Amounts>): Map<string | undefined, Amounts> {
    for (const [key, counter] of look.counters) {
      const delta = counter.value - (totals.get(key)?.value ?? 0);
      if (last && totals.has(key)) fastest.set(key, Math.max(fastest.get(key) ?? 0, delta / (look.at - last.at)));
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

  function windowsTo(look: Look, verdict: Verdict, lacks: boolean): CounterEvent[] {
    const from = last;
    const fresh: NewSeries = from ? newSeries(look, { last: from, totals }, new Set([...verdict.restarted, ...verdict.replaced])) : { renamed: [], joined: [] };
    const during = { from: from?.at ?? look.at, to: look.at };
    const flags = [...forget(look, verdict), ...newSeriesFlags(label, fresh, look.at)].map((each) => (each.kind === 'flagged' ? { ...each, during } : each));
    const moved = amounts(look, follow(fresh));
    last = look;
    if (!from) return [];
    const hole: HoleEvidence = { kind: 'hole', from: from.at, to: look.at, reason: `${label}: no look at the counters for ${elapsed(from.at, look.at).toFixed(3)} s` };
    const gap: FlaggedDuring = { kind: 'flagged', code: 'COUNTER_GAP', count: 1, during, detail: `${hole.reason}, from ${toIso(from.at)}; tokens in it are counted, idle time in it can't be told` };
    const holes = look.at - from.at > longest ? [hole, gap] : lacks ? [{ ...hole, reason: `${label}: some of what it told is no number` }] : [];

    const active = [...known.keys()].filter((model) => [...(moved.get(model)?.values() ?? [])].some((amount) => amount > 0) || (ownBusy(model, from, look) ?? 0) > 0);
    // Nothing moved: that is evidence too, of all models together.
    const spoken = active.length > 0 ? active : [known.size === 1 ? [...known.keys()][0] : undefined];
    return [...flags, ...holes, ...spoken.map((model) => windowOf(model, moved.get(model) ?? new Map<Counted, number>(), from, look))];
  }

  const before = (): Before | undefined => last && { last, totals, fastest };

  function take(taken: TakenLook): CounterEvent[] {
    const { look, lacks } = taken;
    const state = before();
    const course = state ? courseOf(look, state) : 'on';
    if (course === 'doubtful') {
      held.push(taken);
      return look.at - (held[0]?.look.at ?? look.at) >= 2 * longest ? settle() : [];
    }
    // This one follows from the one before those that did not: they are of an old page or of another server.
    if (held[0]) strays = { count: (strays?.count ?? 0) + held.length, first: strays?.first ?? held[0].look.at };
    held = [];
    return windowsTo(look, course === 'on' ? NOBODY : { ...NOBODY, restarted: new Set([...totals.values()].map(({ process }) => process)) }, lacks);
  }

  /** What is held did not come back: the first of them is believed, and those after it are looked at again. */
  function settle(): CounterEvent[] {
    const [first, ...rest] = held;
    held = [];
    const state = before();
    if (!first || !state) return [];
    return [...windowsTo(first.look, verdictOn(first.look, state), first.lacks), ...rest.flatMap(take)];
  }

  function flagged(): Flagged[] {
    const found = strays;
    strays = undefined;
    return [
      ...whole.flagged(),
      ...(found ? [{
        kind: 'flagged', code: 'COUNTER_WENT_BACK', count: found.count,
        detail: `${label}: ${found.count} looks, the first at ${toIso(found.first)}, do not fit those before and after them: an old page, or another server's behind the same address. They are not used; look at each server at its own address`,
      } as const] : []),
    ];
  }

  return {
    since(look) {
      const taken = whole.take(look);
      return taken ? take(taken) : [];
    },
    get told() {
      return last?.at;
    },
    flagged,
    end() {
      const events: CounterEvent[] = [];
      while (held.length > 0) for (const event of settle()) events.push(event);
      return [...events, ...flagged()];
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
