/**
 * `/v1/tokens`, for admins, and `/v1/access`, by which anybody who is known learns what they may do, and with `?node=NAME` whether
 * they may send facts of that node. A token's text is in one answer only, the one to its making.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Audit } from '../access/audit.js';
import { actorOf, LOCAL } from '../access/caller.js';
import type { Refusal } from '../access/refusal.js';
import { formatScope, parseScope, writes } from '../access/scope.js';
import type { Token, Tokens } from '../access/tokens.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';

const MOST_BYTES = 16 * 1024;
/** Beyond it a date has no text any more. */
const LONGEST_SECONDS = 100 * 365 * 86_400;

const wanted = z.strictObject({
  scopes: z.array(z.string().max(600)).min(1).max(100),
  expiresInSeconds: z.number().positive().max(LONGEST_SECONDS).optional(),
  note: z.string().max(200).optional(),
});
export type TokenWanted = z.infer<typeof wanted>;

export const tokenShown = z.object({
  id: z.string(), scopes: z.array(z.string()), created: z.string(), expires: z.string().nullable(), lastUsed: z.string().nullable(), note: z.string().nullable(),
  /** False once it has expired. */
  valid: z.boolean(),
});
export type TokenShown = z.infer<typeof tokenShown>;
export const tokensShown = z.object({ tokens: z.array(tokenShown) });
export const tokenMade = tokenShown.extend({ token: z.string() });
export type TokenMade = z.infer<typeof tokenMade>;

const showToken = ({ id, scopes, created, expires, lastUsed, note }: Token, now: number): TokenShown => ({
  id, scopes: scopes.map(formatScope), created: created.toISOString(), expires: expires?.toISOString() ?? null, lastUsed: lastUsed?.toISOString() ?? null, note: note ?? null,
  valid: expires === undefined || expires.getTime() > now,
});

/** What both the API and the command line do, the latter where no collector is asked. */
export interface TokenBook {
  list(): Promise<readonly TokenShown[]>;
  create(wanted: TokenWanted): Promise<TokenMade>;
  revoke(id: string): Promise<boolean>;
}

export function tokenBook(tokens: Tokens, clock: Clock): TokenBook {
  const now = (): number => clock.wall() * 1000;
  return {
    list: async () => (await tokens.list()).map((token) => showToken(token, now())),
    async create({ scopes, expiresInSeconds, note }) {
      const expires = expiresInSeconds === undefined ? undefined : new Date(now() + expiresInSeconds * 1000);
      const { text, token } = await tokens.create({ scopes: scopes.map(parseScope), expires, note });
      return { token: text, ...showToken(token, now()) };
    },
    revoke: (id) => tokens.revoke(id),
  };
}

/** @throws UsageError with every fault */
export function readWanted(body: unknown): TokenWanted {
  const read = wanted.safeParse(body);
  if (!read.success) throw new UsageError(read.error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`));
  return read.data;
}

/** Where nobody has to say who they are, any program of this machine could lock the others out. */
function refuseLocal(request: FastifyRequest, reply: FastifyReply): Refusal | undefined {
  if (request.caller !== LOCAL) return undefined;
  void reply.code(403);
  return { error: 'FIRST_TOKEN', message: 'No token is set here yet. Make the first one on the machine of the store: joulebook token create --scope admin --store FILE.' };
}

export function serveTokens(app: FastifyInstance, tokens: Tokens, audit: Audit, clock: Clock): void {
  const book = tokenBook(tokens, clock);
  app.get<{ Querystring: { node?: string | string[] } }>('/v1/access', { config: { needs: 'any' } }, async ({ caller, query: { node } }) => {
    const scopes = caller?.scopes ?? [];
    return { caller: caller?.name ?? null, scopes: scopes.map(formatScope), ...(typeof node === 'string' && { node, mayIngest: writes(scopes, node) }) };
  });

  // Its own parser: bodies of batches are larger, and read as bytes.
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit: MOST_BYTES }, scope.getDefaultJsonParser('error', 'error'));

    scope.get('/v1/tokens', { config: { needs: 'admin' } }, async (request, reply) => refuseLocal(request, reply) ?? { tokens: await book.list() });

    scope.post('/v1/tokens', { config: { needs: 'admin' } }, async (request, reply) => {
      const refusal = refuseLocal(request, reply);
      if (refusal) return refusal;
      const made = await kept(() => book.create(readWanted(request.body)), reply);
      if ('error' in made) return made;
      audit.acted({ event: 'token-created', id: made.id, scopes: made.scopes }, actorOf(request));
      void reply.code(201);
      return made;
    });

    scope.delete<{ Params: { id: string } }>('/v1/tokens/:id', { config: { needs: 'admin' } }, async (request, reply) => {
      const refusal = refuseLocal(request, reply);
      if (refusal) return refusal;
      const { id } = request.params;
      if (!(await book.revoke(id))) {
        void reply.code(404);
        return { error: 'NO_SUCH_TOKEN', message: `There is no token ${id.slice(0, 20)}.` } satisfies Refusal;
      }
      audit.acted({ event: 'token-revoked', id }, actorOf(request));
      return { revoked: id };
    });
  });
}

/** A store that keeps no tokens is no fault of the collector. */
async function kept<T>(work: () => Promise<T>, reply: FastifyReply): Promise<T | Refusal> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TelemetryError) || error.code !== 'TOKENS_NOT_KEPT') throw error;
    void reply.code(409);
    return { error: error.code, message: error.message };
  }
}
