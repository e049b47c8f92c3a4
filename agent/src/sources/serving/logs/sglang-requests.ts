/**
 * Requests that an SGLang log tells when they end, in four spellings:
 *
 *     Req Time Stats(rid=…, input len=38, output len=484, type=unified): queue_duration=0.00ms, forward_duration=1213.88ms, start_time=…
 *     ReqTimeStats(rid=…, input_len=38, cached_input_len=6, output_len=484, attempts=0, type=decode): queue_duration=…ms, forward_duration=…ms, entry_time=…
 *     Finish: obj=GenerateReqInput(…the prompt…), out={'text': …the answer…, 'meta_info': {'id': '…', 'finish_reason': {'type': 'stop', …}, 'prompt_tokens': 23, …}}
 *     {"timestamp": "2026-…", "event": "request.finished", "rid": "…", "obj": {…}, "out": {"meta_info": {…}}}
 *
 * Only numbers, the id and how it ended are read; prompts and answers are dropped here.
 */
import type { Outcome } from '@joulebook/shared/slice.js';
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import type { ServingEvent, TokenCounts } from '../../source.js';
import type { Stamp } from './dialect.js';
import { readIso } from './sglang-stamp.js';

export interface FinishedRequest {
  readonly id: string;
  readonly tokens: TokenCounts;
  readonly outcome: Outcome;
  /** Seconds since 1970 by the server's clock; absent: the line was printed at the end. */
  readonly end: number | undefined;
  /** When the line was written, where that stands inside it. */
  readonly stamp: Stamp | undefined;
  /** From its arrival to its end; undefined: the line does not say, or says what can't be. */
  readonly seconds: number | undefined;
  /** Of these, before it was scheduled. */
  readonly queued: number | undefined;
  /** From its first token to its end. */
  readonly decoding: number | undefined;
  /** It said durations that no request lasts. */
  readonly absurd: boolean;
}

/** One version prints the time since 1970 as a duration. */
const LONGEST_SECONDS = 24 * 3600;
const STATS = /\bReq ?Time ?Stats\(rid=([^,)\s]+)([^)]*)\):(.*)$/s;
const META = "'meta_info': {";

export function readFinishedRequest(text: string): FinishedRequest | 'damaged' | undefined {
  const stats = STATS.exec(text);
  if (stats && !/\bobj=/.test(text.slice(0, stats.index))) return ofStats(stats[1] ?? '', stats[2] ?? '', stats[3] ?? '');
  const finish = text.indexOf('Finish: obj=');
  if (finish >= 0 && finish < 200) return ofMetaText(text.slice(text.lastIndexOf(META)));
  if (/^\s*(?:\[[^\]]{10,40}\]\s*)?\{/.test(text) && /"event": ?"request\.finished"/.test(text)) return ofJson(text.slice(text.indexOf('{')));
  return undefined;
}

function ofStats(id: string, counts: string, durations: string): FinishedRequest | 'damaged' {
  const count = (name: string): number | undefined => numberAfter(counts, new RegExp(`\\b${name}[ _]len=(\\d+)`));
  const input = count('input');
  const output = count('output');
  const forward = numberAfter(durations, /\bforward_duration=(-?[\d.]+(?:e[+-]?\d+)?)ms/);
  const queue = numberAfter(durations, /\bqueue_duration=(-?[\d.]+(?:e[+-]?\d+)?)ms/);
  if (input === undefined || output === undefined) return 'damaged';
  const cached = count('cached_input');
  const type = /\btype=(\w+)/.exec(counts)?.[1]?.toLowerCase();
  const prompt = { input: tokens(Math.max(input - (cached ?? 0), 0)), ...(cached !== undefined && { cachedInput: tokens(Math.min(cached, input)) }) };
  const answer = { output: tokens(output) };
  const total = forward === undefined ? undefined : (forward + (queue ?? 0)) / 1000;
  const possible = total !== undefined && total >= 0 && total <= LONGEST_SECONDS && (queue ?? 0) >= 0;
  return {
    id,
    // Each half of disaggregated serving counts what it computed.
    tokens: type === 'prefill' ? prompt : type === 'decode' ? answer : { ...prompt, ...answer },
    outcome: 'ok',
    end: undefined,
    stamp: undefined,
    seconds: possible ? total : undefined,
    queued: possible && queue !== undefined ? queue / 1000 : undefined,
    decoding: undefined,
    absurd: total !== undefined && !possible,
  };
}

