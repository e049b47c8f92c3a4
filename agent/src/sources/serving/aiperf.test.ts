import { describe, expect, it } from 'vitest';
import { all, details, flags, recordedFile, refusal } from '../recorded-file.testing.js';
import type { RequestEvidence, ServingEvent } from '../source.js';
import { aiperf } from './aiperf.js';

/** 2026-03-04T05:06:07Z. */
const T = 1_772_600_767;

const tokens = (value: unknown): object => ({ value, unit: 'tokens' });
const record = ({ metadata = {}, metrics = {}, error = null }: { metadata?: object; metrics?: object; error?: unknown } = {}): string =>
  JSON.stringify({
    metadata: { session_num: 1, x_request_id: 'r', request_start_ns: T * 1e9, request_ack_ns: T * 1e9 + 1e6, request_end_ns: (T + 2) * 1e9, worker_id: 'w', benchmark_phase: 'profiling', was_cancelled: false, ...metadata },
    metrics: { time_to_first_token: { value: 250, unit: 'ms' }, request_latency: { value: 2000, unit: 'ms' }, input_sequence_length: tokens(900), output_sequence_length: tokens(40), inter_chunk_latency: { value: [1, 2], unit: 'ms' }, ...metrics },
    error,
  });
const at = (seconds: number): string => record({ metadata: { request_start_ns: (T + seconds) * 1e9, request_end_ns: (T + seconds + 2) * 1e9 } });

const read = (content: string): Promise<ServingEvent[]> => all(aiperf.open({ file: recordedFile(content, 'profile_export.jsonl'), tz: 'UTC', deployment: 'd', model: 'of the manifest' }, {}).events());
const requestsOf = async (content: string): Promise<RequestEvidence[]> => (await read(content)).filter((event) => event.kind === 'request');
const firstTokenOf = async (metrics: object): Promise<number | undefined> => (await requestsOf(record({ metrics })))[0]?.firstToken;

describe('the profile export of AIPerf', () => {
  it('tells requests as the client saw them', async () => {
    expect(await read(`${record()}\n`)).toEqual([
      { kind: 'request', id: 'profile_export.jsonl:1', start: T, firstToken: T + 0.25, end: T + 2, tokens: { input: 900, output: 40 }, outcome: 'ok', model: 'of the manifest' },
      { kind: 'watermark', at: T + 2 },
    ]);
  });

  it.each([
    ['the server’s counts before the client’s', { usage_prompt_tokens: tokens(905), usage_completion_tokens: tokens(41), usage_prompt_cache_read_tokens: tokens(512) }, { input: 393, cachedInput: 512, output: 41 }],
    ['no lengths', { input_sequence_length: undefined, output_sequence_length: undefined }, {}],
    ['no output', { output_sequence_length: undefined }, { input: 900 }],
  ])('counts %s', async (_, metrics, counts) => {
    expect((await requestsOf(record({ metrics }))).map((request) => request.tokens)).toEqual([counts]);
  });

  it('reads the first token by its older name, and does without', async () => {
    expect(await firstTokenOf({ time_to_first_token: undefined, ttft: { value: 500, unit: 'ms' } })).toBe(T + 0.5);
    expect(await firstTokenOf({ time_to_first_token: undefined })).toBeUndefined();
    expect(await firstTokenOf({ time_to_first_token: { value: 5000, unit: 'ms' } })).toBeUndefined();
  });

  it.each([
    ['ok', {}],
    ['failed', { error: { code: 500, type: 'x', message: 'the text of a prompt' } }],
    ['rejected', { error: { code: 429 } }],
    ['failed', { error: { code: null, type: 'InvalidInferenceResultError' } }],
    ['aborted', { error: { code: 499 } }],
    ['aborted', { metadata: { was_cancelled: true }, error: { code: 500 } }],
    ['ok', { metadata: { benchmark_phase: 'warmup' } }],
  ])('is %s with %o', async (outcome, more) => {
    const requests = await requestsOf(record(more));
    expect(requests).toMatchObject([{ outcome }]);
    expect(JSON.stringify(requests)).not.toContain('text of a prompt');
  });

  it.each([
    ['cut off', record().slice(0, -30), 'no JSON, or cut off'],
    ['binary', '\u0000\u0001\ufffd', 'no JSON, or cut off'],
    ['something else', '{"a":1}', "not a record of AIPerf's profile export"],
    ['with text for a number', record({ metrics: { output_sequence_length: tokens('the text of a prompt') } }), 'output tokens is not a number'],
    ['without an end', record({ metadata: { request_end_ns: null } }), 'it does not tell when the request began and ended'],
    ['that ended before it began', record({ metadata: { request_end_ns: T * 1e9 - 1e9 } }), 'a request that ended before it began, or ran for more than a day'],
  ])('counts a record %s, and claims no idle there', async (_, line, reason) => {
    const events = await read(`${at(0)}\r\n${line}\r\n${at(10)}\r\n`);
    expect(flags(events)).toEqual([['SKIPPED_LINES', 1]]);
    expect(details(events)).toEqual([`profile_export.jsonl: 1 line skipped: line 2: ${reason}`]);
    expect(events.filter(({ kind }) => kind === 'hole')).toEqual([{ kind: 'hole', from: T + 2, to: T + 10, reason: 'profile_export.jsonl: a request here could not be used' }]);
  });

  it('is not another file', async () => {
    expect(await refusal(read('a,b\n1,2\n3,4\n'))).toMatch(/^FILE_FORMAT: /);
    expect(await refusal(read(''))).toMatch(/^FILE_EMPTY: /);
  });
});
