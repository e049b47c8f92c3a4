import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { all, details, flags, recordedFile, refusal } from '../recorded-file.testing.js';
import type { RequestEvidence, ServingEvent } from '../source.js';
import { otelGenai } from './otel-genai.js';

/** 2026-03-04T05:06:07Z. */
const T = 1_772_600_767;
const PROMPT = 'the text of a prompt';

const nanos = (seconds: number): string => String(BigInt(T) * 1_000_000_000n + BigInt(Math.round(seconds * 1e9)));
const typed = (value: unknown): object => {
  if (Array.isArray(value)) return { arrayValue: { values: value.map(typed) } };
  if (typeof value === 'string') return { stringValue: value };
  return typeof value === 'number' && !Number.isInteger(value) ? { doubleValue: value } : { intValue: String(value) };
};
const attributesOf = (values: object): object[] => Object.entries(values).map(([key, value]) => ({ key, value: typed(value) }));

interface Given {
  readonly id?: string;
  readonly parent?: string;
  readonly trace?: string;
  readonly name?: string;
  readonly from?: number;
  readonly to?: number;
  readonly attributes?: object;
  readonly more?: object;
}
const span = ({ id = 'eee19b7ec3c1b174', parent = '', trace = '5b8efff798038103d269b633813fc60c', name = 'llm_request', from = 0, to = 2, attributes = {}, more = {} }: Given = {}): object => ({
  traceId: trace, spanId: id, parentSpanId: parent, name, kind: 2, startTimeUnixNano: nanos(from), endTimeUnixNano: nanos(to), attributes: attributesOf(attributes), status: {},
  events: [{ name: 'gen_ai.client.inference.operation.details', attributes: attributesOf({ 'gen_ai.input.messages': PROMPT }) }], ...more,
});
const exported = (spans: readonly object[], service = 'vllm'): object => ({ resourceSpans: [{ resource: { attributes: attributesOf({ 'service.name': service }) }, scopeSpans: [{ scope: { name: 'x' }, spans }] }] });
const lineOf = (...spans: readonly object[]): string => JSON.stringify(exported(spans));

const CHAT = { 'gen_ai.operation.name': 'chat', 'gen_ai.request.model': 'asked', 'gen_ai.response.model': 'answered', 'gen_ai.usage.input_tokens': 900, 'gen_ai.usage.output_tokens': 40 };
const VLLM = {
  'gen_ai.request.id': 'r', 'gen_ai.usage.prompt_tokens': 900, 'gen_ai.usage.completion_tokens': 40,
  'gen_ai.latency.time_in_queue': 0.1, 'gen_ai.latency.time_to_first_token': 0.5, 'gen_ai.latency.time_in_model_prefill': 0.35, 'gen_ai.latency.time_in_model_decode': 1.5, 'gen_ai.latency.e2e': 2,
};

const read = (content: string | Uint8Array, options: unknown = {}): Promise<ServingEvent[]> => all(otelGenai.open({ file: recordedFile(content, 'traces.json'), tz: 'UTC', deployment: 'd', model: 'of the manifest' }, options).events());
const requestsIn = (events: readonly ServingEvent[]): RequestEvidence[] => events.filter((event) => event.kind === 'request');
const requestsOf = async (...given: Parameters<typeof read>): Promise<RequestEvidence[]> => requestsIn(await read(...given));
const timesOf = ({ start, scheduled, firstToken, end }: RequestEvidence): (number | undefined)[] => [start, scheduled, firstToken, end].map((time) => (time === undefined ? undefined : Math.round((time - T) * 1e6) / 1e6));
const idsOf = async (...spans: readonly object[]): Promise<string[]> => (await requestsOf(spans.map((each) => lineOf(each)).join('\n'))).map(({ id }) => id);

