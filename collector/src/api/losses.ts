/**
 * `GET /v1/streams`: which batches of each stream are here, missing, and known to be lost. `POST /v1/losses?node=NAME`, for admins: what
 * is missing of the node is lost for good.
 */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Clock } from '@joulebook/shared/clock.js';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { instant, toEpochMicros } from '@joulebook/shared/units.js';
import { actorOf } from '../access/caller.js';
import type { Refusal } from '../access/refusal.js';
import { formatTime } from '../join/times.js';
import type { Loss, Span, StreamSeen } from '../store/ledger.js';
import type { Store } from '../store/store.js';
import { acceptLosses, countOfLosses } from '../upkeep/losses.js';
import { saidOf } from './api.js';
import { GRACE } from './verify.js';

/** Ranges in a line of the audit; the rest is in their number. */
const MOST_RANGES = 20;

const time = z.string().nullable();
const range = z.object({ first: z.number(), last: z.number(), count: z.number(), from: time, to: time });
export const streamsShown = z.object({
  streams: z.array(z.object({ stream: z.string(), node: z.string(), lowWater: z.number(), highest: z.number(), lastSeen: z.string(), missing: z.array(range.extend({ since: z.string() })), lost: z.array(range.extend({ at: z.string() })) })),
});
export type StreamsShown = z.infer<typeof streamsShown>;
export const lossesShown = z.object({ accepted: z.array(range.extend({ stream: z.string(), node: z.string() })) });
export type LossesShown = z.infer<typeof lossesShown>;

const spanShown = ({ from, to }: Span) => ({ from: from === undefined ? null : formatTime(from), to: to === undefined ? null : formatTime(to) });
const rangeShown = ({ first, last, ...span }: Span & { readonly first: number; readonly last: number }) => ({ first, last, count: last - first + 1, ...spanShown(span) });

export const showStreams = (streams: readonly StreamSeen[]): StreamsShown => ({
  streams: streams.map(({ stream, node, lowWater, highest, lastSeen, missing, lost }) => ({
    stream, node, lowWater, highest, lastSeen: formatTime(lastSeen),
    missing: missing.map((gap) => ({ ...rangeShown(gap), since: formatTime(gap.since) })), lost: lost.map((gap) => ({ ...rangeShown(gap), at: formatTime(gap.at) })),
  })),
});

export const showLosses = (losses: readonly Loss[]): LossesShown => ({ accepted: losses.map((loss) => ({ stream: loss.stream, node: loss.node, ...rangeShown(loss) })) });

export function serveLosses(app: FastifyInstance, { store, clock }: { readonly store: Store; readonly clock: Clock }): void {
  app.get('/v1/streams', { config: { needs: 'read' } }, async () => showStreams(await store.streams()));

  app.post('/v1/losses', { config: { needs: 'admin' } }, async (request, reply) => {
    const [node = '', ...more] = saidOf(request.query)['node'] ?? [];
    if (node === '' || more.length > 0) throw new UsageError(['node: say one, by its name']);
    try {
      const losses = await acceptLosses(store, node, toEpochMicros(instant(clock.wall() - GRACE)));
      const shown = showLosses(losses);
      app.audit.acted({ event: 'losses-accepted', node, batches: countOfLosses(losses), ranges: shown.accepted.slice(0, MOST_RANGES).map(({ node: _node, ...each }) => each) }, actorOf(request));
      return shown;
    } catch (error) {
      if (!(error instanceof TelemetryError) || error.code !== 'NOTHING_MISSING') throw error;
      void reply.code(404);
      return { error: error.code, message: error.message } satisfies Refusal;
    }
  });
}
