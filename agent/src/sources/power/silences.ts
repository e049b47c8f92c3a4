/**
 * What a sensor that is asked again and again does not say: told when it begins, counted while it lasts, and the count
 * told when it ends. A thousand `[N/A]` are two flags.
 */
import { ABSURD_READING, MISSING_READINGS } from '../line-tally.js';
import type { Flagged } from '../source.js';

export interface Silences {
  /** It said nothing that can be used. `what` names the quantity: `power.draw`, `energy`. */
  missing(device: string, what: string, reason: string): readonly Flagged[];
  /** It said more than can be. */
  absurd(device: string, what: string, said: string): readonly Flagged[];
  /** It said something. */
  speaks(device: string, what: string): readonly Flagged[];
  /** Whether it has ever said something. */
  hasSpoken(device: string, what: string): boolean;
}

const keyOf = (device: string, what: string): string => `${device}\u0000${what}`;

export function silences(source: string): Silences {
  const silent = new Map<string, { code: string; reason: string; untold: number }>();
  const spoken = new Set<string>();

  function end(device: string, what: string): Flagged[] {
    const known = silent.get(keyOf(device, what));
    silent.delete(keyOf(device, what));
    return known && known.untold > 0 ? [{ kind: 'flagged', code: known.code, detail: `${source}: ${device} went on to say no ${what}: ${known.reason}`, count: known.untold, device }] : [];
  }
  function begin(device: string, what: string, code: string, reason: string): Flagged[] {
    const known = silent.get(keyOf(device, what));
    if (known?.reason === reason) {
      known.untold += 1;
      return [];
    }
    const ended = end(device, what);
    silent.set(keyOf(device, what), { code, reason, untold: 0 });
    return [...ended, { kind: 'flagged', code, detail: `${source}: ${device} says no ${what}: ${reason}`, count: 1, device }];
  }
  return {
    missing: (device, what, reason) => begin(device, what, MISSING_READINGS.code, reason),
    absurd: (device, what, said) => begin(device, what, ABSURD_READING.code, `it said ${said}, which can't be`),
    speaks(device, what) {
      spoken.add(keyOf(device, what));
      return end(device, what);
    },
    hasSpoken: (device, what) => spoken.has(keyOf(device, what)),
  };
}
