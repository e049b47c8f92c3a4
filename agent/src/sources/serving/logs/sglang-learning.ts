/**
 * What a window from one Decode line to the next tells of the pace: with stamps of milliseconds how long it was, else its
 * tokens divided by the printed tokens per second, which is as good.
 */
import type { DecodeLine, PrefillLine } from './sglang-line.js';
import type { Pace } from './sglang-pace.js';
import { sequencesIn, type Mark, type Window } from './sglang-window.js';

/** How far the lengths of windows of like work lie apart. */
const SPREAD = 0.03;
/** How far the mean of changing sequences may be from that of the printed ones. */
const CHANGING = 0.3;
/** A stamp in milliseconds; a moment found from stamps cut to seconds. */
const FINE_SECONDS = 0.001;
const COARSE_SECONDS = 0.3;
/** A decode node may have been idle in between: it is a step only if it is not so many times longer than others. */
const FAST = 2;
/** A prefill may last so many times longer than its size says before something else must have run; where something else can. */
const STRETCHED = 3;
const STRETCHED_BESIDE_DECODE = 1.1;

/** From a window whose work is known: requests ran from its begin to its end. @param kvBefore KV tokens at its begin, where they tell single tokens */
export function learnFromWindow(window: Window, line: DecodeLine, kvBefore: number | undefined, pace: Pace): void {
  const prefills = window.marks.flatMap(({ line: mark }) => (mark === 'ready' ? [] : [mark]));
  if (window.from === undefined || window.end === undefined || window.idle || window.told > 0 || line.running === 0) return;
  if (prefills.length < window.marks.length || prefills.some(({ running }) => running === 0)) return;
  if (prefills.length === 0 && window.running === line.running && !window.decodesAlone) learnInterval(line, kvBefore, pace);
  const { mean, fewest, most } = sequencesIn(window, { at: window.end.at, line });
  const measured = window.fine && window.end.fine && !window.decodesAlone;
  if (!measured && line.rate === undefined) return;
  const seconds = measured || line.rate === undefined ? window.end.at - window.from : (pace.interval * mean * line.acceptLength) / line.rate;
  const doubt = measured ? FINE_SECONDS + SPREAD * seconds : seconds * (SPREAD + (CHANGING * (most - fewest)) / mean);
  const amount = { steps: pace.interval, decodes: pace.interval * mean, prefills: prefills.length, promptTokens: prefills.reduce((sum, { newTokens }) => sum + newTokens, 0) };
  if (line.neverPrefills && pace.knowsStep && seconds > FAST * pace.interval * pace.stepSeconds(mean)) return;
  pace.learn(amount, seconds, doubt);
}

/** While the same sequences decode, each gains a token of the cache in a step. */
function learnInterval({ kvTokens, running, speculative }: DecodeLine, kvBefore: number | undefined, pace: Pace): void {
  if (kvTokens !== undefined && kvBefore !== undefined && !speculative) pace.learnInterval((kvTokens - kvBefore) / running);
}

/** Prefills in a row, where more was waiting: the time between their lines is theirs. */
export function learnFromRows({ marks, end }: Window, pace: Pace): void {
  const row: readonly Pick<Mark, 'at' | 'fine' | 'line'>[] = end?.kind === 'prefill' ? [...marks, end] : marks;
  for (const [index, { at, fine, line }] of row.entries()) {
    const next = row[index + 1];
    if (line === 'ready' || !next || next.line === 'ready' || !line.moreToCome) continue;
    const { newTokens } = line.printedAt === 'start' ? line : next.line;
    const seconds = next.at - at;
    if (seconds <= longestPrefill(line, newTokens, pace)) pace.learn({ steps: 0, decodes: 0, prefills: 1, promptTokens: newTokens }, seconds, SPREAD * seconds + (fine && next.fine ? FINE_SECONDS : COARSE_SECONDS));
  }
}

/** How long the time between two Prefill lines may be where more was waiting, and still be that of one prefill. */
export const longestPrefill = ({ neverDecodes }: PrefillLine, tokens: number, pace: Pace): number =>
  pace.knowsPrefill ? (neverDecodes ? STRETCHED : STRETCHED_BESIDE_DECODE) * pace.prefillSeconds(tokens) : Infinity;
