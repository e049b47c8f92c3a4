/**
 * Whether an energy counter can be believed, by the power that the same tool says: over the first two readings its rate
 * must lie within a quarter of it. AMD's were seen 15 times too slow (a wrong resolution) and frozen until a reboot.
 *
 *     ├─ call ─┤            ├─ call ─┤        the tool read its sensor at some moment of each call: the time between
 *          ◀──── shortest ──▶                 the two is known to within their lengths, and must be long against that
 *     ◀───────── longest ────────────▶
 */
import { microjoulesToJoules, seconds, type Instant, type Seconds, type Watts } from '@joulebook/shared/units.js';
import type { Channel, PowerEvent } from '../../source.js';

export type CounterVerdict = { readonly kind: 'wait' } | { readonly kind: 'good' } | { readonly kind: 'differs'; readonly detail: string };

export interface CounterCheck {
  /**
   * Once it is good or differs, it stays so.
   * @param within the sensor was read so long before or after `at`, at most
   */
  judge(total: bigint, power: Watts, at: Instant, within?: Seconds): CounterVerdict;
}

const TOLERANCE = 0.25;

export function counterCheck(): CounterCheck {
  let first: { total: bigint; power: Watts; at: Instant; within: Seconds } | undefined;
  let verdict: CounterVerdict = { kind: 'wait' };
  return {
    judge(total, power, at, within = seconds(0)) {
      if (verdict.kind !== 'wait') return verdict;
      if (!first || total < first.total) {
        first = { total, power, at, within };
        return verdict;
      }
      const shortest = at - first.at - first.within - within;
      const longest = at - first.at + first.within + within;
      if (shortest <= longest / 2) return verdict;
      const joules = microjoulesToJoules(total - first.total);
      // The load may have changed in between: anything from the lower to the higher power is possible.
      const lowest = Math.min(first.power, power) * (1 - TOLERANCE);
      const highest = Math.max(first.power, power) * (1 + TOLERANCE);
      verdict = joules / shortest >= lowest && joules / longest <= highest ? { kind: 'good' } : { kind: 'differs', detail: `it rose by ${(joules / (at - first.at)).toFixed(1)} W while the power was ${first.power} to ${power} W` };
      return verdict;
    },
  };
}

export interface CheckedCounters {
  /** The reading, once the counter is known to be good; a flag, once, when it is not. */
  read(channel: Channel, total: bigint, power: Watts, at: Instant, within?: Seconds): readonly PowerEvent[];
}

export function checkedCounters(source: string): CheckedCounters {
  const checks = new Map<string, CounterCheck>();
  const told = new Set<string>();
  return {
    read(channel, total, power, at, within) {
      const { id, device } = channel;
      const check = checks.get(id) ?? counterCheck();
      checks.set(id, check);
      const verdict = check.judge(total, power, at, within);
      if (verdict.kind === 'good') return [{ kind: 'reading', channel, at, measures: 'counter', total }];
      if (verdict.kind === 'wait' || told.has(id)) return [];
      told.add(id);
      return [{ kind: 'flagged', code: 'COUNTER_IMPLAUSIBLE', detail: `${source}: the energy counter of ${device} is not used: ${verdict.detail}`, count: 1, device }];
    },
  };
}
