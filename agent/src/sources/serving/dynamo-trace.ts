/**
 * Dynamo's request trace (DYN_REQUEST_TRACE=1): a JSON record per request that ended, bare or in an envelope.
 *
 *     {"timestamp":812,"event":{"schema":"dynamo.request.trace.v1","event_type":"request_end","event_time_unix_ms":…,"request":{
 *        "input_tokens":900,"output_tokens":40,"cached_tokens":512,"request_received_ms":…,"prefill_wait_time_ms":12.5,"ttft_ms":82.4,
 *        "total_time_ms":1000.1,"kv_transfer_estimated_latency_ms":4.2,"worker":{"prefill_worker_id":…,"decode_worker_id":…}}}}
 *
 *     received ├ wait ┼ prefill ┤ ttft            aggregated: the first token
 *                               ├ KV transfer ┤   two pools: ttft is the prefill worker's, the client's comes with the cache
 *
 * What was not observed is left out of a record. Worker ids do not fit a double, so they are compared as they are written.
 * A record may hold the request's text (`payload`): only the fields named here are looked at.
 */
import type { Outcome } from '@joulebook/shared/slice.js';
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { isFault, type Fault } from '../cells.js';
import { lineTally } from '../line-tally.js';
import { servingFormat, type RecordedServingEntry } from '../recorded.js';
import type { RequestEvidence, ServingEvent, TokenCounts } from '../source.js';
import { textLines } from '../text-lines.js';
import { holesOfUnusable, type PlacedRow } from './holes.js';
import { outcomeOf } from './request-row.js';

const NAME = 'dynamo-trace';
const SCHEMA = /^dynamo\.(?:request|agent)\.trace\.v(\d+)$/;
const LONGEST_MS = 86_400_000;
/** Times are rounded one by one. */
const ROUNDING_MS = 1;

const count = z.int().min(0).nullish();
const millis = z.number().min(0).nullish();
const event = z.object({ schema: z.string(), event_type: z.string(), event_time_unix_ms: millis, request: z.unknown().optional() });
const envelope = z.object({ event });
const traced = z.object({
  model: z.string().nullish(),
  input_tokens: count,
  output_tokens: count,
  cached_tokens: count,
  request_received_ms: millis,
  prefill_wait_time_ms: millis,
  ttft_ms: millis,
  total_time_ms: millis,
  kv_transfer_estimated_latency_ms: millis,
  finish_reason_metadata: z.object({ finish_reason: z.string().nullish() }).nullish(),
});
type Traced = z.output<typeof traced>;

export const dynamoTrace = servingFormat({
  name: NAME,
  tokensFrom: 'gateway requests',
  summary: 'request trace of Dynamo (dynamo-request-trace.NNNNNN.jsonl or .jsonl.gz): requests with queue, prefill, KV transfer and tokens',
  options: {},
  open: (entry) => ({ description: `${entry.file.label} (${NAME})`, events: () => events(entry) }),
});

async function* events({ file, model }: RecordedServingEntry): AsyncGenerator<ServingEvent, void> {
  const { label } = file;
  const tally = lineTally(label);
  const rows: PlacedRow[] = [];
  for await (const { number, text, tooLong } of textLines(file)) {
    if (text.trim() === '' && !tooLong) continue;
    const read = tooLong ? { fault: 'longer than 1 MiB' } : readRecord(text, `${label}:${number}`, model);
    if (read === undefined) continue;
    if (isFault(read)) {
      tally.skip(number, read.fault);
      rows.push('unusable');
      continue;
    }
    tally.used();
    rows.push({ start: read.start, end: read.end });
    yield read;
  }
  tally.judge(NAME);
  yield* holesOfUnusable(rows, `${label}: a request here could not be used`);
  yield* tally.flagged();
  yield { kind: 'watermark', at: instant(rows.reduce((latest, row) => (row === 'unusable' ? latest : Math.max(latest, row.end)), -Infinity)) };
}

