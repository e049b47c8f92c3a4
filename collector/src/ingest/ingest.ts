/**
 * `POST /v1/batches`: one batch per body, JSON or gzip JSON. The answer comes after the store is durable:
 *
 *   200 { accepted: true, duplicate }   it is stored, now or before
 *   400 413 415                         it never will be: count it and go on
 *   401 403                             not by this sender: another token, then the same again
 *   408                                 the body did not arrive in time: send the same again
 *   409                                 this (stream, sequence) is taken by other content: open a new stream
 *   425 429 503 + Retry-After           not now; send the same again
 *
 * `POST /v1/outcomes` says what became of requests that were booked (outcomes.ts), and is answered alike.
 *
 * An agent says in `x-joulebook-sent` (epoch seconds) when it sent, by its own clock: see clock-offsets.ts.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { decodeBatch, encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Instant } from '@joulebook/shared/units.js';
import { mayWrite, senderOf } from '../access/caller.js';
import type { Refusal } from '../access/refusal.js';
import type { Written } from '../store/ledger.js';
import type { Store } from '../store/store.js';
import { Admission, type AdmissionSettings, type Objection } from './admission.js';
import { readBody } from './body.js';
import { sentAt, type ClockOffsets } from './clock-offsets.js';
import type { Metrics } from './metrics.js';
import { decodeOutcomes } from './outcomes.js';
import { inLanes, Room, type Lease } from './room.js';
import type { StoreHealth } from './store-health.js';

const RETRY_AFTER_SECONDS = 5;
/** Batches taken in and not yet answered, four times as many as go into a transaction; more are told to come back, however small they are. */
const MOST_WAITING = 1024;
/** Bodies being inflated at a time, each to at most maxInflatedBytes. */
const INFLATING = 4;
/** What a parsed batch takes in memory, as text and as objects, by the bytes of its text. */
const BYTES_PER_BYTE = 4;

export interface IngestSettings extends AdmissionSettings {
  readonly maxBodyBytes: number;
  readonly maxInflatedBytes: number;
  readonly maxWaitingBytes: number;
  /** Seconds. */
  readonly bodyTimeout: number;
}

export interface Intake {
  readonly store: Store;
  readonly health: StoreHealth;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly clocks: ClockOffsets;
}

interface Arrival {
  readonly lease: Lease;
  readonly at: Instant;
  /** The handler has it, and gives the room back. */
  handled: boolean;
}

/** What a body holds, and what is said where the store has other content under its name. */
interface Kind {
  readonly decode: (text: string) => Written;
  readonly conflict: (name: Pick<Batch, 'stream' | 'sequence'>) => string;
}
const writtenAs = (batch: Batch): Written => ({ batch, text: encodeBatch(batch) });
const BATCHES: Kind = {
  decode: (text) => ({ batch: decodeBatch(text), text }),
  conflict: ({ stream, sequence }) => `Stream ${stream} has sent other content as sequence ${sequence} before, belongs to another node, or has too many gaps; open a new stream.`,
};
const CORRECTIONS: Kind = { decode: (text) => writtenAs(decodeOutcomes(text)), conflict: () => 'Other outcomes were sent under this id before; give these an id of their own.' };

type Answer = { readonly accepted: true; readonly duplicate: boolean } | Refusal;

function retryLater(reply: FastifyReply, { error, message, after = RETRY_AFTER_SECONDS }: { readonly error: string; readonly message: string; readonly after?: number }, status = 503): Refusal {
  void reply.code(status).header('retry-after', String(after));
  return { error, message };
}