describe('spans of requests', () => {
  it('tell queue, prefill, decode and tokens of a request, as vLLM writes them', async () => {
    const [request, ...more] = await requestsOf(`${lineOf(span({ attributes: VLLM }))}\n`);
    expect(more).toEqual([]);
    expect(request).toMatchObject({ id: 'traces.json:1', tokens: { input: 900, output: 40 }, outcome: 'ok', model: 'of the manifest' });
    // Between the arrival and the queue the prompt was made into tokens: the prefill is what ends at the first token.
    expect(request && timesOf(request)).toEqual([0, 0.15, 0.5, 2]);
  });

  it('tell tokens, cached and reasoned ones too, by the conventions', async () => {
    const attributes = { ...CHAT, 'gen_ai.usage.cache_read.input_tokens': 512, 'gen_ai.usage.reasoning.output_tokens': 30, 'gen_ai.response.time_to_first_chunk': 0.25, 'gen_ai.input.messages': PROMPT, 'gen_ai.response.finish_reasons': ['stop'] };
    const events = await read(lineOf(span({ name: 'chat asked', attributes })));
    expect(events).toEqual([
      { kind: 'request', id: 'traces.json:1', start: T, firstToken: T + 0.25, end: T + 2, tokens: { input: 388, cachedInput: 512, output: 40 }, outcome: 'ok', model: 'answered' },
      { kind: 'watermark', at: T + 2 },
    ]);
  });

  it.each([
    ['only the queue', { 'gen_ai.latency.time_in_queue': 0.1 }, [0, 0.1, undefined, 2]],
    ['queue and prefill', { 'gen_ai.latency.time_in_queue': 0.1, 'gen_ai.latency.time_in_model_prefill': 0.4 }, [0, 0.1, 0.5, 2]],
    ['only the first token', { 'gen_ai.latency.time_to_first_token': 0.5 }, [0, undefined, 0.5, 2]],
    ['a first token after the end', { 'gen_ai.latency.time_to_first_token': 5, 'gen_ai.latency.time_in_queue': 0.1 }, [0, 0.1, undefined, 2]],
    ['a prefill longer than all before it', { 'gen_ai.latency.time_to_first_token': 0.5, 'gen_ai.latency.time_in_model_prefill': 9 }, [0, undefined, 0.5, 2]],
  ])('tell of time %s', async (_, attributes, times) => {
    expect((await requestsOf(lineOf(span({ attributes })))).map(timesOf)).toEqual([times]);
  });

  it.each(['gen_ai.usage.cache_read_input_tokens', 'gen_ai.usage.input_tokens.cached', 'gen_ai.usage.cached_input_tokens', 'gen_ai.usage.cached_tokens'])('call what was cached %s as well', async (name) => {
    expect(await requestsOf(lineOf(span({ attributes: { ...CHAT, [name]: 100 } })))).toMatchObject([{ tokens: { input: 800, cachedInput: 100 } }]);
  });

  it('keep microseconds of nanoseconds that no double holds', async () => {
    const [request] = await requestsOf(lineOf(span({ attributes: CHAT, more: { startTimeUnixNano: '1772600767123456789', endTimeUnixNano: '1772600768123457999' } })));
    expect([request?.start, request?.end]).toEqual([1772600767.123456, 1772600768.123457]);
  });

  const python = { name: 'chat asked', context: { trace_id: '0x5b8efff798038103d269b633813fc60c', span_id: '0xeee19b7ec3c1b174', trace_state: '[]' }, kind: 'SpanKind.CLIENT', parent_id: null, start_time: '2026-03-04T05:06:07.000000Z', end_time: '2026-03-04T05:06:09.000000Z', status: { status_code: 'UNSET' }, attributes: CHAT, events: [], resource: { attributes: { 'service.name': 'vllm' }, schema_url: '' } };
  it.each([
    ['lines', `${lineOf(span({ attributes: CHAT }))}\n`],
    ['lines with carriage returns', `\uFEFF${lineOf(span({ attributes: CHAT }))}\r\n\r\n`],
    ['one document, printed for people', JSON.stringify(exported([span({ attributes: CHAT })]), null, 2)],
    ['spans, one per line', `${JSON.stringify({ ...span({ attributes: CHAT }), resource: { attributes: attributesOf({ 'service.name': 'vllm' }) } })}\n`],
    ['an array of spans', JSON.stringify([{ ...span({ attributes: CHAT }), resource: { attributes: attributesOf({ 'service.name': 'vllm' }) } }], null, 1)],
    ['names of the schema', lineOf(span({ attributes: CHAT })).replaceAll(/"([a-zA-Z]+)":/g, (_, name: string) => `"${name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}":`)],
    ['lines of the SDK of Python', JSON.stringify(python)],
    ['a document of the SDK of Python', JSON.stringify(python, null, 4)],
    ['lines among those of metrics and logs', `{"resourceMetrics":[]}\n${lineOf(span({ attributes: CHAT }))}\n{"resourceLogs":[]}\n`],
    ['gzip', gzipSync(lineOf(span({ attributes: CHAT })))],
    ['a line that is longer than most', `${lineOf(span({ attributes: CHAT }), ...Array.from({ length: 4000 }, (_, index) => span({ id: `a${index}`, name: 'other' })))}\n`],
    ['lines of which one is longer than most', `${lineOf(span({ attributes: CHAT }))}\n${lineOf(...Array.from({ length: 4000 }, (_, index) => span({ id: `a${index}`, name: 'other' })))}\n`],
  ])('are read from %s', async (_, content) => {
    const events = await read(content, { services: ['vllm'] });
    expect(requestsIn(events).map(({ start, end, tokens }) => [start, end, tokens])).toEqual([[T, T + 2, { input: 900, output: 40 }]]);
    expect(flags(events)).toEqual([]);
  });

  it.each([
    ['a status of error', { more: { status: { code: 2, message: PROMPT } } }, 'failed'],
    ['a status by name', { more: { status: { code: 'STATUS_CODE_ERROR' } } }, 'failed'],
    ['a status that is good', { more: { status: { code: 1 } } }, 'ok'],
    ['an error that is a limit', { attributes: { 'error.type': '429' } }, 'rejected'],
    ['an error that is a class', { attributes: { 'error.type': 'TimeoutError' } }, 'failed'],
    ['a client that left', { more: { status: { code: 2 } }, attributes: { 'error.type': 'asyncio.CancelledError' } }, 'aborted'],
    ['an answer that was aborted', { attributes: { 'gen_ai.response.finish_reasons': ['abort'] } }, 'aborted'],
    ['a reason that is not known', { attributes: { 'gen_ai.response.finish_reasons': ['content_filter'] } }, 'ok'],
  ])('end as %s says', async (_, { attributes, more }: Given, outcome) => {
    expect(await requestsOf(lineOf(span({ attributes: { ...CHAT, ...attributes }, ...(more && { more }) })))).toMatchObject([{ outcome }]);
  });

  it('name no model that only a client asked for', async () => {
    const attributes = { ...CHAT, 'gen_ai.response.model': '' };
    expect(await requestsOf(lineOf(span({ attributes })))).toMatchObject([{ model: 'asked' }]);
    expect(await requestsOf(lineOf(span({ attributes, more: { status: { code: 2 } } })))).toMatchObject([{ model: 'of the manifest' }]);
  });

  it('tell only what is asked for', async () => {
    const content = [exported([span({ attributes: CHAT })], 'one'), exported([span({ id: 'b1', trace: 'c1', attributes: { ...CHAT, 'gen_ai.response.model': 'other' } })], 'two')].map((each) => JSON.stringify(each)).join('\n');
    expect(await requestsOf(content, { services: ['two'] })).toMatchObject([{ model: 'other' }]);
    expect(await requestsOf(content, { models: ['answered'] })).toMatchObject([{ model: 'answered' }]);
    expect(await requestsOf(content, { models: ['asked'] })).toHaveLength(2);
    expect(flags(await read(content, { services: ['three'] }))).toEqual([['NO_REQUESTS', 2]]);
  });

  it('say nothing of prompts and answers', async () => {
    const events = await read([lineOf(span({ attributes: { ...CHAT, 'gen_ai.input.messages': PROMPT } })), lineOf(span({ id: 'b1', attributes: { ...CHAT, 'gen_ai.usage.input_tokens': PROMPT } })), lineOf(span({ id: 'b2', attributes: CHAT }))].join('\n'));
    expect(JSON.stringify(events)).not.toContain(PROMPT);
    expect(details(events)).toEqual(['traces.json: 1 line skipped: line 2: prompt tokens is not a number']);
  });
});

