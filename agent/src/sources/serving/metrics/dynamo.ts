/**
 * What a metrics page of Dynamo says: the frontend's, or that of a worker.
 *
 *     frontend  dynamo_frontend_output_tokens_total{model="m"} 400           moves with each token
 *               dynamo_frontend_input_sequence_tokens_sum{model="m"} 9000    moves when a request gives its first token
 *               dynamo_frontend_cached_tokens_sum{model="m"} 512
 *               dynamo_frontend_requests_total{…,status="success|error",error_type="…"} 12
 *               dynamo_frontend_inflight_requests 3, …queued_requests 1      the queued (no first token yet) are among those in flight
 *     worker    dynamo_component_inflight_requests{dynamo_component="prefill|decode|backend",dynamo_endpoint="generate"} 2
 *
 * A worker's page tells whether it works and for how many, no tokens: its engine's own samples (`vllm:`, `sglang:`,
 * `trtllm_`) are on the same page, for that engine's source. Of its requests no outcome is booked: in disaggregated
 * serving each passes two workers.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Outcome } from '@joulebook/shared/slice.js';
import { isCount, type Counted, type Counter } from './look.js';
import type { Gauge, MetricsDialect, Pages } from './dialect.js';
import type { Sample } from './prometheus-text.js';

export const dynamo: MetricsDialect = {
  name: 'dynamo-metrics',
  tokensFrom: 'gateway counters',
  program: 'Dynamo',
  samples: 'dynamo_frontend_ or dynamo_component_',
  tells: "frontend: tokens, outcomes and requests in flight; worker: requests in flight",
  usualUrl: 'http://127.0.0.1:8000/metrics',
  isOf: ({ name }) => name === PROCESS_START || ((name.startsWith(FRONTEND) || name.startsWith(WORKER)) && !name.endsWith('_bucket')),
  pages,
};

const PROCESS_START = 'process_start_time_seconds';
const FRONTEND = 'dynamo_frontend_';
const WORKER = 'dynamo_component_';

/** By preference; the second moves when a request ends, in versions that have not the first. */
const OUTPUT = ['output_tokens', 'output_sequence_tokens_sum'] as const;
type Output = (typeof OUTPUT)[number];
const IN_FLIGHT = ['inflight_requests', 'active_requests'] as const;
const QUEUED = ['queued_requests', 'stage_requests'] as const;
/** Stages of a request that has no first token yet. */
const STAGES_BEFORE_FIRST_TOKEN: ReadonlySet<string> = new Set(['preprocess', 'route', 'dispatch']);
const KV_USAGE = ['kvstats_gpu_cache_usage_percent', 'gpu_cache_usage_percent'] as const;

const ENDED: ReadonlyMap<string, Outcome> = new Map([
  ['cancelled', 'aborted'],
  ['validation', 'rejected'],
  ['not_found', 'rejected'],
  ['not_implemented', 'rejected'],
  ['overload', 'rejected'],
]);

/** Labels that tell counters of one process apart from each other; the rest name the process (a replica). */
const LABELS_WITHIN_PROCESS: ReadonlySet<string> = new Set(['model', 'endpoint', 'request_type', 'status', 'error_type']);

type Metrics = ReadonlyMap<string, readonly Sample[]>;

