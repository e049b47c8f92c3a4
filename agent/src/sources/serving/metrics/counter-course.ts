/**
 * Whether counters went on, began again, or only seem to: a lower value than before is not always a restart, and a much
 * higher one is no work that was done.
 *
 *     restart          1000 1010 │   5   20   31      begins near 0, and does not come back soon
 *     an old page      1000 1010 │ 990 1020 1031      a cache in front of the server; back at its height with the next look
 *     two servers      1000 1010 │ 812 1020  825      one address, two servers behind it by turns
 *     another server   1000 1010 │ 812  825  840      and from now on that one
 *
 * A process start time tells: a start after the last look is a restart, one before it is another server. Without one
 * (several processes write one page) it shows in what follows, so a look that does not follow is held until that is known.
 * A server that counts back to its old height within that time is taken for an old page: what it had counted, some
 * seconds' work, is then missing.
 */
import { elapsed } from '@joulebook/shared/units.js';
import { mostTokens } from '../plausible.js';
import { TOKENS, type Counter, type Look } from './look.js';
import { newSeries, type Seen } from './new-series.js';

/** `doubtful`: it does not follow from what was before. */
export type Course = 'on' | 'restarted' | 'doubtful';

/** Process start times come from the same clock each time; a smaller difference is rounding. */
const SAME_START_SECONDS = 1;
/** Clocks of two machines in one data centre differ by less. */
const CLOCKS_DIFFER_SECONDS = 60;
/** Near 0 is what may have been counted since the last look: at so many times the highest rate seen, or so small a part of what was counted before. */
const FASTER = 3;
const SMALL_PART = 0.1;

/** What is known of the counters before a look. */
export interface Before extends Seen {
  /** The highest rate of each counter so far. */
  readonly fastest: ReadonlyMap<string, number>;
}

export function courseOf(look: Look, { last, totals }: Before): Course {
  if (hasOtherStart(look, last)) return (look.processStart ?? 0) > last.at - CLOCKS_DIFFER_SECONDS ? 'restarted' : 'doubtful';
  return fallenIn(look, totals).length > 0 || leaptIn(look, { last, totals }).length > 0 ? 'doubtful' : 'on';
}

function hasOtherStart(look: Look, last: Look): boolean {
  const [started, before] = [look.processStart, last.processStart];
  return started !== undefined && before !== undefined && Math.abs(started - before) > SAME_START_SECONDS;
}

export interface Verdict {
  /** Processes that began again: their counters count in full. */
  readonly restarted: ReadonlySet<string>;
  /** Processes in whose place another one is seen: what it counted before is not of this time. */
  readonly replaced: ReadonlySet<string>;
}

/** Of a look that did not follow, and after which none did. */
export function verdictOn(look: Look, before: Before): Verdict {
  const { last, totals, fastest } = before;
  // By its start time it is another server's, whatever its counters say.
  if (hasOtherStart(look, last)) return { restarted: new Set(), replaced: new Set([...totals.values()].map(({ process }) => process)) };
  const isNearZero = ({ key, value, total }: Fallen): boolean => value <= SMALL_PART * total || value <= FASTER * (fastest.get(key) ?? 0) * (look.at - last.at);
  const fallen = fallenIn(look, totals);
  const processes = [...new Set(fallen.map(({ process }) => process))];
  const restarted = processes.filter((process) => {
    const own = fallen.filter((each) => each.process === process);
    const tokens = own.filter(({ counts }) => TOKENS.has(counts));
    return (tokens.length > 0 ? tokens : own).every(isNearZero);
  });
  const leapt = leaptIn(look, before).map(({ process }) => process);
  return { restarted: new Set(restarted.filter((process) => !leapt.includes(process))), replaced: new Set([...processes.filter((process) => !restarted.includes(process)), ...leapt]) };
}

interface Fallen extends Counter {
  readonly key: string;
  readonly total: number;
}

/** Counters that moved by more than any server can do. One that was not there counts from 0, unless it was renamed or joined. */
function leaptIn(look: Look, before: Seen): Counter[] {
  const { last, totals } = before;
  const { renamed, joined } = newSeries(look, before, new Set());
  const known = new Set([...renamed.map(({ to }) => to), ...joined].flatMap(({ counters }) => [...counters.keys()]));
  const most = mostTokens(elapsed(last.at, look.at));
  return [...look.counters].flatMap(([key, counter]) => (TOKENS.has(counter.counts) && !known.has(key) && counter.value - (totals.get(key)?.value ?? 0) > most ? [counter] : []));
}

function fallenIn(look: Look, totals: ReadonlyMap<string, Counter>): Fallen[] {
  return [...look.counters].flatMap(([key, counter]) => {
    const total = totals.get(key)?.value;
    return total !== undefined && counter.value < total ? [{ ...counter, key, total }] : [];
  });
}
