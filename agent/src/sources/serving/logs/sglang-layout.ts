/** A window laid out in time: prefills, decoding between them, idle time, and what nobody can know. */
import type { PrefillLine } from './sglang-line.js';
import { gapsBetween, sequencesOf, shareSteps, type Gap } from './sglang-gaps.js';
import type { Pace } from './sglang-pace.js';
import { placePrefills } from './sglang-prefills.js';
import { owedOf, type Window } from './sglang-window.js';

export type Stretch = { readonly from: number; readonly to: number } & (
  | { readonly kind: 'prefill'; readonly line: PrefillLine; readonly exact: boolean }
  | { readonly kind: 'decode'; readonly steps: number; readonly running: number; readonly acceptLength: number; readonly exact: boolean }
  | { readonly kind: 'idle' }
  /** `unknown`: whether requests still ran; `stalled`: requests waited, and nothing was printed. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'stalled' }
);

/** Beyond this an unknown end of work is said to be unknown. */
const HONEST_SECONDS = 2;
/** A rest of rounding. */
const LEAST_STEPS = 1e-3;
/** So many times longer than its steps take: something else was in it. */
const SURELY_LONGER = 3;

export function layOut(given: Window, pace: Pace): readonly Stretch[] {
  const window = begun(given, pace);
  const blocks = placePrefills(window, pace);
  const gaps = gapsBetween(window, blocks);
  const { steps, sure } = shareSteps(window, gaps, pace);
  const acceptLength = window.end?.kind === 'decode' ? window.end.line.acceptLength : window.acceptLength;
  const stretches = gaps.flatMap((gap, index) => stretchesOf(gap, steps[index] ?? 0, sure, acceptLength, pace));
  for (const { from, to, mark, exact } of blocks) if (mark.line !== 'ready') stretches.push({ kind: 'prefill', from, to, line: mark.line, exact });
  return stretches.toSorted((one, other) => one.from - other.from);
}

/** The first line of a log may be a Decode line: its steps took what steps take. */
function begun(window: Window, pace: Pace): Window {
  const { from, marks, end } = window;
  return from === undefined && marks.length === 0 && end?.kind === 'decode' ? { ...window, from: end.at - owedOf(window, pace) * pace.stepSeconds(end.line.running) } : window;
}

function stretchesOf(gap: Gap, share: number, sure: boolean, acceptLength: number, pace: Pace): Stretch[] {
  const { from, to, kind } = gap;
  if (to <= from) return [];
  if (kind === 'idle') return [{ kind: 'idle', from, to }];
  if (kind === 'stalled') return [{ kind: 'stalled', from, to }];
  const steps = share < LEAST_STEPS ? 0 : share;
  const running = sequencesOf(gap, steps);
  const step = pace.stepSeconds(running);
  const decode = (begin: number, end: number, part: number, exact: boolean): Stretch => ({ kind: 'decode', from: begin, to: end, steps: part, running, acceptLength, exact });
  const longest = pace.interval * step;
  const unsure = longest > HONEST_SECONDS && !sure;
  const hole = (begin: number, end: number): Stretch[] => (unsure && end > begin ? [{ kind: 'unknown', from: begin, to: end }] : []);

  if (kind === 'ending') {
    const end = from + steps * step;
    if (steps > 0 && to - end < step) return [decode(from, to, steps, false)];
    const known = unsure && Math.min(to, from + longest) - end > HONEST_SECONDS ? Math.min(to, from + longest) : end;
    return [...(steps > 0 ? [decode(from, end, steps, false)] : []), ...hole(end, known), ...(known < to ? [{ kind: 'idle' as const, from: known, to }] : [])];
  }
  if (kind === 'waking') {
    // All steps that are left began what runs.
    const begin = Math.max(from, to - steps * step);
    return [...(begin > from ? [{ kind: 'idle' as const, from, to: begin }] : []), decode(begin, to, steps, false)];
  }
  if (kind === 'busy' || to - from < Math.max(SURELY_LONGER * steps * step, HONEST_SECONDS)) return [decode(from, to, steps, gap.exact)];
  // Half of the steps ended what ran, the other half began what runs: which is which is not printed.
  const half = (steps / 2) * step;
  const idleFrom = unsure ? Math.min(from + longest, to - half) : from + half;
  const idleTo = unsure ? Math.max(to - longest, idleFrom) : to - half;
  return [
    decode(from, from + half, steps / 2, false),
    ...hole(from + half, idleFrom),
    ...(idleTo > idleFrom ? [{ kind: 'idle' as const, from: idleFrom, to: idleTo }] : []),
    ...hole(idleTo, to - half),
    decode(to - half, to, steps / 2, false),
  ];
}
