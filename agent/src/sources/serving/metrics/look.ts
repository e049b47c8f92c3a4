/** One look at cumulative counters and the gauges beside them: what a dialect reads from a page, and what windows are made of. */
import type { Outcome } from '@joulebook/shared/slice.js';
import type { Instant } from '@joulebook/shared/units.js';

/**
 * `prompt` is all input, the cached part included; `input` the computed part alone, where a counter says just that. An
 * outcome counts requests that ended so. The others tell work, and are not booked: prompt tokens computed (whatever the
 * tokens credit), first tokens, iterations that decoded, the time that sequences spent decoding, and the engine in each phase.
 */
export type Counted = Tokens | Outcome | Work;
type Tokens = 'prompt' | 'input' | 'cachedInput' | 'output';
/** Counted by their number, so that it can be told how many there may be. */
export const TOKENS: ReadonlySet<Counted> = new Set<Counted>(['prompt', 'input', 'output']);
export type Work = 'prefillTokens' | 'prompts' | 'decodeSteps' | 'sequenceSeconds' | 'prefillSeconds' | 'decodeSeconds';

export interface Counter {
  readonly counts: Counted;
  readonly value: number;
  readonly model?: string | undefined;
  /** Counters with the same text begin again together. */
  readonly process: string;
}

export interface Look {
  readonly at: Instant;
  /** By what tells one counter from another for ever: its name and labels. */
  readonly counters: ReadonlyMap<string, Counter>;
  /** Requests running or waiting, by model (undefined: not told apart); empty when there is no such gauge. */
  readonly busy: ReadonlyMap<string | undefined, number>;
  /** Requests running now, by model. */
  readonly running?: ReadonlyMap<string | undefined, number> | undefined;
  /** Of the KV cache, 0 to 1, by model. */
  readonly kvUsage?: ReadonlyMap<string | undefined, number> | undefined;
  /** Its prompt counters move when a request gives its first token, not when it is computed. */
  readonly credits?: 'firstToken' | undefined;
  readonly processStart?: number | undefined;
  /** Names of the samples on its page that can be no count, to be told. */
  readonly noCounts?: readonly string[];
}

/** NaN, infinity and less than zero count nothing. */
export const isCount = (value: number): boolean => Number.isFinite(value) && value >= 0;
