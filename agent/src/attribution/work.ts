/**
 * What ran, told as rates of work. Evidence of every kind is brought to this one form; the power model says what it draws.
 *
 *     iteration of 40 ms: 1500 prompt tokens and 20 decoding sequences
 *     ran      per second: busy 1, iterations 25, prompt tokens 37 500, decoded 500
 *     prefill  alone it would have taken 33 ms: busy 0.825, iterations 25, prompt tokens 37 500
 *     decode   alone it would have taken 11 ms: busy 0.275, iterations 25, decoded 500
 */
import type { Instant } from '@joulebook/shared/units.js';

/** Work per second. */
export interface Load {
  /** Part of the time that an engine is at work. */
  readonly busy: number;
  readonly iterations: number;
  readonly promptTokens: number;
  /** Steps of single sequences. */
  readonly decoded: number;
  /** KV tokens read for them. */
  readonly kvTokens: number;
}

export interface Work {
  /** As it ran, both phases together. */
  readonly ran: Load;
  /** As each phase's work would have been alone; undefined: none of it. */
  readonly prefill: Load | undefined;
  readonly decode: Load | undefined;
  /**
   * How prefill and decode shared the time. `iteration`: both ran in the same iterations, which are divided by what each
   * would draw above idle. `turns`: iterations of one kind alternated with those of the other.
   */
  readonly mixing: 'iteration' | 'turns';
}

export type State = 'work' | 'active' | 'idle' | 'unknown';

/** A piece of time in which nothing changed, as far as the evidence tells. */
export interface Stretch {
  readonly from: Instant;
  readonly to: Instant;
  readonly state: State;
  /** Of each engine or rank that ran; empty unless the state is `work`. */
  readonly work: readonly Work[];
  /** By how much the ratio of prefill to decode in what is divided by a model may be off (95 %, relative). */
  readonly doubt: number;
  /** Whose work it was, where requests are told and asked for. */
  readonly who?: Who;
  /** Until here nothing tells when which ran: the stretches up to then are laid out in some order, and are one to measuring. */
  readonly groupEnd?: Instant;
  /** Counts of such a group whose work is not known as time. */
  readonly window?: Counts;
}

export interface Who {
  readonly prefill: readonly Part[];
  readonly decode: readonly Part[];
}

/** A request and its part of a phase; weights need not add up to 1. */
export interface Part {
  readonly request: RequestRef;
  readonly weight: number;
}

/** One request; known by identity. */
export interface RequestRef {
  readonly id: string;
  /** Requests running at a time while it ran, itself included; known once it has ended. */
  concurrency?: number;
}

/** What counters tell of a window: work done in it, and how long it was. */
export interface Counts {
  readonly from: Instant;
  readonly to: Instant;
  /** Computed in the window. */
  readonly prefillTokens: number;
  readonly decodeTokens: number;
  readonly decodeSteps: number;
  /** The steps were counted by the engine, or the time that sequences decoded. */
  readonly counted: boolean;
  /** Time that sequences ran, summed over them, as well as it is known; absent where one end of the window was not seen. */
  readonly sequenceSeconds?: number | undefined;
  /** Mean use of the KV cache, 0 to 1; 0 where it is not told. */
  readonly kvUsage: number;
  /** Engines that the counts are of. */
  readonly ranks: number;
  /** Requests ran at both ends of so short a time that somebody ran all of it. */
  readonly wholly: boolean;
  /** Prompts may have been computed again, uncounted. */
  readonly recomputes: boolean;
  /** Seconds of engine time in each phase, where it is told. */
  readonly phaseSeconds?: { readonly prefill: number; readonly decode: number } | undefined;
}

/**
 * How well a kind of evidence lets the model divide, beyond what the fit itself says of its error; found on the simulated
 * scenarios for tuning (`npm run bench -- attribution --tuning`), in nine of ten of which the truth lies inside.
 */
export const DOUBT = { steps: 0.07, requests: 0.12, windows: 0.16, looks: 0.26 } as const;

export const NO_LOAD: Load = { busy: 0, iterations: 0, promptTokens: 0, decoded: 0, kvTokens: 0 };
const BUSY: Load = { ...NO_LOAD, busy: 1 };

export const prefillOnly = (load: Load = BUSY): Work => ({ ran: load, prefill: load, decode: undefined, mixing: 'iteration' });
export const decodeOnly = (load: Load = BUSY): Work => ({ ran: load, prefill: undefined, decode: load, mixing: 'iteration' });

export const plus = (one: Load, other: Load): Load => ({
  busy: one.busy + other.busy,
  iterations: one.iterations + other.iterations,
  promptTokens: one.promptTokens + other.promptTokens,
  decoded: one.decoded + other.decoded,
  kvTokens: one.kvTokens + other.kvTokens,
});

export const times = (load: Load, factor: number): Load => ({
  busy: load.busy * factor,
  iterations: load.iterations * factor,
  promptTokens: load.promptTokens * factor,
  decoded: load.decoded * factor,
  kvTokens: load.kvTokens * factor,
});
