/**
 * The iteration statistics of trtllm-serve (`enable_iter_perf_stats: true`), one object per iteration and rank → evidence.
 * A record's time is the moment at which its batch was put together, after any wait for a request; its latency reaches to
 * the moment at which its tokens were there, over two passes of the loop where these overlap:
 *
 *     timestamp k          timestamp k+1
 *        ├────── latency k ──────┤
 *                          ├────── latency k+1 ──────┤
 *     ───┼──── iteration k ──────┼── iteration k+1 ──┤            each begins where the one before ended
 *
 * The PyTorch backend leaves avgNumDecodedTokensPerIter at 0; drafts that were accepted are in specDecodingStats then.
 */
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import type { ServingEvent } from '../source.js';

const count = z.number().min(0);
const optional = count.nullish();
export const iterationRecord = z.object({
  iter: z.int().min(0),
  timestamp: z.string(),
  iterLatencyMS: optional,
  numActiveRequests: optional,
  numNewActiveRequests: optional,
  numQueuedRequests: optional,
  attentionDpRank: z.int().nullish(),
  kvCacheStats: z.object({ maxNumBlocks: optional, usedNumBlocks: optional, tokensPerBlock: optional }).nullish(),
  inflightBatchingStats: z
    .object({ numContextRequests: count, numGenRequests: count, numCtxTokens: count, microBatchId: z.int().nullish(), avgNumDecodedTokensPerIter: optional, numCtxKvTokens: optional, numGenKvTokens: optional })
    .nullish(),
  specDecodingStats: z.object({ numAcceptedTokens: optional }).nullish(),
});
export type IterationRecord = z.output<typeof iterationRecord>;

export interface IterationStats {
  /** Records of one rank must come in their order. */
  add(record: IterationRecord, at: Instant): ServingEvent[];
  /** Nothing was recorded up to this moment. */
  quiet(at: Instant): ServingEvent[];
  end(): ServingEvent[];
  /** Everything before it has been told. */
  readonly told: Instant | undefined;
}

/** Between iterations of an engine that works; more is a queue that has overflowed. */
const LONGEST_GAP_SECONDS = 1;
const SILENCE_SECONDS = 10;
const SILENT_ITERATIONS = 3;
const GAUGE_SECONDS = 1;

interface Held {
  readonly record: IterationRecord;
  readonly at: Instant;
  readonly told: boolean;
}

interface Rank {
  held: Held;
  /** Where the held iteration begins. */
  from: Instant;
  /** Requests whose first token has not been counted. */
  owed: number;
  longest: number;
  readonly name: string | undefined;
}

