/** A request → who sent it, or why that is not known. */
import type { FastifyRequest } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import type { Caller } from './caller.js';
import { clientCertificate } from './client-certificate.js';
import { presentedToken } from './credentials.js';
import type { Refusal } from './refusal.js';
import { digest, isDigestOf, tokenId } from './token.js';
import type { Tokens } from './tokens.js';

/** Fewer characters may have been thought up by somebody, and could be found by trying. */
const GUESSABLE_BELOW = 32;

export type Identified = { readonly known: true; readonly caller: Caller } | { readonly known: false; readonly refusal: Refusal; readonly token?: string | undefined };

const unknown = (error: string, message: string, token?: string): Identified => ({ known: false, refusal: { error, message }, token });

interface Configured {
  readonly guessable: boolean;
  is(text: string): boolean;
}
function configuredToken(token: string | undefined): Configured | undefined {
  if (token === undefined) return undefined;
  const wanted = digest(token);
  return { guessable: token.length < GUESSABLE_BELOW, is: (text) => isDigestOf(wanted, text) };
}

/**
 * @param token the one of the configuration, which may do everything
 * @returns of a request and whether its address has been wrong too often lately: then a token that could be guessed is not even compared
 */
export function identifier(token: string | undefined, tokens: Tokens, clock: Clock): (request: FastifyRequest, suspect: boolean) => Promise<Identified> {
  const configured = configuredToken(token);

  async function byToken(text: string, suspect: boolean): Promise<Identified> {
    const found = await tokens.find(text);
    if (found.kind === 'valid') return { known: true, caller: { name: `token ${found.token.id}`, scopes: found.token.scopes } };
    if (found.kind === 'expired') return unknown('TOKEN_EXPIRED', `Token ${found.token.id} expired at ${found.token.expires?.toISOString() ?? ''}; ask for another.`, found.token.id);
    if (configured && !(configured.guessable && suspect) && configured.is(text)) return { known: true, caller: { name: 'the configured token', scopes: [{ may: 'admin' }] } };
    return unknown('TOKEN_UNKNOWN', 'This token is not known here, or was revoked; ask for another.', tokenId(text));
  }

  return async (request, suspect) => {
    const certificate = clientCertificate(request.raw.socket);
    if (certificate === 'invalid') return unknown('CERTIFICATE_INVALID', 'The certificate shown was not issued by the CA that this collector trusts, or is out of date.');
    if (certificate && certificate.expires <= clock.wall() * 1000) return unknown('CERTIFICATE_EXPIRED', 'The certificate shown has expired since this connection was made; renew it.');
    const text = presentedToken(request.headers.authorization);
    if (text === undefined) return certificate ? { known: true, caller: certificate.caller } : unknown('TOKEN_NEEDED', 'Present a token of this collector: Authorization: Bearer TOKEN. `joulebook token create` makes one.');
    const identified = await byToken(text, suspect);
    if (!identified.known || !certificate) return identified;
    return { known: true, caller: { name: `${identified.caller.name}, ${certificate.caller.name}`, scopes: [...identified.caller.scopes, ...certificate.caller.scopes] } };
  };
}
