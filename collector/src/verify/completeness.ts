/** Is everything here that was measured, and nothing twice? */
import { fromEpochMicros, toIso, type EpochMicros } from '@joulebook/shared/units.js';
import { whenText } from '../report/missing-batches.js';
import { missingByNode, type Missing, type Span, type StreamSeen } from '../store/ledger.js';
import type { Extent, Scope, Store } from '../store/store.js';
import type { Finding } from './verification.js';

/** Flags that say that something was told twice, and that something measured will not come. */
const DUPLICATE_CODES = ['DUPLICATE_DEVICE', 'OVERLAPPING_LOGS'];
const LOSS_CODES = ['SPOOL_LOSS', 'SPOOL_DAMAGED', 'BATCHES_REJECTED', 'READINGS_DROPPED'];
/** Requests that run past the end of what was seen, and latencies told in blocks, make counts differ a little. */
const TOKENS_TOLERANCE = 0.05;
const TOKENS_LEAST = 1000;

const countOf = (gaps: readonly { readonly first: number; readonly last: number }[]): number => gaps.reduce((sum, { first, last }) => sum + last - first + 1, 0);

/** What is missing of streams, by whether it is time to judge it. */
export interface Gaps {
  readonly streams: readonly StreamSeen[];
  /** Those that were noticed a moment ago may be on their way. */
  readonly fresh: readonly StreamSeen[];
}

/** @param noticedBefore gaps that were noticed later are given time */
export async function gapsOf(store: Store, noticedBefore: EpochMicros | undefined): Promise<Gaps> {
  const streams = await store.streams();
  const keep = (wanted: (gap: Missing) => boolean) => streams.map((stream) => ({ ...stream, missing: stream.missing.filter(wanted) }));
  const isFresh = ({ since }: Missing): boolean => since > (noticedBefore ?? Infinity);
  return { streams: keep((gap) => !isFresh(gap)), fresh: keep(isFresh) };
}

export function sequencesWhole({ streams, fresh }: Gaps): Finding {
  const reasons = [...missingByNode(streams)].map(([node, { count, since }]) => {
    const ranges = streams.filter((stream) => stream.node === node).flatMap(({ stream, missing }) => missing.map(({ first, last }) => `${stream} ${first === last ? first : `${first}–${last}`}`));
    const told = ranges.slice(0, 5).join(', ') + (ranges.length > 5 ? `, and ${ranges.length - 5} more ranges` : '');
    return { code: 'SEQUENCES_MISSING', detail: `${count} batches of ${node} are missing since ${toIso(fromEpochMicros(since))} (${told}): still in the agent's spool, or lost.` };
  });
  const known = streams.filter(({ lost }) => lost.length > 0).map(({ node, stream, lost }) => ({ code: 'KNOWN_LOSS', detail: `${countOf(lost)} batches of ${node} (${stream}), with facts ${lost.map(whenText).join(' and ')}: accepted as lost.` }));
  const pending = [...missingByNode(fresh)].map(([node, { count, since }]) => ({ code: 'NOT_JUDGED_YET', detail: `${count} batches of ${node} are missing since ${toIso(fromEpochMicros(since))}, which is too short a time: they may be on their way. Ask again.` }));
  const here = streams.reduce((sum, { highest, lost }) => sum + highest + 1 - countOf(lost), 0);
  return { check: 'sequences', looked: `${streams.length} streams, ${here} batches`, nothing: streams.length === 0, reasons, notes: [...known, ...pending] };
}

const firstOf = (details: readonly (string | null)[]): string => details.find((detail) => detail !== null) ?? '';

async function flagged(store: Store, scope: Scope, codes: readonly string[]): Promise<{ reasons: Finding['reasons'] }> {
  const flags = (await store.sum({ kind: 'flag', by: ['node'], ...scope })).filter(({ sums }) => codes.includes(sums.code));
  return { reasons: flags.map(({ values: [node], sums }) => ({ code: sums.code, detail: `${node ?? ''}: ${firstOf([sums.detail, `${sums.details} more of this kind`])} (${sums.count + sums.countOf} times)` })) };
}

export const nothingLost = async (store: Store, scope: Scope): Promise<Finding> => ({ check: 'losses', looked: 'loss accounts of the agents', ...(await flagged(store, scope, LOSS_CODES)) });
export const nothingTwice = async (store: Store, scope: Scope): Promise<Finding> => ({ check: 'duplicates', looked: 'facts kept apart, logs told twice', ...(await flagged(store, scope, DUPLICATE_CODES)) });