const amount = z.number().min(0).optional().catch(undefined);
const meta = z.object({
  id: z.string().optional(),
  prompt_tokens: amount, completion_tokens: amount, cached_tokens: amount, e2e_latency: amount, decode_throughput: amount,
  request_received_ts: amount, request_finished_ts: amount, response_sent_to_client_ts: amount,
  finish_reason: z.object({ type: z.string() }).nullish().catch(undefined),
});
type Meta = z.output<typeof meta>;
const finished = z.object({ timestamp: z.string().optional(), rid: z.string().optional(), out: z.object({ meta_info: meta }) });

function ofJson(text: string): FinishedRequest | 'damaged' {
  try {
    const read = finished.safeParse(JSON.parse(text));
    return read.success ? ofMeta(read.data.out.meta_info, read.data.rid, readIso(read.data.timestamp ?? '')) : 'damaged';
  } catch {
    return 'damaged';
  }
}

/** The dictionary of a Finish line as Python prints it. It stands behind the answer. */
function ofMetaText(text: string): FinishedRequest | 'damaged' {
  if (!text.startsWith(META)) return 'damaged';
  const number = (name: string): number | undefined => numberAfter(text, new RegExp(`'${name}': ([\\d.]+(?:e[+-]?\\d+)?)`));
  const read: Meta = {
    id: /'id': '([^']{1,80})'/.exec(text)?.[1],
    prompt_tokens: number('prompt_tokens'), completion_tokens: number('completion_tokens'), cached_tokens: number('cached_tokens'), e2e_latency: number('e2e_latency'),
    decode_throughput: number('decode_throughput'), request_received_ts: number('request_received_ts'), request_finished_ts: number('request_finished_ts'),
    response_sent_to_client_ts: number('response_sent_to_client_ts'),
    finish_reason: { type: /'finish_reason': \{'type': '(\w+)'/.exec(text)?.[1] ?? 'stop' },
  };
  return ofMeta(read, undefined, undefined);
}

function ofMeta(read: Meta, rid: string | undefined, stamp: Stamp | undefined): FinishedRequest | 'damaged' {
  const { prompt_tokens: prompt, completion_tokens: output, cached_tokens: cached, e2e_latency: latency, request_received_ts: received, decode_throughput: rate } = read;
  if (prompt === undefined || output === undefined) return 'damaged';
  const end = read.request_finished_ts ?? read.response_sent_to_client_ts;
  const total = latency ?? (received !== undefined && end !== undefined ? end - received : undefined);
  const possible = total !== undefined && total >= 0 && total <= LONGEST_SECONDS;
  const decoding = rate !== undefined && rate > 0 && output > 1 ? (output - 1) / rate : undefined;
  return {
    id: read.id ?? rid ?? '',
    tokens: { input: tokens(Math.max(prompt - (cached ?? 0), 0)), ...(cached !== undefined && { cachedInput: tokens(Math.min(cached, prompt)) }), output: tokens(output) },
    outcome: read.finish_reason?.type === 'abort' ? 'aborted' : 'ok',
    end,
    stamp,
    seconds: possible ? total : undefined,
    queued: undefined,
    // A figure is printed even where the decoding was not timed: a rate of millions.
    decoding: possible && decoding !== undefined && decoding > 1e-3 && decoding <= total ? decoding : undefined,
    absurd: total !== undefined && !possible,
  };
}

function numberAfter(text: string, pattern: RegExp): number | undefined {
  const [, digits] = pattern.exec(text) ?? [];
  const value = Number(digits ?? Number.NaN);
  return Number.isFinite(value) ? value : undefined;
}

/**
 * @param printed when the line was written
 * @param since what is known to have been before: a request whose duration is not known ended somewhere after it
 */
export function requestEvidence(request: FinishedRequest, printed: Instant, since: Instant, model: string | undefined): ServingEvent {
  const end = instant(request.end ?? printed);
  const of = model === undefined ? {} : { model };
  if (request.seconds === undefined) return { kind: 'window', from: instant(Math.min(since, end)), to: end, tokens: request.tokens, requests: { [request.outcome]: 1 }, ...of };
  const start = instant(end - request.seconds);
  return {
    kind: 'request',
    id: request.id,
    start,
    ...(request.queued !== undefined && { scheduled: instant(start + request.queued) }),
    ...(request.decoding !== undefined && { firstToken: instant(end - request.decoding) }),
    end,
    tokens: request.tokens,
    outcome: request.outcome,
    ...of,
  };
}
