/**
 * Where the prefills of a window were. A line marks the begin of one (up to 0.5.8) or its end; how long it was follows from
 * the line after or before it where one prefill followed the other, else from its size:
 *
 *     begin   │P────────│P────────│P──────╌╌ decoding ╌╌
 *     end       ╌╌ decoding ╌╌──────P│────────P│─ …
 */
import { learnFromRows, longestPrefill } from './sglang-learning.js';
import type { Pace } from './sglang-pace.js';
import { owedOf, sequencesIn, sinceNobodyRan, stepsByCacheGrowth, type Mark, type Window } from './sglang-window.js';

export interface Block {
  readonly from: number;
  readonly to: number;
  readonly mark: Mark;
  /** Printed moments at both ends. */
  readonly exact: boolean;
}

/** So many times longer than its size says, and it may still be one prefill. */
const NEARLY = 1.5;
/** A time is not made shorter than this part of what the stamps say. */
const SHORTEST = 0.05;
/** How far the speed of a prefill may be off. */
const MOST_SCALED = 4;
/** Of the time from the begin of a prefill to a Decode line: so much was decoding at least. */
const LEAST_DECODING = 0.05;

/** Where the prefills were. What the decode steps leave of a busy window is known better than the speed of a prefill. */
export function placePrefills(given: Window, pace: Pace): Block[] {
  learnFromRows(given, pace);
  const window = aligned(given, pace);
  const lengths = window.marks.map(({ line }) => (line === 'ready' ? 0 : pace.prefillSeconds(line.newTokens)));
  const scale = scaleOf(window, lengths, pace);
  const blocks: Block[] = [];
  for (const [index, mark] of window.marks.entries()) blocks.push(placeOne(window, index, mark, (lengths[index] ?? 0) * scale, blocks.at(-1)?.to ?? window.from, pace));
  return blocks;
}

/**
 * Stamps to the second leave open when a busy time began. Where the KV cache tells how many steps ran since, their time back
 * from the Decode line is the begin, as far as the stamps allow.
 */
function aligned(window: Window, pace: Pace): Window {
  const { marks, end } = window;
  const since = sinceNobodyRan(marks.map(({ line }) => line));
  const first = marks.at(-since.length);
  if (end?.kind !== 'decode' || since.length === 0 || first === undefined || first.line === 'ready' || first.fine) return window;
  const grown = stepsByCacheGrowth(since, end.line, window.pages);
  if (grown === undefined || end.at <= first.at) return window;
  const prefills = since.reduce((sum, line, index) => sum + (line.printedAt === 'start' || index > 0 ? pace.prefillSeconds(line.newTokens) : 0), 0);
  const own = first.line.printedAt === 'end' ? pace.prefillSeconds(first.line.newTokens) : 0;
  const before = marks.at(-since.length - 1)?.at ?? window.from;
  // What was before keeps some of its time.
  const soonest = before === undefined ? -Infinity : Math.max(before + own, before + (first.at - before) * SHORTEST);
  const began = Math.max(soonest, end.at - Math.min(grown.steps, owedOf(window, pace)) * pace.stepSeconds(end.line.running) - prefills);
  const busy = marks.slice(-since.length);
  // All are moved in proportion, so that none overtakes another and none leaves its second.
  const least = Math.max(...busy.map(({ at, notAfter }) => Math.min((end.at - notAfter) / (end.at - at), 1)), SHORTEST);
  const most = Math.min(...busy.map(({ at, notBefore }) => Math.max((end.at - notBefore) / (end.at - at), 1)));
  const stretch = Math.min(Math.max((end.at - began) / (end.at - first.at), least), most);
  return { ...window, marks: [...marks.slice(0, -since.length), ...busy.map((mark) => ({ ...mark, at: end.at - (end.at - mark.at) * stretch }))] };
}

/** Where the window is known to be busy, all its work took as many times longer than usual as the window did. */
function scaleOf(window: Window, lengths: readonly number[], pace: Pace): number {
  const { from, idle, marks, end } = window;
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const busy = !idle && marks.every(({ line }) => line !== 'ready' && line.running > 0);
  if (!busy || from === undefined || end?.kind !== 'decode' || !pace.knowsStep || total === 0) return 1;
  const decoding = owedOf(window, pace) * pace.stepSeconds(sequencesIn(window, end).mean);
  const scale = pace.knowsPrefill ? (end.at - from) / (decoding + total) : (end.at - from - decoding) / total;
  return Math.min(Math.max(scale, 1 / MOST_SCALED), MOST_SCALED);
}

function placeOne(window: Window, index: number, mark: Mark, length: number, cursor: number | undefined, pace: Pace): Block {
  const { line } = mark;
  const at = Math.max(mark.at, cursor ?? mark.at);
  if (line === 'ready') return { from: at, to: at, mark, exact: false };
  // Where it never decodes, what is left of a gap after a prefill of this length would be idle: not for a little more than usual.
  const alone = line.neverDecodes ? NEARLY * length : length + pace.stepSeconds(line.running) / 2;
  const whole = (room: number, more: boolean): boolean => room <= alone || (more && room <= longestPrefill(line, line.newTokens, pace));
  return line.printedAt === 'end' ? endingThere(window, index, mark, length, at, cursor, whole) : beginningThere(window, index, mark, length, at, whole, pace);
}

type Whole = (room: number, more: boolean) => boolean;

function endingThere({ marks, end, fine }: Window, index: number, mark: Mark, length: number, at: number, cursor: number | undefined, whole: Whole): Block {
  const before = marks[index - 1];
  const more = before !== undefined && before.line !== 'ready' && before.line.moreToCome;
  const filled = cursor !== undefined && whole(at - cursor, more);
  const from = filled ? cursor : at - length;
  // A Decode line right behind it was printed after one step at least.
  const to = end?.kind === 'decode' && index === marks.length - 1 ? Math.min(at, end.at - (end.at - from) * LEAST_DECODING) : at;
  return { from, to, mark, exact: filled && to === at && mark.fine && (before?.fine ?? fine) };
}

function beginningThere(window: Window, index: number, mark: Mark, length: number, at: number, whole: Whole, pace: Pace): Block {
  const { end } = window;
  const next = window.marks[index + 1];
  if (!next && (end === undefined || end.kind === 'silence')) return { from: at, to: Math.min(at + length, end?.at ?? Infinity), mark, exact: false };
  const until = next ?? end;
  const room = Math.max((until?.at ?? at) - at, 0);
  // The steps before the Decode line need their time too.
  if (!next && end?.kind === 'decode') return { from: at, to: at + Math.min(length, room - Math.min(owedOf(window, pace) * pace.stepSeconds(end.line.running), room / 2)), mark, exact: false };
  const more = mark.line !== 'ready' && mark.line.moreToCome;
  const filled = whole(room, more);
  return { from: at, to: at + (filled ? room : Math.min(length, room)), mark, exact: filled && mark.fine && (until?.fine ?? false) };
}