/** Seconds of the window in which gaps of a node are, as far as their neighbours tell. */
function secondsIn(gaps: readonly Span[], window: Extent): number {
  return gaps.reduce((sum, { from, to }) => (from === undefined || to === undefined ? sum : sum + Math.max(0, Math.min(to, window.to) - Math.max(from, window.from)) / 1e6), 0);
}

/**
 * Time in which nobody asked counts as not seen: of a range that is named all of it, as reports have it; of everything that is stored
 * what is in missing batches, since a device may have come later or be gone.
 */
export async function coverageEnough(store: Store, { streams }: Gaps, scope: Scope, least: number): Promise<Finding> {
  const by = ['node', 'device', 'boundary'] as const;
  const booked = (await store.sum({ kind: 'booked', by, ...scope })).filter((group) => group.sums.askedSeconds > 0);
  const named = scope.from !== undefined || scope.to !== undefined;
  const extent = await store.extent();
  const window = extent && { from: scope.from ?? extent.from, to: scope.to ?? extent.to };
  const asked = new Map(named && window ? (await store.sum({ kind: 'asked', by, ...scope, window })).map(({ values, sums }) => [JSON.stringify(values), sums.askedOfWindow] as const) : []);
  const gapsBy = (node: string | null, kind: 'missing' | 'lost') => streams.filter((stream) => stream.node === node).flatMap((stream): readonly Span[] => stream[kind]);
  const devices = booked.map(({ values, from, to, sums: { seconds: seen, askedSeconds } }) => {
    const [node = null] = values;
    const own = window ?? { from, to };
    const lost = secondsIn(gapsBy(node, 'lost'), own);
    const holes = Math.min(lost + secondsIn(gapsBy(node, 'missing'), own), Math.max(0, (to - from) / 1e6 - askedSeconds));
    const wanted = asked.get(JSON.stringify(values)) ?? askedSeconds + holes;
    // What is known to be lost is told apart, and no reason.
    return { values, seen, wanted, owed: Math.max(askedSeconds, wanted - lost) };
  });
  const reasons = devices.flatMap(({ values: [node, device, boundary], seen, owed }) =>
    seen >= least * owed ? [] : [{ code: 'LOW_COVERAGE', detail: `${device ?? ''} of ${node ?? ''} at boundary ${boundary ?? ''} was seen for ${((100 * seen) / owed).toFixed(1)} % of ${owed.toFixed(0)} s; at least ${100 * least} % are wanted.` }]);
  const total = (of: 'seen' | 'wanted'): number => devices.reduce((sum, device) => sum + device[of], 0);
  return { check: 'coverage', looked: devices.length === 0 ? 'no device' : `${devices.length} devices, ${((100 * total('seen')) / total('wanted')).toFixed(1)} % of the time asked`, nothing: devices.length === 0, reasons };
}

/** Where an engine's counters or log count tokens and its requests are told too, both are known. */
export async function tokensAgree(store: Store, scope: Scope): Promise<Finding> {
  const tokens = await store.sum({ kind: 'tokens', by: ['deployment', 'token'], ...scope });
  const requests = (await store.sum({ kind: 'requests', by: ['deployment'], ...scope })).filter(({ sums }) => sums.outputTokens > 0);
  const counted = (deployment: string | null, kinds: readonly string[]): number => tokens.filter(({ values }) => values[0] === deployment && kinds.includes(values[1] ?? '')).reduce((sum, group) => sum + group.sums.count, 0);
  let compared = 0;
  const reasons = requests.flatMap(({ values: [deployment = null], sums }) => {
    // What a request produced outside of the window is in its fact, and told apart in the tokens.
    const all = counted(deployment, ['output', 'outsideOutput']);
    if (all === 0) return [];
    compared += 1;
    const off = Math.abs(all - sums.outputTokens);
    if (off <= TOKENS_LEAST || off <= TOKENS_TOLERANCE * Math.max(all, sums.outputTokens)) return [];
    const twice = all > 1.8 * sums.outputTokens ? ' Do two sources count?' : '';
    return [{ code: 'TOKENS_DISAGREE', detail: `${deployment ?? 'No deployment'}: ${all} output tokens were counted, its requests tell of ${sums.outputTokens}.${twice}` }];
  });
  return { check: 'tokens', looked: `${compared} deployments of which both are known`, nothing: compared === 0, reasons };
}
