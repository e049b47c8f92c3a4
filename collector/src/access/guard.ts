/**
 * What every request passes before anything of it is read, from the cheapest question to the dearest:
 *
 *   of another site?            403 CROSS_SITE
 *   tokens are kept or set?     no → only this machine can ask, under its own names (421 WRONG_HOST); it may do everything
 *   who is it?                  401 TOKEN_NEEDED, TOKEN_UNKNOWN, TOKEN_EXPIRED, CERTIFICATE_…; too many of them: 429
 *   too many requests?          429 TOO_MANY + Retry-After
 *   may they?                   403 SCOPE_NEEDED
 *
 * Whose facts a batch holds is known when it was read: `mayWrite`.
 */
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import type { Audit } from './audit.js';
import { addressOf, LOCAL, type Caller } from './caller.js';
import { identifier } from './identify.js';
import type { Refusal } from './refusal.js';
import { satisfies, type Need } from './scope.js';
import { isCrossSite, isOwnName } from './site.js';
import type { Tokens } from './tokens.js';

const MINUTE_MS = 60_000;
/** Browsers ask for a password where the answer says Basic. */
const PAGES: readonly string[] = ['/', '/compare'];

/** Read at each request. */
export interface GuardSettings {
  readonly token: string | undefined;
  /** Of one token from one address. */
  readonly batchesPerMinute: number;
  readonly requestsPerMinute: number;
  /** Of one address. */
  readonly refusalsPerMinute: number;
}

const NEEDED: Readonly<Record<Need, string>> = {
  open: 'nothing', any: 'a token', ingest: 'scope ingest:NODE', read: 'scope read', admin: 'scope admin',
};

const perCaller = (request: FastifyRequest): string => `${request.caller?.name ?? ''} ${addressOf(request)}`;

function refuse(reply: FastifyReply, status: number, refusal: Refusal): FastifyReply {
  return reply.code(status).send(refusal);
}

const tooMany = (reply: FastifyReply, afterSeconds: number, message: string): FastifyReply => refuse(reply.header('retry-after', String(Math.max(1, afterSeconds))), 429, { error: 'TOO_MANY', message });

export interface Gate {
  readonly settings: GuardSettings;
  readonly tokens: Tokens;
  /** Whether everybody has to say who they are. */
  readonly closed: () => Promise<boolean>;
  readonly audit: Audit;
  readonly clock: Clock;
}

export async function guard(app: FastifyInstance, { settings, tokens, closed, audit, clock }: Gate): Promise<void> {
  await app.register(rateLimit, { global: false });
  app.decorateRequest('caller', null);
  app.decorate('audit', audit);
  const identify = identifier(settings.token, tokens, clock);
  const batches = app.createRateLimit({ max: () => settings.batchesPerMinute, timeWindow: MINUTE_MS, keyGenerator: perCaller });
  const requests = app.createRateLimit({ max: () => settings.requestsPerMinute, timeWindow: MINUTE_MS, keyGenerator: perCaller });
  const refusals = app.createRateLimit({ max: () => settings.refusalsPerMinute, timeWindow: MINUTE_MS, keyGenerator: addressOf });

  async function notKnown(request: FastifyRequest, reply: FastifyReply, refusal: Refusal, token: string | undefined): Promise<undefined> {
    const counted = await refusals(request);
    audit.refused({ event: 'refused', reason: refusal.error, token, address: addressOf(request), route: request.routeOptions.url ?? 'none' });
    if (!counted.isAllowed && counted.isExceeded) {
      await tooMany(reply, counted.ttlInSeconds, 'Too many requests from this address were refused; come back later with a token that is known.');
      return;
    }
    void reply.header('www-authenticate', `${PAGES.includes(request.routeOptions.url ?? '') ? 'Basic' : 'Bearer'} realm="Joulebook"`);
    await refuse(reply, 401, refusal);
  }

  async function callerOf(request: FastifyRequest, reply: FastifyReply): Promise<Caller | undefined> {
    if (!(await closed())) {
      if (isOwnName(request)) return LOCAL;
      await refuse(reply, 421, { error: 'WRONG_HOST', message: 'Without a token this collector answers to localhost and IP addresses only.' });
      return undefined;
    }
    const lately = await refusals(request, { increment: false });
    const suspect = !lately.isAllowed && lately.remaining === 0;
    const identified = await identify(request, suspect);
    return identified.known ? identified.caller : notKnown(request, reply, identified.refusal, identified.token);
  }

  app.addHook('onRequest', async (request, reply) => {
    const need: Need = request.is404 ? 'any' : (request.routeOptions.config.needs ?? 'admin');
    if (need === 'open') return;
    if (isCrossSite(request)) {
      audit.refused({ event: 'refused', reason: 'CROSS_SITE', address: addressOf(request), route: request.routeOptions.url ?? 'none' });
      await refuse(reply, 403, { error: 'CROSS_SITE', message: 'Pages of other sites may not use this collector.' });
      return;
    }
    const caller = await callerOf(request, reply);
    if (!caller) return;
    request.caller = caller;
    const counted = await (need === 'ingest' ? batches : requests)(request);
    if (!counted.isAllowed && counted.isExceeded) {
      await tooMany(reply, counted.ttlInSeconds, `More than ${counted.max} requests a minute; come back later.`);
      return;
    }
    if (satisfies(caller.scopes, need)) return;
    audit.refused({ event: 'refused', reason: 'SCOPE_NEEDED', by: caller.name, address: addressOf(request), route: request.routeOptions.url ?? 'none' });
    await refuse(reply, 403, { error: 'SCOPE_NEEDED', message: `This needs ${NEEDED[need]}; ${caller.name} has it not.` });
  });
}
