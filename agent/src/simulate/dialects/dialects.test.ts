/** The words of each dialect, for a story that is short enough to know every line of it. */
import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { wallClock } from '../clock.js';
import { named } from '../../sources/named.js';
import { chunk, engine, iteration, request, START, step, STORY, told } from './engine-parts.testing.js';
import type { EngineParts } from './format.js';
import { dialects } from './index.js';

const writer = (name: string, options: object = {}, given: Partial<EngineParts> = {}) => named('format', dialects, name).open(options, 'test')(engine(given));
const linesOf = (name: string, options: object = {}, given: Partial<EngineParts> = {}, story = STORY, end = 100): string[] => told(writer(name, options, given), story, end);

const statistics = (lines: readonly string[]): string[] => lines.filter((line) => line.includes('throughput: ')).map((line) => line.replace('(APIServer pid=4242) INFO ', ''));

describe('vllm-log', () => {
  /** Ticks at 2.5 s, 12.5 s, … */
  const given: Partial<EngineParts> = { draw: () => 0.25 };

  it('counts a prompt whole at its first token, without what was cached, and falls silent after a window with nothing', () => {
    expect(statistics(linesOf('vllm-log', {}, given))).toEqual([
      '01-15 09:00:02 [loggers.py:273] Engine 000: Avg prompt throughput: 70.0 tokens/s, Avg generation throughput: 0.8 tokens/s, Running: 0 reqs, Waiting: 0 reqs, GPU KV cache usage: 0.0%, Prefix cache hit rate: 22.2%',
      '01-15 09:00:12 [loggers.py:273] Engine 000: Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 0.0 tokens/s, Running: 0 reqs, Waiting: 0 reqs, GPU KV cache usage: 0.0%, Prefix cache hit rate: 22.2%',
      '01-15 09:00:52 [loggers.py:273] Engine 000: Avg prompt throughput: 30.0 tokens/s, Avg generation throughput: 0.1 tokens/s, Running: 0 reqs, Waiting: 0 reqs, GPU KV cache usage: 0.0%, Prefix cache hit rate: 16.7%',
      '01-15 09:01:02 [loggers.py:273] Engine 000: Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 0.0 tokens/s, Running: 0 reqs, Waiting: 0 reqs, GPU KV cache usage: 0.0%, Prefix cache hit rate: 16.7%',
    ]);
  });

  it('counts what was cached too before 0.16', () => {
    expect(statistics(linesOf('vllm-log', { version: '0.11.2' }, given))[0]).toMatch(/prompt throughput: 90\.0 /);
  });

  it('says nothing of a prompt of minutes but that it runs, once', () => {
    const chunks = Array.from({ length: 60 }, (_, number) => iteration(3 + number * 2, 5 + number * 2, { prefill: [chunk(9, 512, { last: number === 59 })], running: 1, kvTokens: 100 * number }));
    const story = [iteration(1, 2, { prefill: [chunk(8, 10)], running: 1, kvTokens: 10, ended: [8] }), ...chunks];
    expect(statistics(linesOf('vllm-log', {}, given, story, 140)).map((line) => line.replace(/ \[.*Engine 000: /, ' ').replace(/, Waiting.*/, ''))).toEqual([
      '01-15 09:00:02 Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 0.1 tokens/s, Running: 0 reqs',
      '01-15 09:00:12 Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 0.0 tokens/s, Running: 1 reqs',
      expect.stringMatching(/^01-15 09:02:12 Avg prompt throughput: 307\d\.\d tokens\/s, Avg generation throughput: 0\.1 tokens\/s, Running: 1 reqs$/),
    ]);
  });

  it('tells each iteration where asked for: what is computed again as generation, drafts as scheduled', () => {
    const story = [...STORY.slice(0, 3), iteration(2, 2.4, { prefill: [chunk(2, 50, { recomputed: 50 })], decode: [step(1, 3)], running: 2, kvTokens: 1000 })];
    const details = linesOf('vllm-log', { iterations: true }, { ...given, draftTokens: 3 }, story, 2.4).filter((line) => line.includes('Iteration('));
    expect(details.map((line) => line.replace(/^.*Engine 000: /, ''))).toEqual([
      'Iteration(0): 1 context requests, 512 context tokens, 0 generation requests, 0 generation tokens, iteration elapsed time: 500.00 ms, GPU KV cache usage: 7.1%',
      'Iteration(1): 2 context requests, 188 context tokens, 0 generation requests, 0 generation tokens, iteration elapsed time: 199.00 ms, GPU KV cache usage: 9.0%',
      'Iteration(2): 0 context requests, 0 context tokens, 2 generation requests, 8 generation tokens, iteration elapsed time: 10.00 ms, GPU KV cache usage: 9.0%',
      'Iteration(3): 0 context requests, 0 context tokens, 2 generation requests, 54 generation tokens, iteration elapsed time: 400.00 ms, GPU KV cache usage: 10.0%',
    ]);
  });

  it('waits for next to no result under asynchronous scheduling', () => {
    const story = Array.from({ length: 500 }, (_, number) => iteration(number * 0.02, number * 0.02 + 0.019, { decode: [step(1)], running: 1 }));
    const elapsed = linesOf('vllm-log', { iterations: true, async: true }, {}, story, 10).flatMap((line) => /elapsed time: ([\d.]+) ms/.exec(line)?.[1] ?? []);
    expect(elapsed).toHaveLength(500);
    const waited = elapsed.filter((each) => each === '19.00').length;
    expect(waited).toBeGreaterThan(0);
    expect(waited).toBeLessThan(30);
    expect(new Set(elapsed)).toEqual(new Set(['19.00', '0.02', '0.03', '0.04']));
  });

  it('tells drafts and how many were accepted after the statistics', () => {
    const story = [iteration(0, 1, { prefill: [chunk(1, 10)], running: 1 }), iteration(1, 1.1, { decode: [step(1, 3)], running: 1 }), iteration(1.1, 1.2, { decode: [step(1, 1)], running: 1 })];
    expect(linesOf('vllm-log', {}, { ...given, draftTokens: 3 }, story, 3).at(-1)).toMatch(
      /SpecDecoding metrics: Mean acceptance length: 2\.00, Accepted throughput: 0\.20 tokens\/s, Drafted throughput: 0\.60 tokens\/s, Accepted: 2 tokens, Drafted: 6 tokens, Per-position acceptance rate: 0\.333, 0\.333, 0\.333, Avg Draft acceptance rate: 33\.3%$/,
    );
  });

  it('tells ranks one by one, or together', () => {
    const story = [iteration(0, 1, { prefill: [chunk(1, 100)], running: 1, kvTokens: 1000, waiting: 2 }), iteration(0.5, 1.2, { rank: 1, prefill: [chunk(2, 200)], running: 3, kvTokens: 3000, waiting: 1 })];
    expect(statistics(linesOf('vllm-log', {}, { ...given, ranks: 2 }, story, 3)).map((line) => line.slice(32, 84))).toEqual(['Engine 000: Avg prompt throughput: 10.0 tokens/s, Av', 'Engine 001: Avg prompt throughput: 20.0 tokens/s, Av']);
    expect(statistics(linesOf('vllm-log', { aggregate: true }, { ...given, ranks: 2 }, story, 3))).toEqual([expect.stringMatching(/2 Engines Aggregated: Avg prompt throughput: 30\.0 .* Running: 4 reqs, Waiting: 3 reqs, GPU KV cache usage: 20\.0%/)]);
  });

  it('begins with version, chunk and cache, before the simulation', () => {
    const top = writer('vllm-log', {}, { clock: wallClock(START, 'America/Chicago') }).start();
    expect(top).toContain('(APIServer pid=4242) INFO 01-15 02:58:25 [api_server.py:1263] vLLM API server version 0.25.1\n');
    expect(top).toContain('Chunked prefill is enabled with max_num_batched_tokens=512.\n');
    expect(top).toContain('(EngineCore pid=4343) INFO 01-15 02:59:05 [kv_cache_utils.py:1711] GPU KV cache size: 10,000 tokens\n');
  });
});

describe('sglang-log', () => {
  it('tells each prefill batch when it has ended, and every n-th decode batch, counted on through pauses', () => {
    expect(linesOf('sglang-log', { decodeInterval: 2, milliseconds: true, overlap: false }).filter((line) => line.includes('batch'))).toEqual([
      '[2026-01-15 09:00:01.500] Prefill batch, #new-seq: 1, #new-token: 512, #cached-token: 200, token usage: 0.07, #running-req: 0, #queue-req: 1, cuda graph: False, input throughput (token/s): 23.81',
      '[2026-01-15 09:00:01.700] Prefill batch, #new-seq: 2, #new-token: 188, #cached-token: 0, token usage: 0.09, #running-req: 0, #queue-req: 0, cuda graph: False, input throughput (token/s): 940.00',
      '[2026-01-15 09:00:01.722] Decode batch, #running-req: 2, #token: 904, token usage: 0.09, cuda graph: True, gen throughput (token/s): 0.18, #queue-req: 0',
      '[2026-01-15 09:00:45.250] Prefill batch, #new-seq: 1, #new-token: 300, #cached-token: 0, token usage: 0.03, #running-req: 0, #queue-req: 0, cuda graph: False, input throughput (token/s): 6.89',
    ]);
  });

  it('decodes sequences that have ended once more, and prompts that come at once find them still running', () => {
    const story = [
      iteration(0, 1, { decode: [step(1, 1), step(2, 1)], running: 2, ended: [1] }),
      iteration(1, 2, { decode: [step(2, 1)], running: 1, ended: [2], waiting: 1 }),
      iteration(2, 3, { prefill: [chunk(3, 10)], running: 1 }),
      iteration(3, 4, { decode: [step(3, 1)], running: 1, ended: [3] }),
    ];
    const running = (overlap: boolean): (string | undefined)[] => linesOf('sglang-log', { decodeInterval: 1, overlap }, {}, story, 1).flatMap((line) => / batch/.test(line) ? [/^.*(Prefill|Decode) batch.*#running-req: (\d+).*$/.exec(line)?.slice(1).join(' ')] : []);
    expect(running(true)).toEqual(['Decode 2', 'Decode 2', 'Prefill 2', 'Decode 1', 'Decode 1']);
    expect(running(false)).toEqual(['Decode 2', 'Decode 1', 'Prefill 0', 'Decode 1']);
  });

  it('rounds up to pages, and tells rank, drafts and handover', () => {
    expect(linesOf('sglang-log', { pageSize: 128 })[1]).toMatch(/^\[2026-01-15 09:00:01\] Prefill batch, .*#new-token: 512,/);
    expect(linesOf('sglang-log', { pageSize: 128 })[3]).toMatch(/#new-token: 256,/);
    const story = [iteration(0, 1, { rank: 1, decode: [step(1, 3), step(2, 2)], running: 2, kvTokens: 5000 })];
    expect(linesOf('sglang-log', { decodeInterval: 1 }, { ranks: 2, gpusPerRank: 4, draftTokens: 3, pool: 'decode' }, story, 2).at(-1)).toBe(
      '[2026-01-15 09:00:01 DP1 TP4] Decode batch, #running-req: 2, #token: 5000, token usage: 0.50, accept len: 2.50, accept rate: 0.63, pre-allocated usage: 0.00, #prealloc-req: 0, #transfer-req: 0, #retracted-req: 0, cuda graph: True, gen throughput (token/s): 0.24, #queue-req: 0',
    );
  });
});

describe('trtllm-log', () => {
  it('tells each iteration, the time of the device one line late, and a pause as an empty iteration', () => {
    expect(linesOf('trtllm-log').map((line) => line.replace(/^.* (?=iter = )/, '').replace(', global_rank = 0, rank = 0', ''))).toEqual([
      "iter = 1, num_scheduled_requests = 1, kv_cache_util = 0.071, currank_total_requests = 1/1, host_step_time = 500.00ms, prev_device_step_time = N/A, timestamp = 2026-01-15 09:00:01, states = {'num_ctx_requests': 1, 'num_ctx_tokens': 512, 'num_generation_tokens': 0, 'cached_kv_tokens': 200}",
      "iter = 2, num_scheduled_requests = 2, kv_cache_util = 0.090, currank_total_requests = 2/2, host_step_time = 200.00ms, prev_device_step_time = 492.50ms, timestamp = 2026-01-15 09:00:01, states = {'num_ctx_requests': 2, 'num_ctx_tokens': 188, 'num_generation_tokens': 0, 'cached_kv_tokens': 0}",
      "iter = 3, num_scheduled_requests = 2, kv_cache_util = 0.090, currank_total_requests = 2/2, host_step_time = 11.00ms, prev_device_step_time = 196.02ms, timestamp = 2026-01-15 09:00:01, states = {'num_ctx_requests': 0, 'num_ctx_tokens': 0, 'num_generation_tokens': 2, 'cached_kv_tokens': 0}",
      "iter = 4, num_scheduled_requests = 2, kv_cache_util = 0.090, currank_total_requests = 2/2, host_step_time = 11.00ms, prev_device_step_time = 9.85ms, timestamp = 2026-01-15 09:00:01, states = {'num_ctx_requests': 0, 'num_ctx_tokens': 0, 'num_generation_tokens': 2, 'cached_kv_tokens': 0}",
      "iter = 5, num_scheduled_requests = 1, kv_cache_util = 0.081, currank_total_requests = 2/2, host_step_time = 11.00ms, prev_device_step_time = 9.85ms, timestamp = 2026-01-15 09:00:01, states = {'num_ctx_requests': 0, 'num_ctx_tokens': 0, 'num_generation_tokens': 1, 'cached_kv_tokens': 0}",
      "iter = 6, num_scheduled_requests = 0, kv_cache_util = 0.000, currank_total_requests = 2/2, host_step_time = 43267.00ms, prev_device_step_time = 9.85ms, timestamp = 2026-01-15 09:00:45, states = {'num_ctx_requests': 0, 'num_ctx_tokens': 0, 'num_generation_tokens': 0, 'cached_kv_tokens': 0}",
      "iter = 7, num_scheduled_requests = 1, kv_cache_util = 0.030, currank_total_requests = 3/3, host_step_time = 250.00ms, prev_device_step_time = 43180.47ms, timestamp = 2026-01-15 09:00:45, states = {'num_ctx_requests': 1, 'num_ctx_tokens': 300, 'num_generation_tokens': 0, 'cached_kv_tokens': 0}",
    ]);
  });

  it('pads pure decode batches to sizes of CUDA graphs and counts drafts, and leaves out other ranks', () => {
    const sequences = Array.from({ length: 11 }, (_, id) => step(id));
    const tokens = (options: object, given: Partial<EngineParts>, rank = 0): (string | undefined)[] => linesOf('trtllm-log', options, given, [iteration(0, 1, { decode: sequences, running: 11, rank })], 2).map((line) => /generation_tokens': (\d+)/.exec(line)?.[1]);
    expect(tokens({}, {})).toEqual(['16']);
    expect(tokens({ padding: false }, {})).toEqual(['11']);
    expect(tokens({}, { draftTokens: 2 })).toEqual(['48']);
    expect(tokens({}, { ranks: 2 }, 1)).toEqual([]);
  });
});

describe('llamacpp-log', () => {
  it('tells launch, timings and end of each request with the time since its own start', () => {
    expect(linesOf('llamacpp-log')).toEqual([
      '0.43.000.000 I slot get_availabl: id  0 | task -1 | selected slot by LRU, t_last = -1',
      '0.43.000.000 I slot launch_slot_: id  0 | task 0 | processing task, is_child = 0',
      '0.43.501.000 I slot get_availabl: id  1 | task -1 | selected slot by LRU, t_last = -1',
      '0.43.501.000 I slot launch_slot_: id  1 | task 1 | processing task, is_child = 0',
      '0.43.722.000 I srv          stop: cancel task, id_task = 1',
      '0.43.722.000 I slot      release: id  1 | task 1 | stop processing: n_tokens = 102, truncated = 0',
      '0.43.722.000 I srv  log_server_r: done request: POST /v1/chat/completions 127.0.0.1 200',
      '0.43.733.000 I slot print_timing: id  0 | task 0 | prompt eval time =     700.00 ms /   600 tokens (    1.17 ms per token,   857.14 tokens per second)',
      '0.43.733.000 I slot print_timing: id  0 | task 0 |        eval time =      33.00 ms /     5 tokens (    6.60 ms per token,   151.52 tokens per second)',
      '0.43.733.000 I slot print_timing: id  0 | task 0 |       total time =     733.00 ms /   605 tokens',
      '0.43.733.000 I slot print_timing: id  0 | task 0 |    graphs reused =          0',
      '0.43.733.000 I slot      release: id  0 | task 0 | stop processing: n_tokens = 804, truncated = 0',
      '0.43.733.000 I srv  log_server_r: done request: POST /v1/chat/completions 127.0.0.1 200',
      '0.43.733.000 I srv  update_slots: all slots are idle',
      '1.27.000.000 I slot get_availabl: id  0 | task -1 | selected slot by LRU, t_last = -1',
      '1.27.000.000 I slot launch_slot_: id  0 | task 2 | processing task, is_child = 0',
      '1.27.250.000 I slot print_timing: id  0 | task 2 | prompt eval time =     250.00 ms /   300 tokens (    0.83 ms per token,  1200.00 tokens per second)',
      '1.27.250.000 I slot print_timing: id  0 | task 2 |        eval time =       0.00 ms /     1 tokens (    0.00 ms per token, 1000000.00 tokens per second)',
      '1.27.250.000 I slot print_timing: id  0 | task 2 |       total time =     250.00 ms /   301 tokens',
      '1.27.250.000 I slot print_timing: id  0 | task 2 |    graphs reused =          0',
      '1.27.250.000 I slot      release: id  0 | task 2 | stop processing: n_tokens = 300, truncated = 0',
      '1.27.250.000 I srv  log_server_r: done request: POST /v1/chat/completions 127.0.0.1 200',
      '1.27.250.000 I srv  update_slots: all slots are idle',
    ]);
  });

  it('tells of long prompts and long answers on their way, and of the cache where asked for', () => {
    const chunks = [0, 1, 2].map((number) => iteration(number * 2, number * 2 + 2, { prefill: [chunk(1, 100, { cached: number === 0 ? 100 : 0, last: number === 2 })], running: 1 }));
    const steps = Array.from({ length: 40 }, (_, number) => iteration(6 + number * 0.1, 6.1 + number * 0.1, { decode: [step(1, 4)], running: 1 }));
    const lines = linesOf('llamacpp-log', { verbosity: 4 }, { draftTokens: 4 }, [...chunks, ...steps, request(1, 10, { inputTokens: 400, outputTokens: 161 })]).map((line) => line.replace(/^.*id {2}0 \| task 0 \| /, ''));
    expect(lines).toEqual(expect.arrayContaining([
      'new prompt, n_ctx_slot = 131072, n_keep = 0, task.n_tokens = 400',
      'cached n_tokens = 100, memory_seq_rm [100, end)',
      'prompt processing, n_tokens =    200, progress = 0.75, t =   4.00 s / 50.00 tokens per second',
      'prompt processing, n_tokens =    300, progress = 1.00, t =   6.00 s / 50.00 tokens per second',
      'n_gen =    121, tg =  40.00 t/s, tg_3s =  40.00 t/s',
      'draft acceptance = 0.75000 (  120 accepted /   160 generated), mean len =  4.00',
    ]));
    expect(lines.filter((line) => line.includes('n_gen'))).toHaveLength(1);
  });

  it('has neither ranks nor pools, and TGI no pools', () => {
    expect(() => writer('llamacpp-log', {}, { ranks: 2 })).toThrow(/leave out engine\.ranks/);
    expect(() => writer('llamacpp-log', {}, { pool: 'decode' })).toThrow(/engine\.disaggregated/);
    expect(() => writer('tgi-log', {}, { pool: 'prefill' })).toThrow(/engine\.disaggregated/);
  });
});

const number = z.number();
const traced = z.object({
  event: z.object({ event_time_unix_ms: number, request: z.object({ prefill_wait_time_ms: number, prefill_time_ms: number, ttft_ms: number, total_time_ms: number, avg_itl_ms: number, output_tokens: number, request_received_ms: number }) }),
});

describe('requests over the wire', () => {
  it('requests: a JSON line each, with the clock of the gateway', () => {
    const lines = linesOf('requests', {}, { clock: wallClock(instant(1000), 'UTC', { offset: 5, driftPpm: 0 }) });
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { id: 'r2', start: 1006.2, firstToken: 1006.7, end: 1006.722, inputTokens: 100, cachedInputTokens: 0, outputTokens: 3, status: 'aborted' },
      { id: 'r1', start: 1005.9, firstToken: 1006.7, end: 1006.733, inputTokens: 800, cachedInputTokens: 200, outputTokens: 5, status: 'ok' },
      { id: 'r3', start: 1049.99, firstToken: 1050.25, end: 1050.25, inputTokens: 300, cachedInputTokens: 0, outputTokens: 1, status: 'ok' },
    ]);
  });

  it('dynamo-trace: wait + prefill = ttft, ttft + (output − 1) × itl = total, worker ids as large as they are', () => {
    const line = linesOf('dynamo-trace')[0] ?? '';
    expect(line).toContain('"decode_worker_id":16216382247825250000,');
    const { event } = traced.parse(JSON.parse(line));
    const { prefill_wait_time_ms: wait, prefill_time_ms: prefill, ttft_ms: ttft, total_time_ms: total, avg_itl_ms: itl, output_tokens: output, request_received_ms: received } = event.request;
    expect(wait + prefill).toBeCloseTo(ttft, 6);
    expect(ttft + (output - 1) * itl).toBeCloseTo(total, 6);
    expect(Math.abs(event.event_time_unix_ms - received - total)).toBeLessThanOrEqual(1);
    expect(linesOf('dynamo-trace')).toHaveLength(2);
  });

  it('tgi-log: durations as Rust shows them, and none of a request that was broken off', () => {
    expect(linesOf('tgi-log')).toEqual([
      '2026-01-15T09:00:01.733000Z  INFO chat_completions{total_time="833ms" validation_time="400µs" queue_time="99.6ms" inference_time="733ms" time_per_token="146.6ms" seed="Some(1)"}: text_generation_router::server: router/src/server.rs:622: Success',
      '2026-01-15T09:00:45.250000Z  INFO chat_completions{total_time="260ms" validation_time="400µs" queue_time="9.6ms" inference_time="250ms" time_per_token="250ms" seed="Some(3)"}: text_generation_router::server: router/src/server.rs:622: Success',
    ]);
  });
});

/** Of the last scrape up to a moment. */
const valuesAt = (name: string, end: number, options: object = {}, given: Partial<EngineParts> = {}): Map<string, number> => {
  const story = STORY.filter((each) => ('to' in each ? each.to : each.end) <= end);
  const lines = linesOf(name, { jitter: 0, ...options }, { draw: () => 0.999, ...given }, story, end);
  const page = lines.slice(lines.findLastIndex((line) => line.startsWith('# scrape')) + 1).filter((line) => !line.startsWith('#'));
  return new Map(page.map((line) => [line.replace(/(?<=[{,])(?:engine="0"|model_name="test\/8b"|engine_type="unified"|[pt]p_rank="0"),?/g, '').replace(/,?\}? [^ ]*$/, ''), Number(line.slice(line.lastIndexOf(' ')))]));
};

describe('metrics pages', () => {
  it('vllm-metrics: prompts with their first token, hits when they begin, iterations that gave tokens', () => {
    const before = valuesAt('vllm-metrics', 1.6);
    expect([before.get('vllm:prefix_cache_hits_total{'), before.get('vllm:prompt_tokens_total{')]).toEqual([0, 0]);
    const during = valuesAt('vllm-metrics', 2.1);
    expect(during.get('vllm:prompt_tokens_total{')).toBe(900);
    expect(during.get('vllm:prompt_tokens_by_source_total{source="local_compute"')).toBe(700);
    expect(during.get('vllm:prompt_tokens_by_source_total{source="local_cache_hit"')).toBe(200);
    expect(during.get('vllm:prefix_cache_hits_total{')).toBe(200);
    expect(during.get('vllm:generation_tokens_total{')).toBe(8);
    expect(during.get('vllm:iteration_tokens_total_count{')).toBe(4);
    expect(during.get('vllm:iteration_tokens_total_sum{')).toBe(708);
    expect(during.get('vllm:request_success_total{finished_reason="abort"')).toBe(1);
    expect(during.get('vllm:request_success_total{finished_reason="stop"')).toBe(1);
    expect(during.get('vllm:request_prefill_time_seconds_sum{')).toBeCloseTo(0.7, 9);
    expect(during.get('vllm:num_requests_running{')).toBe(0);
  });

  it('sglang-metrics: work in real time, totals when requests end, busy time by kind of batch', () => {
    const values = valuesAt('sglang-metrics', 2.1);
    expect([values.get('sglang:realtime_tokens_total{mode="prefill_compute"'), values.get('sglang:realtime_tokens_total{mode="prefill_cache"'), values.get('sglang:realtime_tokens_total{mode="decode"')]).toEqual([700, 200, 6]);
    expect([values.get('sglang:prompt_tokens_total{'), values.get('sglang:cached_tokens_total{'), values.get('sglang:generation_tokens_total{'), values.get('sglang:num_aborted_requests_total{')]).toEqual([800, 200, 5, 1]);
    expect(values.get('sglang:forward_execution_seconds_total{category="extend"')).toBeCloseTo(0.699, 9);
    expect(values.get('sglang:forward_execution_seconds_total{category="decode"')).toBeCloseTo(0.03, 9);
    expect([...valuesAt('sglang-metrics', 2.1, { deviceTimer: false }).keys()].some((name) => name.includes('forward_execution'))).toBe(false);
  });
});

describe('options of a dialect', () => {
  it.each([
    ['vllm-log', { interval: '0s' }, /test\.interval: an interval is at least 100 ms/],
    ['vllm-log', { iteration: true }, /'iteration' is not a setting here; did you mean 'iterations'/],
    ['sglang-log', { pageSize: 0 }, /test\.pageSize/],
    ['llamacpp-log', { verbosity: 5 }, /test\.verbosity/],
    ['vllm-metrics', { period: '1ms' }, /test\.period: a scrape every/],
  ])('%s %j is refused by the name of the field', (format, options, fault) => {
    expect(() => named('format', dialects, format).open(options, 'test')).toThrow(fault);
  });
});
