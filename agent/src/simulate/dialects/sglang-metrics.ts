/**
 * Scrapes of SGLang's metrics page (--enable-metrics). The counters of prompt and generated tokens move when a request ends,
 * realtime_tokens_total with each batch; with the device timer, so does the time that the GPU was busy by kind of batch.
 */
import { z } from 'zod';
import type { SimulatedRequest } from '../trace.js';
import { engineState, type Step } from './engine-state.js';
import { page, scraped, scrapeOptions, type Family } from './exposition.js';
import { dialect } from './format.js';

const CATEGORIES = ['extend', 'decode', 'mixed'] as const;
const MODES = ['prefill_compute', 'prefill_cache', 'decode'] as const;

/** Of one rank. */
interface Counters {
  readonly realtime: Record<(typeof MODES)[number], number>;
  readonly busy: Record<(typeof CATEGORIES)[number], number>;
  prompt: number;
  cached: number;
  generated: number;
  requests: number;
  aborted: number;
  running: number;
  waiting: number;
  kvTokens: number;
}

const zero = (): Counters => ({
  realtime: { prefill_compute: 0, prefill_cache: 0, decode: 0 },
  busy: { extend: 0, decode: 0, mixed: 0 },
  prompt: 0, cached: 0, generated: 0, requests: 0, aborted: 0, running: 0, waiting: 0, kvTokens: 0,
});

export const sglangMetrics = dialect({
  name: 'sglang-metrics',
  summary: "scrapes of SGLang's metrics page; deviceTimer: with the seconds that the GPU was busy by kind of batch",
  file: 'sglang-metrics.prom',
  speaks: 'engine',
  options: { ...scrapeOptions, deviceTimer: z.boolean().default(true) },
  write(parts, { deviceTimer, ...pace }) {
    const state = engineState(parts.pool);
    const ranks = Array.from({ length: parts.ranks }, zero);

    function over(request: SimulatedRequest): void {
      const held = state.over(request);
      const counters = ranks[held?.rank ?? request.rank];
      if (!counters) return;
      if (request.outcome === 'aborted') counters.aborted += 1;
      else if (held) ended(counters, held);
    }

    return {
      ...scraped(parts, pace, () => page(familiesOf(ranks, parts, deviceTimer))),
      iteration(iteration) {
        const counters = ranks[iteration.rank];
        const step = state.step(iteration);
        if (!counters) return '';
        const { prefill, decode, from, to, waiting } = iteration;
        counters.realtime.prefill_compute += prefill.reduce((sum, { tokens }) => sum + tokens, 0);
        counters.realtime.prefill_cache += prefill.reduce((sum, { cached }) => sum + cached, 0);
        counters.realtime.decode += decode.reduce((sum, { tokens }) => sum + tokens, 0);
        if (prefill.length + decode.length > 0) counters.busy[prefill.length === 0 ? 'decode' : decode.length === 0 ? 'extend' : 'mixed'] += to - from;
        Object.assign(counters, { running: step.running, waiting, kvTokens: step.kvTokens });
        if (parts.pool === 'prefill') for (const held of step.ended) ended(counters, held);
        return '';
      },
      request(request) {
        over(request);
        return '';
      },
    };
  },
});

function ended(counters: Counters, { cached, computed, received, output }: Step['ended'][number]): void {
  counters.requests += 1;
  counters.prompt += cached + computed + received;
  counters.cached += cached;
  counters.generated += output;
}

function familiesOf(ranks: readonly Counters[], { model, kvCacheTokens, pool }: { readonly model: string; readonly kvCacheTokens: number; readonly pool: string }, deviceTimer: boolean): Family[] {
  const type = pool === 'serve' ? 'unified' : pool;
  const of = (rank: number, more = ''): string => `${more}${ranks.length > 1 ? `dp_rank="${rank}",` : ''}engine_type="${type}",model_name="${model}",pp_rank="0",tp_rank="0"`;
  const family = (name: string, kind: Family['type'], help: string, samples: (counters: Counters, rank: number) => Family['samples']): Family => ({ name: `sglang:${name}`, type: kind, help, samples: ranks.flatMap(samples) });
  const counter = (name: string, help: string, value: (counters: Counters) => number): Family => family(name, 'counter', help, (each, rank) => [['_total', of(rank), value(each)]]);
  const gauge = (name: string, help: string, value: (counters: Counters) => number): Family => family(name, 'gauge', help, (each, rank) => [['', of(rank), value(each)]]);
  return [
    counter('prompt_tokens', 'Number of prefill tokens processed.', ({ prompt }) => prompt),
    counter('generation_tokens', 'Number of generation tokens processed.', ({ generated }) => generated),
    counter('cached_tokens', 'Number of cached prompt tokens.', ({ cached }) => cached),
    counter('num_requests', 'Number of requests processed.', ({ requests }) => requests),
    counter('num_aborted_requests', 'Number of requests aborted.', ({ aborted }) => aborted),
    family('realtime_tokens', 'counter', 'Total number of tokens processed.', ({ realtime }, rank) => MODES.map((mode) => ['_total', of(rank, `mode="${mode}",`), realtime[mode]] as const)),
    ...(deviceTimer ? [family('forward_execution_seconds', 'counter', 'Total time that GPU is busy executing model forward passes.', ({ busy }, rank) => CATEGORIES.map((category) => ['_total', of(rank, `category="${category}",`), busy[category]] as const))] : []),
    gauge('num_running_reqs', 'The number of running requests.', ({ running }) => running),
    gauge('num_queue_reqs', 'The number of requests in the waiting queue.', ({ waiting }) => waiting),
    gauge('num_used_tokens', 'The number of used tokens.', ({ kvTokens }) => kvTokens),
    gauge('token_usage', 'The token usage.', ({ kvTokens }) => Math.round((100 * kvTokens) / kvCacheTokens) / 100),
  ];
}
