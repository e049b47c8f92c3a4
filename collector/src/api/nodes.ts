/** Which nodes send, what of theirs is missing, and how far their clocks are off: `GET /v1/nodes`, /metrics. */
import type { FastifyInstance } from 'fastify';
import { fromEpochMicros, toIso, type EpochMicros, type Seconds } from '@joulebook/shared/units.js';
import { isOff, type ClockOffsets } from '../ingest/clock-offsets.js';
import type { Metrics } from '../ingest/metrics.js';
import { missingByNode } from '../store/ledger.js';
import type { Store } from '../store/store.js';

const READ = { config: { needs: 'read' } } as const;

const timeOf = (at: EpochMicros): string => toIso(fromEpochMicros(at));

interface NodeFlag {
  readonly code: string;
  readonly detail: string;
}

function clockFlags(node: string, offset: Seconds | undefined): NodeFlag[] {
  if (!isOff(offset)) return [];
  const way = offset > 0 ? 'ahead of' : 'behind';
  return [{ code: 'CLOCK_OFFSET', detail: `The clock of ${node} is ${Math.abs(offset).toFixed(1)} s ${way} the collector's; facts of different nodes are not of one moment. Let NTP set it.` }];
}

export function serveNodes(app: FastifyInstance, { store, metrics, clocks }: { readonly store: Store; readonly metrics: Metrics; readonly clocks: ClockOffsets }): void {
  app.get('/v1/nodes', READ, async () => {
    const missing = missingByNode(await store.streams());
    const nodes = (await store.nodes()).map((node) => {
      const offset = clocks.of(node.node);
      const lacks = missing.get(node.node);
      const flags = clockFlags(node.node, offset);
      if (lacks) flags.push({ code: 'SEQUENCES_MISSING', detail: `${lacks.count} batches of ${node.node} are missing since ${timeOf(lacks.since)}: on their way, or lost. GET /v1/streams tells which.` });
      return { ...node, lastSeen: timeOf(node.lastSeen), clockOffsetSeconds: offset === undefined ? null : Math.round(offset * 1000) / 1000, missing: lacks?.count ?? 0, missingSince: lacks ? timeOf(lacks.since) : null, flags };
    });
    return { nodes };
  });

  const lacking = async () => [...missingByNode(await store.streams())];
  metrics.gauge({ name: 'joulebook_missing_sequences', help: 'Batches that a node numbered and the store does not have.', labels: ['node'] }, async () =>
    (await lacking()).map(([node, { count }]) => ({ labels: { node }, value: count })));
  metrics.gauge({ name: 'joulebook_missing_since_seconds', help: 'When the oldest of them was noticed, in seconds since 1970.', labels: ['node'] }, async () =>
    (await lacking()).map(([node, { since }]) => ({ labels: { node }, value: fromEpochMicros(since) })));
  metrics.gauge({ name: 'joulebook_node_clock_offset_seconds', help: 'By how much the clock of a node is ahead of this one.', labels: ['node'] }, () =>
    clocks.nodes().map(([node, value]) => ({ labels: { node }, value })));
}
