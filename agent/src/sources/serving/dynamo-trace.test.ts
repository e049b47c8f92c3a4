import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { all, details, flags, ifAbsent, isPresent, recordedFile, refusal, sharedFile } from '../recorded-file.testing.js';
import type { RecordedFile } from '../recorded.js';
import type { RequestEvidence, ServingEvent } from '../source.js';
import { dynamoTrace } from './dynamo-trace.js';

/** 2026-03-04T05:06:07Z in milliseconds. */
const T = 1_772_600_767_000;
const PREFILL = '16216382247825258024';
/** Differs from the other beyond what a double can tell. */
const DECODE = '16216382247825258025';

const request = { request_id: 'r', model: 'm', input_tokens: 900, output_tokens: 40, cached_tokens: 512, request_received_ms: T, prefill_wait_time_ms: 12.5, prefill_time_ms: 70, ttft_ms: 82.5, total_time_ms: 1000 };
const worker = (prefill: string, decode: string): string => `"worker":{"prefill_worker_id":${prefill},"prefill_dp_rank":0,"decode_worker_id":${decode},"decode_dp_rank":0}`;
const record = (more: object = {}, workers = '"worker":{}', event: object = {}): string =>
  JSON.stringify({ timestamp: 812, event: { schema: 'dynamo.request.trace.v1', event_type: 'request_end', event_time_unix_ms: T + 1000, event_source: 'dynamo', request: { ...request, ...more, worker: {} }, ...event } }).replace('"worker":{}', workers);

const read = (file: RecordedFile | string): Promise<ServingEvent[]> =>
  all(dynamoTrace.open({ file: typeof file === 'string' ? recordedFile(file, 'trace.jsonl') : file, tz: 'UTC', deployment: 'd', model: 'of the manifest' }, {}).events());
const requestsOf = async (file: RecordedFile | string): Promise<RequestEvidence[]> => (await read(file)).filter((event) => event.kind === 'request');
const ms = (at: number | undefined): number | undefined => (at === undefined ? undefined : Math.round(at * 1e6 - T * 1e3) / 1e3);

