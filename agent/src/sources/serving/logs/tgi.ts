/**
 * The log of TGI (text-generation-inference): one line per request, when it ended well.
 *
 *     2026-03-04T05:06:07.890123Z  INFO generate{parameters=… total_time="2.5s" validation_time="400.5µs" queue_time="80.1µs"
 *         inference_time="2.4995194s" time_per_token="24.995194ms" seed="None"}: text_generation_router::server: router/src/server.rs:1: Success
 *
 *     ├ validation ┼ queue ┼────────────── inference ──────────────┤ the line's time
 *     start                scheduled                              end
 *
 * Tokens are inference_time / time_per_token. The prompt's length is not logged, nor where prefill ends. A stream that its
 * client left, and a request that failed, log no such line: that nobody was running can't be told from this log.
 */
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import type { RequestEvidence, ServingEvent } from '../../source.js';
import type { LogContext, LogDialect, LogLine, LogParser, Stamp } from './dialect.js';
import { isRecord, jsonRecord, stampOfLine, stampOfValue } from './rust-tracing.js';

const LOOKBACK_SECONDS = 120;
const LONGEST_SECONDS = 86_400;
/** Its parts are measured one by one. */
const ROUNDING_SECONDS = 0.01;

export const tgi: LogDialect = {
  name: 'tgi-log',
  summary: "log of TGI's router, text or JSON: requests with output tokens, without first token and input",
  options: {},
  isOf: (text) => TIMED.test(text) && ENDS_WELL.test(text) && text.includes('time_per_token'),
  parser,
};

const TIMED = /\btotal_time(?:="|":\s?")/;
const ENDS_WELL = /text_generation_router\S*:.*: Success\s*$|"message":\s?"Success"/;

function parser(context: LogContext): LogParser {
  let first: Instant | undefined;
  let last: Instant | undefined;
  let said: Instant | undefined;

  function* settled(upTo: Instant): Generator<ServingEvent> {
    if (said !== undefined && upTo <= said) return;
    said = upTo;
    yield { kind: 'watermark', at: upTo };
  }

  function* read(line: LogLine): Generator<ServingEvent> {
    if (!TIMED.test(line.text)) return;
    const evidence = readRequest(line, context);
    if (typeof evidence === 'string') {
      context.skip(line, evidence);
      return;
    }
    context.used();
    const { end } = evidence;
    if (first === undefined || evidence.start < first) first = evidence.start;
    if (last === undefined || end > last) last = end;
    yield evidence;
    yield* settled(instant(end - LOOKBACK_SECONDS));
  }

  return {
    line: (line) => [...read(line)],
    quiet: (at) => [...settled(instant(at - LOOKBACK_SECONDS))],
    end: () => (first === undefined || last === undefined ? [] : [{ kind: 'hole', from: first, to: last, reason: `${context.label}: TGI does not log requests that failed or that the client left` }]),
  };
}

/** @returns why it can't be used */
function readRequest(line: LogLine, { clock, label, model }: LogContext): RequestEvidence | string {
  const { text } = line;
  // Who serves embeddings logs alike, with other times: text-embeddings-inference.
  if (text.includes('tokenization_time')) return 'of an embeddings server, which generates nothing';
  if (!ENDS_WELL.test(text)) return 'cut off';
  const told = text.trimStart().startsWith('{') ? fromJson(text) : fromText(text);
  if (told === undefined) return 'its times cannot be read';
  const end = clock.at(line, told.stamp);
  return end === undefined ? 'no time' : requestOf(told, end, `${label}:${line.number}`, model);
}

interface Told {
  readonly stamp: Stamp | undefined;
  readonly total: number;
  readonly validation: number;
  readonly queue: number;
  readonly inference: number;
  readonly perToken: number;
}

/** In their order at the end of the span, after parameters that may quote anything. */
const TIMES = /total_time="([^"]*)" validation_time="([^"]*)" queue_time="([^"]*)" inference_time="([^"]*)" time_per_token="([^"]*)" seed="[^"]*"\}: text_generation_router/;
const NAMES = ['total_time', 'validation_time', 'queue_time', 'inference_time', 'time_per_token'] as const;

function fromText(text: string): Told | undefined {
  const [, ...times] = TIMES.exec(text) ?? [];
  return toldOf(stampOfLine(text), times);
}

function fromJson(text: string): Told | undefined {
  const record = jsonRecord(text);
  if (!record) return undefined;
  const outer: readonly unknown[] = Array.isArray(record['spans']) ? record['spans'] : [];
  const spans = [record['span'], ...outer].filter(isRecord);
  const span = spans.find((each) => 'time_per_token' in each);
  return toldOf(stampOfValue(record['timestamp']), span ? NAMES.map((name) => span[name]) : []);
}

function toldOf(stamp: Stamp | undefined, times: readonly unknown[]): Told | undefined {
  const [total, validation, queue, inference, perToken] = times.map(secondsOf);
  if (total === undefined || validation === undefined || queue === undefined || inference === undefined || perToken === undefined) return undefined;
  return { stamp, total, validation, queue, inference, perToken };
}

const PER_SECOND: Readonly<Record<string, number>> = { ns: 1e9, µs: 1e6, μs: 1e6, us: 1e6, ms: 1e3, s: 1 };

/** A duration as Rust prints it: `81ns`, `73.176µs` (either mu), `986.532642ms`, `4.065504959s`. */
function secondsOf(value: unknown): number | undefined {
  const [, number, unit = ''] = (typeof value === 'string' ? /^"?(\d+(?:\.\d+)?)(ns|[µμu]s|ms|s)"?$/.exec(value) : undefined) ?? [];
  const perSecond = PER_SECOND[unit];
  return number === undefined || perSecond === undefined ? undefined : Number(number) / perSecond;
}

function requestOf({ total, validation, queue, inference, perToken }: Told, end: Instant, id: string, model: string | undefined): RequestEvidence | string {
  if (total > LONGEST_SECONDS) return 'a request that ran for more than a day';
  if (validation + queue + inference > total + ROUNDING_SECONDS) return 'its parts are longer than the whole';
  const start = instant(end - total);
  return {
    kind: 'request',
    id,
    start,
    scheduled: instant(Math.min(start + (validation + queue), end)),
    end,
    tokens: perToken > 0 ? { output: tokens(Math.round(inference / perToken)) } : {},
    outcome: 'ok',
    ...(model !== undefined && { model }),
  };
}
