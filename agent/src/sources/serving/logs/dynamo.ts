/**
 * The log of a Dynamo frontend: one request per pair of lines.
 *
 *     received ├────────── ttft_ms ──────────┤ first token         completed (elapsed_ms)
 *              ├ queue · prefill · KV transfer ┼────── decode ────────┤
 *
 * The first token is what the client saw, so what lies before it is more than the prefill; when the prefill worker began
 * is not told, except at DEBUG in JSON. A prompt is told whole: how much of it was cached is not in this log.
 *
 * Everything is said when a request ends. The lines of arrival tell who is still running: nothing after the earliest of
 * these is settled, and between the last end and the next arrival the frontend was idle.
 */
import type { Outcome } from '@joulebook/shared/slice.js';
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import type { RequestEvidence, ServingEvent, TokenCounts } from '../../source.js';
import type { LogContext, LogDialect, LogLine, LogParser } from './dialect.js';
import { dynamoRecord, isTorn, type DynamoRecord } from './dynamo-record.js';
import { routerLine } from './dynamo-router.js';

/** A request that runs longer than this without an end was lost by the frontend (killed, restarted). */
const LOST_SECONDS = 600;
const LONGEST_SECONDS = 86_400;
/** Spans that ended by their event and may end again; the second comes at once. */
const MOST_ENDED = 10_000;
/** elapsed_ms is cut to whole milliseconds, and begins a little before ttft_ms does. */
const ROUNDING_SECONDS = 0.01;

export const dynamo: LogDialect = {
  name: 'dynamo-log',
  tokensFrom: 'gateway requests',
  summary: 'log of a Dynamo frontend, readable or JSON lines: requests with first token and tokens',
  options: {},
  isOf: (text) => dynamoRecord(text) !== undefined || routerLine(text) !== undefined,
  isCut: isTorn,
  parser,
};

interface Open {
  readonly start: Instant;
  /** Whether its arrival was told, rather than something that happened to it later. */
  readonly received: boolean;
  readonly dispatched?: Instant;
  readonly prefilled?: Instant;
}

function parser(context: LogContext): LogParser {
  const open = new Map<string, Open>();
  const ended = new Set<string>();
  let said: Instant | undefined;
  let last: Instant | undefined;
  /** Since when nobody runs; undefined while somebody does, or before it is known. */
  let idleFrom: Instant | undefined;
  let tellsArrivals = false;

  /** A line could not be used that had no time of its own. */
  let doubted = false;

  const hole = (from: Instant, to: Instant, why: string): ServingEvent[] => (to > from ? [{ kind: 'hole', from, to, reason: `${context.label}: ${why}` }] : []);
  const lost = ({ start }: Open, at: Instant): ServingEvent[] => hole(start, at, 'a request arrived here and its end was never logged');
  const unknown = (from: Instant | undefined, to: Instant): ServingEvent[] => hole(from ?? to, to, 'a request here could not be used');

  /** Who would have ended long ago. */
  function* giveUp(at: Instant): Generator<ServingEvent> {
    for (const [request, each] of open) {
      if (at - each.start <= LOST_SECONDS) continue;
      open.delete(request);
      yield* lost(each, at);
    }
  }

  function* settled(at: Instant): Generator<ServingEvent> {
    // Without lines of arrival anybody may be running.
    let upTo = tellsArrivals ? at : instant(at - LOST_SECONDS);
    for (const { start } of open.values()) if (start < upTo) upTo = start;
    if (said !== undefined && upTo <= said) return;
    said = upTo;
    yield { kind: 'watermark', at: upTo };
  }

  function* idleUntil(at: Instant): Generator<ServingEvent> {
    if (idleFrom !== undefined && tellsArrivals && at > idleFrom) yield { kind: 'idle', from: idleFrom, to: at };
  }

  function* arrived(request: string, at: Instant, { says }: DynamoRecord): Generator<ServingEvent> {
    yield* idleUntil(at);
    idleFrom = undefined;
    const known = open.get(request);
    if (says === 'received') {
      tellsArrivals = true;
      if (!known) open.set(request, { start: at, received: true });
    } else if (says === 'dispatched') {
      // A request in two parts is handed over twice: first to the prefill worker.
      if (known?.dispatched === undefined) open.set(request, { start: at, received: false, ...known, dispatched: at });
    } else if (known?.prefilled === undefined) open.set(request, { start: at, received: false, ...known, prefilled: at });
  }

  function* finished(record: DynamoRecord, before: Instant | undefined, at: Instant, line: LogLine): Generator<ServingEvent> {
    const { request } = record;
    const known = request === undefined ? undefined : open.get(request);
    const evidence = requestOf(record, known, at, `${context.label}:${line.number}`, context.model);
    if (typeof evidence === 'string') {
      context.skip(line, evidence);
      yield* unknown(before, at);
      return;
    }
    context.used();
    if (request !== undefined) {
      open.delete(request);
      if (record.says === 'completed') ended.add(request);
      const [oldest] = ended;
      if (ended.size > MOST_ENDED && oldest !== undefined) ended.delete(oldest);
    }
    if (open.size === 0) idleFrom = at;
    yield evidence;
    yield* settled(at);
  }

  function* read(line: LogLine): Generator<ServingEvent> {
    const record = dynamoRecord(line.text);
    if (record === undefined) return;
    const at = record === 'cut' ? undefined : context.clock.at(line, record.stamp);
    if (record === 'cut' || at === undefined) {
      context.skip(line, record === 'cut' ? 'a JSON record that does not reach its end' : 'no time');
      doubted = true;
      return;
    }
    const { request, says } = record;
    if (says === 'closed' && ((request !== undefined && ended.delete(request)) || !isInference(record, open))) return;
    const before = last;
    last = at;
    if (doubted) yield* unknown(before, at);
    doubted = false;
    yield* giveUp(at);
    if (says === 'completed' || says === 'closed') yield* finished(record, before, at, line);
    else if (request === undefined) {
      context.skip(line, 'a request without an id');
      doubted = true;
    } else {
      context.used();
      yield* arrived(request, at, record);
    }
  }

  return {
    line: (line) => [...read(line)],
    quiet(at) {
      const events = [...giveUp(at), ...idleUntil(at), ...settled(at)];
      if (idleFrom !== undefined && at > idleFrom) idleFrom = at;
      return events;
    },
    end: () => [...open.values()].flatMap((each) => (last === undefined ? [] : lost(each, last))),
  };
}

