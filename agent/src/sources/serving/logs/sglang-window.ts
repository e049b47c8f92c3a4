/**
 * What an engine did from one Decode line to the next. A Decode line stands for a fixed number of decode iterations (40), of
 * which nobody says when they ran; the Prefill lines between say when the others did, and whether anybody was running:
 *
 *     Decode ├──20 steps──┤        idle        ├Prefill┤─8 steps─├Prefill┤──12 steps──┤ Decode
 *              left over    "#running-req: 0" ─┘         nobody waits: decoding
 *
 * Between prefills of a busy engine there is decoding. Before a Prefill line with nobody running the last requests ended
 * some steps after the line before, and then it was idle: how many steps is left over when the others are placed.
 */
import type { DecodeLine, PrefillLine } from './sglang-line.js';
import type { Pace } from './sglang-pace.js';
import type { Counted } from './sglang-tokens.js';

export interface Mark {
  readonly at: number;
  readonly fine: boolean;
  /** What its stamp allows. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** `ready`: the server says that it has started, and nobody runs. */
  readonly line: PrefillLine | 'ready';
}

export interface Window {
  /** Everything before was said; undefined at the begin of a log. */
  readonly from: number | undefined;
  readonly fine: boolean;
  /** Sequences that were decoding at its begin, and the tokens of each in a step. */
  readonly running: number;
  /** The most of them that a line has said since nobody ran, up to its begin: more than run now, and some have ended before the others. */
  readonly most: number;
  readonly acceptLength: number;
  /** At its begin the engine is known to be idle. */
  readonly idle: boolean;
  readonly marks: readonly Mark[];
  readonly end:
    | { readonly kind: 'decode'; readonly at: number; readonly fine: boolean; readonly line: DecodeLine; readonly counted: Counted | undefined }
    /** A prefill that begins there is told later. */
    | { readonly kind: 'prefill'; readonly at: number; readonly fine: boolean; readonly line: PrefillLine }
    /** Nothing was printed for longer than any work could last without a line; `stalled`: though requests waited. */
    | { readonly kind: 'silence'; readonly at: number; readonly fine: true; readonly stalled: boolean }
    | undefined;
  /** Decode steps of the next Decode line that have been told before. */
  readonly told: number;
  /** KV tokens are counted by the page: they don't tell tokens. */
  readonly pages: boolean;
  /** Requests come without a Prefill line (a decode node): between two Decode lines it may have been idle. */
  readonly decodesAlone: boolean;
}

/** The steps that the next Decode line stands for, without those told before. */
export const owedOf = ({ told }: Window, { interval }: Pace): number => Math.max(interval - told, 0);

/** Those that decoded from one Decode line to the next; between lines that say how many they change evenly. */
export function sequencesIn({ from, running, marks }: Pick<Window, 'from' | 'running' | 'marks'>, end: { readonly at: number; readonly line: DecodeLine }): { readonly mean: number; readonly fewest: number; readonly most: number } {
  let before = { at: from ?? end.at, running };
  let passed = 0;
  const counts = [running];
  const upTo = (at: number, now: number, next: number): void => {
    passed += ((before.running + now) / 2) * (at - before.at);
    counts.push(now, next);
    before = { at, running: next };
  };
  for (const { at, line } of marks) if (line !== 'ready') upTo(at, line.running, line.running + line.sequences);
  upTo(end.at, end.line.running, end.line.running);
  const seconds = end.at - (from ?? end.at);
  return { mean: seconds > 0 ? passed / seconds : end.line.running, fewest: Math.min(...counts), most: Math.max(...counts) };
}

/** The most sequences since nobody ran, after a line. */
export const mostAfter = (most: number, line: Mark['line']): number =>
  line === 'ready' || line.neverDecodes ? 0 : line.running === 0 ? line.sequences : Math.max(most, line.running + line.sequences);

/** The prefills since a line last said that nobody ran; none where none says so. */
export function sinceNobodyRan(lines: readonly (PrefillLine | 'ready')[]): readonly PrefillLine[] {
  const first = lines.findLastIndex((line) => line === 'ready' || line.running === 0);
  return first < 0 ? [] : lines.slice(first).filter((line) => line !== 'ready');
}

export interface CacheGrowth {
  readonly steps: number;
  /** All that were prefilled still run. */
  readonly sure: boolean;
}

/** What the KV cache holds beyond the prompts of all that run was decoded, one token per step and sequence. */
export function stepsByCacheGrowth(prefills: readonly PrefillLine[], { kvTokens, running, speculative }: DecodeLine, pages: boolean): CacheGrowth | undefined {
  const sequences = prefills.reduce((sum, line) => sum + line.sequences, 0);
  const prompts = prefills.reduce((sum, line) => sum + line.newTokens + (line.cachedTokens ?? 0), 0);
  // Cached prompts may be held once for several; speculative decoding reserves room for drafts.
  const shared = sequences > 1 && prefills.some(({ cachedTokens }) => cachedTokens !== 0);
  if (kvTokens === undefined || pages || speculative || shared || running === 0 || running > sequences) return undefined;
  // Of those that ended the prompts were about as long.
  const steps = kvTokens / running - prompts / sequences;
  return steps < 0 ? undefined : { steps, sure: running === sequences };
}
