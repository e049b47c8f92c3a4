/**
 * What a metrics page of SGLang says (`--enable-metrics`), its own or passed on by Dynamo; gateways write `sglang_` for `sglang:`.
 *
 *     sglang:realtime_tokens_total{mode="prefill_compute",dp_rank="0",tp_rank="0",pp_rank="0",…} 4096     since 0.5.7, as it works
 *     sglang:forward_execution_seconds_total{category="extend",…} 12.5     GPU time, with SGLANG_ENABLE_METRICS_DEVICE_TIMER
 *     sglang:prompt_tokens_total{model_name="m"} 4096                      when a request has finished
 *
 * Where tokens are counted as it works, those are booked. Else the others are: a whole request at its end, which of what
 * evidence can say is nearest to "at the first token"; its decode was before, too.
 *
 * Schedulers say their ranks. Data-parallel ones do work of their own and are summed; stages of a pipeline, and ranks of one
 * tensor-parallel group (`--enable-metrics-for-all-schedulers`), say the same work again, and the first of them is taken.
 *
 * The gauges are of the last batch line that the engine logged: they lag by up to 40 decode steps, and a while into idleness.
 * An abort of a request that was running is counted as an abort and again when it ends.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Instant } from '@joulebook/shared/units.js';
import type { Counted, Counter } from './look.js';
import type { Gauge, MetricsDialect, Page, Pages } from './dialect.js';
import type { Sample } from './prometheus-text.js';

export const sglang: MetricsDialect = {
  name: 'sglang-metrics',
  program: 'SGLang',
  samples: 'sglang:',
  tells: 'tokens, GPU time by phase where its device timer is on, running and waiting requests',
  usualUrl: 'http://127.0.0.1:30000/metrics',
  isOf: ({ name }) => name === PROCESS_START || PREFIXES.some((prefix) => name.startsWith(prefix)),
  pages,
};

/** In order of preference: a page with both says everything twice. */
const PREFIXES = ['sglang:', 'sglang_'] as const;
const PROCESS_START = 'process_start_time_seconds';

const REALTIME = 'realtime_tokens_total';
/** By mode; what is computed is booked, and is the work of that time. */
const REALTIME_COUNTS: ReadonlyMap<string, readonly Counted[]> = new Map([
  ['prefill_compute', ['input', 'prefillTokens'] as const],
  ['prefill_cache', ['cachedInput'] as const],
  ['decode', ['output'] as const],
]);
const FINISHED_COUNTS: ReadonlyMap<string, Counted> = new Map([
  ['prompt_tokens_total', 'prompt'],
  ['cached_tokens_total', 'cachedInput'],
  ['generation_tokens_total', 'output'],
]);
const OUTCOMES: ReadonlyMap<string, Counted> = new Map([
  ['num_requests_total', 'ok'],
  ['num_aborted_requests_total', 'aborted'],
]);
/** The second is its older name. */
const DEVICE_SECONDS = ['forward_execution_seconds_total', 'gpu_execution_seconds_total'] as const;
/** Forward modes of one phase; `mixed` is of both and `idle` of none. */
const CATEGORIES: ReadonlyMap<string, Counted> = new Map([
  ['extend', 'prefillSeconds'], ['prefill', 'prefillSeconds'], ['split_prefill', 'prefillSeconds'],
  ['decode', 'decodeSeconds'], ['target_verify', 'decodeSeconds'], ['draft_extend', 'decodeSeconds'], ['draft_extend_v2', 'decodeSeconds'],
]);

const RUNNING = 'num_running_reqs';
/** The queues of disaggregated nodes hold requests that wait for KV or for a place. */
const WAITING: ReadonlySet<string> = new Set(['num_queue_reqs', 'num_prefill_prealloc_queue_reqs', 'num_prefill_inflight_queue_reqs', 'num_decode_prealloc_queue_reqs', 'num_decode_transfer_queue_reqs']);
const KV_CACHE = 'token_usage';

/** Labels of a scheduler in its group, and labels that tell counters of one process apart: they don't name the process. */
const RANKS: ReadonlySet<string> = new Set(['pp_rank', 'tp_rank', 'moe_ep_rank']);
const WITHIN_PROCESS: ReadonlySet<string> = new Set([...RANKS, 'mode', 'category', 'cache_source', 'is_streaming']);

interface Named {
  /** Without its prefix. */
  readonly name: string;
  readonly sample: Sample;
}