export function iterationStats({ label, model }: { readonly label: string; readonly model?: string | undefined }): IterationStats {
  const ranks = new Map<string, Rank>();
  let gaugesAt = -Infinity;
  let kvCacheTokens: number | undefined;
  const ofModel = { ...(model !== undefined && { model }) };

  function tell(rank: Rank, end: number): ServingEvent[] {
    const { record, told } = rank.held;
    const { from, name } = rank;
    if (told) return [];
    const to = instant(Math.max(from, end));
    rank.from = to;
    rank.held = { ...rank.held, told: true };
    const work = record.inflightBatchingStats;
    const whose = { ...(name !== undefined && { rank: name }) };
    if (!work) return to > from ? [{ kind: 'hole', from, to, reason: `${label}: an iteration that does not say its work` }] : [];
    if (work.numContextRequests + work.numGenRequests === 0) return to > from ? [{ kind: 'idle', from, to, ...whose }] : [];
    rank.longest = Math.max(rank.longest, to - from);
    const decodeTokens = decodedIn(work, record);
    // A prompt yields the first token of its request, once, however many chunks it took.
    const first = Math.min(rank.owed, work.numContextRequests);
    rank.owed -= first;
    const kvTokens = kvTokensIn(work, record);
    return [
      {
        kind: 'steps', from, to, steps: 1, prefillTokens: work.numCtxTokens, prefills: work.numContextRequests, decodes: work.numGenRequests, decodeTokens,
        ...(kvTokens !== undefined && { kvTokens }),
        tokens: { input: tokens(work.numCtxTokens), output: tokens(decodeTokens + first) },
        ...whose,
        timing: 'exact',
        ...ofModel,
      },
    ];
  }

  function begin(name: string | undefined, record: IterationRecord, at: Instant): void {
    ranks.set(name ?? '', { held: { record, at, told: false }, from: at, owed: record.numNewActiveRequests ?? 0, longest: 0, name });
  }

  /** What lies between the end of one iteration and the next batch: of the one before, idle, or not known. */
  function between(rank: Rank, next: IterationRecord, at: Instant): ServingEvent[] {
    const { held, from } = rank;
    const ended = instant(Math.max(from, endOf(held)));
    const gap = at - ended;
    if (gap <= 0) return tell(rank, ended);
    const missing = next.iter - held.record.iter - 1;
    if (missing <= 0 && startsFromNothing(next)) return [...tell(rank, ended), { kind: 'idle', from: held.told ? from : ended, to: at, ...(rank.name !== undefined && { rank: rank.name }) }];
    if (missing <= 0 && gap < LONGEST_GAP_SECONDS) return tell(rank, at);
    return [...tell(rank, ended), { kind: 'hole', from: held.told ? from : ended, to: at, reason: `${label}: iterations here are missing from the statistics` }];
  }

  function follow(rank: Rank, next: IterationRecord, at: Instant): ServingEvent[] {
    const { held } = rank;
    const anew = next.iter < held.record.iter;
    const events = anew ? [...tell(rank, endOf(held)), ...(at > rank.from ? [{ kind: 'hole' as const, from: rank.from, to: at, reason: `${label}: the engine was started anew` }] : [])] : between(rank, next, at);
    const missing = next.iter - held.record.iter - 1;
    if (missing > 0) {
      events.push({ kind: 'flagged', code: 'ITERATIONS_MISSING', count: missing, detail: `${label}: iterations before number ${next.iter} are not in the statistics; their tokens are not counted. Ask more often, let nobody else read them, and keep iter_perf_stats_interval at 1` });
    }
    rank.from = instant(Math.max(rank.from, at));
    if (anew) rank.owed = 0;
    rank.owed += next.numNewActiveRequests ?? 0;
    rank.held = { record: next, at, told: false };
    return events;
  }

  function gauges(record: IterationRecord, at: Instant): ServingEvent[] {
    if (Math.abs(at - gaugesAt) < GAUGE_SECONDS) return [];
    gaugesAt = at;
    const usage = record.kvCacheStats?.maxNumBlocks ? (record.kvCacheStats.usedNumBlocks ?? 0) / record.kvCacheStats.maxNumBlocks : undefined;
    const running = [...ranks.values()].map(({ held }) => held.record.numActiveRequests).filter((value) => typeof value === 'number');
    const gauge = (name: string, value: number): ServingEvent => ({ kind: 'gauge', gauge: name, value, at, ...ofModel });
    return [
      ...(running.length > 0 ? [gauge('serving.requests.running', running.reduce((sum, value) => sum + value, 0))] : []),
      ...(typeof record.numQueuedRequests === 'number' ? [gauge('serving.requests.waiting', record.numQueuedRequests)] : []),
      ...(usage !== undefined ? [gauge('serving.kv_cache.usage', usage)] : []),
    ];
  }

  function facts({ kvCacheStats }: IterationRecord, at: Instant): ServingEvent[] {
    const size = (kvCacheStats?.maxNumBlocks ?? 0) * (kvCacheStats?.tokensPerBlock ?? 0);
    if (size === 0 || size === kvCacheTokens) return [];
    kvCacheTokens = size;
    return [{ kind: 'engine', at, kvCacheTokens: size }];
  }

  return {
    add(record, at) {
      const name = typeof record.attentionDpRank === 'number' ? String(record.attentionDpRank) : undefined;
      const rank = ranks.get(name ?? '');
      const same = rank && rank.held.record.iter === record.iter && rank.held.record.inflightBatchingStats?.microBatchId === record.inflightBatchingStats?.microBatchId;
      if (same) return [];
      const events = [...facts(record, at), ...(rank ? follow(rank, record, at) : [])];
      if (!rank) begin(name, record, at);
      return [...events, ...gauges(record, at)];
    },
    quiet: (at) =>
      [...ranks.values()].flatMap((rank) => {
        const until = instant(at - Math.max(SILENCE_SECONDS, SILENT_ITERATIONS * rank.longest));
        if (until <= Math.max(rank.from, endOf(rank.held))) return [];
        const events = tell(rank, endOf(rank.held));
        events.push({ kind: 'idle', from: rank.from, to: until, ...(rank.name !== undefined && { rank: rank.name }) });
        rank.from = until;
        return events;
      }),
    end: () => [...ranks.values()].flatMap((rank) => tell(rank, endOf(rank.held))),
    get told() {
      return ranks.size === 0 ? undefined : instant(Math.min(...[...ranks.values()].map(({ from }) => from)));
    },
  };
}

type Work = NonNullable<IterationRecord['inflightBatchingStats']>;

/** When the tokens of an iteration were there. */
const endOf = ({ record, at }: Held): number => at + (record.iterLatencyMS ?? 0) / 1000;

/** Every request in the engine has just come: before it there was none. */
const startsFromNothing = ({ numActiveRequests: active, numNewActiveRequests: fresh }: IterationRecord): boolean => typeof active === 'number' && typeof fresh === 'number' && active <= fresh;

function decodedIn({ numGenRequests, avgNumDecodedTokensPerIter: each }: Work, { specDecodingStats }: IterationRecord): number {
  if (typeof each === 'number' && each > 0) return Math.round(numGenRequests * each);
  return numGenRequests + (numGenRequests > 0 ? (specDecodingStats?.numAcceptedTokens ?? 0) : 0);
}

/** As counted per request, else as many as the blocks in use hold. */
function kvTokensIn({ numCtxKvTokens, numGenKvTokens }: Work, { kvCacheStats }: IterationRecord): number | undefined {
  if (typeof numCtxKvTokens === 'number' && typeof numGenKvTokens === 'number') return numCtxKvTokens + numGenKvTokens;
  const used = kvCacheStats?.usedNumBlocks;
  const each = kvCacheStats?.tokensPerBlock;
  return typeof used === 'number' && typeof each === 'number' ? used * each : undefined;
}
