import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, details, flags, ifAbsent, isPresent, recordedFile, refusal, sharedFile } from '../recorded-file.testing.js';
import type { RecordedFile } from '../recorded.js';
import type { RequestEvidence, ServingEvent } from '../source.js';
import { envoyAiGateway } from './envoy-ai-gateway.js';
import { recordedLog } from './logs/recorded-log.js';

/** 2026-03-04T05:06:07Z. */
const T = 1_772_600_767;

const record = (more: object = {}): string =>
  JSON.stringify({
    ':authority': 'api.example.com', start_time: '2026-03-04T05:06:07.250Z', duration: 1500, response_code: 200, response_flags: '-', method: 'POST',
    'gen_ai.request.model': 'chat', 'gen_ai.request.model_override': null, 'gen_ai.provider.name': 'default/gpu-7/route', 'gen_ai.usage.input_tokens': 900, 'gen_ai.usage.output_tokens': 40, 'gen_ai.usage.total_tokens': 940,
    upstream_host: '10.0.0.7:8000', 'x-envoy-upstream-service-time': '200', 'x-forwarded-for': '192.0.2.1', 'x-request-id': 'r-1', 'x-envoy-origin-path': '/v1/chat/completions', ...more,
  });
/** The fields that name no model and no tokens. */
const NO_MODEL = { 'gen_ai.request.model': null, 'gen_ai.usage.input_tokens': null, 'gen_ai.usage.output_tokens': '-', 'gen_ai.usage.total_tokens': null };

const format = recordedLog(envoyAiGateway, [envoyAiGateway]);
const read = (content: string | RecordedFile, options: unknown = {}): Promise<ServingEvent[]> =>
  all(format.open({ file: typeof content === 'string' ? recordedFile(content, 'envoy.log') : content, tz: '+05:00', deployment: 'd', model: 'of the manifest' }, options).events());
const requestsIn = (events: readonly ServingEvent[]): RequestEvidence[] => events.filter((event) => event.kind === 'request');
const requestsOf = async (...given: Parameters<typeof read>): Promise<RequestEvidence[]> => requestsIn(await read(...given));
const modelOf = async (more: object): Promise<string | undefined> => (await requestsOf(record(more)))[0]?.model;

