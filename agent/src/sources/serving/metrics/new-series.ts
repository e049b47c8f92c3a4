/**
 * Series that a page did not have at the look before. Most are of an engine or a label that began to count, from 0. Not so:
 *
 *     renamed     output{model="chat"} 1000 │                            one is gone and another of its kind stands as high
 *                                           │ output{model="chat-v2"} 1040     or higher: the same counter, +40
 *     joined      output{engine="0"} 1000   │ 1040                       beside one that went on: so much can't have been
 *                                           │ output{engine="1"} 7310021       counted since; where it stands is its baseline
 *
 * What belongs together (a process and a model) is judged together: its tokens, requests and work have one story.
 */
import { elapsed, toIso, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Flagged } from '../../source.js';
import { TOKENS, type Counted, type Counter, type Look } from './look.js';

/** The look before, and where each counter stood. */
export interface Seen {
  readonly last: Look;
  readonly totals: ReadonlyMap<string, Counter>;
}

/** Series of one process and model. */
export interface Group {
  readonly process: string;
  readonly model: string | undefined;
  readonly counters: ReadonlyMap<string, Counter>;
}

export interface NewSeries {
  readonly renamed: readonly { readonly from: Group; readonly to: Group }[];
  /** Their first values are where they start. */
  readonly joined: readonly Group[];
}

/** No server gives or computes more in a second; counters are lumpy, so less than a second counts as one. */
const MOST_PER_SECOND = 1e5;

/** @param ended processes whose end is known: theirs count anew */
export function newSeries(look: Look, { last, totals }: Seen, ended: ReadonlySet<string>): NewSeries {
  const appeared = [...look.counters].filter(([key]) => !totals.has(key));
  if (appeared.length === 0) return { renamed: [], joined: [] };
  const vanished = heaviestFirst(groupsOf([...totals].filter(([key, { process }]) => last.counters.has(key) && !look.counters.has(key) && !ended.has(process))));
  const goesOn = [...look.counters].some(([key, { process }]) => totals.has(key) && !ended.has(process));
  const most = mostIn(elapsed(last.at, look.at));
  const renamed: { from: Group; to: Group }[] = [];
  const joined: Group[] = [];
  for (const to of heaviestFirst(groupsOf(appeared))) {
    const from = vanished.find((each) => isSame(each, to, most));
    if (from) {
      renamed.push({ from, to });
      vanished.splice(vanished.indexOf(from), 1);
    } else if (goesOn && [...to.counters.values()].some(({ counts, value }) => TOKENS.has(counts) && value > most)) joined.push(to);
  }
  return { renamed, joined };
}

export function newSeriesFlags(label: string, { renamed, joined }: NewSeries, at: Instant): Flagged[] {
  const before = toIso(at);
  return [
    ...(renamed.length > 0 ? [{ kind: 'flagged', code: 'COUNTER_RENAMED', count: renamed.length, detail: `${label}: before ${before} counters vanished and others of the same kind, as high or higher, came in their place; they are taken for the same by another name (a label such as the model's changed) and go on from where the old ones stood` } as const] : []),
    ...(joined.length > 0 ? [{ kind: 'flagged', code: 'COUNTER_JOINED', count: joined.length, detail: `${label}: before ${before} counters came to the page that stand higher than can have been counted since the last look; they are counted from there on. Where the page gathers several servers, look at each at its own address` } as const] : []),
  ];
}

const mostIn = (length: Seconds): number => MOST_PER_SECOND * Math.max(1, length);

function groupsOf(counters: readonly (readonly [string, Counter])[]): Group[] {
  const groups = new Map<string, { process: string; model: string | undefined; counters: Map<string, Counter> }>();
  for (const [key, counter] of counters) {
    const { process, model } = counter;
    const name = JSON.stringify([process, model]);
    const group = groups.get(name) ?? { process, model, counters: new Map<string, Counter>() };
    groups.set(name, group);
    group.counters.set(key, counter);
  }
  return [...groups.values()];
}

/** All that the one counted, the other has counted too, and no more tokens than could come since. One that never counted began as any new one does. */
function isSame(from: Group, to: Group, most: number): boolean {
  const has = sumsOf(to);
  return weightOf(from) > 0 && [...sumsOf(from)].every(([counts, value]) => {
    const now = has.get(counts);
    return now !== undefined && now >= value && (!TOKENS.has(counts) || now - value <= most);
  });
}

/** By what is counted. */
export function sumsOf({ counters }: Group): Map<Counted, number> {
  const sums = new Map<Counted, number>();
  for (const { counts, value } of counters.values()) sums.set(counts, (sums.get(counts) ?? 0) + value);
  return sums;
}

const weightOf = ({ counters }: Group): number => [...counters.values()].reduce((sum, { value }) => sum + value, 0);

/** Of several, the one that counted most is the one that stands highest now. */
const heaviestFirst = (groups: readonly Group[]): Group[] => groups.toSorted((one, other) => weightOf(other) - weightOf(one));
