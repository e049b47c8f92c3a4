import { instant } from '@joulebook/shared/units.js';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { all, details, flags, ifAbsent, isPresent, recordedFile, refusal, sharedFile } from '../recorded-file.testing.js';
import type { RecordedFile } from '../recorded.js';
import type { RequestEvidence, ServingEvent } from '../source.js';
import { litellm } from './litellm.js';
import type { LogLine, LogParser } from './logs/dialect.js';
import { recordedLog } from './logs/recorded-log.js';

/** 2026-03-04T05:06:07Z. */
const T = 1_772_600_767;
const PROMPT = 'the text of a prompt';

const record = (more: object = {}): object => ({
  id: 'chatcmpl-1', trace_id: 't-1', call_type: 'acompletion', stream: true, status: 'success', total_tokens: 940, prompt_tokens: 900, completion_tokens: 40,
  startTime: T, completionStartTime: T + 0.25, endTime: T + 2, response_time: 0.25, model_group: 'chat', model: 'hosted_vllm/m', model_id: 'a'.repeat(64), api_base: 'http://10.0.0.7:8000/v1', cache_hit: false,
  metadata: { user_api_key_hash: 'f'.repeat(64), user_api_key_team_id: 'team-a', user_api_key_alias: 'a-person', usage_object: { prompt_tokens_details: { cached_tokens: 512 } }, requester_ip_address: '192.0.2.1' },
  messages: [{ role: 'user', content: PROMPT }], response: { choices: [{ message: { content: PROMPT } }] },
  ...more,
});
const line = (more?: object): string => JSON.stringify(record(more));
const at = (seconds: number, more: object = {}): string => line({ id: `chatcmpl-${seconds}`, trace_id: `t-${seconds}`, startTime: T + seconds, completionStartTime: T + seconds + 0.25, endTime: T + seconds + 2, ...more });

const format = recordedLog(litellm, [litellm]);
const read = (content: string | Uint8Array | RecordedFile, options: unknown = {}, tz = 'UTC'): Promise<ServingEvent[]> =>
  all(format.open({ file: typeof content === 'string' || content instanceof Uint8Array ? recordedFile(content, 'litellm.jsonl') : content, tz, deployment: 'd', model: 'of the manifest' }, options).events());
const requestsIn = (events: readonly ServingEvent[]): RequestEvidence[] => events.filter((event) => event.kind === 'request');
const requestsOf = async (...given: Parameters<typeof read>): Promise<RequestEvidence[]> => requestsIn(await read(...given));
const after = (time: number | undefined): number | undefined => (time === undefined ? undefined : Math.round((time - T) * 1e4) / 1e4);
const timesOf = ({ start, firstToken, end }: RequestEvidence): (number | undefined)[] => [start, firstToken, end].map(after);
const tenantOf = async (metadata: object): Promise<string | undefined> => (await requestsOf(line({ metadata })))[0]?.tenant;
const attempt = (seconds: number, status: string, more: object = {}): string => at(seconds, { trace_id: 't', status, endTime: T + seconds + 1, ...more });
const endings = async (...lines: readonly string[]): Promise<[start: number | undefined, outcome: string][]> => (await requestsOf(lines.join('\n'))).map(({ start, outcome }) => [after(start), outcome]);

/** A parser, and what it asks of its clock. */
function started(): { parser: LogParser; asked: [LogLine, number | undefined][] } {
  const asked: [LogLine, number | undefined][] = [];
  const clock = { at: (of: LogLine, stamp?: { hour: number }) => (asked.push([of, stamp?.hour]), stamp ? instant(T) : undefined) };
  return { parser: litellm.parser({ label: 'x', clock, skip: () => undefined, used: () => undefined }, {}), asked };
}

