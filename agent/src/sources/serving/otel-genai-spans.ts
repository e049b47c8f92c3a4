/**
 * A file of OpenTelemetry spans, as a collector's file exporter or an SDK writes it → the spans in it.
 *
 *     {"resourceSpans":[{"resource":{"attributes":[…]},"scopeSpans":[{"spans":[{"traceId":"5b8e…","spanId":"eee1…","parentSpanId":"",
 *        "name":"llm_request","kind":2,"startTimeUnixNano":"1772600767000000000","endTimeUnixNano":"1772600769000000000",
 *        "attributes":[{"key":"gen_ai.usage.prompt_tokens","value":{"intValue":"900"}}],"status":{}}]}]}]}       per line, or one document
 *     {"name":"llm_request","context":{"trace_id":"0x…","span_id":"0x…"},"parent_id":null,"kind":"SpanKind.SERVER",
 *        "start_time":"2026-03-04T05:06:07.000000Z","attributes":{"gen_ai.usage.prompt_tokens":900},"status":{"status_code":"OK"}}
 *
 * Attributes are kept by name, for some of them hold prompts and answers; events, which hold nothing else, are not looked at.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { Fault } from '../cells.js';
import type { RecordedFile } from '../recorded.js';
import { textLines, wholeText } from '../text-lines.js';
import { parseInstant, zone } from '../timestamps.js';
import { isRecord } from './logs/rust-tracing.js';

type JsonRecord = Readonly<Record<string, unknown>>;

export interface Span {
  /** Line of the file, or in one document the number of the span; both from 1. */
  readonly place: string;
  readonly trace: string | undefined;
  readonly id: string | undefined;
  readonly parent: string | undefined;
  readonly start: Instant | undefined;
  readonly end: Instant | undefined;
  /** Of who answered the request, rather than of who sent it. */
  readonly ofServer: boolean;
  readonly failed: boolean;
  readonly service: string | undefined;
  readonly attributes: ReadonlyMap<string, unknown>;
}
export interface Flaw extends Fault {
  readonly line: number;
}

/** @param wanted the attributes to keep */
export async function* spansOf(file: RecordedFile, wanted: ReadonlySet<string>): AsyncGenerator<Span | Flaw, void> {
  if (await isDocument(file)) {
    yield* spansInDocument(await wholeText(file), wanted);
    return;
  }
  for await (const { number, text } of textLines(file)) yield* spansInLine(text, number, wanted);
}

