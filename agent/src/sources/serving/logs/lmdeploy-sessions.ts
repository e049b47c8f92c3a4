/**
 * What LMDeploy tells of single requests with `--log-level INFO`:
 *
 *   2026-02-05 17:05:17,123 - lmdeploy - INFO - async_engine.py:700 - session=1, adapter_name=None, input_tokens=12, max_new_tokens=64, …
 *   2026-02-05 17:05:18,456 - lmdeploy - INFO - async_engine.py:900 - session 1 finished, reason "stop", input_tokens 12, output_tokens 30
 *
 * Where statistics are printed they count the same tokens. Whether they are is known 10 s after the first request at the
 * latest; until then requests are held back.
 */
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import type { Outcome } from '@joulebook/shared/slice.js';
import type { RequestEvidence, ServingEvent } from '../../source.js';
import type { LogContext, LogLine } from './dialect.js';

export interface Sessions {
  line(line: LogLine): ServingEvent[];
  /** A line of statistics was printed: it counts what these requests would. */
  statisticsSeen(): void;
  /** Nothing more was written up to this moment. */
  upTo(at: Instant): ServingEvent[];
  end(): ServingEvent[];
  /** The start of the first request that is not told yet, where requests are told at all. */
  readonly since: Instant | undefined;
}

const LOGGED = ' - lmdeploy - ';
/** Only what follows the header directly: a prompt may be anywhere behind it. */
const HEADER = String.raw`(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d),(\d{3}) - lmdeploy - [A-Z]+ - \S+ - `;
const STARTED = new RegExp(`${HEADER}session=(\\d+), (?:\\w+=[^,"']*, )*input_tokens=\\d+`);
const FINISHED = new RegExp(`${HEADER}session[ =](\\d+) finished, reason "(\\w+)", input_tokens (\\d+), output_tokens (\\d+)`);
const MAY_BE = / - session[ =]\d+(?:,| finished)/;

/** A line of statistics comes within 10 s of a token. */
const STATISTICS_WITHIN = 15;
/** A request that its client left prints no end. */
const LONGEST_REQUEST = 3600;
const MOST_OPEN = 10_000;

const OUTCOME_OF: ReadonlyMap<string, Outcome> = new Map([
  ['stop', 'ok'],
  ['length', 'ok'],
  ['tool_calls', 'ok'],
  ['abort', 'aborted'],
  ['cancel', 'aborted'],
]);

export const isSession = (text: string): boolean => text.includes(LOGGED) && MAY_BE.test(text);

export function sessions(context: LogContext): Sessions {
  const open = new Map<string, Instant>();
  let counted: 'not known' | 'by statistics' | 'by requests' = 'not known';
  let held: RequestEvidence[] = [];

  function release(): RequestEvidence[] {
    const released = held;
    held = [];
    return released;
  }

  function upTo(at: Instant): ServingEvent[] {
    for (const [session, start] of open) if (at - start > LONGEST_REQUEST || open.size > MOST_OPEN) open.delete(session);
    const [first] = held;
    if (counted === 'not known' && first && at - first.end > STATISTICS_WITHIN) counted = 'by requests';
    return counted === 'by requests' ? release() : [];
  }

  function timeOf(line: LogLine, [year, month, day, hour, minute, second, millis]: readonly (string | undefined)[]): Instant | undefined {
    return context.clock.at(line, { year: Number(year), month: Number(month), day: Number(day), hour: Number(hour), minute: Number(minute), second: Number(second) + Number(millis) / 1000 });
  }

  function finished(line: LogLine, match: RegExpExecArray): ServingEvent[] {
    const [, , , , , , , , session = '', reason = '', input, output] = match;
    const end = timeOf(line, match.slice(1));
    const start = open.get(session);
    open.delete(session);
    if (end === undefined || start === undefined || end < start) {
      context.skip(line, 'a request whose start is not in the log');
      return [];
    }
    context.used();
    if (counted === 'by statistics') return [];
    held.push({
      kind: 'request',
      id: `${context.label}:${line.number}`,
      start,
      end,
      tokens: { input: tokens(Number(input)), output: tokens(Number(output)) },
      outcome: OUTCOME_OF.get(reason) ?? 'failed',
      ...(context.model !== undefined && { model: context.model }),
    });
    return upTo(end);
  }

  return {
    line(line) {
      if (!isSession(line.text)) return [];
      const end = FINISHED.exec(line.text);
      if (end) return finished(line, end);
      const start = STARTED.exec(line.text);
      const at = start && timeOf(line, start.slice(1));
      const session = start?.[8];
      if (at === undefined || at === null || session === undefined) {
        context.skip(line, 'a request in a form that is not known');
        return [];
      }
      context.used();
      open.set(session, at);
      return upTo(at);
    },
    statisticsSeen() {
      counted = 'by statistics';
      held = [];
    },
    upTo,
    end: release,
    get since() {
      if (counted === 'by statistics') return undefined;
      const starts = [...open.values(), ...held.map(({ start }) => start)];
      return starts.length === 0 ? undefined : instant(Math.min(...starts));
    },
  };
}