/** The same span encloses health checks and pages of metrics. */
function isInference({ request, fields }: DynamoRecord, open: ReadonlyMap<string, Open>): boolean {
  if (request !== undefined && open.has(request)) return true;
  return fields.has('output_tokens') || fields.has('ttft_ms') || /^\/v1\/(?:chat\/completions|completions|responses|messages|embeddings)/.test(fields.get('uri') ?? '');
}

/** @returns why it can't be used */
function requestOf({ fields }: DynamoRecord, known: Open | undefined, end: Instant, id: string, model: string | undefined): RequestEvidence | string {
  const number = (name: string): number | undefined => numberOf(fields.get(name));
  const elapsed = scaled(number('elapsed_ms'), 1e3) ?? scaled(number('time.duration_us'), 1e6);
  const start = known?.received ? known.start : elapsed === undefined ? undefined : instant(end - elapsed);
  if (start === undefined) return 'it tells neither when the request arrived nor how long it ran, or is cut off';
  if (start > end || end - start > LONGEST_SECONDS) return 'a request that ended before it arrived, or ran for more than a day';
  const { outcome, model: named } = endingOf(fields);
  const spoken = named ?? model;
  const firstToken = firstTokenOf(start, end, scaled(number('ttft_ms'), 1e3)) ?? within(known?.prefilled, start, end);
  const scheduled = within(known?.dispatched, start, firstToken ?? end);
  return {
    kind: 'request',
    id,
    start,
    ...(scheduled !== undefined && { scheduled }),
    ...(firstToken !== undefined && { firstToken }),
    end,
    tokens: tokensOf(number('input_tokens'), number('output_tokens')),
    outcome,
    ...(spoken !== undefined && { model: spoken }),
  };
}

const scaled = (value: number | undefined, perSecond: number): number | undefined => (value === undefined ? undefined : value / perSecond);
const numberOf = (text: string | undefined): number | undefined => (text !== undefined && /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : undefined);

function firstTokenOf(start: Instant, end: Instant, ttft: number | undefined): Instant | undefined {
  if (ttft === undefined || start + ttft > end + ROUNDING_SECONDS) return undefined;
  return instant(Math.min(start + ttft, end));
}

const within = (at: Instant | undefined, from: Instant, to: Instant): Instant | undefined => (at !== undefined && at >= from && at <= to ? at : undefined);

/** A prompt is never empty: 0 stands for one of which nothing came back. */
function tokensOf(input: number | undefined, output: number | undefined): TokenCounts {
  return { ...(input !== undefined && input > 0 && { input: tokens(input) }), ...(output !== undefined && { output: tokens(output) }) };
}

/** Refused before any worker saw it. */
const REFUSALS: ReadonlySet<string> = new Set(['validation', 'not_found', 'not_implemented', 'overload']);

/** Without `status` (a closed span of older versions) it is not told: answered. A model that does not exist is what a client typed: not kept. */
function endingOf(fields: ReadonlyMap<string, string>): { readonly outcome: Outcome; readonly model?: string } {
  const status = fields.get('status') ?? fields.get('request.outcome') ?? 'success';
  const error = fields.get('error_type');
  const model = fields.get('model');
  if (status === 'cancelled' || error === 'cancelled') return { outcome: 'aborted', ...(model !== undefined && { model }) };
  if (error === 'not_found') return { outcome: 'rejected' };
  const outcome = status === 'success' ? 'ok' : error !== undefined && REFUSALS.has(error) ? 'rejected' : 'failed';
  return { outcome, ...(model !== undefined && { model }) };
}
