/**
 * How a comparison was set up, as its blocks show it:
 *
 *   runs           a1 a2 a3 b1 b2 b3         each on its own, in no time
 *   parallel       a a a a a a               in the same time, on other machines
 *                  b b b b b b
 *   before-after   a a a a a a │ b b b b     one change
 *   switchback     a a │ b b │ a a │ b b     turns
 */
import type { EpochMicros } from '@joulebook/shared/units.js';
import { UNTIMED_BEFORE_MICROS } from '../store/series.js';
import type { Block, Design } from './method/compare-blocks.js';

type Span = Pick<Block, 'from' | 'to'>;

/** Runs without a start are laid out from 1970 on. */
export const isUntimed = (at: EpochMicros): boolean => at < UNTIMED_BEFORE_MICROS;

/** Of the shorter side, as much in the time of the other makes it parallel. */
const MOSTLY = 0.5;

function sharedTime(a: readonly Span[], b: readonly Span[]): number {
  let [shared, at] = [0, 0];
  for (const block of a) {
    // The last one may reach into this block, too.
    at = Math.max(0, at - 1);
    for (; (b[at]?.from ?? Infinity) < block.to; at += 1) shared += Math.max(0, Math.min(block.to, b[at]?.to ?? 0) - Math.max(block.from, b[at]?.from ?? 0));
  }
  return shared;
}

const length = (spans: readonly Span[]): number => spans.reduce((sum, { from, to }) => sum + to - from, 0);

/** How often the side changes, in order of time. */
function turns(a: readonly Span[], b: readonly Span[]): number {
  const order = [...a.map((span) => ({ at: span.from, side: 'a' })), ...b.map((span) => ({ at: span.from, side: 'b' }))].toSorted((x, y) => x.at - y.at);
  return order.filter(({ side }, index) => index > 0 && order[index - 1]?.side !== side).length;
}

/** Those of several nodes at a time as one, in order of time. */
const inTime = (spans: readonly Span[]): Span[] => [...new Map(spans.map((span) => [span.from, span])).values()].toSorted((one, other) => one.from - other.from);

export function designOf(blocksOfA: readonly Span[], blocksOfB: readonly Span[]): Design {
  const [a, b] = [inTime(blocksOfA), inTime(blocksOfB)];
  if ([...a, ...b].every(({ to }) => isUntimed(to))) return 'runs';
  if (sharedTime(a, b) > MOSTLY * Math.min(length(a), length(b))) return 'parallel';
  return turns(a, b) > 1 ? 'switchback' : 'before-after';
}
