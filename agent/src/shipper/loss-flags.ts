/**
 * The loss account as facts: a flag in every minute that lost batches, so that any report over that time shows it; all of one
 * loss with the same sentence, so that a report shows it once, with the batches that its range lost.
 */
import type { FlagSlice } from '@joulebook/shared/slice.js';
import { epochMicros, fromEpochMicros, toEpochMicros, toIso, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Loss, LossReason } from '../spool/losses.js';

const WHY: Readonly<Record<LossReason, readonly [code: string, why: string]>> = {
  quota: ['SPOOL_LOSS', 'the spool was full, and the oldest were dropped before the collector took them'],
  memory: ['SPOOL_LOSS', 'the disk of the spool refused, and the memory that waits for it was full'],
  rejected: ['BATCHES_REJECTED', "the collector does not take them; they are kept in the agent's rejected/ folder"],
};
const MICROS_PER_MINUTE = 60e6;

export interface FlagDimensions {
  readonly site?: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** The length of a slice: a flag stands in one cell of the grid. */
  readonly slice: Seconds;
}

export function lossFlags(losses: readonly Loss[], now: Instant, { site, labels, slice }: FlagDimensions): FlagSlice[] {
  const length = Math.round(slice * 1e6);
  const dimensions = { ...(site !== undefined && { site }), ...(Object.keys(labels).length > 0 && { labels: { ...labels } }) };
  const flag = (at: number, loss: Loss, count: number): FlagSlice => ({ kind: 'flag', from: epochMicros(at), to: epochMicros(at + length), ...dimensions, code: WHY[loss.reason][0], detail: sentence(loss), count });
  return losses.flatMap((loss) => {
    if (loss.tooOld === true) return [flag(Math.floor(toEpochMicros(now) / length) * length, loss, loss.batches)];
    const minutes = new Map<number, number>();
    for (const [minute, batches] of loss.minutes) minutes.set(minute, (minutes.get(minute) ?? 0) + batches);
    return [...minutes].map(([minute, batches]) => flag(minute * MICROS_PER_MINUTE, loss, batches));
  });
}

/** What a loss comes to, in one sentence. */
export function sentence({ reason, batches, from, to, microjoules, tokens, requests }: Loss): string {
  const when = from === undefined || to === undefined ? '' : ` of ${toIso(fromEpochMicros(epochMicros(from)))} to ${toIso(fromEpochMicros(epochMicros(to)))}`;
  const energies = Object.entries(microjoules).map(([boundary, sum]) => `${(Number(sum) / 1e6).toFixed(3)} J at ${boundary}`);
  const counts = Object.entries(tokens).map(([kind, count]) => `${count} ${kind} tokens`);
  const held = [...energies, ...counts, ...(requests > 0 ? [`${requests} requests`] : [])];
  return `${batches} batches${when} are lost: ${WHY[reason][1]}. In them: ${held.length > 0 ? held.join(', ') : 'no amounts, or none that can be read'}.`;
}
