/**
 * What one line of a vLLM log says. The message stands behind a header; other formats (a launcher's, a logging configuration
 * of one's own, the Rust front end) put something else in front, which is passed over when it can't be part of a prompt.
 *
 *     INFO 04-11 19:21:34 metrics.py:218] message                                 up to 0.7
 *     (APIServer pid=1) INFO 05-12 02:47:33 [loggers.py:111] message              since 0.8, a progress bar may be glued in front
 *     2025-05-13T13:47:39.069Z INFO metrics.log: message                          Rust tracing: Dynamo, the Rust front end
 *
 * Lines that hold a prompt or an answer are known by how their message begins, and are read no further.
 */
import type { Stamp } from './dialect.js';

/** Rates since the line before, and the scheduler as it stood when the line was written. */
export interface StatsLine {
  readonly says: 'stats';
  /** V0 counts a prompt where its chunks are computed, V1 when it gives its first token. */
  readonly generation: 'V0' | 'V1';
  /** Index of the engine (data-parallel rank); absent where the line speaks of all or of the only one. */
  readonly engine?: string;
  /** How many engines it sums up. */
  readonly engines: number;
  /** Tokens per second. */
  readonly promptRate: number;
  readonly generationRate: number;
  readonly running: number;
  /** Absent: the line was cut off before it. */
  readonly waiting?: number;
  /** 0 to 1. */
  readonly kvUsage?: number;
  readonly cacheHits: boolean;
}

/** V1: of the window of the statistics just before it. V0: totals since the start. */
export interface DraftsLine {
  readonly says: 'drafts';
  readonly of: 'window' | 'total';
  /** Times that a draft was made for a sequence. */
  readonly drafts: number;
  /** Mean tokens that a decoding sequence gained in a step. */
  readonly perStep?: number;
}

export interface IterationLine {
  readonly says: 'iteration';
  readonly engine?: string;
  readonly index: number;
  readonly contextRequests: number;
  /** Computed: cache hits are not in it. */
  readonly contextTokens: number;
  readonly generationRequests: number;
  /** Scheduled: with the drafts, and with what a preempted request computes again. */
  readonly generationTokens: number;
  readonly elapsed?: number;
  /** Ran so that other ranks could: no request of this one. */
  readonly dummy: boolean;
  readonly kvUsage?: number;
  readonly kvTokens?: number;
}

export type VllmLine =
  | StatsLine
  | DraftsLine
  | IterationLine
  | { readonly says: 'started'; readonly version: string }
  /** Of the start of the server, towards its end. */
  | { readonly says: 'starting' }
  | { readonly says: 'kvSize'; readonly tokens: number }
  | { readonly says: 'kvBlocks'; readonly blocks: number }
  | { readonly says: 'blockSize'; readonly tokens: number }
  | { readonly says: 'chunk'; readonly tokens: number }
  | { readonly says: 'arrived' }
  | { readonly says: 'ended'; readonly outcome: 'ok' | 'aborted'; readonly requests: number }
  /** It should be one of the above, and is cut off or of an unknown form. */
  | { readonly says: 'broken'; readonly what: string };

export interface Message {
  readonly text: string;
  readonly stamp?: Stamp;
}