/** Undefined for a record of something else than a request's end: of a tool, say. */
function readRecord(text: string, id: string, model: string | undefined): RequestEvidence | Fault | undefined {
  const record = parsed(text);
  if (record === undefined) return { fault: 'no JSON, or cut off' };
  const enclosed = envelope.safeParse(record);
  const bare = enclosed.success ? undefined : event.safeParse(record);
  const found = enclosed.success ? enclosed.data.event : bare?.data;
  const version = SCHEMA.exec(found?.schema ?? '')?.[1];
  if (!found || version === undefined) return { fault: "not a record of Dynamo's request trace" };
  if (version !== '1') return { fault: `version ${version} of the request trace is not known` };
  if (found.event_type !== 'request_end') return undefined;
  const request = traced.safeParse(found.request);
  if (!request.success) return { fault: `request: ${request.error.issues[0]?.path.join('.') ?? ''} is not what it should be` };
  return requestOf(request.data, found.event_time_unix_ms ?? undefined, inTwoPools(text), id, model);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether another worker decoded than the one that prefilled; undefined where that is not told. */
function inTwoPools(text: string): boolean | undefined {
  const prefill = /"prefill_worker_id":\s*"?(\d+)/.exec(text)?.[1];
  const decode = /"decode_worker_id":\s*"?(\d+)/.exec(text)?.[1];
  return prefill === undefined || decode === undefined ? undefined : prefill !== decode;
}

function requestOf(request: Traced, ended: number | undefined, twoPools: boolean | undefined, id: string, model: string | undefined): RequestEvidence | Fault {
  const total = request.total_time_ms ?? undefined;
  const received = request.request_received_ms ?? (ended !== undefined && total !== undefined ? ended - total : undefined);
  const end = received !== undefined && total !== undefined ? received + total : ended;
  if (received === undefined || end === undefined) return { fault: 'it does not tell when the request arrived and ended' };
  if (end < received || end - received > LONGEST_MS) return { fault: 'a request that ended before it arrived, or ran for more than a day' };
  const counts = tokensOf(request);
  if (isFault(counts)) return counts;
  const transfer = twoPools === false ? 0 : (request.kv_transfer_estimated_latency_ms ?? 0);
  const firstToken = within(received, end, request.ttft_ms, transfer);
  const scheduled = within(received, firstToken ?? end, request.prefill_wait_time_ms, 0);
  const named = request.model ?? model;
  return {
    kind: 'request',
    id,
    start: at(received),
    ...(scheduled !== undefined && { scheduled: at(scheduled) }),
    ...(firstToken !== undefined && { firstToken: at(firstToken) }),
    end: at(end),
    tokens: counts,
    outcome: endingOf(request),
    ...(named !== undefined && { model: named }),
  };
}

const at = (epochMs: number): Instant => instant(epochMs / 1000);

/** Undefined where the time is not told, or lies beyond `to`. */
function within(from: number, to: number, after: number | null | undefined, more: number): number | undefined {
  if (after === undefined || after === null || from + after + more > to + ROUNDING_MS) return undefined;
  return Math.min(from + after + more, to);
}

function tokensOf({ input_tokens: input, cached_tokens: cached, output_tokens: output }: Traced): TokenCounts | Fault {
  const hits = cached ?? undefined;
  if (hits !== undefined && typeof input === 'number' && hits > input) return { fault: 'cached_tokens is more than input_tokens' };
  return {
    ...(typeof input === 'number' && { input: tokens(input - (hits ?? 0)) }),
    ...(hits !== undefined && { cachedInput: tokens(hits) }),
    ...(typeof output === 'number' && { output: tokens(output) }),
  };
}

/** A record is written for a stream that was dropped too: it has no reason to finish. A reason that is not known is one to finish. */
function endingOf({ finish_reason_metadata: metadata }: Traced): Outcome {
  return outcomeOf(metadata?.finish_reason ?? undefined) ?? 'ok';
}
