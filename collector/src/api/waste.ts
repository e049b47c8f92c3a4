/** `GET /v1/waste`: what was wasted, and what it was worth. */
import type { FastifyInstance } from 'fastify';
import type { Book } from '../book/book.js';
import type { Defaults } from '../report/request.js';
import type { Store } from '../store/store.js';
import { parseWaste } from '../waste/request.js';
import { findWaste } from '../waste/waste.js';
import { saidOf } from './api.js';

export function serveWaste(app: FastifyInstance, { store, defaults, book }: { readonly store: Store; readonly defaults: Defaults; readonly book: () => Book }): void {
  app.get('/v1/waste', { config: { needs: 'read' } }, async (request) => findWaste(store, parseWaste(saidOf(request.query), defaults, ''), '', book()));
}