const HEADER = /(?:DEBUG|INFO|WARNING|ERROR) (\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) (?:\[[^\]\s]+:\d+\]|[\w./-]+:\d+\]) ?/;
/** Quotes, braces and backslashes stand in prompts and in their wrappings, never in what a logger puts in front. */
const OTHER_FRONT = /^([^"'{}\\]{0,160}?)((?:Engine \d+: |\d+ Engines Aggregated: )?(?:Avg prompt (?:throughput|tput): |SpecDecoding metrics: |Speculative metrics: |Iteration\(\d+\)).*)$/s;
const ISO_STAMP = /(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:(Z)|([+-])(\d\d):?(\d\d))?/;
/** `Received request x: prompt: '…'`, `Generated response x: output: '…'`, `response_body=…`; a launcher may log the same behind a front of its own. */
const PRIVATE = /Received request|Generated response|response_body|request_body/;

/** @returns undefined for a line that is of no interest, and for one that holds a prompt or an answer */
export function messageOf(line: string): Message | undefined {
  const header = HEADER.exec(line);
  if (header) {
    const text = line.slice(header.index + header[0].length).trimEnd();
    const [, month, day, hour, minute, second] = header.map(Number);
    return { text, stamp: { month, day, hour: hour ?? 0, minute: minute ?? 0, second: second ?? 0 } };
  }
  const [, front, text] = OTHER_FRONT.exec(line) ?? [];
  if (front === undefined || text === undefined || PRIVATE.test(front)) return undefined;
  const stamp = isoStamp(front);
  return { text: text.trimEnd(), ...(stamp && { stamp }) };
}

function isoStamp(front: string): Stamp | undefined {
  const [match, year, month, day, hour, minute, second, fraction, utc, sign, zoneHours, zoneMinutes] = ISO_STAMP.exec(front) ?? [];
  if (match === undefined) return undefined;
  const east = (Number(zoneHours) * 60 + Number(zoneMinutes)) * (sign === '-' ? -1 : 1);
  const zone = utc === undefined ? (sign === undefined ? undefined : east) : ('utc' as const);
  return { year: Number(year), month: Number(month), day: Number(day), hour: Number(hour), minute: Number(minute), second: Number(`${second}.${fraction ?? '0'}`), zone };
}

/** @returns undefined when the message tells nothing that matters */
export function vllmLine({ text }: Message): VllmLine | undefined {
  if (PRIVATE.test(text.slice(0, 40))) return text.startsWith('Received request') ? { says: 'arrived' } : undefined;
  for (const [starts, read] of READERS) if (starts.test(text)) return read(text);
  return undefined;
}

const READERS: readonly (readonly [RegExp, (text: string) => VllmLine | undefined])[] = [
  [/^(?:Engine \d+: |\d+ Engines Aggregated: )?Avg prompt /, (text) => statsLine(text) ?? { says: 'broken', what: 'a line of statistics that is cut off or of an unknown form' }],
  [/^(?:Engine \d+: )?Iteration\(/, (text) => iterationLine(text) ?? { says: 'broken', what: 'an iteration line that is cut off or of an unknown form' }],
  [/^SpecDecoding metrics: /, windowDrafts],
  [/^Speculative metrics: /, totalDrafts],
  [/^(?:vLLM API server version|Initializing an? (?:V[01] )?LLM engine) /, (text) => found(/version (\d\S*)|\(v(\d[^)]*)\)/, text, (version) => ({ says: 'started', version }))],
  [/^GPU KV cache size: /, (text) => found(/size: ([\d,]+) tokens/, text, (size) => ({ says: 'kvSize', tokens: Number(size.replaceAll(',', '')) }))],
  [/^# (?:GPU|cuda) blocks: /, (text) => found(/blocks: (\d+),/, text, (blocks) => ({ says: 'kvBlocks', blocks: Number(blocks) }))],
  [/^args: |^Namespace\(/, (text) => found(/\bblock_size=(\d+)\b/, text, (size) => ({ says: 'blockSize', tokens: Number(size) }))],
  [/^Chunked prefill is enabled with /, (text) => found(/max_num_batched_tokens=(\d+)\b/, text, (size) => ({ says: 'chunk', tokens: Number(size) }))],
  [/^Starting vLLM (?:API )?server |^Available routes are:|^Route: \/|^Application startup complete/, () => ({ says: 'starting' })],
  [/^Added request /, () => ({ says: 'arrived' })],
  [/^Finished request /, () => ({ says: 'ended', outcome: 'ok', requests: 1 })],
  [/^Aborted request(?:\(s\))? |^Request \S+ aborted\./, (text) => ({ says: 'ended', outcome: 'aborted', requests: text.startsWith('Aborted request(s)') ? text.split(',').length : 1 })],
];

function found(pattern: RegExp, text: string, said: (value: string) => VllmLine): VllmLine | undefined {
  const [, first, second] = pattern.exec(text) ?? [];
  const value = first ?? second;
  return value === undefined ? undefined : said(value);
}

/** A number that ends in a comma or a unit was not cut off in its middle. */
const STATS = /^(?:Engine (\d+): |(\d+) Engines Aggregated: )?Avg prompt (?:throughput|tput): (\d+\.\d+) tok(?:en)?s\/s, Avg generation (?:throughput|tput): (\d+\.\d+) tok(?:en)?s\/s, (?:Reqs )?Running: (\d+)(?: reqs)?, (.*)$/s;
const QUEUES = /\b(Waiting|Pending|Swapped|Deferred): (\d+)(?: reqs|,)/g;

function statsLine(text: string): StatsLine | undefined {
  const [match, engine, engines, prompt, generation, running, rest = ''] = STATS.exec(text) ?? [];
  if (match === undefined) return undefined;
  const queues = new Map([...rest.matchAll(QUEUES)].map(([, name = '', count]) => [name, Number(count)]));
  const waiting = queues.get('Waiting') ?? queues.get('Pending');
  const kvUsage = percent(/GPU KV cache us(?:age|ed): (\d+\.\d+)%/, rest);
  return {
    says: 'stats',
    generation: queues.has('Pending') || queues.has('Swapped') ? 'V0' : 'V1',
    ...(engine !== undefined && { engine: String(Number(engine)) }),
    engines: Number(engines ?? 1),
    promptRate: Number(prompt),
    generationRate: Number(generation),
    running: Number(running),
    ...(waiting !== undefined && { waiting: waiting + (queues.get('Swapped') ?? 0) + (queues.get('Deferred') ?? 0) }),
    ...(kvUsage !== undefined && { kvUsage }),
    cacheHits: (percent(/Prefix cache hit rate: (\d+\.\d+)%/, rest) ?? 0) > 0,
  };
}

const ITERATION = /^(?:Engine (\d+): )?Iteration\((\d+)\)(?: \[([^\]]*)\])?: (\d+) context requests, (\d+) context tokens, (\d+) generation requests, (\d+) generation tokens(?:, iteration elapsed time: (\d+\.\d+) ms)?(.*)$/s;

function iterationLine(text: string): IterationLine | undefined {
  const [match, engine, index, tag = '', contextRequests, contextTokens, generationRequests, generationTokens, elapsed, rest = ''] = ITERATION.exec(text) ?? [];
  if (match === undefined) return undefined;
  const kvUsage = percent(/(?:KV cache usage|kv cache): (\d+\.\d+)%/, rest);
  const [, kvTokens] = /kv cache: [^)]*, (\d+) tokens\)/.exec(rest) ?? [];
  return {
    says: 'iteration',
    ...(engine !== undefined && { engine: String(Number(engine)) }),
    index: Number(index),
    contextRequests: Number(contextRequests),
    contextTokens: Number(contextTokens),
    generationRequests: Number(generationRequests),
    generationTokens: Number(generationTokens),
    ...(elapsed !== undefined && { elapsed: Number(elapsed) / 1000 }),
    dummy: tag === 'dp-idle' || /[([]dummy[)\]]/i.test(rest),
    ...(kvUsage !== undefined && { kvUsage }),
    ...(kvTokens !== undefined && { kvTokens: Number(kvTokens) }),
  };
}

/** A draft holds as many tokens as there are positions; the Rust front end does not list them, but the mean length says as much. */
function windowDrafts(text: string): DraftsLine | undefined {
  const [, accepted] = /Accepted: (\d+) tokens/.exec(text) ?? [];
  const [, drafted] = /Drafted: (\d+) tokens/.exec(text) ?? [];
  const [, length] = /Mean acceptance length: (\d+\.\d+)/.exec(text) ?? [];
  const positions = /Per-position acceptance rate: ([\d., ]+), Avg/.exec(text)?.[1]?.split(',').length;
  if (accepted === undefined || drafted === undefined || length === undefined) return undefined;
  const drafts = positions === undefined ? Number(accepted) / (Number(length) - 1) : Number(drafted) / positions;
  return Number.isFinite(drafts) && drafts > 0 ? { says: 'drafts', of: 'window', drafts, perStep: 1 + Number(accepted) / drafts } : undefined;
}

function totalDrafts(text: string): DraftsLine | undefined {
  const [, perDraft] = /Number of speculative tokens: (\d+)/.exec(text) ?? [];
  const [, drafted] = /Number of draft tokens(?: tokens)?: (\d+)/.exec(text) ?? [];
  const drafts = Number(drafted) / Number(perDraft);
  return Number.isFinite(drafts) ? { says: 'drafts', of: 'total', drafts } : undefined;
}

function percent(pattern: RegExp, text: string): number | undefined {
  const [, value] = pattern.exec(text) ?? [];
  return value === undefined ? undefined : Number(value) / 100;
}