describe('records of LiteLLM', () => {
  it('tell arrival, first token, end, tokens, model and team of a request', async () => {
    expect(await requestsOf(`${line()}\n`)).toEqual([
      { kind: 'request', id: 'litellm.jsonl:1', start: T, firstToken: T + 0.25, end: T + 2, tokens: { input: 388, cachedInput: 512, output: 40 }, outcome: 'ok', model: 'chat', tenant: 'team-a' },
    ]);
  });

  it.each([
    ['an array in one line', JSON.stringify([record(), record({ id: 'b' })])],
    ['an array of a record per line', `[${line()},\n${line({ id: 'b' })}]\n`],
    ['an array with its brackets alone', `[\n${line()},\n${line({ id: 'b' })}\n]\n`],
    ['an array printed for people', JSON.stringify([record(), record({ id: 'b' })], null, 2)],
    ['records printed for people, in a console', `20:14:06 - LiteLLM:INFO: x.py:1 - sent\n${JSON.stringify(record(), null, 4)}\n{\n    "a": 1\n}\nINFO:     192.0.2.1:1 - "POST /chat/completions HTTP/1.1" 200 OK\n${JSON.stringify(record({ id: 'b' }), null, 4)}\n`],
    ['carriage returns', `\uFEFF${line()}\r\n\r\n${line({ id: 'b' })}\r\n`],
    ['lines of a container', `2026-03-04T05:07:07.123456789Z stdout F ${line()}\n2026-03-04T05:07:07.123456789Z stdout F ${line({ id: 'b' })}\n`],
    ['a record after one that was never finished', `{\n  "id": "x",\n${line()}\n${line({ id: 'b' })}\n`],
    ['a line after one that was cut off', `${line().slice(0, 300)}\n${line()}\n${line({ id: 'b' })}\n`],
  ])('are read from %s', async (_, content) => {
    const requests = await requestsOf(content);
    expect(requests.map(timesOf)).toEqual([[0, 0.25, 2], [0, 0.25, 2]]);
    expect(new Set(requests.map(({ id }) => id)).size).toBe(2);
  });

  it('are read gzipped', async () => {
    expect(await requestsOf(gzipSync(`${line()}\n`))).toHaveLength(1);
  });

  it.each([
    ['text of the proxy’s zone', { startTime: '2026-03-04 07:06:07.000000', completionStartTime: '2026-03-04 07:06:07.250000', endTime: '2026-03-04 07:06:09' }],
    ['ISO with a zone', { startTime: '2026-03-04T05:06:07Z', completionStartTime: '2026-03-04T05:06:07.25+00:00', endTime: '2026-03-04T00:06:09-05:00' }],
    ['epochs in quotes', { startTime: String(T), completionStartTime: `${T}.25`, endTime: String(T + 2) }],
    ['epochs in milliseconds', { startTime: T * 1000, completionStartTime: T * 1000 + 250, endTime: (T + 2) * 1000 }],
  ])('have times as %s', async (_, times) => {
    expect((await requestsOf(line(times), {}, '+02:00')).map(timesOf)).toEqual([[0, 0.25, 2]]);
  });

  it.each([
    ['a stream whose first token only response_time tells', { completionStartTime: null }, [0, 0.25, 2]],
    ['a stream of a version that does not say that it is one', { stream: undefined }, [0, 0.25, 2]],
    ['no stream: what it calls the begin of the completion is its end', { stream: null, completionStartTime: T + 2, response_time: 2 }, [0, undefined, 2]],
    ['no stream, and it says so', { stream: false }, [0, undefined, 2]],
    ['no stream and no end: response_time is the whole', { stream: false, endTime: null, completionStartTime: null, response_time: 3 }, [0, undefined, 3]],
    ['a first token after the end', { completionStartTime: T + 9 }, [0, undefined, 2]],
    ['a first token before the start', { completionStartTime: T - 9 }, [0, undefined, 2]],
  ])('tell the first token of a stream: %s', async (_, more, times) => {
    expect((await requestsOf(line(more))).map(timesOf)).toEqual([times]);
  });

  it.each([
    ['nothing of the cache', { metadata: { usage_object: { prompt_tokens_details: null } } }, { input: 900, output: 40 }],
    ['Anthropic’s name for what was cached', { metadata: { usage_object: { cache_read_input_tokens: 500 } } }, { input: 400, cachedInput: 500, output: 40 }],
    ['the usage among the hidden parameters', { metadata: null, hidden_params: { usage_object: { prompt_tokens_details: { cached_tokens: 100 } } } }, { input: 800, cachedInput: 100, output: 40 }],
    ['no cached token', { metadata: { usage_object: { prompt_tokens_details: { cached_tokens: 0 } } } }, { input: 900, cachedInput: 0, output: 40 }],
    ['usage as text', { prompt_tokens: undefined, completion_tokens: undefined, metadata: '{}', usage: 'Usage(completion_tokens=9, prompt_tokens=11, total_tokens=20)' }, { input: 11, output: 9 }],
    ['0 tokens of a failure', { status: 'failure', prompt_tokens: 0, completion_tokens: 0 }, {}],
  ])('with %s', async (_, more, tokens) => {
    expect((await requestsOf(line(more))).map((request) => request.tokens)).toEqual([tokens]);
  });

  it('are read as DynamoDB types them', async () => {
    const typed = Object.fromEntries(Object.entries(record({ startTime: '2026-03-04 05:06:07.0', completionStartTime: '2026-03-04 05:06:07.25', endTime: '2026-03-04 05:06:09' })).map(([name, value]) => [name, typeof value === 'string' ? { S: value } : typeof value === 'number' ? { N: String(value) } : typeof value === 'boolean' ? { BOOL: value } : { NULL: true }]));
    expect(await requestsOf(JSON.stringify(typed))).toMatchObject([{ start: T, firstToken: T + 0.25, tokens: { input: 900, output: 40 } }]);
  });

  it.each([
    ['success', {}, 'ok'],
    ['failure', {}, 'failed'],
    ['failure', { error_information: { error_code: '429', error_class: 'RateLimitError' } }, 'rejected'],
    ['failure', { error_information: { error_code: '500' } }, 'failed'],
    ['failure', { error_information: { error_class: 'CancelledError' } }, 'aborted'],
    ['something else', {}, 'failed'],
  ])('with status %s and %o end so: %s', async (status, more, outcome) => {
    expect(await requestsOf(line({ status, ...more }))).toMatchObject([{ outcome }]);
  });

  it('name a model that served, and none that a client made up', async () => {
    expect((await requestsOf([line(), line({ id: 'b', model_group: '' }), line({ id: 'c', status: 'failure' }), line({ id: 'd', status: 'failure', model_id: '', model_group: 'a name that a client typed' })].join('\n'))).map(({ id, model }) => [id, model])).toEqual([['litellm.jsonl:1', 'chat'], ['litellm.jsonl:2', 'hosted_vllm/m'], ['litellm.jsonl:3', 'chat'], ['litellm.jsonl:4', 'of the manifest']]);
  });

  it('name a team, and never a key', async () => {
    expect(await tenantOf({ user_api_key_team_id: null, user_api_key_team_alias: 'blue' })).toBe('blue');
    expect(await tenantOf({ user_api_key_alias: 'batch-jobs' })).toBe('batch-jobs');
    expect(await tenantOf({ user_api_key_team_id: 'f'.repeat(64), user_api_key_alias: 'sk-1234', user_api_key_hash: 'f'.repeat(64) })).toBeUndefined();
  });

  it('hold text, addresses and keys of which nothing is told', async () => {
    const events = await read(`${line()}\n${line({ id: 'b', prompt_tokens: PROMPT })}\n${line({ id: 'c', status: 'failure', error_str: PROMPT })}`);
    expect(JSON.stringify(events)).not.toMatch(/text of a prompt|192\.0\.2|ffff|a-person/);
  });
});

