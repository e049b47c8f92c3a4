/**
 * Why a device says nothing usable, told once: a meter with a wrong scale or an outlet without a sensor would else be
 * flagged at every poll. The rest is counted and told when it ends.
 */
import type { Flagged } from '../source.js';

export interface Trouble {
  /** @param reason tells one trouble from another; `detail` may hold the value of the moment */
  is(reason: string, flag: Pick<Flagged, 'code' | 'detail'>): readonly Flagged[];
  /** The device speaks again. */
  over(): readonly Flagged[];
}

export function trouble(device: string): Trouble {
  let now: { readonly reason: string; readonly flag: Pick<Flagged, 'code' | 'detail'>; untold: number } | undefined;
  const over = (): Flagged[] => {
    const past = now;
    now = undefined;
    return past && past.untold > 0 ? [{ kind: 'flagged', ...past.flag, count: past.untold, device }] : [];
  };
  return {
    over,
    is(reason, flag) {
      if (now?.reason === reason) {
        now.untold += 1;
        return [];
      }
      const before = over();
      now = { reason, flag, untold: 0 };
      return [...before, { kind: 'flagged', ...flag, count: 1, device }];
    },
  };
}
