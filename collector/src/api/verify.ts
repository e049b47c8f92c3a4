/** `GET /v1/verify`: do the books of this store close? */
import type { FastifyInstance } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import { seconds } from '@joulebook/shared/units.js';
import type { Store } from '../store/store.js';
import { parseQuestion } from '../verify/question.js';
import { verify } from '../verify/verify.js';
import { saidOf } from './api.js';

/** Agents send every 10 s, live facts before those that they have to catch up with. */
export const GRACE = seconds(60);

export function serveVerify(app: FastifyInstance, { store, clock }: { readonly store: Store; readonly clock: Clock }): void {
  app.get('/v1/verify', { config: { needs: 'read' } }, async (request) => verify(store, parseQuestion(saidOf(request.query), ''), { now: clock.wall(), grace: GRACE }));
}