/** One document, or lines so long that they are only kept in one piece (a batch of thousands of spans). */
async function isDocument(file: RecordedFile): Promise<boolean> {
  let first = true;
  for await (const { text, tooLong } of textLines(file)) {
    if (tooLong) return true;
    if (text.trim() === '') continue;
    if (first && parsed(text) === undefined && /^\s*[[{]/.test(text)) return true;
    first = false;
  }
  return false;
}

function* spansInDocument(text: string, wanted: ReadonlySet<string>): Generator<Span | Flaw, void> {
  const document = parsed(text);
  if (document !== undefined) {
    yield* spansInJson(document, 'span', wanted);
    return;
  }
  let number = 0;
  for (const line of text.split('\n')) {
    number += 1;
    yield* spansInLine(line, number, wanted);
  }
}

function* spansInLine(text: string, line: number, wanted: ReadonlySet<string>): Generator<Span | Flaw, void> {
  if (text.trim() === '') return;
  const value = parsed(text);
  if (value === undefined) yield { line, fault: 'no JSON, or cut off' };
  else if (![value].flat().every((each) => isRecord(each) && (resourcesOf(each).length > 0 || isSpan(each) || isOtherSignal(each)))) yield { line, fault: 'no spans of OpenTelemetry' };
  else yield* spansInJson(value, String(line), wanted);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const listOf = (value: unknown): readonly JsonRecord[] => (Array.isArray(value) ? value.filter(isRecord) : []);
const recordOf = (value: unknown): JsonRecord => (isRecord(value) ? value : {});
/** Protobuf's JSON has names in camel case; what converts it otherwise keeps those of the schema. */
const field = (record: JsonRecord, camel: string): unknown => record[camel] ?? record[camel.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)];

const resourcesOf = (record: JsonRecord): readonly JsonRecord[] => listOf(field(record, 'resourceSpans'));
const isSpan = (record: JsonRecord): boolean => typeof record['name'] === 'string' && (field(record, 'startTimeUnixNano') ?? field(record, 'startTime')) !== undefined;
/** A collector may write metrics and logs to the same file. */
const isOtherSignal = (record: JsonRecord): boolean => (field(record, 'resourceMetrics') ?? field(record, 'resourceLogs')) !== undefined;

function* spansInJson(value: unknown, place: string, wanted: ReadonlySet<string>): Generator<Span, void> {
  let number = 0;
  const placed = (record: JsonRecord, resource: JsonRecord): Span => {
    number += 1;
    return spanOf(record, resource, number === 1 && place !== 'span' ? place : `${place}.${number}`, wanted);
  };
  for (const record of listOf([value].flat())) {
    for (const resource of resourcesOf(record)) {
      const scopes = listOf(field(resource, 'scopeSpans') ?? field(resource, 'instrumentationLibrarySpans'));
      for (const scope of scopes) for (const span of listOf(scope['spans'])) yield placed(span, recordOf(resource['resource']));
    }
    if (isSpan(record)) yield placed(record, recordOf(record['resource']));
  }
}

function spanOf(record: JsonRecord, resource: JsonRecord, place: string, wanted: ReadonlySet<string>): Span {
  const context = recordOf(record['context']);
  const service = attributesOf(resource['attributes'], SERVICE).get('service.name');
  return {
    place,
    trace: idOf(field(record, 'traceId') ?? field(context, 'traceId')),
    id: idOf(field(record, 'spanId') ?? field(context, 'spanId')),
    parent: idOf(field(record, 'parentSpanId') ?? field(record, 'parentId')),
    start: momentOf(field(record, 'startTimeUnixNano') ?? field(record, 'startTime')),
    end: momentOf(field(record, 'endTimeUnixNano') ?? field(record, 'endTime')),
    ofServer: record['kind'] === 2 || (typeof record['kind'] === 'string' && record['kind'].endsWith('SERVER')),
    failed: isError(recordOf(record['status'])),
    service: typeof service === 'string' ? service : undefined,
    attributes: attributesOf(record['attributes'], wanted),
  };
}

const SERVICE: ReadonlySet<string> = new Set(['service.name']);

const idOf = (value: unknown): string | undefined => (typeof value === 'string' && !/^(?:0x)?0*$/.test(value) ? value.replace(/^0x/, '') : undefined);
function isError(status: JsonRecord): boolean {
  const code = status['code'] ?? field(status, 'statusCode');
  return code === 2 || (typeof code === 'string' && code.endsWith('ERROR'));
}

const UTC = zone('UTC');

/** Nanoseconds do not fit a double: what an instant can hold of them are microseconds. */
function momentOf(value: unknown): Instant | undefined {
  if (typeof value === 'number' && value > 0) return instant(value / 1e9);
  if (typeof value !== 'string') return undefined;
  if (/^\d+$/.test(value)) return value === '0' ? undefined : instant(Number(BigInt(value) / 1000n) / 1e6);
  return parseInstant(value, UTC);
}

/** A list of keys with typed values, or an object. */
function attributesOf(value: unknown, wanted: ReadonlySet<string>): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const { key, value: typed } of listOf(value)) if (typeof key === 'string' && wanted.has(key)) found.set(key, valueOf(typed));
  if (isRecord(value)) for (const [key, plain] of Object.entries(value)) if (wanted.has(key)) found.set(key, plain);
  return found;
}

function valueOf(typed: unknown): unknown {
  const record = recordOf(typed);
  const list = field(record, 'arrayValue');
  if (list !== undefined) return listOf(recordOf(list)['values']).map(valueOf);
  return ['stringValue', 'intValue', 'doubleValue', 'boolValue'].map((name) => field(record, name)).find((each) => each !== undefined);
}
