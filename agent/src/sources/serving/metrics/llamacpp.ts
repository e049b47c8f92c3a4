/**
 * What a metrics page of llama.cpp's server says (`--metrics`): one process, no labels of its own.
 *
 *     llamacpp:prompt_tokens_total 1938          computed prompt tokens; those from the cache are never in it
 *     llamacpp:prompt_tokens_cached_total 512    since 2026
 *     llamacpp:tokens_predicted_total 61
 *     llamacpp:n_decode_total 70                 batches computed, those that held nothing but prompt tokens among them
 *     llamacpp:requests_processing 1
 *
 * When a counter moves differs. Servers that count cached tokens count computed ones with every batch; older ones at the first
 * token of the answer. Generated tokens of all versions come when a request ends, and not at all when it was broken off.
 *
 * `prompt_seconds_total` and `tokens_predicted_seconds_total` are left out: they are sums over slots, and the latter comes
 * at the end of a request in one piece. A window of a second may get minutes of decode from it; its log tells phases exactly.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Instant } from '@joulebook/shared/units.js';
import type { Counted, Counter } from './look.js';
import type { Gauge, MetricsDialect, Page } from './dialect.js';
import type { Sample } from './prometheus-text.js';

export const llamacpp: MetricsDialect = {
  name: 'llamacpp-metrics',
  program: 'llama.cpp',
  samples: 'llamacpp:',
  tells: 'tokens, batches, running and waiting requests',
  usualUrl: 'http://127.0.0.1:8080/metrics',
  isOf: ({ name }) => PREFIX.test(name),
  pages: () => ({ read }),
};

/** Exporters in between write `_`. */
const PREFIX = /^llamacpp[:_]/;

const CACHED = 'prompt_tokens_cached_total';
const COUNTED: ReadonlyMap<string, Counted> = new Map([
  ['prompt_tokens_total', 'input'],
  [CACHED, 'cachedInput'],
  ['tokens_predicted_total', 'output'],
  ['n_decode_total', 'decodeSteps'],
]);
const RUNNING = 'requests_processing';
const WAITING = 'requests_deferred';
/** Until 2025. */
const KV_CACHE = 'kv_cache_usage_ratio';

type ByModel = ReadonlyMap<string | undefined, number>;

function read(samples: readonly Sample[], at: Instant): Page {
  const own = samples.filter(({ name }) => PREFIX.test(name));
  const counters = new Map(own.flatMap((sample) => counterOf(sample)));
  const running = valuesOf(own, RUNNING, (one, other) => one + other);
  const waiting = valuesOf(own, WAITING, (one, other) => one + other);
  const kvUsage = valuesOf(own, KV_CACHE, Math.max);
  if (counters.size === 0 && running.size === 0) throw new TelemetryError('NOT_LLAMACPP', 'This metrics page has no llamacpp: counters: it is of another program, or llama-server was started without --metrics.', 'discard');
  const busy = new Map([...new Set([...running.keys(), ...waiting.keys()])].map((model) => [model, (running.get(model) ?? 0) + (waiting.get(model) ?? 0)]));
  const countsCached = own.some((sample) => nameOf(sample) === CACHED);
  return {
    look: { at, counters, busy, ...(running.size > 0 && { running }), ...(kvUsage.size > 0 && { kvUsage }), ...(!countsCached && { credits: 'firstToken' }) },
    gauges: [...gauges('serving.requests.running', running, at), ...gauges('serving.requests.waiting', waiting, at), ...gauges('serving.kv_cache.usage', kvUsage, at)],
  };
}

const nameOf = ({ name }: Sample): string => name.replace(PREFIX, '');
/** Routers and exporters in front of several servers say whose it is. */
const modelOf = ({ labels }: Sample): string | undefined => labels.get('model') ?? labels.get('model_name');

function counterOf(sample: Sample): [string, Counter][] {
  const counts = COUNTED.get(nameOf(sample));
  const process = JSON.stringify([...sample.labels].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return counts ? [[`${nameOf(sample)}${process}`, { counts, value: sample.value, model: modelOf(sample), process }]] : [];
}

function valuesOf(samples: readonly Sample[], name: string, together: (one: number, other: number) => number): ByModel {
  const values = new Map<string | undefined, number>();
  for (const sample of samples) {
    if (nameOf(sample) !== name) continue;
    const before = values.get(modelOf(sample));
    values.set(modelOf(sample), before === undefined ? sample.value : together(before, sample.value));
  }
  return values;
}

const gauges = (gauge: string, values: ByModel, at: Instant): Gauge[] => [...values].map(([model, value]) => ({ kind: 'gauge', gauge, value, at, ...(model !== undefined && { model }) }));
