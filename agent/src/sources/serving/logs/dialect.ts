/**
 * What the log of an engine is to the rest: a dialect turns peeled lines into evidence, and knows nothing of files,
 * wrappers, rotation or zones. The same dialect reads a recorded file (`recorded-log.ts`) and a growing one (`live-log.ts`).
 *
 *   bytes ─▶ lines ─▶ peel (wrappers, colours, torn lines) ─▶ LogLine ─▶ LogParser ─▶ ServingEvent
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { z } from 'zod';
import type { TokenOrigin } from '../../deployments.js';
import type { ServingEvent } from '../../source.js';

/** A line without what stood around it. */
export interface LogLine {
  /** In the file, from 1. */
  readonly number: number;
  /** The engine's own words: no colours, no wrapper, no line end. Never stored and never quoted: it may hold a prompt. */
  readonly text: string;
  /** What a wrapper (journald, a container's log, a launcher) put in front: when it took the line. */
  readonly wrapped?: Instant;
  /** The wrapper's time is in whole seconds, or of no zone of its own, or of shipping: the clock believes a stamp of the line itself more. */
  readonly wrappedRoughly?: true;
  /** When the line was read; live only. */
  readonly arrived?: Instant;
  /** Which of several writers of one file wrote it, as its wrapper says: a rank, a process, a port (`peel.ts` says which). */
  readonly writer?: string;
}

/** A time of day as a line says it; what is absent the line does not say. */
export interface Stamp {
  readonly year?: number | undefined;
  /** 1 to 12. */
  readonly month?: number | undefined;
  readonly day?: number | undefined;
  readonly hour: number;
  readonly minute: number;
  /** With its fraction. */
  readonly second: number;
  /** `utc`: the line says that it is UTC; a number: minutes east of it; absent: the zone of the process. */
  readonly zone?: 'utc' | number | undefined;
}

export interface LogClock {
  /**
   * When a line was written. The wrapper's absolute time where there is one, else the line's own stamp in the zone of the
   * entry (live: the zone that brings it nearest to its arrival), else its arrival. Undefined: nothing says.
   * A stamp cut to seconds gives the start of that second.
   */
  at(line: LogLine, stamp?: Stamp): Instant | undefined;
}

export interface LogParser {
  /** What this line and those before it tell. Lines must come in their order. Lines that are not of the engine's interest give nothing. */
  line(line: LogLine): readonly ServingEvent[];
  /** Live: nothing more was written up to this moment. What follows from silence: idle, a watermark. */
  quiet(at: Instant): readonly ServingEvent[];
  /** The file has ended: what was held back. */
  end(): readonly ServingEvent[];
}

export interface LogContext {
  /** Names the file in messages. */
  readonly label: string;
  readonly clock: LogClock;
  readonly model?: string | undefined;
  /** When the file was last written to, of a recorded one: what there is to go by where no line says a time. */
  readonly lastChange?: Instant | undefined;
  /** A line of the dialect that can't be used: counted and told by its number and reason; its text is not quoted. */
  readonly skip: (line: LogLine, reason: string) => void;
  /** A line that said something. */
  readonly used: () => void;
}

export interface LogDialect<Shape extends z.ZodRawShape = z.ZodRawShape> {
  readonly name: string;
  /** One line for `--help`. */
  readonly summary: string;
  readonly options: Shape;
  /** Whether a line can only be of this dialect: decides which dialect an unnamed log is. Cheap: asked of every line. */
  isOf(text: string): boolean;
  /**
   * Whether a line of it lacks its end: several writers share a pipe, and launchers break what they pass on. The next line
   * of the same writer, if it begins with no header of its own, is then joined to it.
   */
  isCut?(text: string): boolean;
  /** It tells every request, also those that fail: live, nobody running means idle. */
  readonly tellsRequests?: boolean;
  /** Absent: `engine log`. */
  readonly tokensFrom?: TokenOrigin;
  parser(context: LogContext, options: z.output<z.ZodObject<Shape, z.core.$strict>>): LogParser;
}
