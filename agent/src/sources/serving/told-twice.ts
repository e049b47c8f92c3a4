/**
 * Whether a log tells the same time twice. Two servers that follow each other in one file each have their own time; where
 * their times overlap, either two ran (and both counts are right) or one log was put in twice:
 *
 *     line    1 ─────────── 900 │ 901 ────────── 1800
 *     time    9:00 ────── 10:00 │ 9:00 ──────── 10:00      told twice
 *     time    9:00 ────── 10:00 │ 10:00 ─────── 11:00      a restart: nothing to say
 */
import { instant, toIso } from '@joulebook/shared/units.js';
import type { Flagged, ServingEvent, StepsEvidence, WindowEvidence } from '../source.js';

/** Writers of one file wait for each other, hold lines back, and set their clocks. */
const BACK_SECONDS = 30;
/** A single one may have been held back to the end of the file. */
const LEAST = 3;
/** Enough to see that two tellings are the same, of a log of any length. */
const MOST_REMEMBERED = 100_000;

export function toldTwice(label: string) {
  const latest = new Map<string, number>();
  const known = new Set<string>();
  let from = Infinity;
  let to = -Infinity;
  let count = 0;
  let same = 0;

  return {
    see(event: ServingEvent): void {
      // Idle engines all look the same.
      if ((event.kind !== 'window' && event.kind !== 'steps') || tokensOf(event) === 0) return;
      const rank = event.rank ?? '';
      const before = latest.get(rank) ?? -Infinity;
      const name = nameOf(event);
      if (event.to < before - BACK_SECONDS) {
        from = Math.min(from, event.from);
        to = Math.max(to, event.to);
        count += 1;
        if (known.has(name)) same += 1;
        return;
      }
      latest.set(rank, Math.max(before, event.to));
      if (known.size < MOST_REMEMBERED) known.add(name);
    },
    flagged(): Flagged[] {
      if (count < LEAST) return [];
      const what = 2 * same > count
        ? 'Most of it is the same to the token: it is one log put in twice, and its tokens are counted twice; leave one out'
        : 'Two servers at once are both counted, which is right; a log that is in it twice, or a clock that was set back, is counted twice too';
      return [{ kind: 'flagged', code: 'OVERLAPPING_LOGS', count, detail: `${label} tells ${toIso(instant(from))} to ${toIso(instant(to))} twice. ${what}` }];
    },
  };
}

const tokensOf = ({ tokens: { input, output } }: StepsEvidence | WindowEvidence): number => (input ?? 0) + (output ?? 0);
const nameOf = ({ from, to, tokens: { input, output } }: StepsEvidence | WindowEvidence): string => `${from} ${to} ${input} ${output}`;
