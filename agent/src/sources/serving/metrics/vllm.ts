/**
 * What a metrics page of vLLM says. Its names come in several spellings: `vllm:generation_tokens_total`, without
 * `_total` (OpenMetrics), `ray_vllm:…` (Ray), `vllm_…` (where colons are not allowed), and bare (NIM).
 *
 * V1 counts a prompt when it gives its first token, however many chunks it was computed in before; V0, which still has
 * the gauges of swapping, counts each chunk where it is computed. The histogram `iteration_tokens_total` of V1 is no better:
 * it observes iterations that delivered tokens, with whole prompts in them, so that its sum is always prompts + output.
 * As long as that holds, its count is the number of iterations that gave tokens. The sums of prefill and decode times are
 * seconds of requests, of which many run at once, and tell no share of the engine's time.
 *
 * Cached input, by preference, since the later ones know less: `prompt_tokens_by_source` (local cache hits and KV from
 * another engine), `prompt_tokens_cached`, `prefix_cache_hits` (counted at scheduling; counter-windows carries the surplus).
 * With none of them it is not known how much of the input was cached.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Outcome } from '@joulebook/shared/slice.js';
import type { Instant } from '@joulebook/shared/units.js';
import type { Counted, Counter } from './look.js';
import type { Gauge, MetricsDialect, Pages } from './dialect.js';
import type { Sample } from './prometheus-text.js';

export const vllm: MetricsDialect = {
  name: 'vllm-metrics',
  program: 'vLLM',
  samples: 'vllm:',
  tells: 'tokens, running and waiting requests',
  usualUrl: 'http://127.0.0.1:8000/metrics',
  isOf: ({ name }) => name === PROCESS_START || BARE_NAMES.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix)),
  pages,
};

/** In order of preference, so that a page which has a counter in two spellings is not counted twice. */
const PREFIXES = ['vllm:', 'ray_vllm:', 'vllm_', 'ray_vllm_'] as const;
/** NIM leaves the prefix out; names so common are vLLM's only where those of its gauges are all there. */
const BARE_NAMES: ReadonlySet<string> = new Set(['num_requests_running', 'num_requests_waiting', 'gpu_cache_usage_perc', 'prompt_tokens_total', 'generation_tokens_total', 'request_success_total', 'request_failure_total']);
const BARE_MARKS = ['num_requests_running', 'prompt_tokens_total', 'gpu_cache_usage_perc'] as const;
/** Gauges that only V0 has. */
const V0_MARKS = ['num_requests_swapped', 'cpu_cache_usage_perc'] as const;
const PROCESS_START = 'process_start_time_seconds';

const OUTCOME_OF: ReadonlyMap<string, Outcome> = new Map([
  ['stop', 'ok'],
  ['length', 'ok'],
  ['repetition', 'ok'],
  ['abort', 'aborted'],
  ['error', 'failed'],
]);
const CACHED_COUNTERS = ['prompt_tokens_by_source', 'prompt_tokens_cached', 'prefix_cache_hits', 'gpu_prefix_cache_hits'] as const;
type CachedCounter = (typeof CACHED_COUNTERS)[number];
const CACHED_SOURCES: ReadonlySet<string> = new Set(['local_cache_hit', 'external_kv_transfer']);

/** Labels that tell counters of one process apart from each other; the rest name the process (engine, rank, model, replica). */
const LABELS_WITHIN_PROCESS: ReadonlySet<string> = new Set(['finished_reason', 'source']);

const RUNNING = 'num_requests_running';
const WAITING = 'num_requests_waiting';
const STEPS = 'iteration_tokens_total_count';
const STEP_TOKENS = 'iteration_tokens_total_sum';
const FIRST_TOKENS = 'time_to_first_token_seconds_count';
/** Time between the tokens of a sequence, summed over all: how long sequences decoded. The second is its older name. */
const BETWEEN_TOKENS = ['inter_token_latency_seconds_sum', 'time_per_output_token_seconds_sum'] as const;
const KV_CACHE = ['kv_cache_usage_perc', 'gpu_cache_usage_perc'] as const;

/** Which counter of cached tokens is used must not change while it is there, nor what the count of iterations is. */
function pages(): Pages {
  let cachedCounter: CachedCounter | undefined;
  let decodeSteps: boolean | undefined;
  return {
    read(samples, at) {
      const metrics = metricsByName(samples);
      if (!metrics.has('generation_tokens') && !metrics.has('prompt_tokens') && !metrics.has(RUNNING)) {
        throw new TelemetryError('NOT_VLLM', 'This metrics page has no vllm: counters: it is of another program, or vLLM was started with --disable-log-stats.', 'discard');
      }
      if (cachedCounter === undefined || !metrics.has(cachedCounter)) cachedCounter = CACHED_COUNTERS.find((name) => metrics.has(name));
      const v0 = V0_MARKS.some((name) => metrics.has(name));
      decodeSteps ??= v0 ? false : countsIterationsWithTokens(metrics);
      const counters = new Map<string, Counter>();
      for (const [name, list] of metrics) {
        if (name === STEPS && !decodeSteps) continue;
        if (name === BETWEEN_TOKENS[1] && metrics.has(BETWEEN_TOKENS[0])) continue;
        for (const sample of list) addCounter(counters, name, sample, cachedCounter);
      }

      const running = byModel(metrics.get(RUNNING));
      const waiting = byModel(metrics.get(WAITING));
      const usage = byModel(KV_CACHE.map((name) => metrics.get(name)).find((list) => list !== undefined));
      const busy = new Map([...new Set([...running.keys(), ...waiting.keys()])].map((model) => [model, total(running.get(model)) + total(waiting.get(model))]));
      return {
        look: {
          at,
          counters,
          busy,
          ...(running.size > 0 && { running: overEngines(running, total) }),
          ...(usage.size > 0 && { kvUsage: overEngines(usage, mean) }),
          ...(!v0 && { credits: 'firstToken' }),
          processStart: samples.find((sample) => sample.name === PROCESS_START)?.value,
        },
        gauges: [
          ...gauges('serving.requests.running', running, total, at),
          ...gauges('serving.requests.waiting', waiting, total, at),
          ...gauges('serving.kv_cache.usage', usage, mean, at),
        ],
      };
    },
  };
}

