/**
 * When which node was not seen, to the quarter of an hour in which it was:
 *
 *     node n1, 8 GPUs    15 min each    ████ ████ ██░░ ░░░░ ░░░░ ████      one gap of 45 min, 8 × 37.5 min of devices
 *
 * A device is owed for the whole window, as coverage has it. What a quarter lacks and hardly matters (1 %) is summed, not listed. A fact
 * may reach over the end of its quarter: what one has too much is the next one's.
 */
import type { Boundary } from '@joulebook/shared/slice.js';
import { epochMicros } from '@joulebook/shared/units.js';
import type { Span } from '../rates/pieces.js';
import { inBoundary, type Filter, type Store } from '../store/store.js';

const STEP = epochMicros(900e6);
const HARDLY = 0.01;

export interface Gap extends Span {
  readonly node: string;
  /** Devices of the node that were not seen in all of it, times the time they were not. */
  readonly deviceSeconds: number;
}
export interface Gaps {
  /** By node and time. */
  readonly gaps: readonly Gap[];
  /** Not seen in quarters that are not listed. */
  readonly besidesSeconds: number;
}
export interface NodeGaps extends Gaps {
  /** Nodes that were seen before and not once in the window: coverage, which is of what was seen, does not count them. */
  readonly silent: readonly string[];
}

/** @param seen device seconds by the beginning of a quarter */
export function gapsIn(node: string, devices: number, seen: ReadonlyMap<number, number>, { from, to }: Span): Gaps {
  const gaps: Gap[] = [];
  let besidesSeconds = 0;
  let surplus = 0;
  for (let step = Math.floor(from / STEP) * STEP; step < to; step += STEP) {
    const [begin, end] = [epochMicros(Math.max(step, from)), epochMicros(Math.min(step + STEP, to))];
    const owed = (devices * (end - begin)) / 1e6;
    const had = (seen.get(step) ?? 0) + surplus;
    surplus = Math.max(0, had - owed);
    const lacking = Math.max(0, owed - had);
    const last = gaps.at(-1);
    if (lacking <= HARDLY * owed) besidesSeconds += lacking;
    else if (last?.to === begin) gaps[gaps.length - 1] = { ...last, to: end, deviceSeconds: last.deviceSeconds + lacking };
    else gaps.push({ node, from: begin, to: end, deviceSeconds: lacking });
  }
  return { gaps, besidesSeconds };
}

/** Nodes with devices that are asked about, and how many each has. Totals of runs ask for no time. */
async function devicesByNode(store: Store, where: readonly Filter[], { from, to }: Span): Promise<Map<string, number>> {
  const devices = new Map<string, number>();
  for (const { values: [node], sums } of await store.sum({ kind: 'booked', by: ['node', 'device'], where, from, to })) {
    if (sums.askedSeconds > 0 && node) devices.set(node, (devices.get(node) ?? 0) + 1);
  }
  return devices;
}

/** @param before nodes that were seen then are owed for, too */
export async function gapsOf(store: Store, filters: readonly Filter[], boundary: Boundary | null, asked: Span, before: Span): Promise<NodeGaps> {
  if (boundary === null) return { gaps: [], besidesSeconds: 0, silent: [] };
  const where = [...filters, inBoundary(boundary)];
  // Where facts are no longer kept whole hours are summed, from another beginning than was asked: those are owed for.
  const window = { ...asked, ...(await store.resolution?.({ kind: 'booked', by: [], step: STEP, where, ...asked }))?.moved };
  const here = await devicesByNode(store, where, window);
  const known = new Map([...(await devicesByNode(store, where, before)), ...here]);
  const all: Gaps[] = [];
  // One node after the other: a quarter of an hour of each at once would be millions of rows in a large fleet.
  for (const [node, devices] of [...known].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const sums = await store.sum({ kind: 'booked', by: [], step: STEP, where: [...where, { key: 'node', values: [node] }], from: window.from, to: window.to });
    all.push(gapsIn(node, devices, new Map(sums.map(({ step, sums: { seconds } }) => [step, seconds])), window));
  }
  return { gaps: all.flatMap(({ gaps }) => gaps), besidesSeconds: all.reduce((sum, { besidesSeconds }) => sum + besidesSeconds, 0), silent: [...known.keys()].filter((node) => !here.has(node)).toSorted() };
}