describe('a request that several saw', () => {
  const agent = span({ id: 'a1', name: 'invoke_agent', from: -1, to: 9, attributes: { ...CHAT, 'gen_ai.operation.name': 'invoke_agent', 'gen_ai.usage.input_tokens': 1800 } });
  const client = (more: Given = {}): object => span({ id: 'a2', parent: 'a1', name: 'chat asked', from: 0, to: 2.2, attributes: CHAT, more: { kind: 3 }, ...more });
  const http = span({ id: 'a3', parent: 'a2', name: 'POST', from: 0.01, to: 2.19 });
  const engine = (more: Given = {}): object => span({ id: 'a4', parent: 'a3', from: 0.05, to: 2.1, attributes: VLLM, ...more });

  it.each([
    ['the outer first', [agent, client(), http, engine()], ['traces.json:4']],
    ['the inner first, as spans end', [engine(), http, client(), agent], ['traces.json:1']],
    ['a link that is not in the file', [client(), engine()], ['traces.json:2']],
    ['two links that are not in the file', [client(), span({ id: 'g1', parent: 'gone', name: 'litellm', from: 0.02, to: 2.15, attributes: CHAT, more: { kind: 'SPAN_KIND_INTERNAL' } }), engine({ parent: 'gone too' })], ['traces.json:3']],
    ['a client that tried twice', [client({ to: 5 }), engine({ parent: 'a2' }), engine({ id: 'a5', parent: 'a2', from: 2.5, to: 4.9 })], ['traces.json:2', 'traces.json:3']],
  ])('counts once, as the engine saw it: %s', async (_, spans, ids) => {
    expect(await idsOf(...spans)).toEqual(ids);
  });

  it.each([
    ['of other traces', [client({ trace: 'f1', parent: '' }), engine({ trace: 'f2', parent: '' })]],
    ['with other tokens', [client({ parent: '' }), engine({ attributes: { ...VLLM, 'gen_ai.usage.completion_tokens': 41 } })]],
    ['beside each other', [client({ to: 1 }), engine()]],
    ['of one engine, which an agent asked the same at once', [engine(), engine({ id: 'a5', from: 0.1, to: 2 })]],
    ['that are both roots', [client({ parent: '' }), engine({ parent: '' })]],
    ['of no trace', [client({ trace: '', parent: '', id: '' }), client({ trace: '', parent: '', id: '' })]],
  ])('is not to be taken for two %s', async (_, spans) => {
    expect(await idsOf(...spans)).toHaveLength(2);
  });

  it('counts once though it was exported twice', async () => {
    expect(await idsOf(engine(), engine())).toEqual(['traces.json:1']);
  });

  it('is not the sum over an agent’s requests', async () => {
    const events = await read(lineOf(agent));
    expect(events).toMatchObject([{ kind: 'flagged', code: 'NO_REQUESTS' }]);
    expect(details(events)[0]).toContain('1 sums over the requests of an agent');
  });

  it('survives spans that are their own parents', async () => {
    expect(await idsOf(span({ id: 'a1', parent: 'a2', attributes: CHAT }), span({ id: 'a2', parent: 'a1', attributes: CHAT }), span({ id: 'a3', parent: 'a3', attributes: CHAT }))).toHaveLength(3);
  });
});

