/** `GET /v1/alerts`: what fires, and how budgets and targets stand. With `?at=TIME` (or `now`) all rules are asked as of then, and nothing comes of it. */
import type { FastifyInstance } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { fromEpochMicros } from '@joulebook/shared/units.js';
import type { Alerts } from '../alerts/alerts.js';
import { parseTime } from '../join/times.js';
import { saidOf } from './api.js';

export function serveAlerts(app: FastifyInstance, { alerts, clock }: { readonly alerts: Alerts; readonly clock: Clock }): void {
  app.get('/v1/alerts', { config: { needs: 'read' } }, async (request) => {
    const { at: [text, ...more] = [], ...others } = saidOf(request.query);
    const odd = Object.keys(others).map((name) => `${name}: unknown; known is at`);
    if (more.length > 0) odd.push('at: said more than once');
    const at = text === undefined || text === 'now' ? undefined : parseTime(text);
    if (text !== undefined && text !== 'now' && at === undefined) odd.push(`at: '${text}' is not a time; write now, ISO 8601 with a zone, or epoch seconds`);
    if (odd.length > 0) throw new UsageError(odd);
    return text === undefined ? alerts.shown() : alerts.check(at === undefined ? clock.wall() : fromEpochMicros(at));
  });
}
