/** Reading: figures, health, metrics and the first page. Nothing here changes a fact. */
import { randomBytes } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { epochMicros, toEpochMicros } from '@joulebook/shared/units.js';
import type { Metrics } from '../ingest/metrics.js';
import type { StoreHealth } from '../ingest/store-health.js';
import type { Report } from '../join/report.js';
import type { Book } from '../book/book.js';
import { buildReport, measureBoundaries } from '../report/build.js';
import type { Boundaries } from '../report/boundaries.js';
import { parseRequest, type Defaults, type ReportRequest, type Said } from '../report/request.js';
import { remembering } from '../store/remembering.js';
import type { Extent, Store } from '../store/store.js';
import { formatTime } from '../join/times.js';
import { DEFAULT_WINDOW, emptyPage, glancePage, WINDOWS } from './page.js';

/** An agent whose newest fact is younger than this is on time: slices take 10 s to fill and some to arrive. */
const ON_TIME_MICROS = 45e6;
/** Clocks differ by so much; a fact that begins later must not move the page's window. */
const FUTURE_MICROS = 300e6;

const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : [String(value)]);
export const saidOf = (query: unknown): Said => Object.fromEntries(Object.entries(typeof query === 'object' && query !== null ? query : {}).map(([name, value]) => [name, texts(value)]));

/**
 * The window that ends now and begins no earlier than the facts. What an agent that is on time has not sent yet is not
 * missing; when the newest fact is older than that, the silence is part of the window and shows in its coverage.
 * @param facts of those that begin before `now + FUTURE_MICROS`
 */
export function glanceRange(facts: Extent, now: number, window: number): Pick<ReportRequest, 'from' | 'to'> {
  const to = epochMicros(now - facts.to < ON_TIME_MICROS ? Math.min(facts.to, now) : now);
  return { from: epochMicros(Math.max(to - window * 1e6, facts.from)), to };
}

const READ = { config: { needs: 'read' } } as const;
/** Health says nothing about anybody's work, and probes carry no tokens. */
const OPEN = { config: { needs: 'open' } } as const;

/** Whoever asks, and however many: what nobody needs a token for must not keep the store busy. */
function onceASecond<T>(clock: Clock, work: () => Promise<T>): () => Promise<T> {
  let last: { readonly answer: Promise<T>; readonly at: number } | undefined;
  return () => {
    const now = clock.monotonic();
    if (!last || now - last.at >= 1) last = { answer: work(), at: now };
    return last.answer;
  };
}

export interface Reading {
  readonly store: Store;
  readonly health: StoreHealth;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly defaults: Defaults;
  /** As it is now. */
  readonly book: () => Book;
}

export function serveApi(app: FastifyInstance, { store, health, metrics, clock, defaults, book }: Reading): void {
  app.get('/v1/report', READ, async (request) => buildReport(store, parseRequest(saidOf(request.query), defaults, ''), '', book()));

  const answers = onceASecond(clock, () =>
    store.extent().then(() => true, (error: unknown) => {
      app.log.error({ error: messageOf(error) }, 'the store does not answer');
      return false;
    }),
  );
  app.get('/healthz', OPEN, async () => ({ ok: true }));

  app.get('/readyz', OPEN, async (_request, reply) => {
    const trouble = (await answers()) ? health.trouble() : 'The store does not answer; the log of the collector says why.';
    if (trouble === undefined) return { ok: true };
    void reply.code(503);
    return { ok: false, error: 'STORE_FAILED', message: trouble };
  });

  app.get('/metrics', READ, async (_request, reply) => {
    const { text, contentType } = await metrics.expose();
    return reply.type(contentType).send(text);
  });

  app.get('/', READ, async (request, reply) => {
    const nonce = randomBytes(16).toString('base64');
    void reply.type('text/html; charset=utf-8').header('content-security-policy', contentSecurity(nonce));
    return firstPage(request, nonce);
  });

  async function firstPage(request: FastifyRequest, nonce: string): Promise<string> {
    const said = saidOf(request.query);
    const asked = said['window']?.at(-1) ?? '';
    const window = Object.hasOwn(WINDOWS, asked) ? asked : DEFAULT_WINDOW;
    const boundary = BOUNDARIES.find((known) => known === said['boundary']?.at(-1));
    const now = toEpochMicros(clock.wall());
    const facts = await store.extent(epochMicros(now + FUTURE_MICROS));
    const seconds = WINDOWS[window] ?? 0;
    if (facts === null || facts.to < now - seconds * 1e6) {
      const newest = facts ?? (await store.extent());
      return emptyPage(nonce, window, `${request.protocol}://${request.host}`, newest === null ? null : formatTime(newest.to));
    }
    const seen = remembering(store);
    const all: ReportRequest = { ...parseRequest({}, defaults, ''), ...glanceRange(facts, now, seconds), boundary };
    const phases = await buildReport(seen, { ...all, by: ['phase'] }, '', book());
    const byPhase = boundary === undefined ? withBoundaries(phases, await measureBoundaries(seen, all)) : phases;
    return glancePage({ window, boundary, byPhase, byDeployment: await buildReport(seen, { ...all, by: ['deployment'] }, '', book()) }, nonce);
  }
}

const withBoundaries = (report: Report, { boundariesMeasured, other, flags }: Boundaries): Report => ({ ...report, boundariesMeasured: [...boundariesMeasured], other, flags: [...report.flags, ...flags] });

export const contentSecurity = (nonce: string): string =>
  `default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;

/** Errors that hold for every route. */
export function explainFaults(app: FastifyInstance): void {
  app.setNotFoundHandler(async (request, reply) => {
    void reply.code(404);
    return { error: 'NOT_FOUND', message: `There is no ${request.method} ${request.url.split('?')[0]} here.` };
  });
  app.setErrorHandler(async (error, _request, reply) => explain(app, error, reply));
}

/** HTTP faults that the server itself found (too large, wrong type) keep their status; surprises are logged and not shown. */
function explain(app: FastifyInstance, error: unknown, reply: FastifyReply): object {
  if (error instanceof UsageError) {
    void reply.code(400);
    return { error: 'USAGE', message: error.message, faults: error.faults };
  }
  if (error instanceof TelemetryError && error.code === 'NO_FACTS') {
    void reply.code(404);
    return { error: error.code, message: error.message };
  }
  const status = error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500;
  if (status < 500) {
    void reply.code(status);
    return { error: status === 413 ? 'BODY_TOO_LARGE' : status === 415 ? 'BODY_TYPE' : 'BAD_REQUEST', message: messageOf(error) };
  }
  app.log.error({ error: messageOf(error) }, 'a request failed');
  const later = error instanceof TelemetryError && error.remedy === 'retry';
  void reply.code(later ? 503 : 500);
  return { error: error instanceof TelemetryError ? error.code : 'INTERNAL', message: error instanceof TelemetryError ? error.message : 'The collector failed to answer; its log says why.' };
}
