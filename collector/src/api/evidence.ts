/**
 * An evidence bundle of what a running collector has, not signed: keys stay with people. Its settings are in it, so it is for admins.
 *
 *   GET  /v1/evidence   admin   tar: ?from= &to= &boundary=
 */
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import { messageOf } from '@joulebook/shared/errors.js';
import { actorOf } from '../access/caller.js';
import type { Book } from '../book/book.js';
import { bundleTo } from '../evidence/bundle.js';
import { makeEvidence } from '../evidence/make.js';
import { parseEvidence } from '../evidence/question.js';
import type { CollectorSettings } from '../settings.js';
import type { EmbeddedStore } from '../store/upkeep.js';
import { saidOf } from './api.js';
import { sendFile } from './upkeep.js';

export interface EvidenceApi {
  readonly store: EmbeddedStore;
  readonly settings: CollectorSettings;
  readonly clock: Clock;
  /** As it is now. */
  readonly book: () => Book;
}

export function serveEvidence(app: FastifyInstance, { store, settings, clock, book }: EvidenceApi): void {
  const beside = settings.store === ':memory:' ? tmpdir() : dirname(settings.store);

  app.get('/v1/evidence', { config: { needs: 'admin' } }, async (request, reply) => {
    const question = parseEvidence(saidOf(request.query), settings, '');
    try {
      return await sendFile(reply, beside, {
        name: 'joulebook-evidence.tar', type: 'application/x-tar',
        async make(path) {
          const folder = `${path}.d`;
          await mkdir(folder);
          await makeEvidence({ store, settings, book: book(), clock }, question, folder, undefined);
          await bundleTo(folder, path);
        },
        made: (bytes) => app.audit.acted({ event: 'exported', bytes, question: { format: 'evidence', ...question } }, actorOf(request)),
      });
    } catch (error) {
      app.audit.acted({ event: 'export-failed', error: messageOf(error) }, actorOf(request));
      throw error;
    }
  });
}
