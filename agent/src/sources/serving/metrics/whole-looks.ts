/**
 * Which looks at a page of counters are whole. NaN, infinity and less than zero are no count of anything; a look that has
 * one of these where a number stood before would give a window with a part missing, and that part would come in a later
 * one. So it is left out whole, like a look that failed, and the next whole one reaches back:
 *
 *     look      1    2    3    4
 *     output   10   NaN  30   35
 *     prompt    5    7    9    9
 *     window    ├─ 20/4 ─┤ 5/0┤
 *
 * What never was a number is no part of any look. What stays none for long is gone: the looks are used without it, and
 * idle time can't be told in them.
 */
import { toIso, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Flagged } from '../../source.js';
import { isCount, type Counter, type Look } from './look.js';
import type { Sample } from './prometheus-text.js';

export interface TakenLook {
  /** Without what is no number. */
  readonly look: Look;
  /** Something of it was a number before. */
  readonly lacks: boolean;
}

export interface WholeLooks {
  /** Undefined: it is not to be used. */
  take(look: Look): TakenLook | undefined;
  /** What was found since this was asked last. */
  flagged(): Flagged[];
}

/** Values that can be no count as NaN, which sums carry on, so that a sum over engines with one of them is none either. */
export const countsOnly = (samples: readonly Sample[]): readonly Sample[] => (samples.every(({ value }) => isCount(value)) ? samples : samples.map((sample) => (isCount(sample.value) ? sample : { ...sample, value: Number.NaN })));

const MOST_NAMES = 5;

/** @param patience after which what is still no number is gone */
export function wholeLooks(label: string, patience: Seconds): WholeLooks {
  const sound = new Set<string>();
  let whole: Instant | undefined;
  let found: { count: number; readonly first: Instant; readonly names: Map<string, number> } | undefined;

  /** Whether what was a number is one no more; from now on it is known for one where it is. */
  function isLost(key: string, value: number): boolean {
    if (!isCount(value)) return sound.has(key);
    sound.add(key);
    return false;
  }

  return {
    take(look) {
      const { counters, busy, running } = look;
      const lost = [
        ...[...counters].map(([key, { value }]) => isLost(`counter ${key}`, value)),
        ...[...busy].map(([model, value]) => isLost(`busy ${model}`, value)),
        ...[...(running ?? [])].map(([model, value]) => isLost(`running ${model}`, value)),
      ].some((each) => each);
      if (lost) {
        found ??= { count: 0, first: look.at, names: new Map() };
        found.count += 1;
        for (const name of new Set(look.noCounts)) found.names.set(name, (found.names.get(name) ?? 0) + 1);
        if (look.at - (whole ?? look.at) <= patience) return undefined;
      } else whole = look.at;
      return { look: withoutNone(look), lacks: lost };
    },
    flagged() {
      if (!found) return [];
      const { count, first, names } = found;
      found = undefined;
      const told = [...names].slice(0, MOST_NAMES).map(([name, times]) => `${name} in ${times}`);
      const which = told.length === 0 ? '' : ` (${told.join(', ')}${names.size > MOST_NAMES ? ` and ${names.size - MOST_NAMES} more` : ''})`;
      return [{
        kind: 'flagged', code: 'NO_COUNT', count,
        detail: `${label}: ${count} looks, the first at ${toIso(first)}, hold values that can be no count: NaN, infinite or below 0${which}; they are not used, and the time to the next whole look is one window`,
      }];
    },
  };
}

function withoutNone(look: Look): Look {
  const { running, kvUsage } = look;
  return {
    ...look,
    counters: new Map<string, Counter>([...look.counters].filter(([, { value }]) => isCount(value))),
    busy: numbersIn(look.busy),
    ...(running && { running: numbersIn(running) }),
    ...(kvUsage && { kvUsage: numbersIn(kvUsage) }),
  };
}

const numbersIn = (values: ReadonlyMap<string | undefined, number>): Map<string | undefined, number> => new Map([...values].filter(([, value]) => isCount(value)));
