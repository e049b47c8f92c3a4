/**
 * Scrapes of vLLM's metrics page (as of 0.25): cumulative counters of tokens and requests, gauges of what runs. Prompt tokens
 * move when a request gives its first token, request times when it ends. iteration_tokens_total is no counter of work: it
 * observes what each iteration delivered, whole prompts with their first token.
 */
import type { SimulatedRequest } from '../trace.js';
import { engineState, type Step } from './engine-state.js';
import { histogram, page, scraped, scrapeOptions, type Family } from './exposition.js';
import { dialect } from './format.js';

const ITERATION_BOUNDS = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384];
/** How long before the simulation the process was started. */
const STARTED_BEFORE = 95;

/** Of one rank. */
interface Counters {
  computed: number;
  cached: number;
  received: number;
  output: number;
  hits: number;
  queries: number;
  running: number;
  waiting: number;
  kvTokens: number;
  readonly finished: Record<'stop' | 'length' | 'abort', number>;
  readonly seconds: Record<Timed, number>;
  readonly iterations: ReturnType<typeof histogram>;
}

/** Sums over the requests that ended. */
const TIMED = ['e2e_request_latency_seconds', 'request_queue_time_seconds', 'request_prefill_time_seconds', 'request_decode_time_seconds', 'request_inference_time_seconds', 'time_to_first_token_seconds'] as const;
type Timed = (typeof TIMED)[number];

const zero = (): Counters => ({
  computed: 0, cached: 0, received: 0, output: 0, hits: 0, queries: 0, running: 0, waiting: 0, kvTokens: 0,
  finished: { stop: 0, length: 0, abort: 0 },
  seconds: { e2e_request_latency_seconds: 0, request_queue_time_seconds: 0, request_prefill_time_seconds: 0, request_decode_time_seconds: 0, request_inference_time_seconds: 0, time_to_first_token_seconds: 0 },
  iterations: histogram(ITERATION_BOUNDS),
});

export const vllmMetrics = dialect({
  name: 'vllm-metrics',
  summary: "scrapes of vLLM's metrics page",
  file: 'vllm-metrics.prom',
  speaks: 'engine',
  options: scrapeOptions,
  write(parts, pace) {
    const state = engineState(parts.pool);
    const ranks = Array.from({ length: parts.ranks }, zero);
    const started = parts.clock.at(-STARTED_BEFORE);

    /** What is only known when a request is over. A request that this engine never had was aborted in its queue. */
    function over(request: SimulatedRequest): void {
      const held = state.over(request);
      if (parts.pool === 'prefill') return;
      const counters = ranks[held?.rank ?? request.rank];
      if (!counters || (!held && parts.pool === 'decode')) return;
      counters.finished[request.outcome === 'aborted' ? 'abort' : request.id % 5 === 0 ? 'length' : 'stop'] += 1;
      const { arrival, scheduled, firstToken, end } = request;
      if (parts.pool !== 'serve' || request.outcome === 'aborted' || scheduled === undefined || firstToken === undefined) return;
      counters.seconds.e2e_request_latency_seconds += end - arrival;
      counters.seconds.request_queue_time_seconds += scheduled - arrival;
      counters.seconds.request_prefill_time_seconds += firstToken - scheduled;
      counters.seconds.request_decode_time_seconds += end - firstToken;
      counters.seconds.request_inference_time_seconds += end - scheduled;
      counters.seconds.time_to_first_token_seconds += firstToken - arrival;
    }

    return {
      ...scraped(parts, pace, () => page(familiesOf(ranks, parts.model, parts.kvCacheTokens, started))),
      iteration(iteration) {
        const counters = ranks[iteration.rank];
        const step = state.step(iteration);
        if (counters) {
          moved(counters, step, iteration.waiting);
          // To a prefill engine every request is one that asked for a single token.
          if (parts.pool === 'prefill') counters.finished.length += step.ended.length;
        }
        return '';
      },
      request(request) {
        over(request);
        return '';
      },
    };
  },
});

/** One iteration later. */
function moved(counters: Counters, { begun, firstTokens, generated, running, kvTokens }: Step, waiting: number): void {
  for (const request of begun) counters.hits += request.cached;
  for (const request of firstTokens) {
    counters.computed += request.computed;
    counters.cached += request.cached;
    counters.received += request.received;
    counters.queries += request.cached + request.computed;
  }
  counters.output += generated;
  // Iterations that gave nobody a token are not observed; the others with the whole prompts that were completed in them.
  if (generated > 0) counters.iterations.observe(firstTokens.reduce((sum, { computed }) => sum + computed, 0) + generated);
  Object.assign(counters, { running, waiting, kvTokens });
}

function familiesOf(ranks: readonly Counters[], model: string, kvCacheTokens: number, started: number): Family[] {
  const of = (rank: number, more = ''): string => `engine="${rank}"${more},model_name="${model}"`;
  const family = (name: string, type: Family['type'], help: string, samples: (counters: Counters, rank: number) => Family['samples']): Family => ({ name: `vllm:${name}`, type, help, samples: ranks.flatMap(samples) });
  const counter = (name: string, help: string, value: (counters: Counters) => number): Family => family(name, 'counter', help, (each, rank) => [['_total', of(rank), value(each)]]);
  const gauge = (name: string, help: string, value: (counters: Counters) => number): Family => family(name, 'gauge', help, (each, rank) => [['', of(rank), value(each)]]);
  const ended = ({ finished }: Counters): number => finished.stop + finished.length;
  return [
    { name: 'process_start_time_seconds', type: 'gauge', help: 'Start time of the process since unix epoch in seconds.', samples: [['', '', Math.round(started * 100) / 100]] },
    gauge('num_requests_running', 'Number of requests in model execution batches.', ({ running }) => running),
    gauge('num_requests_waiting', 'Number of requests waiting to be processed.', ({ waiting }) => waiting),
    gauge('kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent usage.', ({ kvTokens }) => kvTokens / kvCacheTokens),
    counter('prefix_cache_queries', 'Prefix cache queries, in terms of number of queried tokens.', ({ queries }) => queries),
    counter('prefix_cache_hits', 'Prefix cache hits, in terms of number of cached tokens.', ({ hits }) => hits),
    counter('prompt_tokens', 'Number of prefill tokens processed.', ({ computed, cached, received }) => computed + cached + received),
    family('prompt_tokens_by_source', 'counter', 'Number of prompt tokens by source.', ({ computed, cached, received }, rank) => [
      ['_total', of(rank, ',source="local_compute"'), computed],
      ['_total', of(rank, ',source="local_cache_hit"'), cached],
      ['_total', of(rank, ',source="external_kv_transfer"'), received],
    ]),
    counter('generation_tokens', 'Number of generation tokens processed.', ({ output }) => output),
    family('request_success', 'counter', 'Count of successfully processed requests.', ({ finished }, rank) => (['stop', 'length', 'abort'] as const).map((reason) => ['_total', of(rank, `,finished_reason="${reason}"`), finished[reason]] as const)),
    family('iteration_tokens_total', 'histogram', 'Histogram of number of tokens per engine_step.', ({ iterations }, rank) => iterations.samples(of(rank))),
    ...TIMED.map((name) => family(name, 'histogram', 'Histogram in seconds.', (each, rank) => [
      ['_bucket', `le="+Inf",${of(rank)}`, ended(each)],
      ['_sum', of(rank), each.seconds[name]],
      ['_count', of(rank), ended(each)],
    ])),
  ];
}
