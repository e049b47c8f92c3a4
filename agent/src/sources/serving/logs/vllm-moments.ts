/**
 * When the iterations of one engine ended, to better than the whole seconds of their stamps.
 *
 *     chain     ├25┤├25┤├───180───┤├25┤├25┤ …      requests run on from each iteration to the next: nothing lies between
 *               ╵                                  them but the engine's usual gap
 *     pause                                ├ ? ┤    nobody may have run: how long tell the stamps on either side
 *
 * A chain is laid so that every stamp of some seconds before and after allows it (vllm-phase.ts). Its steps are as long as
 * they say where that adds up to the time that passed, else as long as their work: an iteration costs as much as 256
 * prompt tokens, at a pace that is learnt. Where the pace changes fewer seconds are looked at.
 *
 * An iteration is settled when the seconds after it have been read, or when nothing more is written.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import { costs } from './vllm-costs.js';
import type { IterationLine } from './vllm-line.js';
import { phaseOf, widestPhase, type Bounds, type Phase } from './vllm-phase.js';
import { SLOWEST_PREFILL } from './vllm-stats.js';

/** Consecutive iterations with when they ran. */
export interface Placed {
  readonly from: Instant;
  /** Of each iteration, with the gap behind it. */
  readonly ends: readonly Instant[];
  readonly lines: readonly IterationLine[];
  /** As long as they say. */
  readonly exact: boolean;
  /** No line is missing before them. */
  readonly whole: boolean;
}

export interface Before {
  /** A request that ran in the iteration before ran on. */
  readonly joined: boolean;
  readonly whole: boolean;
}

export interface Moments {
  add(line: IterationLine, stamp: Instant, before: Before): Placed[];
  /** Nothing more is known of what follows. */
  flush(): Placed[];
  /** What comes next is not held to what was before. */
  restart(): void;
  /** Of the last line. */
  readonly lastStamp: Instant | undefined;
}

/** Up to some line of a chain, with it. */
interface Sums {
  readonly lines: number;
  readonly elapsed: number;
  readonly work: number;
}

/** Lines of one second and one chain. */
interface Group {
  readonly stamp: Instant;
  readonly lines: IterationLine[];
  /** Number of the chain. */
  readonly chain: number;
  readonly whole: boolean;
  readonly before: Sums;
  readonly first: Sums;
  last: Sums;
}

/** Seconds after an iteration that are read before it is settled. */
const AHEAD = 4;
/** Seconds around an iteration whose stamps it is held to; fewer where they contradict each other. */
const REACHES = [30, 12, 6, 3] as const;
const SECOND = 1;
/** A stamp was written before the end of its second. */
const END_OF_SECOND = 0.999999;
/** Over so many seconds elapsed times show whether they are those of the iterations. */
const TELLING = 3;
const TRUSTED_WITHIN = 0.2;
/** Nothing that computes is done so soon. */
const SHORTEST_ITERATION = 0.001;
/** Between so many whole seconds the stamps tell the pace. */
const PACED_BY = 2;
const LEARNING = 0.3;
/** A chain that is so far from where its stamps are was broken by a pause that no line tells. */
const BROKEN = 0.25;
const NONE: Sums = { lines: 0, elapsed: 0, work: 0 };

