/** One request inside the engine, and the KV cache that requests share, in blocks. */
import { seconds } from '@joulebook/shared/units.js';
import type { Arrival } from './arrivals.js';
import type { EngineOptions } from './scenario.js';
import type { SimulatedRequest } from './trace.js';

/**
 *   context  0 ···· cached ···· computed ···· needed       prefill: needed > computed
 *            0 ······························ computed = needed, one more per output token: decode
 */
export interface Job {
  readonly id: number;
  readonly stream: number;
  readonly arrival: number;
  /** When the client leaves, by the clock or by the tokens it has been given; Infinity: it stays. */
  readonly leavesAt: number;
  readonly leavesAfterTokens: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedTokens: number;
  scheduled?: number;
  firstToken?: number;
  /** Context that must be in the KV cache before the next output token can be sampled. */
  needed: number;
  /** Context that is in the KV cache. */
  computed: number;
  /** How far the prompt has ever been computed: what lies before is computed again after a preemption. */
  reached: number;
  generated: number;
  recomputed: number;
  preempted: number;
  blocks: number;
}

/** Cuts a request to what the engine can hold, so that one alone always runs to its end. */
export function jobOf(id: number, { at, stream, leaves, inputTokens, outputTokens, cachedPart }: Arrival, engine: EngineOptions, kvTokens: number): Job {
  const holds = Math.floor(kvTokens / engine.blockTokens) * engine.blockTokens - (engine.speculative?.tokens ?? 0);
  const longest = Math.max(2, Math.min(engine.maxLength, holds));
  const input = Math.min(inputTokens, longest - 1);
  const output = Math.min(outputTokens, longest - input);
  return {
    id,
    stream,
    arrival: at,
    leavesAt: leaves?.after === 'seconds' ? at + leaves.value : Infinity,
    leavesAfterTokens: leaves?.after === 'part' ? Math.floor(leaves.value * output) : Infinity,
    inputTokens: input,
    outputTokens: output,
    cachedTokens: Math.min(input - 1, Math.floor((cachedPart * input) / engine.blockTokens) * engine.blockTokens),
    needed: input,
    computed: 0,
    reached: 0,
    generated: 0,
    recomputed: 0,
    preempted: 0,
    blocks: 0,
  };
}

export const hasLeft = (job: Job, at: number): boolean => job.leavesAt <= at || job.generated >= job.leavesAfterTokens;

export function requestOf(job: Job, end: number, outcome: SimulatedRequest['outcome'], rank: number): SimulatedRequest {
  const began = job.scheduled !== undefined;
  return {
    id: job.id,
    arrival: seconds(job.arrival),
    ...(job.scheduled === undefined ? {} : { scheduled: seconds(job.scheduled) }),
    ...(job.firstToken === undefined ? {} : { firstToken: seconds(job.firstToken) }),
    end: seconds(end),
    inputTokens: job.inputTokens,
    cachedTokens: began ? job.cachedTokens : 0,
    computedTokens: began ? job.reached - job.cachedTokens : 0,
    recomputedTokens: job.recomputed,
    outputTokens: job.generated,
    outcome,
    preempted: job.preempted,
    rank,
  };
}

export class KvCache {
  readonly #blockTokens: number;
  #free: number;

  constructor(tokens: number, blockTokens: number) {
    this.#blockTokens = blockTokens;
    this.#free = Math.floor(tokens / blockTokens);
  }

  /**
   * Makes sure that the request has room for a context of so many tokens.
   * @param spare tokens that must stay free besides
   * @returns false, and nothing changes, when there is no room
   */
  grow(job: Job, context: number, spare = 0): boolean {
    const more = Math.ceil(context / this.#blockTokens) - job.blocks;
    if (more + Math.ceil(spare / this.#blockTokens) > this.#free) return false;
    if (more > 0) {
      job.blocks += more;
      this.#free -= more;
    }
    return true;
  }

  release(job: Job): void {
    this.#free += job.blocks;
    job.blocks = 0;
  }
}