describe('what LiteLLM answers, tries and serves', () => {
  it('leaves out what its own cache answered, and says how often', async () => {
    const events = await read([line(), line({ id: 'chatcmpl-1_cache_hit1', cache_hit: true }), line({ id: 'x', cache_hit: 'True' })].join('\n'));
    expect(requestsIn(events)).toHaveLength(1);
    expect(flags(events)).toEqual([['GATEWAY_CACHE', 2]]);
  });

  it('calls attempts that a later one made up for superseded', async () => {
    expect(await endings(attempt(0, 'failure'), attempt(1.5, 'failure'), attempt(5, 'success'))).toEqual([[0, 'superseded'], [1.5, 'superseded'], [5, 'ok']]);
    // All calls of a session may have one trace: a minute later it is not the same call, nor is one that ran beside it.
    expect(await endings(attempt(0, 'failure'), attempt(61, 'success'))).toEqual([[0, 'failed'], [61, 'ok']]);
    expect(await endings(attempt(0, 'failure'), attempt(0.5, 'success'))).toEqual([[0, 'failed'], [0.5, 'ok']]);
    expect(await endings(attempt(0, 'failure', { litellm_call_id: 'a' }), attempt(2, 'success', { litellm_call_id: 'b' }))).toEqual([[2, 'ok'], [0, 'failed']]);
    expect(await endings(attempt(0, 'failure'))).toEqual([[0, 'failed']]);
  });

  it('tells a failed attempt when no other is to be expected', async () => {
    const requests = await requestsOf([at(0, { status: 'failure' }), at(60), at(123)].join('\n'));
    expect(requests.map(({ start }) => after(start))).toEqual([60, 123, 0]);
  });

  it('counts a request once that is told twice', async () => {
    const events = await read([line(), line(), line({ endTime: T + 3 })].join('\n'));
    expect(requestsIn(events)).toHaveLength(2);
    expect(flags(events)).toEqual([['REPEATED_REQUEST', 1]]);
  });

  it('tells only what is asked for', async () => {
    const content = [line(), line({ id: 'b', model_group: 'other', api_base: 'https://api.example.com' })].join('\n');
    const models = async (options: unknown): Promise<(string | undefined)[]> => (await requestsOf(content, options)).map(({ model }) => model);
    expect(await models({ models: ['chat'] })).toEqual(['chat']);
    expect(await models({ models: ['hosted_vllm/m'] })).toEqual(['chat', 'other']);
    expect(await models({ backends: ['api.example.com'] })).toEqual(['other']);
    expect(await models({ models: ['chat'], backends: ['api.example.com'] })).toEqual([]);
    expect(flags(await read(content, { models: ['nothing'] }))).toEqual([['NONE_CHOSEN', 2]]);
  });

  it('ignores calls that no language model answers', async () => {
    const none = { prompt_tokens: 0, completion_tokens: 0, metadata: {} };
    expect(await requestsOf([line({ call_type: 'aimage_generation', ...none }), line({ id: 'b', call_type: 'call_mcp_tool', ...none }), line({ id: 'c', call_type: 'aembedding', completion_tokens: 0 })].join('\n'))).toMatchObject([{ tokens: { input: 388, cachedInput: 512, output: 0 } }]);
  });
});

