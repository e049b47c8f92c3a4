/**
 * What one line says of one iteration, whichever of the two engines printed it:
 *
 *     PyTorch   […] iter = 7, global_rank = 0, …, host_step_time = 7.4ms, …, states = {'num_ctx_requests': 1, …}
 *     C++       […] {"Active Request Count":2,…,"Iteration Counter":7,…,"Total Context Tokens":512,…}
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { Stamp } from './dialect.js';

export interface Report {
  /** Counts the iterations of one engine life. */
  readonly number: number;
  /** Iterations of several micro-batches may share a number. */
  readonly microBatch?: number | undefined;
  /** Undefined: the engine doesn't number its ranks. */
  readonly rank?: string | undefined;
  readonly stamp?: Stamp | undefined;
  /** Seconds from the end of the iteration before to the end of this one, as the host saw it; waiting for a request included. */
  readonly hostStep?: number | undefined;
  /** Seconds that the iteration before took on the device; what it waited for a request included. */
  readonly previousDevice?: number | undefined;
  /** Requests that were run; undefined: not told, then decoding is known by `generationTokens` alone. */
  readonly scheduled?: number | undefined;
  readonly context: Context;
  readonly generationTokens: number;
  /** `generationTokens` were rounded up to the batch size of a CUDA graph. */
  readonly padded: boolean;
  /** KV tokens in use before this iteration, or the blocks' worth of them. */
  readonly kvTokens?: number | undefined;
  /** 0 to 1. */
  readonly kvUsage?: number | undefined;
  readonly kvCacheTokens?: number | undefined;
  /** Requests that the engine holds. */
  readonly running?: number | undefined;
  /** Requests fetched since the start: by this rank, and by all. */
  readonly fetched?: { readonly here: number; readonly all: number } | undefined;
}

/** The prompts in an iteration. */
export interface Context {
  readonly requests: number;
  readonly tokens: number;
}

/** A line of the dialect that can't be used. */
export interface Flaw {
  readonly flaw: string;
}

/** A report and when its line was written: a moment, or the beginning of the second in which it lies. */
export interface TimedReport extends Report {
  readonly at: Instant;
  /** `at` was made up: several lines of one second, and nothing tells how long each took. */
  readonly spread?: true;
  /** The first of a chain: between which moments it was printed. */
  readonly begins?: { readonly earliest: number; readonly latest: number };
}

export interface Work {
  readonly prefills: number;
  readonly prefillTokens: number;
  readonly decodes: number;
}

/** @returns undefined where nothing ran: what the line says besides is then left over from the iteration before */
export function workOf({ scheduled, generationTokens }: Report, context: Context): Work | undefined {
  if (scheduled === 0 || (scheduled === undefined && generationTokens === 0 && context.requests === 0)) return undefined;
  return { prefills: context.requests, prefillTokens: context.tokens, decodes: scheduled === undefined ? generationTokens : Math.max(0, scheduled - context.requests) };
}
