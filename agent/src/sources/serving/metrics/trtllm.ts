/**
 * What the Prometheus page of TensorRT-LLM says: trtllm-serve at /prometheus/metrics (`return_perf_metrics: true`), or passed
 * on by a Dynamo worker. Names begin with `trtllm_`, in older documentation with `trtllm:`.
 *
 * Tokens are counted when their request has finished, so they tell little of when the work was; a page may hold no token
 * counters at all. Cached prompt tokens are part of the prompt tokens.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Outcome } from '@joulebook/shared/slice.js';
import type { Counted, Counter } from './look.js';
import type { Gauge, MetricsDialect, Pages } from './dialect.js';
import type { Sample } from './prometheus-text.js';

export const trtllm: MetricsDialect = {
  name: 'trtllm-metrics',
  program: 'TensorRT-LLM',
  samples: 'trtllm_',
  tells: 'tokens and requests when they have finished, running and waiting requests',
  usualUrl: 'http://127.0.0.1:8000/prometheus/metrics',
  isOf: ({ name }) => name === PROCESS_START || PREFIX.test(name),
  pages,
};

const PREFIX = /^trtllm[:_]/;
const PROCESS_START = 'process_start_time_seconds';

const OUTCOME_OF: ReadonlyMap<string, Outcome> = new Map([
  ['stop', 'ok'],
  ['length', 'ok'],
  ['cancelled', 'aborted'],
  ['abort', 'aborted'],
  ['timeout', 'failed'],
  ['error', 'failed'],
]);
const COUNTED: ReadonlyMap<string, Counted> = new Map([
  ['prompt_tokens', 'prompt'],
  ['generation_tokens', 'output'],
  ['prompt_cached_tokens', 'cachedInput'],
  ['prompt_tokens_cached', 'cachedInput'],
  ['request_error', 'failed'],
]);
/** The same gauge in older and newer spelling. */
const RUNNING = ['num_requests_running', 'num_active_requests'] as const;
const WAITING = ['num_requests_waiting', 'num_queued_requests'] as const;
const KV_CACHE = ['kv_cache_utilization'] as const;

/** Labels that tell counters of one process apart. */
const LABELS_WITHIN_PROCESS: ReadonlySet<string> = new Set(['finished_reason']);

function pages(): Pages {
  return {
    read(samples, at) {
      const metrics = metricsByName(samples);
      const counters = countersOf(metrics);
      const running = byModel(metrics, RUNNING);
      if (counters.size === 0 && running.size === 0) {
        throw new TelemetryError('NOT_TRTLLM', 'This metrics page has no trtllm_ counters: it is of another program, or TensorRT-LLM was started without return_perf_metrics: true.', 'discard');
      }
      const waiting = byModel(metrics, WAITING);
      const usage = byModel(metrics, KV_CACHE);
      const kvUsage = new Map([...usage].map(([model, values]) => [model, total(values) / values.length]));
      const inUse = new Map([...running].map(([model, values]) => [model, total(values)]));
      const busy = new Map([...inUse].map(([model, value]) => [model, value + total(waiting.get(model) ?? [])]));
      const gauges = (gauge: string, values: ReadonlyMap<string | undefined, number>): Gauge[] => [...values].map(([model, value]) => ({ kind: 'gauge', gauge, value, at, ...(model !== undefined && { model }) }));
      return {
        look: { at, counters, busy, running: inUse, kvUsage, credits: 'firstToken', processStart: samples.find(({ name }) => name === PROCESS_START)?.value },
        gauges: [
          ...gauges('serving.requests.running', inUse),
          ...gauges('serving.requests.waiting', new Map([...waiting].map(([model, values]) => [model, total(values)]))),
          ...gauges('serving.kv_cache.usage', kvUsage),
        ],
      };
    },
  };
}

/** By the name without prefix and `_total`; of two spellings on one page the first counts. */
function metricsByName(samples: readonly Sample[]): Map<string, Sample[]> {
  const metrics = new Map<string, Sample[]>();
  const spelling = new Map<string, string>();
  for (const sample of samples) {
    if (!PREFIX.test(sample.name)) continue;
    const name = sample.name.replace(PREFIX, '').replace(/_total$/, '');
    if ((spelling.get(name) ?? sample.name) !== sample.name) continue;
    spelling.set(name, sample.name);
    metrics.set(name, [...(metrics.get(name) ?? []), sample]);
  }
  return metrics;
}

function countersOf(metrics: ReadonlyMap<string, readonly Sample[]>): Map<string, Counter> {
  const counters = new Map<string, Counter>();
  // Two names of one thing must not be added.
  const cachedName = metrics.has('prompt_cached_tokens') ? 'prompt_cached_tokens' : 'prompt_tokens_cached';
  for (const [name, samples] of metrics) {
    for (const sample of samples) {
      const counts = countedBy(name, sample);
      if (counts === undefined || (counts === 'cachedInput' && name !== cachedName)) continue;
      const labels = [...sample.labels].toSorted(([a], [b]) => (a < b ? -1 : 1));
      const process = JSON.stringify(labels.filter(([label]) => !LABELS_WITHIN_PROCESS.has(label)));
      counters.set(`${name}${JSON.stringify(labels)}`, { counts, value: sample.value, model: modelOf(sample), process });
    }
  }
  return counters;
}

function countedBy(name: string, { labels }: Sample): Counted | undefined {
  if (name !== 'request_success') return COUNTED.get(name);
  const reason = labels.get('finished_reason');
  return reason === undefined ? 'ok' : OUTCOME_OF.get(reason);
}

const modelOf = ({ labels }: Sample): string | undefined => labels.get('model_name') ?? labels.get('model');

function byModel(metrics: ReadonlyMap<string, readonly Sample[]>, names: readonly string[]): Map<string | undefined, number[]> {
  const values = new Map<string | undefined, number[]>();
  for (const sample of names.map((name) => metrics.get(name)).find((list) => list !== undefined) ?? []) {
    values.set(modelOf(sample), [...(values.get(modelOf(sample)) ?? []), sample.value]);
  }
  return values;
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
