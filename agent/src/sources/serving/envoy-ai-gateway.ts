/**
 * The access log of Envoy AI Gateway: one JSON object per request, when it has ended.
 *
 *     {"start_time":"2026-03-04T05:06:07.250Z","duration":1500,"response_code":200,"response_flags":"-",
 *      "gen_ai.request.model":"chat","gen_ai.usage.input_tokens":900,"gen_ai.usage.output_tokens":"40","upstream_host":"10.0.0.7:8000",
 *      "x-envoy-upstream-service-time":"200","x-request-id":"83b6…"}
 *
 *     start_time ├──────────── duration ────────────┤
 *
 * Which fields there are, and their names, is the operator's choice: those of the documentation are known, others are
 * named by `keys`. No value is `"-"` or null. x-envoy-upstream-service-time is the time to the response's headers, which a
 * stream sends before its first token: it tells no phase, so nothing tells prefill from decode.
 */
import type { Outcome } from '@joulebook/shared/slice.js';
import { instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { gatewayOptions, gatewayParser, isChosen, momentOf, type GatewayRecord } from './gateway-log.js';
import type { LogContext, LogDialect, LogLine } from './logs/dialect.js';
import { isRecord } from './logs/rust-tracing.js';
import { outcomeOf } from './request-row.js';
import { cellOf, nameOf, numbersOf, requestTold, textOf } from './told-request.js';

/** Names as documented, by version; the first that says something is taken. */
const KNOWN = {
  start: ['start_time'],
  /** Milliseconds. */
  duration: ['duration'],
  status: ['response_code'],
  flags: ['response_flags'],
  id: ['x-request-id'],
  model: ['gen_ai.response.model', 'gen_ai.request.model_override', 'genai_model_name_override', 'gen_ai.request.model', 'genai_model_name'],
  inputTokens: ['gen_ai.usage.input_tokens', 'genai_tokens_input'],
  outputTokens: ['gen_ai.usage.output_tokens', 'genai_tokens_output'],
  cachedInputTokens: ['gen_ai.usage.cached_input_tokens', 'gen_ai.usage.cache_read.input_tokens', 'genai_tokens_cached_input'],
  backend: ['upstream_host', 'upstream_cluster', 'gen_ai.provider.name', 'genai_backend_name'],
  tenant: [],
} as const;
type Name = keyof typeof KNOWN;

const key = z.string().min(1).optional();
const options = {
  ...gatewayOptions,
  /** What the fields are called where the access log was configured otherwise. */
  keys: z.strictObject({ start: key, duration: key, status: key, flags: key, id: key, model: key, inputTokens: key, outputTokens: key, cachedInputTokens: key, backend: key, tenant: key } satisfies Record<Name, typeof key>).default({}),
};
type Options = z.output<z.ZodObject<typeof options, z.core.$strict>>;

export const envoyAiGateway: LogDialect<typeof options> = {
  name: 'envoy-ai-gateway',
  tokensFrom: 'gateway requests',
  summary: 'access log of Envoy AI Gateway, JSON: requests with tokens, without first token; keys, models, backends',
  options,
  isOf: (text) => text.trimStart().startsWith('{') && text.includes('"start_time"') && OF_MODELS.test(text),
  parser: (context, chosen) => gatewayParser(context, (line) => readLine(line, context, chosen) ?? []),
};

const OF_MODELS = /"(?:gen_ai\.(?:request|usage|provider)\.|genai_)/;
/** Names are sorted, so a line that was cut off lacks its start first; these stand before. */
const EARLY = /^\{\s*"(?::authority|bytes_received)"/;

function readLine(line: LogLine, context: LogContext, chosen: Options): [GatewayRecord] | undefined {
  const text = line.text.trim();
  if (!text.startsWith('{')) return undefined;
  const { start = KNOWN.start[0] } = chosen.keys;
  const record = parsed(text);
  if (!record) return text.includes(`"${start}"`) || OF_MODELS.test(text) || EARLY.test(text) ? [{ fault: 'no JSON, or cut off' }] : undefined;
  const found = start in record ? readRecord(record, line, context, chosen) : undefined;
  return found && [found];
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined for a request that is to no model: a health check, a list of models, a tool. */
function readRecord(record: Readonly<Record<string, unknown>>, line: LogLine, context: LogContext, chosen: Options): GatewayRecord | undefined {
  const values = (name: Name): unknown[] => [chosen.keys[name], ...KNOWN[name]].flatMap((each) => (each === undefined ? [] : [record[each]])).filter((value) => value !== undefined && value !== null && value !== '-' && value !== '');
  const number = numbersOf();
  const prompt = number.count('input tokens', values('inputTokens')[0]);
  const output = number.count('output tokens', values('outputTokens')[0]);
  const cached = number.count('cached input tokens', values('cachedInputTokens')[0]);
  const duration = number.quantity('duration', values('duration')[0]);
  const models = values('model').map(nameOf);
  if (number.fault !== undefined) return { fault: number.fault };
  if (models.length === 0 && prompt === undefined && output === undefined) return undefined;
  if (!isChosen(chosen, models, values('backend').map(textOf))) return 'other';

  const start = momentOf(values('start')[0], line, context);
  const outcome = endingOf(values('status')[0], values('flags')[0]);
  const request = requestTold({
    id: `${context.label}:${line.number}`,
    start,
    end: start === undefined || duration === undefined ? undefined : instant(start + duration / 1000),
    prompt,
    cached,
    output,
    outcome,
    // A model that no server has is what a client typed.
    model: (outcome === 'rejected' ? undefined : models[0]) ?? context.model,
    tenant: nameOf(values('tenant')[0]),
  });
  return 'fault' in request ? request : { request, name: textOf(values('id')[0]) };
}

/** The client left. */
const LEFT = ['DC', 'DPE'];
/** Turned away before any server saw it: limits, no permission, no route, no memory. */
const REFUSED = ['RL', 'RLSE', 'UAEX', 'UO', 'NR', 'NC', 'OM', 'DO', 'IH'];

/** A stream whose status was 200 may still end badly: any other flag says so. */
function endingOf(status: unknown, written: unknown): Outcome {
  const flags = typeof written === 'string' ? written.split(',').map((flag) => flag.trim()) : [];
  const code = cellOf(status);
  if (flags.some((flag) => LEFT.includes(flag)) || Number(code) === 0) return 'aborted';
  if (flags.some((flag) => REFUSED.includes(flag))) return 'rejected';
  const ending = outcomeOf(code) ?? 'failed';
  return ending === 'ok' && flags.some((flag) => FATAL.has(flag)) ? 'failed' : ending;
}

/** Reset, closed, timed out, retried in vain. */
const FATAL: ReadonlySet<string> = new Set(['UF', 'UC', 'UR', 'LR', 'UT', 'URX', 'SI', 'DT', 'UMSDR', 'UPE', 'UH', 'LH', 'NFCF', 'DF']);