/** Once tokens were counted as it works, the counters of finished requests would count them again. */
function pages(): Pages {
  let realtime = false;
  return {
    read(samples, at) {
      const own = firstRanks(ownSamples(samples));
      if (!own.some(({ name }) => name === RUNNING || name === REALTIME || FINISHED_COUNTS.has(name))) {
        throw new TelemetryError('NOT_SGLANG', 'This metrics page has no sglang: counters: it is of another program, or SGLang was started without --enable-metrics.', 'discard');
      }
      realtime ||= own.some(({ name }) => name === REALTIME);
      return pageOf(own, at, realtime, samples.find(({ name }) => name === PROCESS_START)?.value);
    },
  };
}

function ownSamples(samples: readonly Sample[]): Named[] {
  const prefix = PREFIXES.find((each) => samples.some(({ name }) => name.startsWith(each)));
  if (prefix === undefined) return [];
  return samples
    // By priority each is said again.
    .filter(({ name, labels }) => name.startsWith(prefix) && (labels.get('priority') ?? '') === '')
    .map((sample) => ({ name: sample.name.slice(prefix.length), sample }));
}

/** Of samples that differ in no label but those of ranks, the one of the first stage and rank. */
function firstRanks(samples: readonly Named[]): Named[] {
  const first = new Map<string, Named>();
  for (const named of samples) {
    const key = `${named.name}${labelsWithout(named.sample, RANKS)}`;
    const known = first.get(key);
    if (!known || isBefore(named.sample, known.sample)) first.set(key, named);
  }
  return [...first.values()];
}

function isBefore(one: Sample, other: Sample): boolean {
  const stages = rankOf(one, 'pp_rank') - rankOf(other, 'pp_rank');
  return stages < 0 || (stages === 0 && rankOf(one, 'tp_rank') < rankOf(other, 'tp_rank'));
}

const rankOf = ({ labels }: Sample, name: string): number => Number(labels.get(name) ?? 0);

const labelsWithout = ({ labels }: Sample, left: ReadonlySet<string>): string => JSON.stringify([...labels].filter(([label]) => !left.has(label)).toSorted(([a], [b]) => (a < b ? -1 : 1)));
const modelOf = ({ labels }: Sample): string | undefined => labels.get('model_name');

function pageOf(own: readonly Named[], at: Instant, realtime: boolean, processStart: number | undefined): Page {
  const seconds = DEVICE_SECONDS.find((each) => own.some(({ name }) => name === each));
  const counters = new Map<string, Counter>();
  for (const { name, sample } of own) {
    for (const counts of countedBy(name, sample, realtime, seconds)) {
      const key = `${counts} ${name}${labelsWithout(sample, RANKS)}`;
      counters.set(key, { counts, value: sample.value, model: modelOf(sample), process: labelsWithout(sample, WITHIN_PROCESS) });
    }
  }
  const running = byModel(own, (name) => name === RUNNING, total);
  const waiting = byModel(own, (name) => WAITING.has(name), total);
  const kvUsage = byModel(own, (name) => name === KV_CACHE, (values) => total(values) / values.length);
  const busy = new Map([...new Set([...running.keys(), ...waiting.keys()])].map((model) => [model, (running.get(model) ?? 0) + (waiting.get(model) ?? 0)]));
  return {
    look: { at, counters, busy, ...(running.size > 0 && { running }), ...(kvUsage.size > 0 && { kvUsage }), ...(!realtime && { credits: 'firstToken' as const }), processStart },
    gauges: [...gauges('serving.requests.running', running, at), ...gauges('serving.requests.waiting', waiting, at), ...gauges('serving.kv_cache.usage', kvUsage, at)],
  };
}

function countedBy(name: string, { labels }: Sample, realtime: boolean, seconds: string | undefined): readonly Counted[] {
  if (name === REALTIME) return REALTIME_COUNTS.get(labels.get('mode') ?? '') ?? [];
  const counts = name === seconds ? CATEGORIES.get((labels.get('category') ?? '').replace(/^forward_/, '')) : (OUTCOMES.get(name) ?? (realtime ? undefined : FINISHED_COUNTS.get(name)));
  return counts === undefined ? [] : [counts];
}

function byModel(own: readonly Named[], isWanted: (name: string) => boolean, over: (values: readonly number[]) => number): Map<string | undefined, number> {
  const values = new Map<string | undefined, number[]>();
  for (const { name, sample } of own) if (isWanted(name)) values.set(modelOf(sample), [...(values.get(modelOf(sample)) ?? []), sample.value]);
  return new Map([...values].map(([model, list]) => [model, over(list)]));
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

const gauges = (gauge: string, values: ReadonlyMap<string | undefined, number>, at: Instant): Gauge[] => [...values].map(([model, value]) => ({ kind: 'gauge', gauge, value, at, ...(model !== undefined && { model }) }));