describe('bad records of LiteLLM', () => {
  it.each([
    ['cut off', line().slice(0, -30), 'no JSON, or cut off'],
    ['cut off before its times', line().slice(0, 60), 'no JSON, or cut off'],
    ['with bytes that are no text', line().replace('"status"', '\u0000"status"'), 'no JSON, or cut off'],
    ['with text for a number', line({ prompt_tokens: PROMPT }), 'prompt_tokens is not a number'],
    ['with half a token', line({ completion_tokens: 1.5 }), 'completion_tokens is not a whole number (1.5)'],
    ['with more cached than the prompt has', line({ prompt_tokens: 100 }), 'more cached tokens than the prompt has'],
    ['without a start', line({ startTime: null }), 'it does not tell when the request began and ended'],
    ['with a start that is no time', line({ startTime: PROMPT }), 'it does not tell when the request began and ended'],
    ['that ended before it began', line({ endTime: T - 1 }), 'a request that ended before it began, or ran for more than a day'],
    ['of a stream whose end is not told', line({ endTime: null }), 'it does not tell when the request began and ended'],
    ['that ran for days', line({ endTime: T + 90_000 }), 'a request that ended before it began, or ran for more than a day'],
  ])('counts one %s, and claims no idle there', async (_, bad, reason) => {
    const events = await read([at(-10), bad, at(20), at(30)].join('\n'));
    expect(details(events)).toEqual([`litellm.jsonl: 1 line skipped: line 2: ${reason}`]);
    expect(events.filter(({ kind }) => kind === 'hole')).toEqual([{ kind: 'hole', from: T - 8, to: T + 20, reason: 'litellm.jsonl: a request here could not be used' }]);
  });

  it('takes no other JSON for a record', async () => {
    const events = await read([line(), '{"message": "\\"startTime\\" and \\"endTime\\"", "level": "INFO", "timestamp": "2026-03-04T05:06:07"}', '[1, 2]', '{"id": "x"}', '{"id": {"S": 1}}', '\u0000\u0001\ufffd', '{'].join('\n'));
    expect(events.map(({ kind }) => kind)).toEqual(['request', 'watermark']);
  });

  it('says what to do where there is only the console', async () => {
    expect(await refusal(read('20:14:06 - LiteLLM:WARNING: litellm_logging.py:938 - x\n20:14:07 - LiteLLM Proxy:ERROR: y.py:1 - z\n'))).toMatch(/^FILE_FORMAT: litellm\.jsonl is not litellm-log: .*line 1: of the console of LiteLLM, .*logging callback/);
    expect(await refusal(read(''))).toMatch(/^FILE_EMPTY: /);
  });

  it('survives a beginning of a document that never ends', async () => {
    const endless = `{\n${'  "a": 1,\n'.repeat(150_000)}`;
    expect(await requestsOf(`${endless}${line()}\n`)).toHaveLength(1);
    expect(await requestsOf(`${endless}${JSON.stringify(record(), null, 2)}\n`)).toHaveLength(1);
  });
});

