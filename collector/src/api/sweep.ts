/** `GET /v1/sweep`: the operating curve over what was turned up or down, as JSON. */
import type { FastifyInstance } from 'fastify';
import type { Book } from '../book/book.js';
import type { Defaults } from '../report/request.js';
import type { Store } from '../store/store.js';
import { parseSweep } from '../sweep/question.js';
import { sweep } from '../sweep/sweep.js';
import { saidOf } from './api.js';

export function serveSweep(app: FastifyInstance, { store, defaults, book }: { readonly store: Store; readonly defaults: Defaults; readonly book: () => Book }): void {
  app.get('/v1/sweep', { config: { needs: 'read' } }, async (request) => sweep(store, parseSweep(saidOf(request.query), defaults, ''), book()));
}