/** Which counter of output is used must not change while it is there. */
function pages(): Pages {
  let output: Output | undefined;
  return {
    read(samples, at) {
      const frontend = metricsOf(samples, FRONTEND);
      const worker = metricsOf(samples, WORKER);
      if (frontend.size === 0 && worker.size === 0) {
        throw new TelemetryError('NOT_DYNAMO', 'This metrics page has no dynamo_frontend_ or dynamo_component_ samples: it is of another program, or of a worker started without DYN_SYSTEM_PORT.', 'discard');
      }
      if (output === undefined || !frontend.has(output)) output = OUTPUT.find((name) => frontend.has(name));
      const counters = new Map<string, Counter>();
      for (const [name, list] of frontend) for (const sample of list) addCounter(counters, name, sample, output);

      const inFlight = frontend.size > 0 ? byModel(firstOf(frontend, IN_FLIGHT)) : byModel(generating(worker));
      const queued = byModel(firstOf(frontend, QUEUED).filter(isBeforeFirstToken));
      const usage = firstOf(worker, KV_USAGE).filter(({ value }) => isCount(value));
      const kvUsage = new Map<string | undefined, number>(usage.length === 0 ? [] : [[undefined, usage.reduce((sum, { value }) => sum + value, 0) / usage.length]]);
      const processStart = samples.find((sample) => sample.name === PROCESS_START)?.value;
      return {
        look: { at, counters, busy: highest(inFlight, queued), running: inFlight, kvUsage, processStart, ...(frontend.size > 0 && { credits: 'firstToken' as const }) },
        gauges: [...gauges('serving.requests.running', inFlight, at), ...gauges('serving.requests.waiting', queued, at), ...gauges('serving.kv_cache.usage', kvUsage, at)],
      };
    },
  };
}

/** Of one side, by the name without prefix and `_total`. */
function metricsOf(samples: readonly Sample[], prefix: string): Metrics {
  const metrics = new Map<string, Sample[]>();
  for (const sample of samples) {
    if (!sample.name.startsWith(prefix)) continue;
    const name = sample.name.slice(prefix.length).replace(/_total$/, '');
    metrics.set(name, [...(metrics.get(name) ?? []), sample]);
  }
  return metrics;
}

const firstOf = (metrics: Metrics, names: readonly string[]): readonly Sample[] => names.map((name) => metrics.get(name)).find((list) => list !== undefined) ?? [];

/** The other endpoints of a worker answer questions about it. */
const generating = (worker: Metrics): readonly Sample[] => firstOf(worker, IN_FLIGHT).filter(({ labels }) => (labels.get('dynamo_endpoint') ?? 'generate') === 'generate');

const isBeforeFirstToken = ({ name, labels }: Sample): boolean => !name.endsWith('stage_requests') || STAGES_BEFORE_FIRST_TOKEN.has(labels.get('stage') ?? '');

function addCounter(counters: Map<string, Counter>, name: string, sample: Sample, output: Output | undefined): void {
  const counts = countedBy(name, sample, output);
  if (counts === undefined) return;
  const labels = [...sample.labels].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const process = JSON.stringify(labels.filter(([label]) => !LABELS_WITHIN_PROCESS.has(label)));
  counters.set(`${name}${JSON.stringify(labels)}`, { counts, value: sample.value, model: sample.labels.get('model'), process });
}

function countedBy(name: string, { labels }: Sample, output: Output | undefined): Counted | undefined {
  if (name === output) return 'output';
  if (name === 'input_sequence_tokens_sum') return 'prompt';
  if (name === 'cached_tokens_sum') return 'cachedInput';
  if (name !== 'requests') return undefined;
  const status = labels.get('status') ?? 'success';
  return status === 'success' ? 'ok' : (ENDED.get(status) ?? ENDED.get(labels.get('error_type') ?? '') ?? 'failed');
}

function byModel(samples: readonly Sample[]): Map<string | undefined, number> {
  const values = new Map<string | undefined, number>();
  for (const { labels, value } of samples) values.set(labels.get('model'), (values.get(labels.get('model')) ?? 0) + value);
  return values;
}

function highest(one: ReadonlyMap<string | undefined, number>, other: ReadonlyMap<string | undefined, number>): Map<string | undefined, number> {
  return new Map([...new Set([...one.keys(), ...other.keys()])].map((model) => [model, Math.max(one.get(model) ?? 0, other.get(model) ?? 0)]));
}

const gauges = (gauge: string, values: ReadonlyMap<string | undefined, number>, at: Gauge['at']): Gauge[] => [...values].map(([model, value]) => ({ kind: 'gauge', gauge, value, at, ...(model !== undefined && { model }) }));
