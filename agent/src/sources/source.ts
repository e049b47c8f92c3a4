/**
 * What a plugin meets. A power source finds channels and says what they read; a serving source says what an
 * engine was doing (evidence) and how many tokens it moved. A source exists live, recorded, or both; both share
 * the code that understands the format.
 */
import type { Boundary, Outcome, Phase } from '@joulebook/shared/slice.js';
import type { Instant, Seconds, Tokens, Watts } from '@joulebook/shared/units.js';

/** How far a sensor can be believed: what its maker, a reference or a probe says of it. */
export interface Sensor {
  /** True energy lies between reading × (1 + low) and reading × (1 + high). */
  readonly gain: { readonly low: number; readonly high: number };
  /** A power reading is the mean of so long before it; 0 or absent: a moment, or not known. A counter has none. */
  readonly averagedOver?: Seconds;
  /** How often the shown value changes; reading faster gives repeats. */
  readonly refresh?: Seconds;
  /** How long what happens takes to show, beyond what averaging blurs. */
  readonly delay?: Seconds;
}

/** One measured quantity of one physical device. */
export interface Channel {
  /** Unique within an agent, e.g. `nvidia-smi/GPU-1f…/power.draw`. */
  readonly id: string;
  /** UUID or serial where the sensor says it, else what the configuration calls it. */
  readonly device: string;
  /** The host's own number for the device, where it has one: configuration may name devices by it. */
  readonly index?: number;
  readonly boundary: Boundary;
  readonly source: string;
  readonly measures: 'counter' | 'power';
  /** How often it is read, where that is less often than the source's period says. */
  readonly period?: Seconds;
  readonly sensor: Sensor;
  /** `check`: it says the same thing as another channel of its source in a worse way, and is never booked. */
  readonly use?: 'check';
  /** Of a meter: the nodes that it reads for; absent: its own. */
  readonly contains?: readonly string[];
}

export type Reading = {
  readonly kind: 'reading';
  readonly channel: Channel;
  readonly at: Instant;
} & (
  | { readonly measures: 'power'; readonly power: Watts }
  /** A cumulative counter, exact; `wrapsAt` when it starts again at 0 above a known value. A decrease without it is a new epoch. */
  | { readonly measures: 'counter'; readonly total: bigint; readonly wrapsAt?: bigint }
);

/** What a source says besides readings. */
export type PowerEvent =
  | Reading
  /** Nothing may be integrated across this moment on these channels: the sensor was restarted or lost. */
  | { readonly kind: 'break'; readonly channels: readonly Channel[]; readonly at: Instant; readonly reason: string }
  | { readonly kind: 'gauge'; readonly device: string; readonly gauge: string; readonly value: number; readonly at: Instant }
  | Flagged;

/** Something a person must know about the input; counted, shown, never silently dropped. */
export interface Flagged {
  readonly kind: 'flagged';
  readonly code: string;
  /** Names file and line, or the sensor, and says what to do. */
  readonly detail: string;
  readonly count: number;
  readonly device?: string;
}

/** One that is about some time, or a moment: in a window of a recording that lies apart from it, it is not told. */
export interface FlaggedDuring extends Flagged {
  readonly during: { readonly from: Instant; readonly to: Instant };
}

/** Token counts absent when the source does not say them; never 0 for unknown. */
export interface TokenCounts {
  /** Computed input where `cachedInput` is known; else all input the source speaks of. */
  readonly input?: Tokens;
  readonly cachedInput?: Tokens;
  readonly output?: Tokens;
}

/** One request, from its arrival at the engine to its last token. Without `firstToken` nothing tells its prefill from its decode. */
export interface RequestEvidence {
  readonly kind: 'request';
  readonly id: string;
  /** Of its file, for messages, where the id does not tell. */
  readonly line?: number;
  readonly start: Instant;
  /** When the engine began to work on it; absent: not told, it may have waited in a queue since `start`. */
  readonly scheduled?: Instant;
  readonly firstToken?: Instant;
  readonly end: Instant;
  readonly tokens: TokenCounts;
  readonly outcome: Outcome;
  readonly model?: string;
  readonly tenant?: string;
}

/** One iteration of an engine, or a run of like ones: which work ran, and when. The most precise evidence there is. */
export interface StepsEvidence {
  readonly kind: 'steps';
  readonly from: Instant;
  readonly to: Instant;
  /** Engine iterations in it; may be a fraction where a run of them was cut. */
  readonly steps: number;
  /** Prompt tokens computed in it (cache hits excluded) and the sequences they belong to, summed over the iterations. */
  readonly prefillTokens: number;
  readonly prefills: number;
  /** Sequences that decoded, summed over the iterations (20 sequences in 40 iterations: 800), and the tokens they yielded. */
  readonly decodes: number;
  readonly decodeTokens: number;
  /** KV tokens in use while it ran, of all sequences, where the engine says it. */
  readonly kvTokens?: number;
  /** What of it is booked as tokens. */
  readonly tokens: TokenCounts;
  /** The engine or data-parallel rank that ran it: iterations of different ranks may overlap. */
  readonly rank?: string;
  /**
   * How well the moments are known where stamps are coarser than iterations: `placed` to some hundredths of a second, since
   * what the iterations do tells how long each took; `inferred`: the order is known, and of the moments no more than the stamps say.
   */
  readonly timing: 'exact' | 'placed' | 'inferred';
  readonly model?: string;
}

