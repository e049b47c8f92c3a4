/** Is everything here that was measured, and nothing twice? */
import { fromEpochMicros, toIso, type EpochMicros, type Seconds } from '@joulebook/shared/units.js';
import { missingByNode } from '../store/ledger.js';
import type { Scope, Store } from '../store/store.js';
import type { Finding } from './verification.js';

/** Flags that say that something was told twice, and that something measured will not come. */
const DUPLICATE_CODES = ['DUPLICATE_DEVICE', 'OVERLAPPING_LOGS'];
const LOSS_CODES = ['SPOOL_LOSS', 'SPOOL_DAMAGED', 'BATCHES_REJECTED', 'READINGS_DROPPED'];
/** Requests that run past the end of what was seen, and latencies told in blocks, make counts differ a little. */
const TOKENS_TOLERANCE = 0.05;
const TOKENS_LEAST = 1000;

/** @param noticedBefore gaps that were noticed later are given time */
export async function sequencesWhole(store: Store, noticedBefore: EpochMicros | undefined): Promise<Finding> {
  const streams = (await store.streams()).map((stream) => ({ ...stream, missing: stream.missing.filter(({ since }) => since <= (noticedBefore ?? Infinity)) }));
  const reasons = [...missingByNode(streams)].map(([node, { count, since }]) => {
    const ranges = streams.filter((stream) => stream.node === node).flatMap(({ stream, missing }) => missing.map(({ first, last }) => `${stream} ${first === last ? first : `${first}–${last}`}`));
    const told = ranges.slice(0, 5).join(', ') + (ranges.length > 5 ? `, and ${ranges.length - 5} more ranges` : '');
    return { code: 'SEQUENCES_MISSING', detail: `${count} batches of ${node} are missing since ${toIso(fromEpochMicros(since))} (${told}): still in the agent's spool, or lost.` };
  });
  return { check: 'sequences', looked: `${streams.length} streams, ${streams.reduce((sum, { highest }) => sum + highest + 1, 0)} batches`, nothing: streams.length === 0, reasons };
}

const firstOf = (details: readonly (string | null)[]): string => details.find((detail) => detail !== null) ?? '';

async function flagged(store: Store, scope: Scope, codes: readonly string[]): Promise<{ reasons: Finding['reasons'] }> {
  const flags = (await store.sum({ kind: 'flag', by: ['node'], ...scope })).filter(({ sums }) => codes.includes(sums.code));
  return { reasons: flags.map(({ values: [node], sums }) => ({ code: sums.code, detail: `${node ?? ''}: ${firstOf([sums.detail, `${sums.details} more of this kind`])} (${sums.count + sums.countOf} times)` })) };
}

export const nothingLost = async (store: Store, scope: Scope): Promise<Finding> => ({ check: 'losses', looked: 'loss accounts of the agents', ...(await flagged(store, scope, LOSS_CODES)) });
export const nothingTwice = async (store: Store, scope: Scope): Promise<Finding> => ({ check: 'duplicates', looked: 'facts kept apart, logs told twice', ...(await flagged(store, scope, DUPLICATE_CODES)) });

export async function coverageEnough(store: Store, scope: Scope, least: number): Promise<Finding> {
  const sums = (await store.sum({ kind: 'booked', by: ['node', 'device', 'boundary'], ...scope })).filter((group) => group.sums.askedSeconds > 0);
  const total = (of: (group: (typeof sums)[number]) => Seconds): number => sums.reduce((sum, group) => sum + of(group), 0);
  const reasons = sums.flatMap(({ values: [node, device, boundary], sums: { seconds, askedSeconds } }) =>
    seconds >= least * askedSeconds ? [] : [{ code: 'LOW_COVERAGE', detail: `${device ?? ''} of ${node ?? ''} at boundary ${boundary ?? ''} was seen for ${((100 * seconds) / askedSeconds).toFixed(1)} % of ${askedSeconds.toFixed(0)} s; at least ${100 * least} % are wanted.` }]);
  const share = (100 * total((group) => group.sums.seconds)) / total((group) => group.sums.askedSeconds);
  return { check: 'coverage', looked: sums.length === 0 ? 'no device' : `${sums.length} devices, ${share.toFixed(1)} % of the time asked`, nothing: sums.length === 0, reasons };
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
