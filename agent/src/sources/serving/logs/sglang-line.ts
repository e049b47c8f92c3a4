/**
 * One line of an SGLang log that tells of the engine's work. The wording changed with every few releases, the pairs did not:
 *
 *     [2026-04-06 01:34:58 DP1 PP0 TP2] Prefill batch, #new-seq: 2, #new-token: 76, #cached-token: 0, token usage: 0.00, #running-req: 0, #queue-req: 0, …
 *     [2026-04-06 01:34:58.123]         Decode batch [40], #running-req: 2, #token: 151, …, accept len: 1.57, …, gen throughput (token/s): 444.79, #queue-req: 0
 *     [2026-04-06 01:34:58,123 ATTN TP RANK 0] - INFO - Decode batch. …, avg_accept_len: 1.57, … (batch_log.py:151)       TokenSpeed
 *     2026-04-27T23:03:15.250907Z  INFO …: Prefill batch, …                                                                  re-emitted by Dynamo
 *
 * The words are looked for right behind a stamp, never anywhere: a logged prompt may hold them too.
 */
import { readStamp, type ReadStamp } from './sglang-stamp.js';

export interface Ranks {
  readonly dp?: number;
  /** Pipeline stage: each prints the same batches. */
  readonly pp: number;
  /** Of the ranks that share one batch; the smallest speaks for all. */
  readonly member: number;
}

export interface PrefillLine {
  readonly kind: 'prefill';
  readonly sequences: number;
  /** Computed prompt tokens of this batch; rounded up to the page of the KV cache in some versions. */
  readonly newTokens: number;
  readonly cachedTokens: number | undefined;
  /** Requests that were decoding when the batch was put together. */
  readonly running: number;
  readonly queued: number;
  /** More prompt is known to follow at once. */
  readonly moreToCome: boolean;
  /** Sequences that decoded in the same iteration (`--enable-mixed-chunk`). */
  readonly mixed: number;
  /** Printed when the batch was done (since 0.5.9); before that, when it was scheduled. */
  readonly printedAt: 'start' | 'end';
  /** Prompt tokens per second since the Prefill line before; of this batch or of the one before, by version. */
  readonly inputRate: number | undefined;
  /** A prefill node of disaggregated serving: it never decodes. */
  readonly neverDecodes: boolean;
  readonly kvUsage: number | undefined;
  /** 0.4.0 alone: what an earlier chunk of the same prompt computed is printed as cached. */
  readonly chunksCountAsCached: boolean;
}

export interface DecodeLine {
  readonly kind: 'decode';
  readonly running: number;
  readonly queued: number;
  readonly kvTokens: number | undefined;
  readonly kvUsage: number | undefined;
  /** Tokens that a sequence gained in an iteration; 1 without speculative decoding. */
  readonly acceptLength: number;
  readonly speculative: boolean;
  /** Tokens per second since the Decode line before, whatever was in between. */
  readonly rate: number | undefined;
  /** A decode node of disaggregated serving: its requests come from elsewhere, without a Prefill line. */
  readonly neverPrefills: boolean;
}

export type BatchLine = PrefillLine | DecodeLine;

export interface EngineLine {
  readonly kind: 'engine';
  readonly chunkTokens?: number;
  readonly kvCacheTokens?: number;
}

export type Said = BatchLine | EngineLine | { readonly kind: 'ready' } | { readonly kind: 'retracted'; readonly requests: number } | { readonly kind: 'settings'; readonly decodeLogInterval?: number };

export interface SglangLine {
  readonly stamp: ReadStamp | undefined;
  readonly ranks: Ranks;
  /** Undefined: a batch line that is cut or damaged. */
  readonly said: Said | undefined;
}

