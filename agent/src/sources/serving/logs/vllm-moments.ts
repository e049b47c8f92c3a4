/**
 * When the iterations of one engine ended, to better than the whole seconds of their stamps.
 *
 *     chain     ├25┤├25┤├───180───┤├25┤├25┤ …      requests run on from each iteration to the next: nothing lies between
 *               ╵                                  them but the engine's usual gap
 *     pause                                ├ ? ┤    nobody may have run: how long tell the stamps on either side
 *
 * A chain is laid so that the stamps of many seconds allow it (vllm-phase.ts). Its iterations are as long as they say where
 * that adds up to the time that passed, else as long as their work takes (vllm-costs.ts). Where seconds contradict each
 * other, because the gap or the pace changes, fewer of them are looked at.
 *
 * An iteration is settled when the seconds after it have been read, or when nothing more is written.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { StepsEvidence } from '../../source.js';
import { costs } from './vllm-costs.js';
import type { IterationLine } from './vllm-line.js';
import { phaseOf, widestPhase, type Bounds, type Mark, type Phase } from './vllm-phase.js';
import { SLOWEST_PREFILL } from './vllm-stats.js';

/** Consecutive iterations, and when they ran. */
export interface Placed {
  readonly from: Instant;
  /** Of each iteration, with the gap behind it. */
  readonly ends: readonly Instant[];
  readonly lines: readonly IterationLine[];
  /** `exact`: as long as they say, and known to be; `placed`: laid by their work, at a pace that the stamps of seconds tell. */
  readonly timing: StepsEvidence['timing'];
  /** How long they were follows from their work alone. */
  readonly byWork: boolean;
  /** No line is missing before them. */
  readonly whole: boolean;
}

export interface Moments {
  /**
   * @param before `joined`: a request of the iteration before ran on; `whole`: no line is missing
   * @returns what is settled by now
   */
  add(line: IterationLine, stamp: Instant, before: { readonly joined: boolean; readonly whole: boolean }): Placed[];
  /** The rest: nothing is known of what follows. */
  flush(): Placed[];
  /** What comes next is not held to what was before. */
  restart(): void;
}

/** Of a chain, up to some line of it and with it. */
interface Sums {
  readonly lines: number;
  readonly elapsed: number;
  readonly work: number;
}

/** Lines of one second and one chain. */
interface Group {
  readonly stamp: Instant;
  readonly lines: IterationLine[];
  /** What the work of each costs. */
  readonly works: number[];
  /** Number of the chain. */
  readonly chain: number;
  readonly whole: boolean;
  readonly before: Sums;
  readonly first: Sums;
  last: Sums;
}

/** A phase of the chain, counted from `base`. */
interface Laid extends Phase {
  readonly base: Sums;
}

/** Seconds after an iteration that are read before it is settled. */
const AHEAD = 4;
/** Seconds around an iteration whose stamps it is held to, until they allow it. */
const REACHES = [30, 12, 6, 3, 2, 1] as const;
const SECOND = 1;
/** A stamp was written before the end of its second. */
const END_OF_SECOND = 0.999999;
/** Over so many seconds elapsed times show whether they are those of the iterations. */
const TELLING = 3;
const TRUSTED_WITHIN = 0.2;
/** Of what waits for a result. Nothing that computes is done so soon. */
const SHORTEST_ITERATION = 0.001;
/** Stamps that are further apart tell the gap or the pace. */
const PACED_BY = 2;
/** What the pace of work can be at most, of that which fills the time. */
const FASTEST = 2;
const LEARNING = 0.3;
/** A chain so far from where a stamp wants it was broken by a pause that no line tells. */
const BROKEN = 0.25;
const NONE: Sums = { lines: 0, elapsed: 0, work: 0 };

