/**
 * What a simulation hands on: what the engine did (iterations, requests), what the boards drew, and the truth about it.
 * Times are seconds since the start of the simulation.
 *
 *   rank 0   ▕■■■ p 2048, d 12 ■■▏·▕■ d 13 ■▏·▕■ d 13 ■▏                    ▕■■ p 700 ■■▏
 *            from             to ↑gap: of the iteration before             ↑ scheduled
 *                                                       └─ nobody runs: idle ─┘
 */
import type { Joules, Seconds, Watts } from '@joulebook/shared/units.js';
import type { Scenario } from './scenario.js';

/** Which pool of GPUs runs an iteration; `serve` does both phases. */
export type Pool = 'serve' | 'prefill' | 'decode';

/** Prompt tokens of one request computed in one iteration. */
export interface Chunk {
  readonly request: number;
  readonly tokens: number;
  /** Tokens of this request already in the KV cache: earlier chunks and what the prefix cache had. */
  readonly contextBefore: number;
  /** Found in the prefix cache; told with the first chunk only, else 0. */
  readonly cached: number;
  /** Of `tokens`, those that are no new prompt tokens: after a preemption prompt and output are computed again. */
  readonly recomputed: number;
  /** Nothing is left to compute: this iteration gives one output token for it, the first one unless it had been preempted. */
  readonly last: boolean;
}

/** One sequence that decodes in one iteration. */
export interface DecodeStep {
  readonly request: number;
  /** Output tokens gained: 1, or more with speculative decoding. */
  readonly tokens: number;
  /** KV tokens read for it. */
  readonly context: number;
}

export interface Iteration {
  readonly from: Seconds;
  readonly to: Seconds;
  /** Data-parallel rank within its pool. */
  readonly rank: number;
  readonly pool: Pool;
  readonly prefill: readonly Chunk[];
  readonly decode: readonly DecodeStep[];
  /** KV tokens held by running requests when it ends, before those that end with it let go. */
  readonly kvTokens: number;
  /** Requests that hold a place in the batch while it runs, whether or not they get work in this iteration. */
  readonly running: number;
  /** Requests left waiting after it was scheduled. */
  readonly waiting: number;
  /** Requests that ended with it; in a prefill pool: handed over. */
  readonly ended: readonly number[];
}

export interface SimulatedRequest {
  readonly id: number;
  readonly arrival: Seconds;
  /** Start of the first iteration with work for it; absent when it was aborted before. */
  readonly scheduled?: Seconds;
  /** End of the iteration that gave the first token. */
  readonly firstToken?: Seconds;
  readonly end: Seconds;
  /** The whole prompt. */
  readonly inputTokens: number;
  /** Of the prompt, what the prefix cache had. */
  readonly cachedTokens: number;
  /** Of the prompt, what was computed (once); input − cached unless aborted before. */
  readonly computedTokens: number;
  /** Prompt and output tokens computed again after a preemption. */
  readonly recomputedTokens: number;
  readonly outputTokens: number;
  readonly outcome: 'ok' | 'aborted';
  readonly preempted: number;
  /** Which rank of the `serve` (or `decode`, else `prefill`) pool had it last. */
  readonly rank: number;
}

/** True power of one device over time: piecewise linear, so that every integral is exact. */
export interface PowerTrace {
  readonly device: string;
  /** Known in [start, until]; asking outside throws a RangeError. */
  readonly start: Seconds;
  readonly until: Seconds;
  wattsAt(at: Seconds): Watts;
  /** Energy since second 0. Two calls give the exact energy between two moments, and so every average. */
  joulesUntil(at: Seconds): Joules;
  /** Gives the memory before this moment back, for runs that are read while they are made. */
  forget(before: Seconds): void;
}

export interface Gpu {
  /** e.g. `GPU-0`. */
  readonly name: string;
  readonly index: number;
  readonly pool: Pool;
  readonly rank: number;
}

/** All true power of one server. */
export interface ServerPower {
  /** One for each of `gpus`, in its order. */
  readonly gpus: readonly PowerTrace[];
  readonly cpu: PowerTrace;
  /** Everything behind the power supply, its losses and fans included: GPUs, CPU, memory, boards. */
  readonly server: PowerTrace;
}

export interface PhaseJoules {
  readonly prefill: Joules;
  readonly decode: Joules;
  readonly idle: Joules;
}

export interface RequestTruth {
  readonly id: number;
  /** Of all GPUs that worked on it. */
  readonly prefill: Joules;
  readonly decode: Joules;
}

export interface TokenTruth {
  /** Prompt tokens computed for the first time. */
  readonly input: number;
  readonly cachedInput: number;
  readonly output: number;
  /** Computed again after preemptions: in no other count. */
  readonly recomputed: number;
}

/** What is true of a run; how it is defined stands in truth.ts. */
export interface Truth {
  readonly duration: Seconds;
  readonly total: PhaseJoules;
  readonly devices: readonly ({ readonly device: string; readonly joules: Joules; readonly idleSeconds: Seconds } & PhaseJoules)[];
  readonly cpu: Joules;
  readonly server: Joules;
  /** Of the GPUs' energy, the part drawn while nobody ran. */
  readonly idleShare: number;
  /** Of the energy that is not idle, the part of iterations with both phases in them. */
  readonly mixedShare: number;
  readonly iterations: number;
  readonly tokens: TokenTruth;
  /** From arrival to first token and from there to the end, summed over requests: what a division by time would go by. */
  readonly requestSeconds: { readonly prefill: Seconds; readonly decode: Seconds };
  readonly requests: readonly RequestTruth[];
}

/** A finished simulation, whole in memory. */
export interface Simulation {
  readonly scenario: Scenario;
  readonly gpus: readonly Gpu[];
  /** By `from`. */
  readonly iterations: readonly Iteration[];
  /** By arrival. */
  readonly requests: readonly SimulatedRequest[];
  readonly power: ServerPower;
  readonly truth: Truth;
}

/** What a run tells while it is made, iterations by `from`, requests when they end. */
export type Happening = { readonly kind: 'iteration'; readonly iteration: Iteration } | { readonly kind: 'request'; readonly request: SimulatedRequest };

/**
 * A simulation that is read while it is made, for runs too long for memory: take happenings one by one; `power` is known up to
 * the lowest `until` of its traces, and `forget` keeps it small. `truth` may be asked after the last happening.
 */
export interface Run {
  readonly scenario: Scenario;
  readonly gpus: readonly Gpu[];
  readonly power: ServerPower;
  readonly happenings: Generator<Happening, void, undefined>;
  truth(): Truth;
}
