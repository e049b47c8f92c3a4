/**
 * When the lines of one rank were printed, to better than the whole seconds of their stamps: the host's durations chain
 * them, and each stamp bounds the chain, so that it can't drift.
 *
 *     stamp          :05                          :06
 *     chain     ──7ms──┬─7ms─┬─7ms─┬─ … ─┬─7ms──┬─        the first line after :06 can't be earlier than :06
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { TimedReport } from './trtllm-report.js';

export interface Moment {
  readonly at: Instant;
  /** Between which it must lie, by its own stamp and those before it. */
  readonly earliest: number;
  readonly latest: number;
}

/** Printing takes a little time that no duration holds. */
const UNTOLD_SECONDS = 0.0003;
/** A stamp was written before the end of its second. */
const END_OF_SECOND = 0.999999;

/** @param before the line before, of the same engine life */
export function momentOf({ at, hostStep, spread, begins }: TimedReport, before: Moment | undefined): Moment {
  if (!Number.isInteger(at) || hostStep === undefined) {
    const notBefore = Math.max(before?.at ?? at, at);
    return { at: instant(notBefore), earliest: spread ? at - 1 : notBefore, latest: spread ? at + 1 : notBefore };
  }
  if (!before && begins) return { at: instant((begins.earliest + begins.latest) / 2), ...begins };
  const end = at + END_OF_SECOND;
  if (!before || at > before.latest + hostStep + 1 || end < before.earliest + hostStep - 1) return { at: instant(at + 0.5), earliest: at, latest: end };
  const earliest = Math.min(end, Math.max(before.earliest + hostStep, at));
  const latest = Math.max(earliest, Math.min(before.latest + hostStep + UNTOLD_SECONDS, end));
  return { at: instant(Math.max(before.at, clamp(before.at + hostStep, earliest, latest))), earliest, latest };
}

export const clamp = (value: number, least: number, most: number): number => Math.max(least, Math.min(most, value));
