import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, recordedFile } from '../../recorded-file.testing.js';
import type { WindowEvidence } from '../../source.js';
import { parsePrometheusText } from './prometheus-text.js';
import { recordedMetrics } from './source.js';
import { triton } from './triton.js';

interface Shown {
  readonly iteration?: number;
  readonly active?: number;
  readonly waiting?: number;
  readonly generating?: number;
}
const page = ({ iteration = 1, active = 0, waiting = 0, generating = 0 }: Shown): string =>
  [
    `nv_trt_llm_request_metrics{model="m",request_type="active",version="1"} ${active}`,
    `nv_trt_llm_request_metrics{model="m",request_type="waiting",version="1"} ${waiting}`,
    'nv_trt_llm_request_metrics{model="m",request_type="max",version="1"} 512',
    `nv_trt_llm_inflight_batcher_metrics{inflight_batcher_specific_metric="generation_requests",model="m",version="1"} ${generating}`,
    'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="m",version="1"} 25',
    'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="m",version="1"} 100',
    `nv_trt_llm_general_metrics{general_type="iteration_counter",model="m",version="1"} ${iteration}`,
  ].join('\n');
const lengths = (input: number, output: number, requests: number): string =>
  `nv_llm_input_token_len_sum{model="m",response_metric_type="total_input_tokens",version="1"} ${input}\nnv_llm_input_token_len_bucket{model="m",le="10"} 1\nnv_llm_output_token_len_sum{model="m",response_metric_type="total_output_tokens",version="1"} ${output}\nnv_llm_output_token_len_count{model="m",response_metric_type="total_output_tokens",version="1"} ${requests}\n`;
const read = (text: string) => triton.pages().read(parsePrometheusText(text).samples, instant(1));

describe("Triton's page of TensorRT-LLM", () => {
  it('tells requests and the use of the cache', () => {
    const { look, gauges } = read(page({ active: 3, generating: 2, waiting: 4 }));
    expect([[...look.busy], [...(look.running ?? [])], look.counters.size]).toEqual([[['m', 7]], [['m', 3]], 0]);
    expect(gauges.map(({ gauge, value, model }) => [gauge, value, model])).toEqual([['serving.requests.running', 3, 'm'], ['serving.requests.waiting', 4, 'm'], ['serving.kv_cache.usage', 0.25, 'm']]);
  });

  it('knows of requests that only the batch shows', () => {
    expect([...(read(page({ generating: 2 })).look.running ?? [])]).toEqual([['m', 2]]);
  });

  it('shows requests of an iteration that is long past as none', () => {
    const pages = triton.pages();
    const busy = (at: number, shown: Shown): unknown => [...pages.read(parsePrometheusText(page(shown)).samples, instant(at)).look.busy.values()];
    expect(busy(0, { iteration: 8, active: 2 })).toEqual([2]);
    expect(busy(4, { iteration: 8, active: 2 })).toEqual([2]);
    expect(busy(5, { iteration: 8, active: 2 })).toEqual([0]);
    expect(busy(6, { iteration: 9, active: 2 })).toEqual([2]);
  });

  it('counts tokens where there are sums of lengths', async () => {
    const content = `# scrape 1770000000\n${page({ iteration: 1 })}\n${lengths(100, 50, 1)}# scrape 1770000001\n${page({ iteration: 2, active: 1 })}\n${lengths(350, 90, 3)}`;
    const windows = (await all(recordedMetrics(triton).open({ file: recordedFile(content), tz: 'UTC', deployment: 'd' }, {}).events())).filter((event): event is WindowEvidence => event.kind === 'window');
    expect(windows).toEqual([expect.objectContaining({ tokens: { input: 250, output: 40 }, credits: 'firstToken', busy: 1, running: 1, kvUsage: 0.25, model: 'm', requests: { ok: 2 } })]);
  });

  it('is not that of another program', () => {
    expect(() => read('nv_inference_count{model="m"} 3')).toThrow('no nv_trt_llm_ gauges');
    expect(parsePrometheusText('nv_inference_count 1\nnv_trt_llm_x 1\nnv_llm_y 1').samples.filter(triton.isOf)).toHaveLength(2);
  });
});
