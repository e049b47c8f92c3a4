/**
 * What ran, told as time: how many seconds of prefill and of decode work, each as long as it would last alone, were done
 * per second. Evidence of every kind is brought to this one form; the power model then says what a second of each draws.
 *
 *     iteration of 40 ms: 1500 prompt tokens (alone 33 ms) with 20 decoding sequences (alone 11 ms)
 *     → prefill 0.825, decode 0.275, sequences 20, mixing 'iteration'
 */
import type { Instant } from '@joulebook/shared/units.js';

/** Rates over the time it is on. */
export interface Work {
  /** Seconds of prefill work per second, as long as it would take alone. */
  readonly prefill: number;
  readonly decode: number;
  /** Sequences decoding at a time. */
  readonly sequences: number;
  /** Share of the time in which nobody ran, where it is known how much but not when. */
  readonly idle: number;
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
  /** Counts over a window that is part of the state `work`; nothing tells when in it which ran. */
  readonly window?: Counts;
}

/** What counters tell of a window: work done in it, and how long it was. */
export interface Counts {
  readonly from: Instant;
  readonly to: Instant;
  /** Computed in the window. */
  readonly prefillTokens: number;
  readonly decodeTokens: number;
  readonly decodeSteps: number;
  /** Seconds of engine time in each phase, where it is told. */
  readonly phaseSeconds?: { readonly prefill: number; readonly decode: number } | undefined;
}

export const prefillOnly: Work = { prefill: 1, decode: 0, sequences: 0, idle: 0, mixing: 'iteration' };
export const decodeOnly = (sequences: number): Work => ({ prefill: 0, decode: 1, sequences, idle: 0, mixing: 'iteration' });
