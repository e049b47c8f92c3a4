/**
 * What the callbacks of a LiteLLM proxy write: a StandardLoggingPayload per call, by file, bucket or HTTP sink, as JSON
 * lines or arrays.
 *
 *     {"id":"chatcmpl-1","trace_id":"t","call_type":"acompletion","status":"success","stream":true,"startTime":1772600767.0,
 *      "completionStartTime":1772600767.2,"endTime":1772600769.0,"response_time":0.2,"prompt_tokens":900,"completion_tokens":40,
 *      "model_group":"chat","model":"hosted_vllm/m","api_base":"http://10.0.0.7:8000/v1","cache_hit":false,
 *      "metadata":{"user_api_key_team_id":"team-a","usage_object":{"prompt_tokens_details":{"cached_tokens":512}}},"messages":…,"response":…}
 *
 * `response_time` is the time to the first token of a stream, and the whole of any other call. Without a stream
 * `completionStartTime` is the end. Older sinks write times as local text, `usage` as text, and DynamoDB wraps each value
 * in its type. Retries and fallbacks of a call have its trace; so may all calls of a session.
 */
import type { Outcome } from '@joulebook/shared/slice.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { gatewayOptions, gatewayParser, isChosen, momentOf, type GatewayOptions, type GatewayRecord } from './gateway-log.js';
import { holdsTimes, litellmRecords, type JsonRecord } from './litellm-records.js';
import type { LogContext, LogDialect, LogLine, LogParser } from './logs/dialect.js';
import { isRecord } from './logs/rust-tracing.js';
import { outcomeOf } from './request-row.js';
import { cellOf, nameOf, numbersOf, requestTold, textOf } from './told-request.js';

export const litellm: LogDialect<typeof gatewayOptions> = {
  name: 'litellm-log',
  tokensFrom: 'gateway requests',
  summary: "records of LiteLLM's logging callbacks (StandardLoggingPayload), JSON lines or arrays: requests with first token, tokens and team; models, backends",
  options: gatewayOptions,
  isOf: (text) => holdsTimes(text) && /"(?:completionStartTime|call_type)"/.test(text),
  parser,
};

const CONSOLE = /LiteLLM(?: Proxy| Router)?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\b/;
const ONLY_CONSOLE = 'of the console of LiteLLM, which tells neither tokens nor times of a request; let a logging callback write StandardLoggingPayload to a file and give that';

function parser(context: LogContext, options: GatewayOptions): LogParser {
  const records = litellmRecords();
  let firstOfConsole: LogLine | undefined;
  let found = false;

  const gateway = gatewayParser(context, (line) => {
    if (CONSOLE.test(line.text)) firstOfConsole ??= line;
    const lines = records(line.text);
    found ||= lines.length > 0;
    return lines.flatMap((record, index) => (record === 'cut' ? { fault: 'no JSON, or cut off' } : (readRecord(record, line, `${context.label}:${line.number}${lines.length > 1 ? `.${index + 1}` : ''}`, context, options) ?? [])));
  });

  return {
    ...gateway,
    end() {
      if (!found && firstOfConsole) context.skip(firstOfConsole, ONLY_CONSOLE);
      return gateway.end();
    },
  };
}

