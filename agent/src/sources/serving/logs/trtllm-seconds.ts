/**
 * Lines of one second, where their stamps alone would not place them.
 *
 * - Lines that say how long their iterations took are a chain. Where in its second the chain begins is told by the first
 *   line of the next second, so the lines before it wait:
 *
 *       :05                          :06
 *        ├?──┬─7ms─┬─ … ─┬─7ms─┬──7ms─┬─         the last of :05 and the first of :06 lie on both sides of :06
 *
 * - Lines that don't say it are spread evenly over their second.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { TimedReport } from './trtllm-report.js';

export interface WithinSeconds {
  /** Those whose place is known now. */
  add(report: TimedReport): readonly TimedReport[];
  /** Nothing more comes that was written before this moment. */
  until(at: Instant): readonly TimedReport[];
}

export function withinSeconds(): WithinSeconds {
  /** Of one second. */
  let held: TimedReport[] = [];
  /** The chain of this engine life has begun. */
  let chained = false;
  let number = -1;

  function release(next: TimedReport | undefined): readonly TimedReport[] {
    const [first] = held;
    const lines = held;
    held = [];
    if (!first) return [];
    if (first.hostStep === undefined) return lines.map((report, index): TimedReport => ({ ...report, at: instant(report.at + (index + 0.5) / lines.length), spread: true }));
    chained = true;
    return [{ ...first, begins: beginning(first.at, lines.slice(1), next) }, ...lines.slice(1)];
  }

  return {
    add(report) {
      const anew = report.number < number;
      number = report.number;
      const [first] = held;
      const together = first !== undefined && first.at === report.at && (first.hostStep === undefined) === (report.hostStep === undefined) && !anew;
      const earlier = together ? [] : release(anew ? undefined : report);
      if (anew) chained = false;
      if (!Number.isInteger(report.at) || (report.hostStep !== undefined && chained)) return [...earlier, report];
      held.push(report);
      return earlier;
    },
    until(at) {
      const [first] = held;
      return first !== undefined && at >= first.at + 1 ? release(undefined) : [];
    },
  };
}

/** Between which moments the first line of a second was printed, by the lines after it. */
function beginning(second: Instant, others: readonly TimedReport[], next: TimedReport | undefined): NonNullable<TimedReport['begins']> {
  const chain = others.reduce((sum, { hostStep = 0 }) => sum + hostStep, 0);
  const alone = { earliest: second, latest: Math.max(second, second + 1 - chain) };
  if (next?.hostStep === undefined) return alone;
  const toNext = chain + next.hostStep;
  const earliest = Math.max(alone.earliest, next.at - toNext);
  const latest = Math.min(alone.latest, next.at + 1 - toNext);
  return earliest <= latest ? { earliest, latest } : alone;
}