describe('the access log of Envoy AI Gateway', () => {
  it('tells a request from its start for its duration, with tokens and without a first token', async () => {
    expect(await requestsOf(`${record()}\n`)).toEqual([{ kind: 'request', id: 'envoy.log:1', start: T + 0.25, end: T + 1.75, tokens: { input: 900, output: 40 }, outcome: 'ok', model: 'chat' }]);
  });

  it.each([
    ['numbers in quotes', { duration: '1500', response_code: '200', 'gen_ai.usage.input_tokens': '900', 'gen_ai.usage.output_tokens': '40' }, { input: 900, output: 40 }],
    ['no tokens', { 'gen_ai.usage.input_tokens': '-', 'gen_ai.usage.output_tokens': null }, {}],
    ['no tokens as 0', { 'gen_ai.usage.input_tokens': 0, 'gen_ai.usage.output_tokens': 0 }, {}],
    ['what was cached', { 'gen_ai.usage.cached_input_tokens': '512' }, { input: 388, cachedInput: 512, output: 40 }],
    ['the names of version 0.x', { ...NO_MODEL, genai_model_name: 'chat', genai_tokens_input: 11, genai_tokens_output: '7' }, { input: 11, output: 7 }],
  ])('reads %s', async (_, more, tokens) => {
    expect(await requestsOf(record(more))).toEqual([{ kind: 'request', id: 'envoy.log:1', start: T + 0.25, end: T + 1.75, tokens, outcome: 'ok', model: 'chat' }]);
  });

  it.each([
    ['a container’s line', `2026-03-04T05:07:07.123456789Z stdout F ${record()}`],
    ['a carriage return', `\uFEFF${record()}\r`],
    ['an epoch', record({ start_time: `${T}.25` })],
    ['a time without a zone, which is that of the entry', record({ start_time: '2026-03-04 10:06:07.25' })],
  ])('reads %s', async (_, line) => {
    expect((await requestsOf(`${line}\n`)).map(({ start, end }) => [start, end])).toEqual([[T + 0.25, T + 1.75]]);
  });

  it.each([
    [200, '-', 'ok'],
    ['201', null, 'ok'],
    [0, 'DC', 'aborted'],
    [0, '-', 'aborted'],
    [200, 'DC', 'aborted'],
    [499, '-', 'aborted'],
    [429, 'RL', 'rejected'],
    [429, '-', 'rejected'],
    [404, 'NR', 'rejected'],
    [503, 'UO', 'rejected'],
    [503, 'UF,URX', 'failed'],
    [500, '-', 'failed'],
    [200, 'UC', 'failed'],
    [200, 'SI', 'failed'],
    ['-', '-', 'ok'],
  ])('with status %s and flags %s the request is %s', async (response_code, response_flags, outcome) => {
    expect(await requestsOf(record({ response_code, response_flags }))).toMatchObject([{ outcome }]);
  });

  it('names the model that answered before the one that was asked for, and none that was turned away', async () => {
    expect(await modelOf({ 'gen_ai.request.model_override': 'served' })).toBe('served');
    expect(await modelOf({ 'gen_ai.response.model': 'answered', 'gen_ai.request.model_override': 'served' })).toBe('answered');
    expect(await modelOf({ response_code: 404, response_flags: 'NR', 'gen_ai.request.model': 'what a client typed' })).toBe('of the manifest');
    expect(await modelOf({ 'gen_ai.request.model': '-' })).toBe('of the manifest');
  });

  it('goes by the names that the operator chose', async () => {
    const line = JSON.stringify({ began: '2026-03-04T05:06:07.250Z', took: '1500', code: 200, llm: 'chat', in: 900, out: 40, hits: 512, team: 'blue', to: 'gpu-7' });
    const keys = { start: 'began', duration: 'took', status: 'code', model: 'llm', inputTokens: 'in', outputTokens: 'out', cachedInputTokens: 'hits', tenant: 'team', backend: 'to' };
    expect(await requestsOf(line, { keys, backends: ['gpu-7'] })).toEqual([{ kind: 'request', id: 'envoy.log:1', start: T + 0.25, end: T + 1.75, tokens: { input: 388, cachedInput: 512, output: 40 }, outcome: 'ok', model: 'chat', tenant: 'blue' }]);
    expect(() => format.open({ file: recordedFile(''), tz: 'UTC', deployment: 'd' }, { keys: { modle: 'x' } })).toThrow(/modle/);
  });

  it('tells only what is asked for', async () => {
    const content = [record(), record({ 'x-request-id': 'r-2', 'gen_ai.request.model': 'other', upstream_host: '10.0.0.8:8000' })].join('\n');
    expect(await requestsOf(content, { models: ['other'] })).toMatchObject([{ model: 'other' }]);
    expect(await requestsOf(content, { backends: ['10.0.0.7'] })).toMatchObject([{ model: 'chat' }]);
    expect(await requestsOf(content, { backends: ['default/gpu-7'] })).toHaveLength(2);
    expect(flags(await read(content, { backends: ['10.0.0.9'] }))).toEqual([['NONE_CHOSEN', 2]]);
  });

  it('ignores requests that are to no model, and whatever else is in the log', async () => {
    const events = await read([record(), record({ ...NO_MODEL, mcp_method: 'tools/call' }), '[2026-03-04 05:06:07.250][1][info][main] starting', '{"level":"info","start_time":1}', '\u0000\ufffd', ''].join('\n'));
    expect(events.map(({ kind }) => kind)).toEqual(['request', 'watermark']);
  });

  it('counts a request once that is told twice', async () => {
    const events = await read([record(), record(), record({ duration: 1600 }), record({ 'x-request-id': '-' }), record({ 'x-request-id': '-' })].join('\n'));
    expect(requestsIn(events)).toHaveLength(4);
    expect(flags(events)).toEqual([['REPEATED_REQUEST', 1]]);
  });

  it.each([
    ['cut off', record().slice(0, -40), 'no JSON, or cut off'],
    ['with text for a number', record({ 'gen_ai.usage.input_tokens': 'the text of a prompt' }), 'input tokens is not a number'],
    ['with a negative duration', record({ duration: -5 }), 'duration is negative (-5)'],
    ['without a duration', record({ duration: '-' }), 'it does not tell when the request began and ended'],
    ['with a start that is no time', record({ start_time: '2026-13-40T05:06:07Z' }), 'it does not tell when the request began and ended'],
    ['that ran for days', record({ duration: 90_000_000 }), 'a request that ended before it began, or ran for more than a day'],
    ['with more cached than the prompt has', record({ 'gen_ai.usage.cached_input_tokens': 901 }), 'more cached tokens than the prompt has'],
  ])('counts a line %s, and claims no idle there', async (_, line, reason) => {
    const events = await read([record(), line, record({ 'x-request-id': 'r-2', start_time: '2026-03-04T05:06:17Z' })].join('\n'));
    expect(details(events)).toEqual([`envoy.log: 1 line skipped: line 2: ${reason}`]);
    expect(events.filter(({ kind }) => kind === 'hole')).toEqual([{ kind: 'hole', from: T + 1.75, to: T + 10, reason: 'envoy.log: a request here could not be used' }]);
    expect(JSON.stringify(events)).not.toContain('text of a prompt');
  });

  it.each([40, 120, 200, 330, record().length - 1])('does not use a last line that was cut off after %s characters', async (length) => {
    const events = await read(`${record()}\n${record().slice(0, length)}`);
    expect(requestsIn(events)).toHaveLength(1);
    expect(flags(events)).toEqual([['SKIPPED_LINES', 1]]);
  });

  it('settles no more than what is as long ago as requests usually take', async () => {
    const parser = envoyAiGateway.parser({ label: 'x', clock: { at: () => instant(T) }, skip: () => undefined, used: () => undefined }, { keys: {} });
    expect(parser.line({ number: 1, text: record() }).at(-1)).toEqual({ kind: 'watermark', at: T + 1.5 - 180 });
    expect(parser.quiet(instant(T + 200))).toEqual([{ kind: 'watermark', at: T + 20 }]);
    expect(parser.quiet(instant(T + 200))).toEqual([]);
  });

  it('is known by its own lines', async () => {
    expect([record(), record({ ...NO_MODEL }), '{"start_time":"2026-03-04T05:06:07Z","duration":3,"response_code":200}', 'text'].map(envoyAiGateway.isOf)).toEqual([true, true, false, false]);
    expect(await refusal(read('{"a":1}\n'))).toMatch(/^FILE_FORMAT: envoy\.log is not envoy-ai-gateway/);
  });
});

it.skipIf(!isPresent)(`a real line: 15 and 7 tokens in 1526 ms${ifAbsent}`, async () => {
  const [request, ...more] = await requestsOf(sharedFile('logs/envoy-aigw-1.1-accesslog.log'));
  expect(more).toEqual([]);
  expect(request).toMatchObject({ tokens: { input: 15, output: 7 }, outcome: 'ok', model: 'gpt-4o-mini' });
  expect((request?.end ?? 0) - (request?.start ?? 0)).toBeCloseTo(1.526, 5);
  expect(request).not.toHaveProperty('firstToken');
});
