/** Who asks: found out once for each request, by a token, by a client's certificate, or because only this machine can ask. */
import { normalizeIP } from '@fastify/rate-limit';
import type { FastifyRequest } from 'fastify';
import type { Actor, Audit } from './audit.js';
import { writes, type Need, type Scope } from './scope.js';

export interface Caller {
  /** For people and the audit: `token 3f9a1c20b7de`, `certificate gpu-01`. */
  readonly name: string;
  readonly scopes: readonly Scope[];
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Null before it was found out, and on routes that are open. */
    caller: Caller | null;
  }
  interface FastifyContextConfig {
    /** What the route asks of its caller. A route that doesn't say is for `admin`. */
    needs?: Need;
  }
  interface FastifyInstance {
    audit: Audit;
  }
}

/** Without tokens everybody on this machine may do everything, except decide who else may. */
export const LOCAL: Caller = { name: 'this machine', scopes: [{ may: 'admin' }] };

/** One site of IPv6 is one address: its holder has 2^64 of them. */
export const addressOf = (request: FastifyRequest): string => normalizeIP(request.ip, 64);

/** Who shares a part of what there is for all: a token or certificate, wherever it is used; without them, an address. */
export const senderOf = (request: FastifyRequest): string => (request.caller === null || request.caller === LOCAL ? addressOf(request) : request.caller.name);

/** For the audit. */
export const actorOf = (request: FastifyRequest): Actor => ({ by: request.caller?.name ?? '', address: addressOf(request) });

/** Whether who asks may write facts of this node; where not, that is in the audit. */
export function mayWrite(request: FastifyRequest, node: string): boolean {
  const { caller } = request;
  if (caller && writes(caller.scopes, node)) return true;
  request.server.audit.refused({ event: 'foreign-node', by: caller?.name, address: addressOf(request), node });
  return false;
}
