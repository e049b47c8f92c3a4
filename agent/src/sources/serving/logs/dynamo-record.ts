/**
 * One line of a Dynamo frontend → what it says of one request. Readable, or JSON lines (DYN_LOGGING_JSONL):
 *
 *     2026-03-04T05:06:07.100000Z  INFO http-request: dynamo_llm::http::service::metrics: request received request_id=a model=m …
 *     2026-03-04T05:06:09.400000Z  INFO http-request: dynamo_llm::http::service::metrics: request completed request_id=a … status=success
 *         elapsed_ms=2300 … request_id=b model="m" input_tokens=900 output_tokens=40 ttft_ms="310.25" avg_itl_ms="51.02"
 *     {"time":"…","target":"request_span","message":"SPAN_CLOSED","span_name":"http-request","span_id":"…","time.duration_us":2300000,…}
 *
 * The fields of the enclosing span follow those of the event, under the same names and with other values (`request_id`):
 * the first is the event's own. In JSON the span's values replace the event's, so there the span is what names a request.
 * A request in JSON may end twice, by its event and by its span.
 *
 * At DEBUG the JSON also tells when the request was handed to a worker and when the prefill worker was done.
 */
import type { Stamp } from './dialect.js';
import { jsonRecord, stampOfLine, stampOfValue } from './rust-tracing.js';

export interface DynamoRecord {
  readonly says: 'received' | 'dispatched' | 'prefilled' | 'completed' | 'closed';
  readonly stamp: Stamp | undefined;
  /** Tells one request from another; undefined where nothing does. */
  readonly request: string | undefined;
  readonly fields: ReadonlyMap<string, string>;
}

const TARGET = 'dynamo_llm::http::service::metrics';
const SPAN = 'http-request';
/** What a line must hold to be worth a closer look. */
const HINT = /request (?:received|completed)|SPAN_CLOSED|Registering new TcpStream|Prefill succeeded/;
const READABLE = new RegExp(String.raw`(?:^|\s)(?:INFO|WARN|ERROR)\s+(?:${SPAN}(\{.*\})?:\s*)?${TARGET}:\s*request (received|completed)\b(.*)$`, 's');
const FIELD = /([\w.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))/g;

/** @returns `cut` for JSON that says something of a request and does not reach its end; undefined for any other line */
export function dynamoRecord(text: string): DynamoRecord | 'cut' | undefined {
  if (!HINT.test(text)) return undefined;
  return text.trimStart().startsWith('{"time":') ? fromJson(text) : fromReadable(text);
}

/** Whether the rest of a line is likely on the next one: writers that share a pipe tear about one line in eighty. */
export function isTorn(text: string): boolean {
  const record = dynamoRecord(text);
  if (record === undefined || record === 'cut') return record === 'cut';
  if (text.trimStart().startsWith('{')) return false;
  const { says, fields } = record;
  if (says === 'received') return record.request === undefined || /request_id=\S*$/.test(text);
  const openQuote = text.split('"').length % 2 === 0;
  return openQuote || !fields.has('elapsed_ms') || (fields.get('status') === 'success' && !fields.has('output_tokens'));
}

function fromReadable(text: string): DynamoRecord | undefined {
  const [, span, what, own] = READABLE.exec(text) ?? [];
  if (what === undefined || own === undefined) return undefined;
  const fields = fieldsOf(`${own} ${span ?? ''}`);
  return { says: what === 'received' ? 'received' : 'completed', stamp: stampOfLine(text), request: fields.get('request_id'), fields };
}

function fieldsOf(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const [, name, quoted, bare] of text.matchAll(FIELD)) {
    const value = quoted ?? bare?.replace(/[},]+$/, '');
    if (name !== undefined && value !== undefined && !fields.has(name)) fields.set(name, value);
  }
  return fields;
}

function fromJson(text: string): DynamoRecord | 'cut' | undefined {
  const record = jsonRecord(text);
  if (!record) return 'cut';
  const says = whatJsonSays(record);
  if (says === undefined) return undefined;
  const fields = new Map<string, string>();
  for (const [name, value] of Object.entries(record)) if (typeof value === 'string' || typeof value === 'number') fields.set(name, String(value));
  return { says, stamp: stampOfValue(record['time']), request: fields.get('span_id') ?? fields.get('request_id'), fields };
}

function whatJsonSays({ target, message, span_name: span }: Readonly<Record<string, unknown>>): DynamoRecord['says'] | undefined {
  if (typeof message !== 'string') return undefined;
  if (target === TARGET && message === 'request received') return 'received';
  if (target === TARGET && message === 'request completed') return 'completed';
  if (span !== SPAN) return undefined;
  if (target === 'request_span' && message === 'SPAN_CLOSED') return 'closed';
  if (message.startsWith('Registering new TcpStream')) return 'dispatched';
  return message.startsWith('Prefill succeeded') ? 'prefilled' : undefined;
}