/** Undefined for a call that no language model answers: an image, a tool, a file. */
function readRecord(written: JsonRecord, line: LogLine, id: string, context: LogContext, options: GatewayOptions): GatewayRecord | undefined {
  const record = untyped(written);
  const metadata = recordOf(record['metadata']);
  const usage = usageOf(record);
  const number = numbersOf();
  const prompt = number.count('prompt_tokens', record['prompt_tokens'] ?? usage['prompt_tokens']);
  const output = number.count('completion_tokens', record['completion_tokens'] ?? usage['completion_tokens']);
  const cached = number.count('cached tokens', cachedOf(recordOf(metadata['usage_object'] ?? recordOf(record['hidden_params'])['usage_object'] ?? usage)));
  const took = number.quantity('response_time', record['response_time']);
  if (number.fault !== undefined) return { fault: number.fault };
  if (!GENERATES.test(textOf(record['call_type']) ?? 'completion') && !prompt && !output) return undefined;
  if (/^true$/i.test(String(cellOf(record['cache_hit'])))) return 'answered';
  if (!isChosen(options, [nameOf(record['model_group']), nameOf(record['model'])], [textOf(record['api_base']), textOf(record['model_id'])])) return 'other';

  const outcome = endingOf(record);
  const request = requestTold({
    id,
    ...timesOf(record, took, line, context),
    prompt,
    cached,
    output,
    outcome,
    model: modelOf(record, outcome) ?? context.model,
    tenant: nameOf(metadata['user_api_key_team_id']) ?? nameOf(metadata['user_api_key_team_alias']) ?? nameOf(metadata['user_api_key_alias']),
  });
  if ('fault' in request) return request;
  return { request, name: textOf(record['id']), call: textOf(record['litellm_call_id']) ?? textOf(record['trace_id']) };
}

const GENERATES = /completion|embedding|responses|message|generate_content|pass_?through/i;

const recordOf = (value: unknown): JsonRecord => (isRecord(value) ? value : {});

/** DynamoDB: {"S": "text"}, {"N": "11"}, {"BOOL": true}. */
const untyped = (record: JsonRecord): JsonRecord => Object.fromEntries(Object.entries(record).map(([name, value]) => [name, plain(value)]));

function plain(value: unknown): unknown {
  if (!isRecord(value) || Object.keys(value).length !== 1) return value;
  if (value['NULL'] === true) return undefined;
  return value['S'] ?? value['N'] ?? value['BOOL'] ?? value;
}

/** `Usage(completion_tokens=9, prompt_tokens=11, total_tokens=20)`, or the same as an object. */
function usageOf({ usage }: JsonRecord): JsonRecord {
  if (typeof usage !== 'string') return recordOf(usage);
  return Object.fromEntries([...usage.matchAll(/\b(prompt_tokens|completion_tokens|cached_tokens)=(\d+)/g)].map(([, name = '', count = '']): [string, string] => [name, count]));
}

/** What an engine says of its prefix cache; most say nothing unless told to. */
function cachedOf(usage: JsonRecord): unknown {
  return recordOf(usage['prompt_tokens_details'])['cached_tokens'] ?? usage['cache_read_input_tokens'] ?? usage['cached_tokens'];
}

interface Times {
  readonly start: Instant | undefined;
  readonly firstToken: Instant | undefined;
  readonly end: Instant | undefined;
}

function timesOf(record: JsonRecord, took: number | undefined, line: LogLine, context: LogContext): Times {
  const said = momentOf(record['endTime'], line, context, true);
  const start = momentOf(record['startTime'], line, context);
  const began = momentOf(record['completionStartTime'], line, context);
  const isStream = cellOf(record['stream']);
  const after = start === undefined || took === undefined ? undefined : instant(start + took);
  const end = said ?? (isStream === true ? undefined : after);
  if (isStream === false || end === undefined) return { start, firstToken: undefined, end };
  const first = began ?? after;
  // At the very end it is no first token, but the end of a call without a stream.
  return { start, firstToken: isStream === true || (first !== undefined && first < end) ? first : undefined, end };
}

function endingOf(record: JsonRecord): Outcome {
  const status = outcomeOf(cellOf(record['status']));
  if (status === 'ok') return status;
  const error = recordOf(record['error_information']);
  if (/cancel|disconnect/i.test(textOf(error['error_class']) ?? '')) return 'aborted';
  const code = cellOf(error['error_code']);
  const told = /^[45]\d\d$/.test(String(code)) ? outcomeOf(code) : undefined;
  return told ?? status ?? 'failed';
}

/** By the name that clients know; of a call that failed before it was given to a server it is whatever a client typed. */
function modelOf(record: JsonRecord, outcome: Outcome): string | undefined {
  if (outcome !== 'ok' && textOf(record['model_id']) === undefined) return undefined;
  return nameOf(record['model_group']) ?? nameOf(record['model']);
}