/** What happened between two looks at cumulative counters, or between two lines of statistics. */
export interface WindowEvidence {
  readonly kind: 'window';
  readonly from: Instant;
  readonly to: Instant;
  readonly tokens: TokenCounts;
  /**
   * The input is told when its requests give their first token, which lies in this window; it was computed before, maybe
   * in earlier windows. Absent: the input was computed in this window.
   */
  readonly credits?: 'firstToken';
  /** Highest number of requests running or waiting seen at either end; absent when the source has no such gauge. */
  readonly busy?: number;
  /** Requests running at its end. */
  readonly running?: number;
  /** KV tokens in use at its end, where the source says the size of the cache. */
  readonly kvTokens?: number;
  /** Of the KV cache, 0 to 1, at its end. */
  readonly kvUsage?: number;
  /** How many engines it sums up, each on GPUs of its own; absent: one. */
  readonly engines?: number;
  /** Engine iterations in the window that decoded, where the source tells. */
  readonly decodeSteps?: number;
  /** Requests that gave their first token in the window. */
  readonly prompts?: number;
  /** Time that sequences spent decoding, summed over them: 20 sequences for 10 s are 200. */
  readonly sequenceSeconds?: number;
  /** Prompt tokens computed in the window, where a counter of work says so whatever `tokens` credits. */
  readonly prefillTokens?: number;
  /** Time in the window that the engine spent in each phase, where it says so. */
  readonly phaseSeconds?: { readonly prefill: number; readonly decode: number };
  /** Engine or data-parallel rank. */
  readonly rank?: string;
  /** Set when it is known that requests were running throughout, e.g. a benchmark's own run. */
  readonly saturated?: boolean;
  readonly model?: string;
  /** Requests that ended in the window, by outcome. */
  readonly requests?: Partial<Record<Outcome, number>>;
}

/** The source states that no request ran here. */
export interface IdleEvidence {
  readonly kind: 'idle';
  readonly from: Instant;
  readonly to: Instant;
  readonly rank?: string;
}

/** The evidence is not whole here: idle can't be claimed. */
export interface HoleEvidence {
  readonly kind: 'hole';
  readonly from: Instant;
  readonly to: Instant;
  readonly reason: string;
}

export type Evidence = RequestEvidence | StepsEvidence | WindowEvidence | IdleEvidence | HoleEvidence;

/** What an engine says of itself once, at its start. */
export interface EngineFacts {
  readonly kind: 'engine';
  readonly at: Instant;
  /** Most prompt tokens in one iteration (chunked prefill). */
  readonly chunkTokens?: number;
  readonly kvCacheTokens?: number;
  readonly version?: string;
}

export type ServingEvent =
  | Evidence
  | EngineFacts
  | { readonly kind: 'gauge'; readonly gauge: string; readonly value: number; readonly at: Instant; readonly model?: string }
  /** Everything before this moment has been said; later evidence about it is late. */
  | { readonly kind: 'watermark'; readonly at: Instant }
  | Flagged;

/** Role of a pool in disaggregated serving: tells the phase of whatever runs there. */
export type Role = Extract<Phase, 'prefill' | 'decode'>;

/** The clock and the ways out of the process that a live source may use; tests pass their own. */
export interface LiveContext {
  /** The slice clock. */
  readonly now: () => Instant;
  readonly environment: NodeJS.ProcessEnv;
  /** What reading costs: how long one read of a source took, and ticks it missed. */
  readonly bill: { read(source: string, took: Seconds): void; missed(source: string, ticks: number): void };
  readonly signal: AbortSignal;
  readonly log: { info(message: string, fields?: object): void; warn(message: string, fields?: object): void };
}

/** Live power: an endless stream that ends when the signal aborts. It restarts its own sensor and says so by a `break`. */
export interface LivePower {
  /** What it reads, for people: `nvidia-smi every 200 ms`. */
  readonly description: string;
  /** The longest normal time between two readings of a channel; a gap is more than max(5 × this, 1 s). */
  readonly period: Seconds;
  events(context: LiveContext): AsyncIterable<PowerEvent>;
}

export interface LiveServing {
  readonly description: string;
  /** Every request is told: between two watermarks, nobody running means idle. */
  readonly tellsRequests?: boolean;
  events(context: LiveContext): AsyncIterable<ServingEvent>;
  /** A short look, for a person. Absent: a look would take away what measuring needs. */
  examine?(context: LiveContext): Promise<Examination>;
}

/** Whether a source can be read, and what to know or to do. */
export interface Examination {
  readonly ok: boolean;
  readonly notes: readonly string[];
}

/** A finished file: parsed as often as asked, always the same. Lines that can't be used are counted as `flagged`. */
export interface RecordedPower {
  readonly description: string;
  events(): AsyncIterable<PowerEvent>;
}

export interface RecordedServing {
  readonly description: string;
  /** Its evidence comes in the order in which it ended, as a log is written: it need not be held in memory. */
  readonly ordered?: boolean;
  events(): AsyncIterable<ServingEvent>;
}
