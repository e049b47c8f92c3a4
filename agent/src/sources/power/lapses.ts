/**
 * What a device fails to say: told when it begins, counted while it lasts, and the count told when it ends. A sensor that
 * says nothing ten times a second must not flood the facts.
 */
import type { Flagged } from '../source.js';

export interface Lapses {
  /** @param what the reading that is missing @param reason in words; another reason is another lapse */
  missed(device: string, what: string, code: string, reason: string): readonly Flagged[];
  said(device: string, what: string): readonly Flagged[];
  /** Whether anything is missing now: else nothing needs to be said. */
  readonly any: boolean;
}

interface Lapse {
  readonly code: string;
  readonly reason: string;
  untold: number;
}

export function lapses(source: string): Lapses {
  const open = new Map<string, Lapse>();
  const end = (device: string, what: string): readonly Flagged[] => {
    const key = `${device}/${what}`;
    const lapse = open.get(key);
    if (!lapse) return [];
    open.delete(key);
    if (lapse.untold === 0) return [];
    return [{ kind: 'flagged', code: lapse.code, detail: `${source}: ${device}: ${what} went on like this: ${lapse.reason}`, count: lapse.untold, device }];
  };
  return {
    missed(device, what, code, reason) {
      const known = open.get(`${device}/${what}`);
      if (known?.code === code && known.reason === reason) {
        known.untold += 1;
        return [];
      }
      const ended = end(device, what);
      open.set(`${device}/${what}`, { code, reason, untold: 0 });
      return [...ended, { kind: 'flagged', code, detail: `${source}: ${device}: ${what}: ${reason}`, count: 1, device }];
    },
    said: end,
    get any() {
      return open.size > 0;
    },
  };
}