describe('a live log of LiteLLM', () => {
  it('settles no more than what batches and usual requests leave open', () => {
    const { parser } = started();
    expect(parser.line({ number: 1, text: line() }).filter(({ kind }) => kind === 'watermark')).toEqual([{ kind: 'watermark', at: T + 2 - 180 }]);
    expect(parser.quiet(instant(T))).toEqual([]);
    expect(parser.quiet(instant(T + 300))).toEqual([{ kind: 'watermark', at: T + 120 }]);
  });

  it('tells a failed attempt two minutes after it, before that time is settled', () => {
    const { parser } = started();
    parser.line({ number: 1, text: line({ status: 'failure' }) });
    expect(parser.quiet(instant(T + 121)).map(({ kind }) => kind)).toEqual(['watermark']);
    expect(parser.quiet(instant(T + 122)).map(({ kind }) => kind)).toEqual(['request', 'watermark']);
    expect(parser.quiet(instant(T + 123)).map(({ kind }) => kind)).toEqual(['watermark']);
  });

  it('lets only the end of a request tell the zone, and never takes a wrapper’s time for its own', () => {
    const { parser, asked } = started();
    parser.line({ number: 1, text: line({ startTime: '2026-03-04 07:06:07', completionStartTime: null, endTime: '2026-03-04 08:06:09' }), arrived: instant(T + 60), wrapped: instant(T + 59) });
    expect(asked.map(([{ arrived, wrapped }, hour]) => [hour, arrived, wrapped])).toEqual([[8, T + 60, undefined], [7, undefined, undefined]]);
  });

  it('is known by its records', () => {
    expect([line(), `[${line()}]`, JSON.stringify({ startTime: 1, endTime: 2 }), '20:14:06 - LiteLLM:WARNING: x.py:1 - "startTime" "endTime" "call_type"'].map(litellm.isOf)).toEqual([true, true, false, false]);
  });
});

it.skipIf(!isPresent)(`a real record: 11 and 9 tokens in 2.377083 s${ifAbsent}`, async () => {
  const [request, ...more] = await requestsOf(sharedFile('logs/litellm-console-and-record.log'));
  expect(more).toEqual([]);
  expect(request).toMatchObject({ tokens: { input: 11, output: 9 }, outcome: 'ok', model: 'gpt-3.5-turbo' });
  expect((request?.end ?? 0) - (request?.start ?? 0)).toBeCloseTo(2.377083, 5);
});