describe('the request trace of Dynamo', () => {
  it('tells arrival, scheduling, first token, end and tokens of a request', async () => {
    const [found] = await requestsOf(`${record()}\n`);
    expect(found).toMatchObject({ id: 'trace.jsonl:1', tokens: { input: 388, cachedInput: 512, output: 40 }, outcome: 'ok', model: 'm' });
    expect([found?.start, found?.scheduled, found?.firstToken, found?.end].map(ms)).toEqual([0, 12.5, 82.5, 1000]);
  });

  it.each([
    ['two pools: the transfer of the cache comes before the client’s first token', worker(PREFILL, DECODE), 86.5],
    ['one worker: there is nothing to transfer', worker(PREFILL, PREFILL), 82.5],
    ['workers are not told', '"worker":{}', 86.5],
  ])('%s', async (_, workers, first) => {
    const [found] = await requestsOf(record({ kv_transfer_estimated_latency_ms: 4 }, workers));
    expect(ms(found?.firstToken)).toBe(first);
  });

  it.each([
    ['bare', JSON.stringify({ schema: 'dynamo.request.trace.v1', event_type: 'request_end', event_time_unix_ms: T + 1000, request })],
    ['of the older name', record().replace('request.trace', 'agent.trace')],
    ['after a byte order mark, with a carriage return', `\uFEFF${record()}\r`],
  ])('reads a record %s', async (_, line) => {
    expect((await requestsOf(`${line}\n`)).map(({ end }) => ms(end))).toEqual([1000]);
  });

  it('reads what is compressed', async () => {
    expect(await requestsOf(recordedFile(gzipSync(`${record()}\n${record()}\n`), 'trace.jsonl.gz'))).toHaveLength(2);
  });

  it('leaves out what a record leaves out', async () => {
    const [found] = await requestsOf(JSON.stringify({ schema: 'dynamo.request.trace.v1', event_type: 'request_end', event_time_unix_ms: T + 1000, request: { request_id: 'r', total_time_ms: 1000, cached_tokens: null } }));
    expect(found).toEqual({ kind: 'request', id: 'trace.jsonl:1', start: T / 1000, end: (T + 1000) / 1000, tokens: {}, outcome: 'ok', model: 'of the manifest' });
  });

  it.each([
    ['stop', 'ok'],
    ['tool_calls', 'ok'],
    ['content_filter', 'ok'],
    ['cancelled', 'aborted'],
    ['error', 'failed'],
  ])('a request that finished by %s is %s', async (reason, outcome) => {
    expect(await requestsOf(record({ finish_reason_metadata: { finish_reason: reason, tool_calls: [] } }))).toMatchObject([{ outcome }]);
  });

  it('ignores records of tools', async () => {
    const list = await read([record(), record({}, '"worker":{}', { event_type: 'tool_end', request: undefined, tool: { name: 'bash' } })].join('\n'));
    expect(list.map(({ kind }) => kind)).toEqual(['request', 'watermark']);
    expect(list.at(-1)).toEqual({ kind: 'watermark', at: (T + 1000) / 1000 });
  });

  it('has no first token where it would lie after the end', async () => {
    expect((await requestsOf(record({ ttft_ms: 1200 })))[0]).not.toHaveProperty('firstToken');
  });

  it.each([
    ['cut off', record().slice(0, -30), 'no JSON, or cut off'],
    ['binary', '\u0000\u0001\ufffd', 'no JSON, or cut off'],
    ['something else', '{"a":"a secret prompt"}', "not a record of Dynamo's request trace"],
    ['of a later version', record().replace('trace.v1', 'trace.v7'), 'version 7 of the request trace is not known'],
    ['with more hits than prompt', record({ cached_tokens: 901 }), 'cached_tokens is more than input_tokens'],
    ['with text for a number', record({ input_tokens: 'a secret prompt' }), 'request: input_tokens is not what it should be'],
    ['without times', record({ request_received_ms: undefined, total_time_ms: undefined }), 'it does not tell when the request arrived and ended'],
    ['that ran for days', record({ total_time_ms: 90_000_000 }), 'a request that ended before it arrived, or ran for more than a day'],
  ])('counts a record that is %s, and claims no idle there', async (_, line, reason) => {
    const list = await read([record(), line, record({ request_received_ms: T + 5000, total_time_ms: 1000 }), record({ request_received_ms: T + 7000 })].join('\n'));
    expect(flags(list)).toEqual([['SKIPPED_LINES', 1]]);
    expect(details(list)).toEqual([`trace.jsonl: 1 line skipped: line 2: ${reason}`]);
    expect(list.filter(({ kind }) => kind === 'hole')).toEqual([{ kind: 'hole', from: (T + 1000) / 1000, to: (T + 5000) / 1000, reason: 'trace.jsonl: a request here could not be used' }]);
  });

  it('is not another file', async () => {
    expect(await refusal(read('a,b\n1,2\n3,4\n'))).toMatch(/^FILE_FORMAT: /);
    expect(await refusal(read(''))).toMatch(/^FILE_EMPTY: /);
  });

  it.skipIf(!isPresent)(`reproduces the totals of a real trace${ifAbsent}`, async () => {
    const found = await requestsOf(sharedFile('logs/dynamo-2026-06-request-trace.log'));
    expect(found.map(({ tokens }) => [tokens.input, tokens.cachedInput, tokens.output])).toEqual([[7205, 0, 229], [7186, 0, 229]]);
    expect(found.map(({ start, firstToken = start, scheduled = start, end }) => [firstToken - scheduled, end - firstToken].map((each) => Math.round(each * 1e4) / 1e4))).toEqual([
      [1.9098, Math.round(228 * 27.893353605263158 * 10) / 1e4],
      [1.8918, Math.round(228 * 27.89307667105263 * 10) / 1e4],
    ]);
  });
});
