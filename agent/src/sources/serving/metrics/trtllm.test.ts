import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, recordedFile } from '../../recorded-file.testing.js';
import { parsePrometheusText } from './prometheus-text.js';
import { recordedMetrics } from './source.js';
import { trtllm } from './trtllm.js';

const look = (text: string) => trtllm.pages().read(parsePrometheusText(text).samples, instant(1));
const counted = (text: string): (string | number)[][] => [...look(text).look.counters.values()].map(({ counts, value }) => [counts, value]).toSorted((a, b) => (String(a) < String(b) ? -1 : 1));
const page = (time: number, done: number): string => `# scrape ${1.77e9 + time}\ntrtllm:request_success_total{finished_reason="stop"} ${done}\ntrtllm:e2e_request_latency_seconds_sum 1\n`;

describe('a Prometheus page of TensorRT-LLM', () => {
  it.each(['trtllm_generation_tokens_total', 'trtllm:generation_tokens_total', 'trtllm_generation_tokens'])('is known as %s', (name) => {
    expect(counted(`${name}{model_name="m",engine_type="trtllm"} 7`)).toEqual([['output', 7]]);
  });

  it('is counted once when it says a counter in two spellings', () => {
    expect(counted('trtllm:generation_tokens_total 7\ntrtllm_generation_tokens_total 7\ntrtllm_prompt_cached_tokens_total 3\ntrtllm_prompt_tokens_cached_total 3')).toEqual([['cachedInput', 3], ['output', 7]]);
  });

  it('maps how requests ended to outcomes', () => {
    const reasons = ['stop', 'length', 'cancelled', 'timeout', 'unheard_of'].map((reason, index) => `trtllm_request_success_total{finished_reason="${reason}"} ${index + 1}`);
    expect(counted(`${reasons.join('\n')}\ntrtllm_request_error_total 9\ntrtllm_time_to_first_token_seconds_sum 3`)).toEqual([['aborted', 3], ['failed', 4], ['failed', 9], ['ok', 1], ['ok', 2]]);
  });

  it.each([
    ['num_requests_running', 'num_requests_waiting'],
    ['num_active_requests', 'num_queued_requests'],
  ])('has gauges %s and %s', (running, waiting) => {
    const { look: found, gauges } = look(`trtllm_${running}{model_name="m"} 3\ntrtllm_${waiting}{model_name="m"} 2\ntrtllm_kv_cache_utilization{model_name="m"} 0.5`);
    expect([[...found.busy], [...(found.running ?? [])], [...(found.kvUsage ?? [])], found.credits]).toEqual([[['m', 5]], [['m', 3]], [['m', 0.5]], 'firstToken']);
    expect(gauges.map(({ gauge, value, model }) => [gauge, value, model])).toEqual([['serving.requests.running', 3, 'm'], ['serving.requests.waiting', 2, 'm'], ['serving.kv_cache.usage', 0.5, 'm']]);
  });

  it('without tokens still tells requests', async () => {
    const found = await all(recordedMetrics(trtllm).open({ file: recordedFile(page(0, 4) + page(1, 9)), tz: 'UTC', deployment: 'd' }, {}).events());
    expect(found).toEqual([expect.objectContaining({ kind: 'window', tokens: {}, requests: { ok: 5 } })]);
  });

  it('is not that of another program', () => {
    expect(() => look('trtllm_model_config_info 1\nvllm:num_requests_running 1')).toThrow('no trtllm_ counters');
    expect(parsePrometheusText('node_load1 0.5\ntrtllm_x 1\nprocess_start_time_seconds 5').samples.filter(trtllm.isOf)).toHaveLength(2);
  });
});
