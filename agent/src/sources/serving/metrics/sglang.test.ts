import { instant, seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import type { WindowEvidence } from '../../source.js';
import { counterWindows } from './counter-windows.js';
import type { Page } from './dialect.js';
import { parsePrometheusText } from './prometheus-text.js';
import { sglang } from './sglang.js';

const look = (text: string): Page => sglang.pages().read(parsePrometheusText(text).samples, instant(1));
const counted = (text: string): (string | number)[][] => [...look(text).look.counters.values()].map(({ counts, value }) => [counts, value]).toSorted((a, b) => (`${a[0]}${a[1]}` < `${b[0]}${b[1]}` ? -1 : 1));

/** Windows between pages that are a second apart. */
function windowsOf(...texts: readonly string[]): WindowEvidence[] {
  const pages = sglang.pages();
  const windows = counterWindows({ label: 'page', period: seconds(1) });
  return [...texts.flatMap((text, index) => windows.since(pages.read(parsePrometheusText(text).samples, instant(index)).look)), ...windows.end()].filter((event) => event.kind === 'window');
}

const scheduler = (dp: number, tp: number, pp = 0): string => `dp_rank="${dp}",engine_type="unified",model_name="m",moe_ep_rank="${tp}",pp_rank="${pp}",tp_rank="${tp}"`;
const realtime = (labels: string, compute: number, cache: number, decode: number): string =>
  [`sglang:realtime_tokens_total{${labels},mode="prefill_compute"} ${compute}`, `sglang:realtime_tokens_total{${labels},mode="prefill_cache"} ${cache}`, `sglang:realtime_tokens_total{${labels},mode="decode"} ${decode}`].join('\n');

const cached = (source: string, value: number): string => `sglang:cached_tokens_total{cache_source="${source}",model_name="m"} ${value}`;
const finished = (prompt: number, hits: number, output: number): string => [`sglang:prompt_tokens_total{model_name="m"} ${prompt}`, cached('device', hits), cached('host', hits), `sglang:generation_tokens_total{model_name="m"} ${output}`].join('\n');

describe('a metrics page of SGLang', () => {
  it('books tokens when they were computed, where it counts them so', () => {
    const [window] = windowsOf(`${realtime(scheduler(0, 0), 100, 10, 50)}\n${finished(900, 900, 900)}`, `${realtime(scheduler(0, 0), 400, 30, 170)}\n${finished(990, 990, 990)}`);
    expect(window).toMatchObject({ tokens: { input: 300, cachedInput: 20, output: 120 }, prefillTokens: 300, model: 'm' });
    expect(window).not.toHaveProperty('credits');
  });

  it('books finished requests where it counts nothing else, and says that their work was before', () => {
    expect(windowsOf(finished(100, 10, 50), finished(200, 20, 80))).toMatchObject([{ tokens: { input: 80, cachedInput: 20, output: 30 }, credits: 'firstToken' }]);
  });

  it('does not go back to finished requests when a page lacks the other counters', () => {
    const other = finished(500, 0, 500);
    const windows = windowsOf(`${other}\n${realtime(scheduler(0, 0), 1, 0, 0)}`, other, `${other}\n${realtime(scheduler(0, 0), 8, 0, 0)}`);
    expect(windows.map(({ tokens: { input, output } }) => [input, output])).toEqual([[0, 0], [7, 0]]);
  });

  it('sums data-parallel ranks and takes the first stage and rank of each', () => {
    const text = [scheduler(0, 0, 1), scheduler(0, 1), scheduler(0, 0), scheduler(1, 2), scheduler(1, 3)].map((labels, index) => realtime(labels, index < 3 ? 100 + 2 - index : 7, 0, 0)).join('\n');
    expect(counted(text).filter(([counts]) => counts === 'input')).toEqual([['input', 100], ['input', 7]]);
  });

  it('takes the smallest rank as a number, whatever the order of the lines', () => {
    const text = [10, 2, 3].map((tp) => `sglang:num_running_reqs{model_name="m",tp_rank="${tp}"} ${tp}\nsglang:prompt_tokens_total 1`).join('\n');
    expect([...look(text).look.busy]).toEqual([['m', 2]]);
  });

  it.each([
    ['forward_execution_seconds_total', ['extend', 'decode', 'mixed', 'idle', 'target_verify']],
    ['gpu_execution_seconds_total', ['forward_extend', 'forward_decode', 'forward_mixed', 'forward_idle', 'forward_target_verify']],
  ])('tells GPU seconds by phase from %s', (name, categories) => {
    const page = (factor: number): string => [realtime(scheduler(0, 0), 0, 0, 0), ...categories.map((category, index) => `sglang:${name}{${scheduler(0, 0)},category="${category}"} ${factor * (index + 1)}`)].join('\n');
    expect(windowsOf(page(1), page(1.5))[0]?.phaseSeconds).toEqual({ prefill: 0.5, decode: 3.5 });
  });

  it('takes the time of one spelling when both are there', () => {
    const seconds2 = ['forward', 'gpu'].map((name) => `sglang:${name}_execution_seconds_total{category="decode",model_name="m"} 5`).join('\n');
    expect(counted(`${seconds2}\nsglang:num_running_reqs 1`)).toEqual([['decodeSeconds', 5]]);
  });

  it.each(['sglang:', 'sglang_'])('is known by %s', (prefix) => {
    expect(counted(`${prefix}generation_tokens_total{model_name="m"} 7`)).toEqual([['output', 7]]);
  });

  it('is counted once when it says everything in two spellings', () => {
    expect(counted('sglang:generation_tokens_total 7\nsglang_generation_tokens_total 7')).toEqual([['output', 7]]);
  });

  it('tells how requests ended, running and waiting ones and the KV cache', () => {
    const { look: found, gauges } = look(
      [
        'sglang:num_requests_total{model_name="m",is_streaming="true"} 3', 'sglang:num_requests_total{model_name="m",is_streaming="false"} 4', 'sglang:num_aborted_requests_total{model_name="m"} 1',
        ...[0, 1].map((dp) => `sglang:num_running_reqs{${scheduler(dp, 2 * dp)}} ${dp + 1}\nsglang:num_queue_reqs{${scheduler(dp, 2 * dp)}} 1\nsglang:token_usage{${scheduler(dp, 2 * dp)}} ${dp / 2}`),
        `sglang:num_decode_transfer_queue_reqs{${scheduler(0, 0)}} 5`,
        // The same requests by their priority.
        `sglang:num_running_reqs{${scheduler(0, 0)},priority="2"} 1`,
      ].join('\n'),
    );
    expect([...found.counters.values()].map(({ counts, value }) => [counts, value])).toEqual([['ok', 3], ['ok', 4], ['aborted', 1]]);
    expect(gauges.map(({ gauge, value, model }) => [gauge, value, model])).toEqual([['serving.requests.running', 3, 'm'], ['serving.requests.waiting', 7, 'm'], ['serving.kv_cache.usage', 0.25, 'm']]);
    expect([...found.busy]).toEqual([['m', 10]]);
    expect(found.kvUsage).toEqual(new Map([['m', 0.25]]));
  });

  it('has no number for a sum over ranks of which one is none', () => {
    const { look: found } = look('sglang:num_running_reqs{model_name="m",dp_rank="0"} 1\nsglang:num_running_reqs{model_name="m",dp_rank="1"} NaN');
    expect(found.running).toEqual(new Map([['m', Number.NaN]]));
  });

  it('books what was computed after a restart in full', () => {
    expect(windowsOf(realtime(scheduler(0, 0), 1000, 0, 1000), realtime(scheduler(0, 0), 40, 0, 40)).map(({ tokens }) => tokens)).toEqual([{ input: 40, cachedInput: 0, output: 40 }]);
  });

  it('is not that of another program', () => {
    expect(() => look('vllm:generation_tokens_total 5')).toThrow('no sglang: counters');
    expect(() => look('sglang:func_latency_seconds_sum 5')).toThrow('--enable-metrics');
  });
});
