/**
 * Every other reading of a thing against what was booked for it, a minute at a time. Two sensors of one board should agree
 * within a few per cent; where they do not, one of them (often an energy counter of an early driver) is not to be trusted.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { FlaggedDuring } from '../sources/source.js';
import type { Span } from './integrator.js';

/** Mean power of a channel that was not booked, over a stretch. */
export interface Check {
  readonly channel: string;
  readonly device: string;
  readonly from: Instant;
  readonly to: Instant;
  readonly watts: number;
}

export interface CrossCheck {
  booked(span: Span): void;
  /** Any span of any channel of the device, booked or not. */
  seen(span: Span): { readonly checks: readonly Check[]; readonly flagged: readonly FlaggedDuring[] };
}

const BLOCK_SECONDS = 60;
/** A block says something only when nearly all of it was seen on both sides. */
const ENOUGH = 0.9;
const TOLERANCE = 0.05;

interface Sum {
  energy: number;
  seconds: number;
}

export function crossCheck(device: string): CrossCheck {
  let block: number | undefined;
  let booked: Sum = { energy: 0, seconds: 0 };
  let bookedBy: string | undefined;
  let others = new Map<string, Sum>();

  function close(): { checks: Check[]; flagged: FlaggedDuring[] } {
    const checks: Check[] = [];
    const flagged: FlaggedDuring[] = [];
    const from = instant((block ?? 0) * BLOCK_SECONDS);
    const to = instant(from + BLOCK_SECONDS);
    for (const [channel, sum] of others) {
      if (channel === bookedBy || sum.seconds < ENOUGH * BLOCK_SECONDS) continue;
      const watts = sum.energy / sum.seconds / 1e6;
      checks.push({ channel, device, from, to, watts });
      if (booked.seconds < ENOUGH * BLOCK_SECONDS || booked.energy <= 0) continue;
      const ratio = watts / (booked.energy / booked.seconds / 1e6);
      if (Math.abs(ratio - 1) > TOLERANCE) {
        flagged.push({ kind: 'flagged', code: 'CROSS_CHECK', detail: `${device}: ${channel} differs by more than ${TOLERANCE * 100} % from ${bookedBy ?? 'what was booked'} over minutes; see the gauges`, count: 1, device, during: { from, to } });
      }
    }
    booked = { energy: 0, seconds: 0 };
    others = new Map();
    return { checks, flagged };
  }

  const add = (sum: Sum, span: Span): void => {
    sum.energy += span.microjoules;
    sum.seconds += span.to - span.from;
  };

  return {
    booked(span) {
      bookedBy = span.channel.id;
      add(booked, span);
    },
    seen(span) {
      const here = Math.floor(span.to / BLOCK_SECONDS);
      const ended = block !== undefined && here > block ? close() : { checks: [], flagged: [] };
      block = here;
      const sum = others.get(span.channel.id) ?? { energy: 0, seconds: 0 };
      add(sum, span);
      others.set(span.channel.id, sum);
      return ended;
    },
  };
}