describe('bad spans', () => {
  it.each([
    ['cut off', lineOf(span({ id: 'b1', attributes: CHAT })).slice(0, -30), 'no JSON, or cut off'],
    ['binary', '\u0000\u0001\ufffd', 'no JSON, or cut off'],
    ['something else', '{"a":"a secret prompt"}', 'no spans of OpenTelemetry'],
    ['without an end', lineOf(span({ id: 'b1', attributes: CHAT, more: { endTimeUnixNano: '0' } })), 'it does not tell when the request began and ended'],
    ['that ended before it began', lineOf(span({ id: 'b1', attributes: CHAT, to: -1 })), 'a request that ended before it began, or ran for more than a day'],
    ['with more cached than the prompt has', lineOf(span({ id: 'b1', attributes: { ...CHAT, 'gen_ai.usage.cache_read.input_tokens': 901 } })), 'more cached tokens than the prompt has'],
    ['with negative seconds', lineOf(span({ id: 'b1', attributes: { ...VLLM, 'gen_ai.latency.time_in_queue': -0.5 } })), 'gen_ai.latency.time_in_queue is negative (-0.5)'],
  ])('counts one that is %s, and claims no idle', async (_, line, reason) => {
    const events = await read([lineOf(span({ attributes: CHAT })), line, lineOf(span({ id: 'b2', attributes: CHAT, from: 5, to: 7 }))].join('\n'));
    expect(requestsIn(events)).toHaveLength(2);
    expect(details(events)).toEqual([`traces.json: 1 line skipped: line 2: ${reason}`]);
    expect(events.filter(({ kind }) => kind === 'hole')).toEqual([{ kind: 'hole', from: T, to: T + 7, reason: 'traces.json: 1 requests could not be used, and spans are in no order' }]);
  });

  it('are no other file', async () => {
    expect(await refusal(read('a,b\n1,2\n'))).toMatch(/^FILE_FORMAT: /);
    expect(await refusal(read(''))).toMatch(/^FILE_EMPTY: /);
    expect(await refusal(read('{\n"a": 1,\n'))).toMatch(/^FILE_FORMAT: /);
  });
});
