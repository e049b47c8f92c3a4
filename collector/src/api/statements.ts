/**
 * Statements of a running collector, as JSON:
 *
 *   GET /v1/statements/monthly   read   ?month=2026-10 &site= &boundary=
 *   GET /v1/statements/weekly    read   ?week=2026-W46 &zone= &site= &boundary=
 */
import type { FastifyInstance } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import { toEpochMicros } from '@joulebook/shared/units.js';
import type { Book } from '../book/book.js';
import type { Defaults } from '../report/request.js';
import { monthlyStatementOf } from '../statements/monthly.js';
import { parseMonthly, parseWeekly } from '../statements/question.js';
import { weeklyReviewOf } from '../statements/weekly.js';
import type { Store } from '../store/store.js';
import { saidOf } from './api.js';

const READ = { config: { needs: 'read' } } as const;

export interface StatementsApi {
  readonly store: Store;
  readonly clock: Clock;
  readonly defaults: Defaults;
  /** As it is now. */
  readonly book: () => Book;
}

export function serveStatements(app: FastifyInstance, { store, clock, defaults, book }: StatementsApi): void {
  app.get('/v1/statements/monthly', READ, async (request) => monthlyStatementOf(store, book(), parseMonthly(saidOf(request.query), defaults, book(), toEpochMicros(clock.wall()), '')));
  app.get('/v1/statements/weekly', READ, async (request) => weeklyReviewOf(store, book(), parseWeekly(saidOf(request.query), defaults, book(), toEpochMicros(clock.wall()), '')));
}
