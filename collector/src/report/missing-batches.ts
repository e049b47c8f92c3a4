/**
 * What a report says of batches that a node numbered and the store does not have: their facts are in no figure, and nothing else
 * tells of them where a report names no range. When they were is known as far as the batches beside them tell.
 */
import { epochMicros } from '@joulebook/shared/units.js';
import type { Flag } from '../join/report.js';
import { formatTime } from '../join/times.js';
import type { Lost, Missing, Span } from '../store/ledger.js';
import type { Scope, Store } from '../store/store.js';

/** Nodes named of one kind; the rest is counted. */
const MOST_NODES = 5;

interface Gone extends Span {
  readonly node: string;
  readonly count: number;
  /** In words, at the end of what is said of a node. */
  readonly why: string;
}

/** Whether facts of [from, to) may be of the gap. One that its neighbours leave no time for is a moment. */
export const isWithin = (gap: Span, { from = -Infinity, to = Infinity }: { readonly from?: number | undefined; readonly to?: number | undefined }): boolean => {
  const [begin, end] = [gap.from ?? -Infinity, gap.to ?? Infinity];
  return begin < to && (end > from || (begin === end && begin === from));
};

const countOf = (gaps: readonly { readonly first: number; readonly last: number }[]): number => gaps.reduce((sum, { first, last }) => sum + last - first + 1, 0);

/** Open where one of them is. */
function hullOf(gaps: readonly Span[]): Span {
  const from = Math.min(...gaps.map((gap) => gap.from ?? -Infinity));
  const to = Math.max(...gaps.map((gap) => gap.to ?? Infinity));
  return { from: Number.isFinite(from) ? epochMicros(from) : undefined, to: Number.isFinite(to) ? epochMicros(to) : undefined };
}

/** `of before 2026-01-01T00:00:10Z`, as far as it is known. */
export function whenText({ from, to }: Span): string {
  if (from === undefined && to === undefined) return 'of a time that nothing tells';
  if (from === undefined) return `of before ${to === undefined ? '' : formatTime(to)}`;
  return to === undefined ? `of after ${formatTime(from)}` : `of between ${formatTime(from)} and ${formatTime(to)}`;
}

function flagsOf(code: string, gone: readonly Gone[]): Flag[] {
  const flags = gone.slice(0, MOST_NODES).map(({ node, count, why, ...span }): Flag => ({ code, count, detail: `${count} batches of ${node}, with facts ${whenText(span)}, ${why}; what they measured is in no figure.` }));
  const more = gone.slice(MOST_NODES);
  return more.length === 0 ? flags : [...flags, { code, count: more.reduce((sum, { count }) => sum + count, 0), detail: `and batches of ${more.length} more nodes` }];
}

function goneOf<G extends Missing | Lost>(streams: readonly { readonly node: string; readonly gaps: readonly G[] }[], why: (gaps: readonly G[]) => string): Gone[] {
  const byNode = new Map<string, G[]>();
  for (const { node, gaps } of streams) if (gaps.length > 0) byNode.set(node, [...(byNode.get(node) ?? []), ...gaps]);
  return [...byNode].map(([node, gaps]) => ({ node, count: countOf(gaps), why: why(gaps), ...hullOf(gaps) }));
}

const sayLost = (gaps: readonly Lost[]): string => `are lost for good, as was said on ${formatTime(epochMicros(Math.max(...gaps.map(({ at }) => at))))}`;

/** Of the nodes and the time that are asked about. */
export async function missingBatches(store: Store, { where, from, to }: Scope): Promise<Flag[]> {
  const nodes = where.filter(({ key }) => key === 'node').map(({ values }) => values);
  const streams = (await store.streams()).filter(({ node }) => nodes.every((values) => values.includes(node)));
  const asked = <G extends Span>(gaps: readonly G[]): G[] => gaps.filter((gap) => isWithin(gap, { from, to }));
  return [
    ...flagsOf('BATCHES_MISSING', goneOf(streams.map(({ node, missing }) => ({ node, gaps: asked(missing) })), () => "are missing: on their way, in its agent's spool, or lost")),
    ...flagsOf('BATCHES_LOST', goneOf(streams.map(({ node, lost }) => ({ node, gaps: asked(lost) })), sayLost)),
  ];
}
