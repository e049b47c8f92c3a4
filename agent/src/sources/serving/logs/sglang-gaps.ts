/**
 * What is between the prefills of a window: decoding, idle, or the one after the other; and how many of the steps that its
 * Decode line stands for ran in each.
 */
import type { Pace } from './sglang-pace.js';
import type { Block } from './sglang-prefills.js';
import { mostAfter, owedOf, sinceNobodyRan, stepsByCacheGrowth, type Window } from './sglang-window.js';

export interface Gap {
  readonly from: number;
  readonly to: number;
  /** `ending`: work ended in it, and then it was idle; `hidden`: work may have ended and begun; `waking`: only begun. */
  readonly kind: 'busy' | 'ending' | 'hidden' | 'waking' | 'idle' | 'stalled';
  /** Sequences in the step before it, or that begin with it; and in its last one. */
  readonly first: number;
  readonly last: number;
  readonly exact: boolean;
}

export function gapsBetween(window: Window, blocks: readonly Block[]): Gap[] {
  const gaps: Gap[] = [];
  const speculative = window.end?.kind === 'decode' && window.end.line.speculative;
  let cursor = window.from;
  let { running, most, idle, fine } = window;
  for (const { from, to, mark } of blocks) {
    const { line } = mark;
    const nobody = line === 'ready' || line.running === 0;
    if (cursor !== undefined) {
      const kind = !nobody ? 'busy' : idle || running === 0 || (line !== 'ready' && line.neverDecodes) ? 'idle' : 'ending';
      gaps.push({ from: cursor, to: from, kind, ...(line === 'ready' || nobody ? untilNobody(running, speculative || running === most) : between(running, line.running)), exact: fine && mark.fine && line !== 'ready' && line.printedAt === 'start' });
    }
    cursor = to;
    idle = line === 'ready';
    running = line === 'ready' || line.neverDecodes ? 0 : line.running + line.sequences;
    most = mostAfter(most, line);
    fine = mark.fine && line !== 'ready' && line.printedAt === 'end';
  }
  const { end } = window;
  if (end && cursor !== undefined) gaps.push({ from: cursor, to: end.at, exact: fine && end.fine, ...lastGap(window, end, running, idle, running === most) });
  return gaps;
}

const between = (first: number, last: number): Pick<Gap, 'first' | 'last'> => ({ first: first === 0 ? last : first, last });

/**
 * Where none has ended before, they end together, as a batch of equal requests does; else one by one or several at once: in
 * the middle between. Client totals of speculative engines agree with all to the end.
 */
const untilNobody = (first: number, together: boolean): Pick<Gap, 'first' | 'last'> => ({ first, last: together ? first : Math.max(Math.min(first, 1), first / 2) });

/** In a step of the gap, on average: those that ended or came in between did so evenly. */
export function sequencesOf({ first, last }: Gap, steps: number): number {
  if (steps <= 0) return (first + last) / 2;
  return Math.min(Math.max((first + last) / 2 - (first - last) / (2 * steps), Math.min(first, last)), Math.max(first, last));
}

function lastGap({ marks, decodesAlone }: Window, end: NonNullable<Window['end']>, running: number, idle: boolean, together: boolean): Pick<Gap, 'kind' | 'first' | 'last'> {
  if (end.kind === 'silence') return { kind: end.stalled ? 'stalled' : idle || running === 0 ? 'idle' : 'ending', ...untilNobody(running, together) };
  if (end.kind === 'prefill') return end.line.running > 0 ? { kind: 'busy', ...between(running, end.line.running) } : { kind: idle || running === 0 || end.line.neverDecodes ? 'idle' : 'ending', ...untilNobody(running, together) };
  // Client totals of speculative engines agree with the sequences that their line says.
  const counts = between(marks.length === 0 && end.line.speculative ? end.line.running : running, end.line.running);
  if (!decodesAlone || marks.length > 0) return { kind: 'busy', ...counts };
  return idle ? { kind: 'waking', first: end.line.running, last: end.line.running } : { kind: 'hidden', ...counts };
}

/** The steps of each gap; `sure`: the KV cache tells how many ran at the end, and thereby how many before an idle time. */
export function shareSteps(window: Window, gaps: readonly Gap[], pace: Pace): { readonly steps: readonly number[]; readonly sure: boolean } {
  const owed = owedOf(window, pace);
  const fit = ({ from, to, first, last }: Gap): number => Math.max(to - from, 0) / pace.stepSeconds((first + last) / 2);
  if (window.end?.kind !== 'decode') {
    // The Decode line that counts them is yet to come: it must find something left.
    let left = Math.max(owed - 1, 0);
    const steps = gaps.map((gap) => {
      const share = gap.kind === 'busy' ? Math.min(fit(gap), left) : gap.kind === 'ending' ? Math.min(fit(gap), owed / 2, left) : 0;
      left -= share;
      return share;
    });
    return { steps, sure: false };
  }

  const lastEnding = gaps.findLastIndex(({ kind }) => kind === 'ending' || kind === 'idle');
  const grown = lastEnding < 0 ? undefined : stepsByCacheGrowth(sinceNobodyRan(window.marks.map(({ line }) => line)), window.end.line, window.pages);
  const after = gaps.slice(lastEnding + 1);
  const length = after.reduce((sum, { from, to }) => sum + Math.max(to - from, 0), 0);
  const endings = gaps.filter(({ kind }) => kind === 'ending');
  const busyBefore = gaps.slice(0, lastEnding + 1).reduce((sum, gap) => sum + (gap.kind === 'busy' ? fit(gap) : 0), 0);
  const stepsAfter = endings.length === 0 ? owed : Math.min(owed, grown?.steps ?? after.reduce((sum, gap) => sum + fit(gap), 0));
  const scale = Math.min(1, owed / (stepsAfter + busyBefore));
  const room = endings.reduce((sum, gap) => sum + Math.min(fit(gap), owed), 0);
  const left = Math.min(Math.max(owed - stepsAfter - busyBefore, 0), room);
  const lastSteps = owed - left - busyBefore * scale;
  const steps = gaps.map((gap, index) => {
    if (index > lastEnding) return length > 0 ? (lastSteps * (gap.to - gap.from)) / length : lastSteps / after.length;
    if (gap.kind === 'busy') return fit(gap) * scale;
    return gap.kind === 'ending' && room > 0 ? (left * Math.min(fit(gap), owed)) / room : 0;
  });
  return { steps, sure: (grown?.sure ?? false) && endings.length === 1 };
}