export function moments(): Moments {
  /** Of the current chain, settled; and what follows. */
  let chain: Group[] = [];
  let ahead: Group[] = [];
  let chains = 0;
  const cost = costs();
  let trusted: boolean | undefined;
  let gap: number | undefined;
  let pace: number | undefined;
  let end = instant(-Infinity);
  /** The earliest that the last iteration can have ended; and the last one before the chain. */
  let earliest = -Infinity;
  let begunAfter = -Infinity;
  /** Where the chain's last settled iteration was found to end. */
  let found: { readonly chain: number; readonly at: number; readonly sums: Sums; readonly gap: number } | undefined;

  const tail = (): Group | undefined => ahead.at(-1) ?? chain.at(-1);

  function goesOn(line: IterationLine, stamp: Instant, last: Group): boolean {
    if (stamp < last.stamp || stamp - last.stamp > 2 * SECOND + Math.max(line.elapsed ?? 0, line.contextTokens / SLOWEST_PREFILL)) return false;
    if (trusted !== true || found?.chain !== last.chain) return true;
    const expected = found.at + last.last.elapsed + (line.elapsed ?? 0) - found.sums.elapsed + found.gap * (last.last.lines + 1 - found.sums.lines);
    return stamp <= expected + BROKEN && expected - BROKEN < stamp + SECOND;
  }

  /** When what follows a chain must begin, as far as it is read, so that it can end by its stamps. */
  function latestBegin(after: readonly Group[], byWork: boolean): number {
    const lengthOf = ({ before, last }: Group): number => (byWork ? (last.work - before.work) * (pace ?? 0) : last.elapsed - before.elapsed);
    return after.toReversed().reduce((latest, group) => Math.min(latest, group.stamp + SECOND) - lengthOf(group), Infinity);
  }

  function lay(bounds: Omit<Bounds, 'marks'>, groups: readonly Group[], byWork: boolean): Laid {
    const [first, last] = [groups[0], groups.at(-1)];
    const base = first?.before ?? NONE;
    const whole = { lines: (last?.last.lines ?? 0) - base.lines, elapsed: (last?.last.elapsed ?? 0) - base.elapsed, work: (last?.last.work ?? 0) - base.work };
    const span = (last?.stamp ?? 0) - (first?.stamp ?? 0);
    const mark = (stamp: number, { lines, elapsed, work }: Sums): Mark => (byWork ? { stamp, fixed: 0, paced: work - base.work } : { stamp, fixed: elapsed - base.elapsed, paced: lines - base.lines - 1 });
    const held: Bounds = {
      marks: groups.flatMap((group) => [mark(group.stamp, group.first), mark(group.stamp, group.last)]),
      notBefore: base.lines === 0 ? bounds.notBefore : -Infinity,
      notAfter: bounds.notAfter,
    };
    if (span <= PACED_BY) {
      // Within a single second nothing tells the pace.
      const known = byWork ? (pace ?? (span === 0 ? (SHORTEST_ITERATION * whole.lines) / whole.work : undefined)) : (gap ?? 0);
      const usual = known === undefined ? undefined : phaseOf(held, known);
      if (usual && usual.room >= 0) return { ...usual, base };
    }
    const mean = whole.elapsed / whole.lines;
    const widest = widestPhase(held, byWork ? [0, (FASTEST * (span + SECOND)) / whole.work] : [-TRUSTED_WITHIN * mean, (TRUSTED_WITHIN / (1 - TRUSTED_WITHIN)) * mean]);
    if (span > PACED_BY && (widest.room >= 0 || (byWork && pace === undefined))) {
      if (byWork) pace = widest.pace;
      else gap = gap === undefined ? widest.pace : gap + LEARNING * (widest.pace - gap);
    }
    return { ...widest, base };
  }

  function settleFirst(group: Group): Placed {
    const coming = ahead.filter((each) => each.chain === group.chain);
    if (chain[0]?.chain !== group.chain) {
      chain = [];
      begunAfter = earliest;
    }
    const window = [...chain, ...coming.filter(({ stamp }) => stamp <= group.stamp + AHEAD)];
    // Only a chain shows that elapsed times are too short; where others wait in between, that they are not.
    trusted = addsUp(window) ?? trusted ?? (addsUp(ahead) === true ? true : undefined);
    const byWork = !(trusted ?? median(window.flatMap(({ lines }) => lines.map(({ elapsed }) => elapsed ?? 0))) >= SHORTEST_ITERATION);
    const notAfter = latestBegin(ahead.slice(coming.length), byWork);
    const within = (reach: number): Laid => {
      const near = window.filter(({ stamp }) => Math.abs(stamp - group.stamp) <= reach);
      return lay({ notBefore: begunAfter, notAfter: near.at(-1) === coming.at(-1) ? notAfter : Infinity }, near, byWork);
    };
    let laid = within(REACHES[0]);
    for (const reach of REACHES.slice(1)) if (laid.room < 0) laid = within(reach);
    return place(group, laid, coming[1], byWork);
  }

  function place({ stamp, lines, works, before, first, last, whole, chain: number }: Group, { begin, pace: step, room, base }: Laid, next: Group | undefined, byWork: boolean): Placed {
    const followed = next !== undefined;
    const between = byWork ? 0 : step;
    const endOf = (sums: Sums): number => begin + (byWork ? step * (sums.work - base.work) : sums.elapsed - base.elapsed + between * (sums.lines - base.lines - 1));
    const lengths = lines.map(({ elapsed = 0 }, index) => (byWork ? step * (works[index] ?? 0) : Math.max(0, elapsed + (followed || index < lines.length - 1 ? between : 0))));
    const from = chain.length > 0 ? end : instant(Math.max(end, endOf(first) - (byWork ? step * (first.work - before.work) : first.elapsed - before.elapsed)));
    // Where the stamps don't allow the chain, it is stretched between seconds and not at their ends.
    const notBefore = Math.max(stamp, next ? next.stamp - (endOf(next.first) - endOf(last)) : -Infinity);
    const until = Math.min(Math.max(endOf(last), notBefore), stamp + END_OF_SECOND) + (followed ? between : 0);
    const scale = (until - from) / lengths.reduce((sum, each) => sum + each, 0);
    let told: number = from;
    let at: number = from;
    const ends = lengths.map((length, index) => {
      told += length * (scale > 0 && Number.isFinite(scale) ? scale : 0);
      const behind = followed || index < lengths.length - 1 ? between : 0;
      at = Math.max(at, Math.min(Math.max(told, stamp + behind), stamp + END_OF_SECOND + behind));
      return instant(at);
    });
    if (byWork && followed && chain.length > 0) cost.learn(lines, at - from);
    found = !byWork && room >= 0 ? { chain: number, at: endOf(last), sums: last, gap: between } : undefined;
    earliest = Math.min(at, endOf(last) - Math.max(0, room) / 2);
    end = instant(at);
    return { from, ends, lines, timing: trusted === true ? 'exact' : byWork && pace !== undefined ? 'placed' : 'inferred', byWork, whole };
  }

  function settle(isDue: (group: Group) => boolean): Placed[] {
    const placed: Placed[] = [];
    for (let [group] = ahead; group && isDue(group); [group] = ahead) {
      placed.push(settleFirst(group));
      const since = group.stamp - REACHES[0];
      chain = [...chain.filter(({ stamp }) => stamp >= since), group];
      ahead = ahead.slice(1);
    }
    return placed;
  }

  return {
    add(line, stamp, { joined, whole }) {
      const last = tail();
      const before = last && joined && goesOn(line, stamp, last) ? last : undefined;
      const { lines, elapsed, work } = before?.last ?? NONE;
      const costing = cost.of(line);
      const sums = { lines: lines + 1, elapsed: elapsed + (line.elapsed ?? 0), work: work + costing };
      if (before && before === ahead.at(-1) && stamp === before.stamp) {
        before.lines.push(line);
        before.works.push(costing);
        before.last = sums;
      } else {
        if (!before) chains += 1;
        ahead.push({ stamp, lines: [line], works: [costing], chain: chains, whole, before: before?.last ?? NONE, first: sums, last: sums });
      }
      return settle((group) => group.stamp < stamp - AHEAD);
    },
    flush: () => settle(() => true),
    restart() {
      chain = [];
      end = instant(-Infinity);
      earliest = -Infinity;
    },
  };
}

/** Whether elapsed times fill the time in which their lines were written; undefined: too short to tell. */
function addsUp(groups: readonly Group[]): boolean | undefined {
  const [first, last] = [groups[0], groups.at(-2)];
  if (!first || !last || last.stamp - first.stamp < TELLING) return undefined;
  const elapsed = groups.slice(1, -1).reduce((sum, group) => sum + group.last.elapsed - group.before.elapsed, 0);
  return Math.abs(elapsed / (last.stamp - first.stamp) - 1) <= TRUSTED_WITHIN;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
