/** The certificate of a client, as far as it stands for a node: its common name and the DNS names it was issued for. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Caller } from './caller.js';
import { ingestOf } from './scope.js';

export interface ClientCertificate {
  readonly caller: Caller;
  readonly expires: number;
}

const LONGEST_NAME = 512;
/** Node quotes names with characters that could forge an entry; such names stand for nobody. */
const DNS_NAME = /^DNS:([A-Za-z0-9._-]+)$/;

function read(socket: TLSSocket): ClientCertificate | 'invalid' | undefined {
  const certificate = socket.getPeerCertificate();
  if (Object.keys(certificate).length === 0) return undefined;
  if (!socket.authorized) return 'invalid';
  const common: unknown = certificate.subject?.CN;
  const names = [typeof common === 'string' && common !== '' && common.length <= LONGEST_NAME ? common : [], (certificate.subjectaltname ?? '').split(', ').flatMap((entry) => DNS_NAME.exec(entry)?.[1] ?? [])].flat();
  const unique = [...new Set(names)];
  return { caller: { name: `certificate ${unique[0] ?? ''}`.trim(), scopes: unique.map(ingestOf) }, expires: Date.parse(certificate.valid_to) };
}

const seen = new WeakMap<Socket, ReturnType<typeof read>>();

/**
 * `invalid`: one was shown that the CA did not issue, or that is out of date. It is looked at once for each connection; that
 * it may run out while the connection lasts is the caller's to check.
 */
export function clientCertificate(socket: Socket): ClientCertificate | 'invalid' | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  if (!seen.has(socket)) seen.set(socket, read(socket));
  return seen.get(socket);
}