const BATCH = /^(Prefill|Decode) batch\s*(?:\(mixed #running-req: (\d+)\))?\s*(?:\[\d+\])?\s*[.,]\s*(.*)$/s;
const ENGINE = /^max_total_num_tokens=(\d+)(?:, chunked_prefill_size=(-?\d+))?/;
const RETRACTED = /^(?:KV cache pool is full|Decode out of memory happened)\b.*#retracted_reqs: (\d+)/;
const SETTINGS = /^server_args=/;
const LOG_INTERVAL = /\bdecode_log_interval['"]?[=:] ?(\d+)/;
const READY = 'The server is fired up and ready to roll!';

/** Nothing computes faster: such a figure is a division by almost nothing. */
const MAX_RATE = 5e6;
const GRAPH = /^\w+ graph$/;
const PREFILL_NODE = ['#inflight-req', '#transferring-req', '#unbootstrapped-req'] as const;
const DECODE_NODE = ['pre-allocated usage', '#transfer-req'] as const;

/** @returns undefined for a line that tells nothing of the engine's work */
export function readLine(text: string): SglangLine | undefined {
  const { stamp, ranks, message } = readStamp(text);
  const said = sayingOf(message);
  return said === 'nothing' ? undefined : { stamp, ranks: ranksOf(ranks), said: said === 'damaged' ? undefined : said };
}

function sayingOf(message: string): Said | 'damaged' | 'nothing' {
  const [, batch, mixed, body] = BATCH.exec(message) ?? [];
  if (batch !== undefined && body !== undefined) return (batch === 'Prefill' ? prefillLine(pairsOf(body), Number(mixed ?? 0)) : decodeLine(pairsOf(body))) ?? 'damaged';
  if (message.startsWith(READY)) return { kind: 'ready' };
  const [, kvCacheTokens, chunk] = ENGINE.exec(message) ?? [];
  if (kvCacheTokens !== undefined) return { kind: 'engine', kvCacheTokens: Number(kvCacheTokens), ...(Number(chunk ?? -1) > 0 && { chunkTokens: Number(chunk) }) };
  const [, retracted] = RETRACTED.exec(message) ?? [];
  if (retracted !== undefined) return { kind: 'retracted', requests: Number(retracted) };
  if (!SETTINGS.test(message)) return 'nothing';
  const [, interval] = LOG_INTERVAL.exec(message) ?? [];
  return { kind: 'settings', ...(Number(interval ?? 0) > 0 && { decodeLogInterval: Number(interval) }) };
}

type Pairs = ReadonlyMap<string, string>;

function pairsOf(body: string): Pairs {
  const pairs = new Map<string, string>();
  for (const part of body.split(/,\s*/)) {
    const colon = part.indexOf(': ');
    if (colon > 0) pairs.set(part.slice(0, colon).trim(), part.slice(colon + 2).trim());
  }
  return pairs;
}

/** What the line calls by one of these names; `nan` and rubbish are not known. The source position behind TokenSpeed's last value is not of it. */
function numberOf(pairs: Pairs, ...names: readonly string[]): number | undefined {
  for (const name of names) {
    const text = pairs.get(name)?.replace(/ \([\w./-]+:\d+\)$/, '').replace(/%$/, '');
    if (text !== undefined && /^\d+(?:\.\d+)?(?:e[+-]?\d+)?$/i.test(text)) return Number(text);
  }
  return undefined;
}

function rateOf(pairs: Pairs, name: string): number | undefined {
  const rate = numberOf(pairs, name);
  return rate !== undefined && rate > 0 && rate <= MAX_RATE ? rate : undefined;
}

function prefillLine(pairs: Pairs, mixed: number): PrefillLine | undefined {
  const sequences = numberOf(pairs, '#new-seq');
  const newTokens = numberOf(pairs, '#new-token');
  const queued = numberOf(pairs, '#queue-req');
  // The last of the three stands behind the others: without it the line is cut, maybe inside a number.
  if (sequences === undefined || newTokens === undefined || queued === undefined) return undefined;
  const neverDecodes = PREFILL_NODE.some((name) => pairs.has(name));
  return {
    kind: 'prefill',
    sequences,
    newTokens,
    cachedTokens: numberOf(pairs, '#cached-token'),
    running: numberOf(pairs, '#running-req') ?? mixed,
    queued,
    moreToCome: queued > 0 || (numberOf(pairs, '#pending-token') ?? 0) > 0,
    mixed,
    printedAt: [...pairs.keys()].some((name) => GRAPH.test(name)) ? 'end' : 'start',
    inputRate: rateOf(pairs, 'input throughput (token/s)'),
    neverDecodes,
    kvUsage: usageOf(pairs),
    chunksCountAsCached: pairs.has('cache hit rate') && pairs.has('token usage'),
  };
}

function decodeLine(pairs: Pairs): DecodeLine | undefined {
  const running = numberOf(pairs, '#running-req');
  const queued = numberOf(pairs, '#queue-req');
  if (running === undefined || queued === undefined || !pairs.has('gen throughput (token/s)')) return undefined;
  const accepted = numberOf(pairs, 'accept len', 'avg_accept_len');
  return {
    kind: 'decode',
    running,
    queued,
    kvTokens: numberOf(pairs, '#token', '#full token'),
    kvUsage: usageOf(pairs),
    // Each iteration yields one token at least; 0.00 is printed before the first.
    acceptLength: Math.max(1, accepted ?? 1),
    speculative: accepted !== undefined,
    rate: rateOf(pairs, 'gen throughput (token/s)'),
    neverPrefills: DECODE_NODE.some((name) => pairs.has(name)),
  };
}

const usageOf = (pairs: Pairs): number | undefined => numberOf(pairs, 'token usage', 'full token usage', 'page ratio');

/** ` DP1 PP0 ATTN_CP0 MOE_DP0 TP2 EP2`, or TokenSpeed's ` ATTN TP RANK 0`. */
function ranksOf(text: string): Ranks {
  const of = (name: RegExp): number | undefined => {
    const [, digits] = name.exec(text) ?? [];
    return digits === undefined ? undefined : Number(digits);
  };
  const dp = of(/\bDP(\d+)/);
  const cp = of(/\b(?:ATTN_)?CP(\d+)/) ?? 0;
  const tp = of(/\bTP(?: RANK )?(\d+)/) ?? 0;
  return { ...(dp !== undefined && { dp }), pp: of(/\bPP(\d+)/) ?? 0, member: cp * 65_536 + tp };
}
