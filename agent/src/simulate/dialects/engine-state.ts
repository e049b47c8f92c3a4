/**
 * What an engine knows of its requests while it has them: what of the prompt was computed and what the cache had, and the
 * tokens given. From an iteration follows what its counters gain.
 */
import type { Iteration, Pool, SimulatedRequest } from '../trace.js';

export interface Held {
  readonly id: number;
  readonly rank: number;
  /** Start of its first iteration. */
  readonly scheduled: number;
  /** Of the prompt: found in the cache, computed, come from another engine. */
  readonly cached: number;
  readonly computed: number;
  readonly received: number;
  readonly output: number;
  readonly firstToken?: number;
}

/** What one iteration adds. */
export interface Step {
  /** Of this rank, from 0. */
  readonly index: number;
  /** Requests that begin with it. */
  readonly begun: readonly Held[];
  /** Requests whose first token it gave: their prompt is complete. */
  readonly firstTokens: readonly Held[];
  /** Requests that ended with it. */
  readonly ended: readonly Held[];
  /** Output tokens, the first ones included. */
  readonly generated: number;
  /** Prompt tokens computed for the first time. */
  readonly computed: number;
  /** Of requests without a token so far, every chunk: as a scheduler counts context. */
  readonly context: { readonly requests: number; readonly tokens: number };
  /** Of the others: sequences that decode, and those that compute again what they had lost. */
  readonly again: { readonly requests: number; readonly tokens: number };
  /** After those that ended have let go. */
  readonly running: number;
  readonly kvTokens: number;
}

export interface EngineState {
  step(iteration: Iteration): Step;
  /** A request is over; undefined for one that this engine never had. */
  over(request: SimulatedRequest): Held | undefined;
}

/** Changed in place: a busy engine has a hundred of them in each iteration. */
type Job = { -readonly [key in keyof Held]: Held[key] };

/** A request that this engine has not computed is known to it by the KV that it received. */
export function engineState(pool: Pool): EngineState {
  const held = new Map<number, Job>();
  const indexes = new Map<number, number>();

  function begin(id: number, { rank, from }: Iteration, received: number, gains: Gains): Job {
    const job: Job = { id, rank, scheduled: from, cached: 0, computed: 0, received, output: 0 };
    held.set(id, job);
    gains.begun.push(job);
    return job;
  }

  function give(job: Job, tokens: number, { to }: Iteration, gains: Gains): void {
    gains.generated += tokens;
    if (job.output === 0) {
      job.firstToken = to;
      gains.firstTokens.push(job);
    }
    job.output += tokens;
  }

  /** From the engine that computed its prompt, with the first token: this one counts it among those that it gives to the client. */
  function takeOver(id: number, iteration: Iteration, received: number, gains: Gains): Job {
    const job = begin(id, iteration, received, gains);
    give(job, 1, iteration, gains);
    return job;
  }

  function prefilled(iteration: Iteration, { request, tokens, cached, recomputed, last }: Iteration['prefill'][number], gains: Gains): void {
    const job = held.get(request) ?? begin(request, iteration, 0, gains);
    if (job.output > 0) gains.again = { requests: gains.again.requests + 1, tokens: gains.again.tokens + tokens };
    else gains.context = { requests: gains.context.requests + 1, tokens: gains.context.tokens + tokens };
    job.cached += cached;
    job.computed += tokens - recomputed;
    gains.computed += tokens - recomputed;
    if (last) give(job, 1, iteration, gains);
  }

  return {
    step(iteration) {
      const gains: Gains = { begun: [], firstTokens: [], generated: 0, computed: 0, context: NONE, again: NONE };
      for (const chunk of iteration.prefill) prefilled(iteration, chunk, gains);
      for (const { request, tokens, context } of iteration.decode) give(held.get(request) ?? takeOver(request, iteration, context, gains), tokens, iteration, gains);
      const index = indexes.get(iteration.rank) ?? 0;
      indexes.set(iteration.rank, index + 1);
      const ended = iteration.ended.flatMap((id) => held.get(id) ?? []);
      const running = Math.max(0, iteration.running - ended.length);
      const freed = ended.reduce((sum, { cached, computed, received, output }) => sum + cached + computed + received + output, 0);
      // A prefill engine is done with a request when it has handed it over; it hears no more of it.
      if (pool === 'prefill') for (const { id } of ended) held.delete(id);
      return { ...gains, index, ended, running, kvTokens: running === 0 ? 0 : Math.max(0, iteration.kvTokens - freed) };
    },
    over({ id }) {
      const request = held.get(id);
      held.delete(id);
      return request;
    },
  };
}

interface Gains {
  readonly begun: Held[];
  readonly firstTokens: Held[];
  generated: number;
  computed: number;
  context: { readonly requests: number; readonly tokens: number };
  again: { readonly requests: number; readonly tokens: number };
}
const NONE = { requests: 0, tokens: 0 };
