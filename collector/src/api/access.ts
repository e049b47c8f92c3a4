/** Who may ask. Without a token only this machine is served, and only under a name that can't be somebody else's site. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Refusal } from '../ingest/ingest.js';

/** Counts and health say nothing about anybody's work, and probes carry no tokens. */
const OPEN: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Bearer for programs; Basic with the token as password for browsers, which can't be told to send a bearer token. */
function presented(header: string | undefined): string | undefined {
  const [, scheme, credentials] = /^(bearer|basic) +(\S+)$/i.exec(header ?? '') ?? [];
  if (scheme === undefined || credentials === undefined) return undefined;
  if (scheme.toLowerCase() === 'bearer') return credentials;
  const pair = Buffer.from(credentials, 'base64').toString('utf8');
  return pair.slice(pair.indexOf(':') + 1);
}

/** A page of another site whose name was pointed at this address sends that name as Host. */
function isOwnName(request: FastifyRequest): boolean {
  const host = request.hostname.replace(/^\[|\]$/g, '');
  return isIP(host) !== 0 || host === 'localhost' || host.endsWith('.localhost');
}

export function guard(app: FastifyInstance, token: string | undefined): void {
  // Digests have one length, so comparing takes one time whatever was presented.
  const wanted = token === undefined ? undefined : digest(token);
  app.addHook('onRequest', async (request, reply) => {
    if (OPEN.has(request.routeOptions.url ?? '')) return;
    if (wanted === undefined) {
      if (!isOwnName(request)) await refuse(reply, 421, 'WRONG_HOST', 'Without a token this collector answers to localhost and IP addresses only.');
      return;
    }
    const given = presented(request.headers.authorization);
    if (given !== undefined && timingSafeEqual(digest(given), wanted)) return;
    void reply.header('www-authenticate', `${request.routeOptions.url === '/' ? 'Basic' : 'Bearer'} realm="Joulebook"`);
    await refuse(reply, 401, 'TOKEN_NEEDED', 'Present the collector token: Authorization: Bearer TOKEN.');
  });
}

const refuse = (reply: FastifyReply, status: number, error: string, message: string): FastifyReply => reply.code(status).send({ error, message } satisfies Refusal);