/** Undefined until something was generated, and by a page with values that are no numbers. Another meaning of the histogram is on its way, with prompts where they are computed. */
function countsIterationsWithTokens(metrics: ReadonlyMap<string, readonly Sample[]>): boolean | undefined {
  const sumOf = (name: string, counts: (sample: Sample) => boolean = () => true): number => total(metrics.get(name)?.filter(counts).map(({ value }) => value));
  const generated = sumOf('generation_tokens');
  const computed = sumOf('prompt_tokens_by_source', ({ labels }) => !CACHED_SOURCES.has(labels.get('source') ?? ''));
  const [prompts, delivered] = [sumOf('prompt_tokens'), sumOf(STEP_TOKENS)];
  if (generated === 0 || [generated, computed, prompts, delivered].some(Number.isNaN)) return undefined;
  return [prompts, computed].some((each) => delivered === each + generated);
}

/** By the name without prefix and `_total`. */
function metricsByName(samples: readonly Sample[]): Map<string, readonly Sample[]> {
  const names = new Set(samples.map(({ name }) => name));
  const bare = BARE_MARKS.every((name) => names.has(name));
  const spellings = new Map<string, Map<string, Sample[]>>();
  for (const sample of samples) {
    const prefix = PREFIXES.find((each) => sample.name.startsWith(each)) ?? (bare && BARE_NAMES.has(sample.name) ? '' : undefined);
    if (prefix === undefined) continue;
    const name = sample.name.slice(prefix.length).replace(/_total$/, '');
    const ofName = spellings.get(name) ?? new Map<string, Sample[]>();
    spellings.set(name, ofName);
    const list = ofName.get(sample.name) ?? [];
    ofName.set(sample.name, list);
    list.push(sample);
  }
  return new Map([...spellings].map(([name, ofName]) => [name, preferred(name, ofName)]));
}

function preferred(name: string, spellings: ReadonlyMap<string, readonly Sample[]>): readonly Sample[] {
  const order = [...PREFIXES, ''].flatMap((prefix) => [`${prefix}${name}_total`, `${prefix}${name}`]);
  return order.map((spelling) => spellings.get(spelling)).find((list) => list !== undefined) ?? [];
}

function addCounter(counters: Map<string, Counter>, name: string, sample: Sample, cachedCounter: CachedCounter | undefined): void {
  const counts = countedBy(name, sample, cachedCounter);
  if (counts === undefined) return;
  const labels = [...sample.labels].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const process = JSON.stringify(labels.filter(([label]) => !LABELS_WITHIN_PROCESS.has(label)));
  counters.set(`${name}${JSON.stringify(labels)}`, { counts, value: sample.value, model: modelOf(sample), process });
}

function countedBy(name: string, { labels }: Sample, cachedCounter: CachedCounter | undefined): Counted | undefined {
  if (name === 'generation_tokens') return 'output';
  if (name === 'prompt_tokens') return 'prompt';
  if (name === STEPS) return 'decodeSteps';
  if (name === FIRST_TOKENS) return 'prompts';
  if (BETWEEN_TOKENS.some((each) => each === name)) return 'sequenceSeconds';
  if (name === 'request_failure') return 'failed';
  if (name === 'request_success') {
    const reason = labels.get('finished_reason');
    return reason === undefined ? 'ok' : OUTCOME_OF.get(reason);
  }
  if (name !== cachedCounter) return undefined;
  return name !== 'prompt_tokens_by_source' || CACHED_SOURCES.has(labels.get('source') ?? '') ? 'cachedInput' : undefined;
}

/** Under Triton the label is `model`. */
const modelOf = ({ labels }: Sample): string | undefined => labels.get('model_name') ?? labels.get('model');

function byModel(samples: readonly Sample[] | undefined): Map<string | undefined, number[]> {
  const values = new Map<string | undefined, number[]>();
  for (const sample of samples ?? []) values.set(modelOf(sample), [...(values.get(modelOf(sample)) ?? []), sample.value]);
  return values;
}

const total = (values: readonly number[] | undefined): number => (values ?? []).reduce((sum, value) => sum + value, 0);

const mean = (values: readonly number[]): number => total(values) / values.length;

const overEngines = (values: ReadonlyMap<string | undefined, readonly number[]>, over: (values: readonly number[]) => number): Map<string | undefined, number> =>
  new Map([...values].map(([model, list]) => [model, over(list)]));

const gauges = (gauge: string, values: ReadonlyMap<string | undefined, readonly number[]>, over: (values: readonly number[]) => number, at: Instant): Gauge[] =>
  [...values].map(([model, list]) => ({ kind: 'gauge', gauge, value: over(list), at, ...(model !== undefined && { model }) }));
