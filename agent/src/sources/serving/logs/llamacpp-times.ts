/**
 * When the lines of a llama.cpp log were written. What a line says of its time, best first:
 *
 *     wrapper, arrival, `timestamp=`   since 1970; a whole number of seconds means some moment within that second
 *     `3.05.120.400`                   since the start of its process, to the microsecond
 *     nothing                          not before the line above it
 *
 * Times are kept on an axis of the log's own, whose origin is known as soon as one line (or `started`) says an absolute
 * time. Until then, and for ever where no line does, events wait for what fixes the axis: the time of a line beside them,
 * or the end of the file, which was last written at a time that the file system knows.
 *
 * A wrapper takes a line some time after it was written, never before. So of several lines that say both times the
 * smallest difference is nearest to the start of the process; of stamps cut to seconds, the largest.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';

/** On the axis of the log: at `at` or up to `slack` seconds later. */
export interface Moment {
  readonly at: number;
  readonly slack: number;
}

export interface Absolute {
  readonly at: Instant;
  /** Whole seconds: within a second from then. */
  readonly cut: boolean;
}

export interface LineTimes {
  /** Lines themselves fix the axis: events can be told at once. */
  readonly fixed: boolean;
  /** Something fixes it, if only `endsAt`. */
  readonly placed: boolean;
  /** The latest moment known of. */
  readonly now: number;
  /** Lines say more than their order. */
  readonly clocked: boolean;
  moment(said: { readonly absolute?: Absolute | undefined; readonly uptime?: number | undefined; readonly writer: string }): Moment;
  /** Something is known to have happened by now. */
  reached(at: number): void;
  /** The axis, where no line fixes it: `now` is this instant. */
  endsAt(at: Instant): void;
  toInstant(at: number): Instant;
  toAxis(at: Instant): number;
}

/** Clocks of computers drift apart by less than this. */
const DRIFT = 1e-4;
/** A smaller step back is two threads of one process. */
const RESTART_SECONDS = 1;

/** Where the zero of a process' clock lies on the axis. */
interface Zero {
  at: number;
  uptime: number;
  /** Only stamps cut to seconds were seen beside it. */
  cut: boolean;
}

/** @param started when the first process of the log was started, where somebody knows */
export function lineTimes(started?: Instant): LineTimes {
  let origin: number | undefined = started;
  let now = 0;
  let clocked = false;
  let fixed = started !== undefined;
  const zeros = new Map<string, Zero>();

  const ahead = (at: number): number => {
    now = Math.max(now, at);
    return at;
  };

  /** Of two times that one line says: when its process started. */
  function zeroBeside(writer: string, uptime: number, at: number, cut: boolean): number {
    const known = zeros.get(writer);
    const difference = at - uptime;
    const restarted = known === undefined || uptime < known.uptime - RESTART_SECONDS;
    if (restarted || (known.cut && !cut)) {
      zeros.set(writer, { at: difference, uptime, cut });
      return difference;
    }
    if (cut && !known.cut) return known.at;
    const drift = Math.max(0, uptime - known.uptime) * DRIFT;
    known.at = cut ? Math.max(difference, known.at - drift) : Math.min(difference, known.at + drift);
    known.uptime = uptime;
    return known.at;
  }

  /** Nothing but the process' own clock: it started so that this line is not before the one above it. */
  function zeroAlone(writer: string, uptime: number): number {
    const known = zeros.get(writer);
    if (known && uptime >= known.uptime - RESTART_SECONDS) {
      known.uptime = uptime;
      return known.at;
    }
    const at = Math.max(0, now - uptime);
    zeros.set(writer, { at, uptime, cut: false });
    return at;
  }

  /** By what is known without absolute times. */
  function onAxis(writer: string, uptime: number | undefined): number {
    const zero = zeros.get(writer);
    return uptime === undefined || !zero || uptime < zero.uptime - RESTART_SECONDS ? now : zero.at + uptime;
  }

  return {
    get fixed() {
      return fixed;
    },
    get placed() {
      return origin !== undefined;
    },
    get now() {
      return now;
    },
    get clocked() {
      return clocked;
    },
    moment({ absolute, uptime, writer }) {
      if (absolute !== undefined) {
        clocked = true;
        fixed = true;
        origin ??= absolute.at - onAxis(writer, uptime);
        const { cut } = absolute;
        const at = absolute.at - origin;
        if (uptime !== undefined) return { at: ahead(zeroBeside(writer, uptime, at, cut) + uptime), slack: 0 };
        if (!cut) return { at: ahead(at), slack: 0 };
        // Within its second, but behind what is known to have happened before.
        const from = now > at && now < at + 1 ? now : at;
        return { at: ahead(from), slack: at + 1 - from };
      }
      if (uptime === undefined) return { at: now, slack: Infinity };
      clocked = true;
      return { at: ahead(zeroAlone(writer, uptime) + uptime), slack: 0 };
    },
    reached: (at) => void ahead(at),
    endsAt(at) {
      origin = at - now;
    },
    toInstant: (at) => instant((origin ?? 0) + at),
    toAxis: (at) => at - (origin ?? 0),
  };
}
