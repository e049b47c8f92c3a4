/**
 * Iterations → when each ran and what it did, for each rank of an engine. Where only the order within a run is known, each gets the
 * part of the run that its work takes:
 *
 *     told       ├──────────── run ────────────┤   p+d d d p d: the ends are known, the moments are not
 *     settled    ├──p+d──┤─d─┤─d─┤────p────┤─d─┤
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { Evidence, StepsEvidence } from '../sources/source.js';
import type { Speed } from './speed.js';
import { decodeOnly, NO_LOAD, prefillOnly, type Load, type Work } from './work.js';

export interface IterationsWork {
  take(evidence: StepsEvidence): void;
  /** Nobody runs on a rank then: no pause between iterations reaches across it. */
  rests(evidence: Evidence & { readonly kind: 'idle' }): void;
  /** Adds what is still held back of runs that began before. */
  settle(before: Instant): void;
  /** Ranks that have run an iteration with work. */
  ranks(): string[];
  /** Whether iterations of one of these ranks are told around this moment; without a name: of any rank. */
  tellsAt(rank: string | undefined, at: Instant): boolean;
}

/** Between two iterations of an engine that has requests lies no more than this; it belongs to the iteration before it. */
const LONGEST_PAUSE_SECONDS = 0.5;
/** Iterations of unknown moments are settled in runs of about so long, without pauses longer than that in them. */
const RUN_SECONDS = 6;
const RUN_GAP_SECONDS = 0.1;
/** An engine that told iterations so lately still tells them. */
const SILENCE_SECONDS = 30;

/**
 * @param swept up to where the timeline was handed out: what was told before may be forgotten
 */
export function iterationsWork(alone: Speed, add: (from: Instant, to: Instant, work: Work) => void, swept: () => Instant): IterationsWork {
  /** The last iterations of each rank, which what follows is held to. */
  const last = new Map<string, { readonly evidence: StepsEvidence; readonly work: Work }>();
  /** When each rank was last said to rest. */
  const rested = new Map<string, { readonly from: Instant; readonly to: Instant }>();
  /** Iterations in order whose moments are still to be settled. */
  const runs = new Map<string | undefined, StepsEvidence[]>();
  const told = new Map<string, { from: number; to: number }[]>();

  function settle(rank: string | undefined): void {
    const run = runs.get(rank);
    const [from, to] = [run?.[0]?.from, run?.at(-1)?.to];
    runs.delete(rank);
    if (!run || from === undefined || to === undefined) return;
    const needs = run.map(secondsOf);
    const sum = needs.reduce<number>((total, each) => total + (each ?? Number.NaN), 0);
    if (!(sum > 0)) return run.forEach(iteration);
    let at: number = from;
    for (const [index, evidence] of run.entries()) {
      const start = at;
      at += ((to - from) * (needs[index] ?? 0)) / sum;
      iteration({ ...evidence, from: instant(start), to: instant(at) });
    }
  }

  /** What its work takes; undefined while that is not known. */
  function secondsOf({ steps: number, prefillTokens, prefills, decodes, kvTokens }: StepsEvidence): number | undefined {
    const decode = decodes > 0 ? alone.decode(decodes / number, kvTokens) : 0;
    if (prefillTokens <= 0) return decode === undefined ? undefined : decode * number;
    const least = alone.decode(0, 0) ?? 0;
    const withPrompts = Math.max(1, Math.min(number, prefills));
    const prefill = alone.prefill(prefillTokens / withPrompts);
    return prefill === undefined || decode === undefined ? undefined : prefill * withPrompts + Math.max(0, decode - least) * number;
  }

  function iteration(evidence: StepsEvidence): void {
    const rank = evidence.rank ?? '';
    const before = last.get(rank);
    const pause = before ? evidence.from - before.evidence.to : Infinity;
    const rest = rested.get(rank);
    const restsBetween = before && rest && rest.from < evidence.from && rest.to > before.evidence.to;
    if (before && pause > 0 && pause <= LONGEST_PAUSE_SECONDS && !restsBetween) add(before.evidence.to, evidence.from, { ...before.work });
    tells(rank, evidence);
    const work = workOf(evidence);
    if (!work) return;
    last.set(rank, { evidence, work });
    add(evidence.from, evidence.to, work);
  }

  /** Undefined for iterations without work. */
  function workOf({ from, to, steps: number, prefillTokens, prefills, decodes, kvTokens }: StepsEvidence): Work | undefined {
    if (decodes <= 0 && prefillTokens <= 0 && prefills <= 0) return undefined;
    const time = to - from;
    const perSecond = number / time;
    const prompt: Load = { ...NO_LOAD, iterations: perSecond, promptTokens: prefillTokens / time };
    const answer: Load = { ...NO_LOAD, iterations: perSecond, decoded: decodes / time, kvTokens: (kvTokens ?? 0) * perSecond };
    if (decodes <= 0) return prefillOnly({ ...prompt, busy: 1 });
    if (prefillTokens <= 0) return decodeOnly({ ...answer, busy: 1 });
    const each = time / number;
    return {
      ran: { busy: 1, iterations: perSecond, promptTokens: prompt.promptTokens, decoded: answer.decoded, kvTokens: answer.kvTokens },
      prefill: { ...prompt, busy: Math.min(each, alone.prefill(prefillTokens / number) ?? each) / each },
      decode: { ...answer, busy: Math.min(each, alone.decode(decodes / number, kvTokens) ?? each / 2) / each },
      mixing: 'iteration',
    };
  }

  /** Where a rank told iterations, silences aside. */
  function tells(rank: string, { from, to }: StepsEvidence): void {
    const ranges = told.get(rank) ?? [];
    told.set(rank, ranges);
    const before = ranges.at(-1);
    if (before && from <= before.to + SILENCE_SECONDS) before.to = Math.max(before.to, to);
    else ranges.push({ from, to });
    while (ranges[0] && ranges[0].to < swept() - 2 * SILENCE_SECONDS) ranges.shift();
  }

  return {
    take(evidence) {
      alone.learn(evidence);
      if (evidence.timing !== 'inferred' && alone.trustsMoments()) {
        settle(evidence.rank);
        return iteration(evidence);
      }
      const run = runs.get(evidence.rank) ?? [];
      const [first] = run;
      const before = run.at(-1);
      if (first && before && (evidence.from - before.to > RUN_GAP_SECONDS || before.to - first.from > RUN_SECONDS)) {
        settle(evidence.rank);
        return void runs.set(evidence.rank, [evidence]);
      }
      run.push(evidence);
      return void runs.set(evidence.rank, run);
    },
    rests: (evidence) => void rested.set(evidence.rank ?? '', evidence),
    settle(before) {
      for (const rank of runs.keys()) if ((runs.get(rank)?.[0]?.from ?? before) < before) settle(rank);
    },
    ranks: () => [...last.keys()],
    tellsAt: (rank, at) => (rank === undefined ? [...told.keys()] : [rank]).some((each) => (told.get(each) ?? []).some(({ from, to }) => at >= from - SILENCE_SECONDS && at < to + SILENCE_SECONDS)),
  };
}
