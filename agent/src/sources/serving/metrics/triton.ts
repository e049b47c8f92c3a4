/**
 * What the metrics page of Triton says of TensorRT-LLM (`nv_trt_llm_…`): gauges of the last iteration, which can't be counted
 * and tell a phase only as a sample; and, in newer releases, how long inputs and outputs were (`nv_llm_input_token_len` and
 * `nv_llm_output_token_len`, histograms whose sums are tokens, observed when a request has finished).
 *
 *     nv_trt_llm_request_metrics{model="m",request_type="active",version="1"} 3
 *     nv_llm_output_token_len_sum{model="m",response_metric_type="total_output_tokens",version="1"} 512
 *
 * An engine without requests reports its last iteration for ever: gauges whose iteration counter stands still are stale.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Instant } from '@joulebook/shared/units.js';
import type { Counted, Counter } from './look.js';
import type { Gauge, MetricsDialect, Pages } from './dialect.js';
import type { Sample } from './prometheus-text.js';

export const triton: MetricsDialect = {
  name: 'triton-metrics',
  tokensFrom: 'requests',
  program: 'Triton with TensorRT-LLM',
  samples: 'nv_trt_llm_',
  tells: 'running and waiting requests, in newer releases tokens when a request has finished',
  usualUrl: 'http://127.0.0.1:8002/metrics',
  isOf: ({ name }) => name.startsWith('nv_trt_llm_') || name.startsWith('nv_llm_'),
  pages,
};

const REQUESTS = 'nv_trt_llm_request_metrics';
const BLOCKS = 'nv_trt_llm_kv_cache_block_metrics';
const BATCH = 'nv_trt_llm_inflight_batcher_metrics';
const GENERAL = 'nv_trt_llm_general_metrics';
/** Families and the label that tells their gauges apart. */
const LABEL_OF: ReadonlyMap<string, string> = new Map([
  [REQUESTS, 'request_type'],
  [BLOCKS, 'kv_cache_block_type'],
  [BATCH, 'inflight_batcher_specific_metric'],
  [GENERAL, 'general_type'],
]);
const COUNTED: ReadonlyMap<string, Counted> = new Map([
  ['nv_llm_input_token_len_sum', 'prompt'],
  ['nv_llm_output_token_len_sum', 'output'],
  ['nv_llm_output_token_len_count', 'ok'],
]);
/** No iteration lasts so long: an engine that made none is without requests. */
const STALE_SECONDS = 5;

type Gauges = ReadonlyMap<string, number>;

interface Progress {
  readonly iteration: number;
  readonly since: Instant;
}

function pages(): Pages {
  const progress = new Map<string, Progress>();

  function isStale(model: string, gauges: Gauges, at: Instant): boolean {
    const iteration = gauges.get(`${GENERAL} iteration_counter`);
    if (iteration === undefined) return false;
    const last = progress.get(model);
    if (last?.iteration === iteration) return at - last.since >= STALE_SECONDS;
    progress.set(model, { iteration, since: at });
    return false;
  }

  return {
    read(samples, at) {
      const models = gaugesByModel(samples);
      const counters = countersOf(samples);
      if (models.size === 0 && counters.size === 0) {
        throw new TelemetryError('NOT_TRITON_TRTLLM', 'This metrics page has no nv_trt_llm_ gauges: it is of another program, or Triton serves no TensorRT-LLM model.', 'discard');
      }
      const running = new Map<string | undefined, number>();
      const busy = new Map<string | undefined, number>();
      const kvUsage = new Map<string | undefined, number>();
      const gauges: Gauge[] = [];
      for (const [model, values] of models) {
        const stale = isStale(model, values, at);
        const of = (name: string): number => (stale ? 0 : (values.get(name) ?? 0));
        const inUse = Math.max(...['active', 'scheduled', 'context'].map((type) => of(`${REQUESTS} ${type}`)), of(`${BATCH} generation_requests`));
        const waiting = of(`${REQUESTS} waiting`);
        running.set(model, inUse);
        busy.set(model, inUse + waiting);
        gauges.push({ kind: 'gauge', gauge: 'serving.requests.running', value: inUse, at, model }, { kind: 'gauge', gauge: 'serving.requests.waiting', value: waiting, at, model });
        const blocks = values.get(`${BLOCKS} max`);
        const used = values.get(`${BLOCKS} used`);
        if (blocks === undefined || blocks === 0 || used === undefined) continue;
        kvUsage.set(model, used / blocks);
        gauges.push({ kind: 'gauge', gauge: 'serving.kv_cache.usage', value: used / blocks, at, model });
      }
      return { look: { at, counters, busy, running, kvUsage, credits: 'firstToken' }, gauges };
    },
  };
}

/** By `family type`, summed over the versions of a model. */
function gaugesByModel(samples: readonly Sample[]): Map<string, Map<string, number>> {
  const models = new Map<string, Map<string, number>>();
  for (const { name, labels, value } of samples) {
    const type = labels.get(LABEL_OF.get(name) ?? '');
    if (type === undefined) continue;
    const model = labels.get('model') ?? '';
    const gauges = models.get(model) ?? new Map<string, number>();
    models.set(model, gauges.set(`${name} ${type}`, (gauges.get(`${name} ${type}`) ?? 0) + value));
  }
  return models;
}

function countersOf(samples: readonly Sample[]): Map<string, Counter> {
  const counters = new Map<string, Counter>();
  for (const { name, labels, value } of samples) {
    const counts = COUNTED.get(name);
    if (counts === undefined) continue;
    const model = labels.get('model');
    counters.set(`${name}${JSON.stringify([...labels])}`, { counts, value, model, process: 'triton' });
  }
  return counters;
}
