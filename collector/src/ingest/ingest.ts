/**
 * `POST /v1/batches`: one batch per body, JSON or gzip JSON. The answer comes after the store is durable:
 *
 *   200 { accepted: true, duplicate }   it is stored, now or before
 *   400 413 415                         it never will be: count it and go on
 *   409                                 this (stream, sequence) is taken by other content: open a new stream
 *   503 + Retry-After                   not now; send the same again
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { decodeBatch } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { Metrics } from './metrics.js';
import type { Store } from '../store/store.js';
import { readBody } from './body.js';

const RETRY_AFTER_SECONDS = 5;
/** Batches taken in and not yet answered; more are told to come back, so that memory stays bounded. */
const MOST_WAITING = 32;

export interface IngestLimits {
  readonly maxBodyBytes: number;
  readonly maxInflatedBytes: number;
}

export interface Refusal {
  readonly error: string;
  readonly message: string;
}

const retryLater = (reply: FastifyReply, error: string, message: string): Refusal => {
  void reply.code(503).header('retry-after', String(RETRY_AFTER_SECONDS));
  return { error, message };
};

export function ingest(app: FastifyInstance, store: Store, metrics: Metrics, clock: Clock, limits: IngestLimits): void {
  let waiting = 0;
  let storeWorks = true;

  // Only types that a web page can't send to another site without asking first: nobody's browser feeds this collector.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(['application/json', 'application/gzip'], { parseAs: 'buffer', bodyLimit: limits.maxBodyBytes }, (_request, body, done) => done(null, body));

  async function accept(body: unknown, reply: FastifyReply): Promise<{ accepted: true; duplicate: boolean } | Refusal> {
    if (!Buffer.isBuffer(body) || body.length === 0) throw new TelemetryError('BODY_MISSING', 'The body is empty; send one batch as JSON.', 'discard');
    const batch = decodeBatch(await readBody(body, limits.maxInflatedBytes));
    try {
      const appended = await store.append(batch);
      if (!storeWorks) app.log.info('the store takes batches again');
      storeWorks = true;
      metrics.batch(appended);
      if (appended === 'accepted') metrics.slices(batch.slices.length);
      if (appended !== 'conflict') return { accepted: true, duplicate: appended === 'duplicate' };
      void reply.code(409);
      return { error: 'BATCH_CONFLICT', message: `Stream ${batch.stream} has sent other content as sequence ${batch.sequence} before; open a new stream.` };
    } catch (error) {
      if (storeWorks) app.log.error({ error: messageOf(error) }, 'the store does not take batches; agents are told to retry');
      storeWorks = false;
      metrics.batch('failed');
      return retryLater(reply, 'STORE_FAILED', 'The store does not take batches now; send it again later.');
    }
  }

  app.post('/v1/batches', async (request, reply) => {
    if (waiting >= MOST_WAITING) return retryLater(reply, 'BUSY', 'Too many batches are waiting; send it again later.');
    waiting += 1;
    const begun = clock.monotonic();
    try {
      return await accept(request.body, reply);
    } catch (error) {
      if (!(error instanceof TelemetryError)) throw error;
      metrics.batch('rejected');
      void reply.code(error.code === 'BODY_TOO_LARGE' ? 413 : 400);
      return { error: error.code, message: error.message } satisfies Refusal;
    } finally {
      waiting -= 1;
      metrics.ingest(clock.monotonic() - begun);
    }
  });
}
