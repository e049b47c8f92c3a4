import { instant, seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, recordedFile } from '../../recorded-file.testing.js';
import type { WindowEvidence } from '../../source.js';
import { counterWindows } from './counter-windows.js';
import type { Page, Pages } from './dialect.js';
import { dynamo } from './dynamo.js';
import { parsePrometheusText } from './prometheus-text.js';
import { recordedMetrics } from './source.js';

const at = (text: string, time = 1, pages: Pages = dynamo.pages()): Page => pages.read(parsePrometheusText(text).samples.filter(dynamo.isOf), instant(time));
const counted = (page: Page): (string | number)[][] => [...page.look.counters.values()].map(({ counts, value }) => [counts, value]).toSorted((a, b) => (String(a) < String(b) ? -1 : 1));
const gauges = (page: Page): unknown[] => page.gauges.map(({ gauge, value, model }) => [gauge, value, model]);

const frontend = (output: number, prompt: number, cached: number, ok: number, inFlight = 0, queued = 0): string =>
  [
    '# TYPE dynamo_frontend_output_tokens_total counter',
    `dynamo_frontend_output_tokens_total{model="m"} ${output}`,
    `dynamo_frontend_output_sequence_tokens_sum{model="m"} 1`,
    `dynamo_frontend_input_sequence_tokens_bucket{model="m",le="50"} 1`,
    `dynamo_frontend_input_sequence_tokens_sum{model="m"} ${prompt}`,
    `dynamo_frontend_cached_tokens_sum{model="m"} ${cached}`,
    `dynamo_frontend_requests_total{model="m",endpoint="chat_completions",request_type="stream",status="success",error_type=""} ${ok}`,
    `dynamo_frontend_inflight_requests{model="m"} ${inFlight}`,
    `dynamo_frontend_queued_requests{model="m"} ${queued}`,
    'process_start_time_seconds 5',
    '',
  ].join('\n');
const inFlight = (component: string, value: number, endpoint = 'generate'): string => `dynamo_component_inflight_requests{dynamo_namespace="n",dynamo_component="${component}",dynamo_endpoint="${endpoint}"} ${value}`;

describe('the metrics page of a Dynamo frontend', () => {
  it('tells output as it is made, prompts at their first token, what was cached, who is in flight', () => {
    const page = at(frontend(400, 9000, 512, 12, 3, 1));
    expect(counted(page)).toEqual([['cachedInput', 512], ['ok', 12], ['output', 400], ['prompt', 9000]]);
    expect(page.look).toMatchObject({ credits: 'firstToken', processStart: 5 });
    expect([...page.look.busy]).toEqual([['m', 3]]);
    expect(gauges(page)).toEqual([['serving.requests.running', 3, 'm'], ['serving.requests.waiting', 1, 'm']]);
  });

  it.each([
    ['status="success",error_type=""', 'ok'],
    ['status="success"', 'ok'],
    ['status="error",error_type="internal"', 'failed'],
    ['status="error",error_type="cancelled"', 'aborted'],
    ['status="cancelled"', 'aborted'],
    ['status="error",error_type="overload"', 'rejected'],
    ['status="error",error_type="not_found"', 'rejected'],
    ['status="error"', 'failed'],
  ])('%s → %s', (labels, outcome) => {
    expect(counted(at(`dynamo_frontend_requests_total{model="m",${labels}} 7`))).toEqual([[outcome, 7]]);
  });

  it('takes the lengths of answers where no counter moves with each token, and keeps to its choice', () => {
    const old = 'dynamo_frontend_output_sequence_tokens_sum{model="m"} 50';
    expect(counted(at(old))).toEqual([['output', 50]]);
    const pages = dynamo.pages();
    at(old, 1, pages);
    expect(counted(at(`${old}\ndynamo_frontend_output_tokens_total{model="m"} 60`, 2, pages))).toEqual([['output', 50]]);
  });

  it('knows the later names of its gauges', () => {
    const page = at('dynamo_frontend_active_requests{model="m"} 5\ndynamo_frontend_stage_requests{stage="route",phase="prefill"} 2\ndynamo_frontend_stage_requests{stage="dispatch",phase="decode"} 1\ndynamo_frontend_stage_requests{stage="postprocess",phase=""} 9');
    expect(gauges(page)).toEqual([['serving.requests.running', 5, 'm'], ['serving.requests.waiting', 3, undefined]]);
  });

  it('has windows of its counters, and says when it began again', () => {
    const windows = counterWindows({ label: 'x', period: seconds(1) });
    const pages = dynamo.pages();
    windows.since(at(frontend(100, 1000, 100, 1), 1, pages).look);
    expect(windows.since(at(frontend(140, 1900, 612, 3, 2), 2, pages).look)).toEqual([
      { kind: 'window', from: 1, to: 2, tokens: { input: 388, cachedInput: 512, output: 40 }, credits: 'firstToken', busy: 2, running: 2, model: 'm', requests: { ok: 2 } },
    ]);
    expect([...windows.since(at(frontend(5, 10, 0, 0), 3, pages).look), ...windows.end()]).toMatchObject([{ kind: 'flagged', code: 'COUNTER_RESET' }, { tokens: { input: 10, cachedInput: 0, output: 5 } }]);
  });
});

describe('the metrics page of a Dynamo worker', () => {
  it.each(['prefill', 'decode', 'backend'])('tells how many are with it: %s', (component) => {
    const page = at([inFlight(component, 2), inFlight(component, 9, 'load_metrics'), `dynamo_component_requests_total{dynamo_component="${component}",dynamo_endpoint="generate"} 77`, 'vllm:generation_tokens_total 5'].join('\n'));
    expect(page.look.counters.size).toBe(0);
    expect(page.look.credits).toBeUndefined();
    expect([...page.look.busy]).toEqual([[undefined, 2]]);
    expect(gauges(page)).toEqual([['serving.requests.running', 2, undefined]]);
  });

  it('tells the use of its cache', () => {
    expect(gauges(at(`${inFlight('backend', 0)}\ndynamo_component_kvstats_gpu_cache_usage_percent{dp_rank="0"} 0.25\ndynamo_component_kvstats_gpu_cache_usage_percent{dp_rank="1"} 0.75\ndynamo_component_kvstats_gpu_cache_usage_percent{dp_rank="2"} NaN`))).toContainEqual(['serving.kv_cache.usage', 0.5, undefined]);
  });

  it('was idle between two looks that show nobody, and busy between others', async () => {
    const text = [[10, 0], [11, 0], [12, 4]].map(([time, value]) => `# scrape ${1_772_600_000 + (time ?? 0)}\n${inFlight('decode', value ?? 0)}\n`).join('');
    const entry = { file: recordedFile(text, 'scrapes.prom'), tz: 'UTC', deployment: 'd' };
    const windows = (await all(recordedMetrics(dynamo).open(entry, {}).events())).filter((event): event is WindowEvidence => event.kind === 'window');
    expect(windows.map(({ busy, tokens }) => [busy, tokens])).toEqual([[0, {}], [4, {}]]);
  });
});

it('a page of another program is not taken for Dynamo’s', () => {
  expect(() => dynamo.pages().read(parsePrometheusText('vllm:generation_tokens_total 1').samples, instant(1))).toThrow('no dynamo_frontend_ or dynamo_component_ samples');
});