export function moments(): Moments {
  /** Of the current chain, settled; and what follows. */
  let chain: Group[] = [];
  let ahead: Group[] = [];
  let chains = 0;
  let end = instant(-Infinity);
  /** The earliest that the last iteration can have ended. */
  let earliest = -Infinity;
  /** Of the iteration before the chain. */
  let begunAfter = -Infinity;
  let trusted: boolean | undefined;
  const cost = costs();
  const learnt: { gap: number | undefined; pace: number | undefined } = { gap: undefined, pace: undefined };
  /** Where the chain was found to be, at the end of its last settled iteration. */
  let found: { readonly chain: number; readonly at: number; readonly sums: Sums; readonly gap: number } | undefined;

  const tail = (): Group | undefined => ahead.at(-1) ?? chain.at(-1);

  function goesOn(line: IterationLine, stamp: Instant, last: Group): boolean {
    if (stamp < last.stamp || stamp - last.stamp > 2 * SECOND + Math.max(line.elapsed ?? 0, line.contextTokens / SLOWEST_PREFILL)) return false;
    if (trusted !== true || found?.chain !== last.chain) return true;
    const sums = plus(last.last, line, cost.of(line));
    const expected = found.at + sums.elapsed - found.sums.elapsed + found.gap * (sums.lines - found.sums.lines);
    return stamp <= expected + BROKEN && expected - BROKEN < stamp + SECOND;
  }

  function judge(groups: readonly Group[]): boolean | undefined {
    const [first] = groups;
    const last = groups.at(-2);
    if (!first || !last || last.stamp - first.stamp < TELLING) return undefined;
    const elapsed = groups.slice(1, -1).reduce((sum, group) => sum + group.last.elapsed - group.before.elapsed, 0);
    return Math.abs(elapsed / (last.stamp - first.stamp) - 1) <= TRUSTED_WITHIN;
  }

  /** When what follows the chain must begin, as far as it is read, so that it ends by its stamps. */
  function latestBegin(after: readonly Group[], byElapsed: boolean): number {
    return after.toReversed().reduce((latest, { stamp, before, last }) => Math.min(latest, stamp + SECOND) - lengthOf(before, last, byElapsed), Infinity);
  }

  const lengthOf = (before: Sums, last: Sums, byElapsed: boolean): number => (byElapsed ? last.elapsed - before.elapsed : (last.work - before.work) * (learnt.pace ?? 0));

  function phase(group: Group, window: readonly Group[], limits: { readonly notBefore: number; readonly notAfter: number }, byElapsed: boolean, reach: number): Phase & { readonly base: Sums } {
    const near = window.filter(({ stamp }) => Math.abs(stamp - group.stamp) <= reach);
    const base = near[0]?.before ?? NONE;
    const mark = (stamp: number, sums: Sums) => (byElapsed ? { stamp, fixed: sums.elapsed - base.elapsed, paced: sums.lines - base.lines - 1 } : { stamp, fixed: 0, paced: sums.work - base.work });
    const bounds: Bounds = {
      marks: near.flatMap(({ stamp, first, last }) => [mark(stamp, first), mark(stamp, last)]),
      notBefore: base.lines === 0 ? limits.notBefore : -Infinity,
      notAfter: near.at(-1) === window.at(-1) ? limits.notAfter : Infinity,
    };
    const end = near.at(-1) ?? group;
    const begin = near[0] ?? group;
    const known = byElapsed ? (learnt.gap ?? 0) : learnt.pace;
    const span = end.stamp - begin.stamp;
    const lines = end.last.lines - base.lines;
    const each = (end.last.elapsed - base.elapsed) / lines;
    const paces = byElapsed ? ([-TRUSTED_WITHIN * each, (TRUSTED_WITHIN / (1 - TRUSTED_WITHIN)) * each] as const) : ([0, (2 * (span + SECOND)) / (end.last.work - base.work)] as const);
    if (span <= PACED_BY && known !== undefined) {
      const usual = phaseOf(bounds, known);
      if (usual.room >= 0) return { ...usual, base };
    }
    // Within a single second nothing tells the pace.
    if (span === 0 && known === undefined) return { ...phaseOf(bounds, (SHORTEST_ITERATION * lines) / (end.last.work - base.work)), base };
    const widest = widestPhase(bounds, paces);
    if (span > PACED_BY && widest.room >= 0) {
      if (byElapsed) learnt.gap = widest.pace + (1 - LEARNING) * ((learnt.gap ?? widest.pace) - widest.pace);
      else learnt.pace = widest.pace;
    }
    return { ...widest, base };
  }

  function settleFirst(): Placed[] {
    const [group] = ahead;
    if (!group) return [];
    const coming = ahead.filter((each) => each.chain === group.chain);
    const begins = chain[0]?.chain !== group.chain;
    if (begins) chain = [];
    const readTo = group.stamp + AHEAD;
    const window = [...chain, ...coming.filter(({ stamp }) => stamp <= readTo)];
    trusted = judge(window) ?? trusted ?? (judge(ahead) === true ? true : undefined);
    const byElapsed = trusted ?? median(window.flatMap(({ lines }) => lines.map(({ elapsed }) => elapsed ?? 0))) >= SHORTEST_ITERATION;
    if (begins) begunAfter = earliest;
    const limits = { notBefore: begunAfter, notAfter: window.at(-1) === coming.at(-1) ? latestBegin(ahead.slice(coming.length), byElapsed) : Infinity };
    let best = phase(group, window, limits, byElapsed, REACHES[0]);
    for (const reach of REACHES.slice(1)) if (best.room < 0) best = phase(group, window, limits, byElapsed, reach);
    return [laid(group, coming.length > 1, best, byElapsed)];
  }

  function laid(group: Group, goesOnAfter: boolean, { begin, pace, room, base }: Phase & { readonly base: Sums }, byElapsed: boolean): Placed {
    const { stamp, lines, before, first, last, whole } = group;
    const gap = byElapsed ? pace : 0;
    const endOf = (sums: Sums): number => begin + (byElapsed ? sums.elapsed - base.elapsed + pace * (sums.lines - base.lines - 1) : pace * (sums.work - base.work));
    const length = (line: IterationLine): number => (byElapsed ? Math.max(0, (line.elapsed ?? 0) + gap) : pace * cost.of(line));
    const [head] = lines;
    const from = chain.length > 0 ? end : instant(Math.max(end, endOf(first) - (byElapsed ? (head?.elapsed ?? 0) : pace * (first.work - before.work))));
    const until = endOf(last) + (goesOnAfter ? gap : 0);
    const lengths = lines.map(length);
    const whole_ = lengths.reduce((sum, each) => sum + each, 0) - (goesOnAfter ? 0 : gap);
    const scale = whole_ > 0 ? (until - from) / whole_ : 0;
    let at: number = from;
    let passed = 0;
    const ends = lengths.map((each, index) => {
      passed += each;
      const behind = index < lengths.length - 1 || goesOnAfter ? gap : 0;
      const told = from + Math.min(passed, whole_) * scale;
      at = Math.max(at, Math.min(Math.max(told, stamp + behind), stamp + END_OF_SECOND + behind));
      return instant(at);
    });
    if (!byElapsed && chain.length > 0 && goesOnAfter) cost.learn(lines, at - from);
    end = instant(at);
    earliest = Math.min(at, endOf(last) - Math.max(0, room) / 2);
    found = room >= 0 && byElapsed ? { chain: group.chain, at: endOf(last), sums: last, gap } : undefined;
    chain = [...chain.filter((each) => each.stamp >= stamp - REACHES[0]), group];
    ahead = ahead.slice(1);
    return { from, ends, lines, exact: trusted === true, whole };
  }

  const settle = (isDue: (group: Group) => boolean): Placed[] => {
    const placed: Placed[] = [];
    for (let [first] = ahead; first && isDue(first); [first] = ahead) placed.push(...settleFirst());
    return placed;
  };

  return {
    add(line, stamp, { joined, whole }) {
      const last = tail();
      const after = last && joined && goesOn(line, stamp, last) ? last : undefined;
      const sums = plus(after?.last ?? NONE, line, cost.of(line));
      if (after && after === ahead.at(-1) && stamp === after.stamp) {
        after.lines.push(line);
        after.last = sums;
      } else ahead.push({ stamp, lines: [line], chain: after?.chain ?? (chains += 1), whole, before: after?.last ?? NONE, first: sums, last: sums });
      return settle((group) => group.stamp < stamp - AHEAD);
    },
    flush: () => settle(() => true),
    restart() {
      chain = [];
      end = instant(-Infinity);
      earliest = -Infinity;
    },
    get lastStamp() {
      return tail()?.stamp;
    },
  };
}

const plus = ({ lines, elapsed, work }: Sums, line: IterationLine, cost: number): Sums => ({ lines: lines + 1, elapsed: elapsed + (line.elapsed ?? 0), work: work + cost });

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
