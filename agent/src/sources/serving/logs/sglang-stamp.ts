/**
 * What stands in front of a message of SGLang:
 *
 *     [2026-04-06 01:34:58 DP1 TP2] message               local time, to the second
 *     [2026-04-06 01:34:58.123 TP0] message               with SGLANG_LOG_MS; `,123` in TokenSpeed, which adds `- INFO -`
 *     2026-04-27T23:03:15.250907Z  INFO module: message   re-emitted by Dynamo, UTC
 *     message                                             the wrapper took the stamp off
 *
 * A progress bar that was not ended may stand glued in front of the bracket; a logged request may not.
 */
import type { Stamp } from './dialect.js';

export interface ReadStamp {
  readonly stamp: Stamp;
  /** Finer than a second. */
  readonly fine: boolean;
}

export interface Headed {
  readonly stamp: ReadStamp | undefined;
  /** What stood behind the time in the brackets. */
  readonly ranks: string;
  readonly message: string;
}

const BRACKET = /\[(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d(?:[.,]\d{1,6})?)((?: +[A-Z][A-Z_ ]*\d+)*)\s*\]\s*(?:\[gpu_id=\d+\]\s*)?(?:-\s+)?(?:(?:INFO|WARNING)\s+(?:-\s+)?)?/g;
const TRACING = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d(?:\.\d+)?)(Z|[+-]\d\d:\d\d)?\s+(?:TRACE|DEBUG|INFO|WARN|ERROR)\s+[\w.:<>]+:\s+/;
/** Behind these a line is what a user wrote. */
const REQUEST_TEXT = /\b(?:Receive|Finish|Receive OpenAI): obj=|"obj":|\btext='/;
/** A bar is short, a bracket after more than this is in somebody's text. */
const LONGEST_BAR = 4000;

const ISO = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d(?:\.\d+)?)(Z|[+-]\d\d:\d\d)?$/;

/** `2026-01-04T07:53:47.123456`: local unless it says a zone. */
export function readIso(text: string): Stamp | undefined {
  const match = ISO.exec(text);
  return match ? stampOf(match, match[7] === undefined ? undefined : zoneOf(match[7])).stamp : undefined;
}

export function readStamp(text: string): Headed {
  const traced = TRACING.exec(text);
  if (traced) {
    const inner = bracketed(text.slice(traced[0].length));
    const message = inner?.message ?? text.slice(traced[0].length);
    return { stamp: stampOf(traced, zoneOf(traced[7])), ranks: inner?.ranks ?? '', message };
  }
  return bracketed(text) ?? { stamp: undefined, ranks: '', message: text };
}

/** Behind the last bracket with a time in a row of glued bars. */
function bracketed(text: string): Headed | undefined {
  let last: RegExpExecArray | undefined;
  for (const match of text.slice(0, LONGEST_BAR).matchAll(BRACKET)) {
    if (REQUEST_TEXT.test(text.slice(0, match.index))) break;
    last = match;
  }
  return last && { stamp: stampOf(last, undefined), ranks: last[7] ?? '', message: text.slice(last.index + last[0].length) };
}

function stampOf(match: RegExpExecArray, zone: Stamp['zone']): ReadStamp {
  const [, year, month, day, hour, minute, second = ''] = match;
  return {
    stamp: { year: Number(year), month: Number(month), day: Number(day), hour: Number(hour), minute: Number(minute), second: Number(second.replace(',', '.')), zone },
    fine: /[.,]/.test(second),
  };
}

function zoneOf(text: string | undefined): Stamp['zone'] {
  if (text === undefined || text === 'Z') return 'utc';
  const minutes = Number(text.slice(1, 3)) * 60 + Number(text.slice(4));
  return text.startsWith('-') ? -minutes : minutes;
}