export function ingest(app: FastifyInstance, { store, health, metrics, clock, clocks }: Intake, settings: IngestSettings): void {
  const room = new Room(settings.maxWaitingBytes, MOST_WAITING);
  const inflating = inLanes(INFLATING);
  const admission = new Admission(settings, clocks);
  const arrivals = new WeakMap<FastifyRequest, Arrival>();
  metrics.gauge({ name: 'joulebook_ingest_waiting_bytes', help: 'Memory of batches that were begun and not yet answered.' }, () => [{ value: room.taken.bytes }]);

  // Only types that a web page can't send to another site without asking first: nobody's browser feeds this collector.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(['application/json', 'application/gzip'], { parseAs: 'buffer', bodyLimit: settings.maxBodyBytes }, (_request, body, done) => done(null, body));

  /** Before anything of the body is read. */
  async function makeRoom(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const said = Number(request.headers['content-length'] ?? settings.maxBodyBytes);
    const lease = room.lease(Math.min(settings.maxBodyBytes, said), senderOf(request));
    if (!lease) {
      metrics.batch('busy');
      await reply.send(retryLater(reply, { error: 'BUSY', message: 'Too much is waiting to be stored; send it again later.' }));
      return;
    }
    const arrival: Arrival = { lease, at: clock.wall(), handled: false };
    arrivals.set(request, arrival);
    const slow = setTimeout(() => void (arrival.handled || tooSlow(reply)), settings.bodyTimeout * 1000);
    // Closed before its body was whole, or refused on the way: the handler never sees it.
    reply.raw.once('close', () => {
      clearTimeout(slow);
      return arrival.handled || lease.release();
    });
  }

  /** What comes of the body after this is of nobody: the connection ends with the answer. */
  function tooSlow(reply: FastifyReply): void {
    metrics.batch('slow');
    void reply.code(408).header('connection', 'close').send({ error: 'BODY_TIMEOUT', message: `The body did not arrive within ${settings.bodyTimeout} s; send it again, or a smaller one.` } satisfies Refusal);
  }

  async function decoded(body: unknown, lease: Lease, { decode }: Kind): Promise<Written | undefined> {
    if (!Buffer.isBuffer(body) || body.length === 0) throw new TelemetryError('BODY_MISSING', 'The body is empty; send JSON.', 'discard');
    return inflating(async () => {
      const text = await readBody(body, settings.maxInflatedBytes);
      return lease.grow(text.length * BYTES_PER_BYTE) ? decode(text) : undefined;
    });
  }

  async function accept(request: FastifyRequest, reply: FastifyReply, { lease, at }: Arrival, kind: Kind): Promise<Answer> {
    const written = await decoded(request.body, lease, kind);
    if (!written) {
      metrics.batch('busy');
      return retryLater(reply, { error: 'BUSY', message: 'Too much is waiting to be stored; send it again later.' });
    }
    const { batch, text } = written;
    if (!mayWrite(request, batch.node)) return foreignNode(reply, batch.node);
    const sent = sentAt(request.headers['x-joulebook-sent']);
    if (sent !== undefined) clocks.heard(batch.node, sent, at);
    // Hundreds of batches wait for the store at a time: their facts are to be garbage by then, not to be copied by each collection.
    const { stream, sequence } = batch;
    const facts = batch.slices.length;
    try {
      const objection = admission.objection(batch, at);
      // What was stored before stays stored: its sender is to forget it, not to count it as lost.
      if (objection && (await store.seen(batch, text)) !== 'duplicate') return objectTo(reply, objection);
      const appended = await store.append(batch, text);
      health.stored();
      metrics.batch(appended);
      if (appended === 'accepted') metrics.slices(facts);
      if (appended !== 'conflict') return { accepted: true, duplicate: appended === 'duplicate' };
      void reply.code(409);
      return { error: 'BATCH_CONFLICT', message: kind.conflict({ stream, sequence }) };
    } catch (error) {
      if (error instanceof TelemetryError && error.remedy === 'discard') throw error;
      health.failed(error);
      metrics.batch('failed');
      return retryLater(reply, { error: 'STORE_FAILED', message: 'The store does not take batches now; send it again later.' });
    }
  }

  function objectTo(reply: FastifyReply, objection: Objection): Refusal {
    if (objection.after !== undefined) {
      metrics.batch('early');
      return retryLater(reply, objection, 425);
    }
    metrics.batch('rejected');
    void reply.code(400);
    return { error: objection.error, message: objection.message };
  }

  function foreignNode(reply: FastifyReply, node: string): Refusal {
    metrics.batch('rejected');
    void reply.code(403);
    return { error: 'FOREIGN_NODE', message: `${reply.request.caller?.name ?? 'This sender'} may not write facts of node '${node}'.` };
  }

  const takes = (kind: Kind) => async (request: FastifyRequest, reply: FastifyReply): Promise<Answer> => {
    const arrival = arrivals.get(request);
    if (!arrival) throw new Error('a batch has its room before it is read');
    arrival.handled = true;
    const begun = clock.monotonic();
    try {
      return await accept(request, reply, arrival, kind);
    } catch (error) {
      if (!(error instanceof TelemetryError)) throw error;
      metrics.batch('rejected');
      void reply.code(error.code === 'BODY_TOO_LARGE' ? 413 : 400);
      return { error: error.code, message: error.message } satisfies Refusal;
    } finally {
      arrival.lease.release();
      metrics.ingest(clock.monotonic() - begun);
    }
  };

  app.post('/v1/batches', { config: { needs: 'ingest' }, onRequest: makeRoom }, takes(BATCHES));
  app.post('/v1/outcomes', { config: { needs: 'ingest' }, onRequest: makeRoom }, takes(CORRECTIONS));
}
