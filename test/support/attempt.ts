/** Requests that no well-behaved client makes: written to the socket as they are, and what came back in one line. */
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { connect as connectSecure, type ConnectionOptions } from 'node:tls';
import { text } from 'node:stream/consumers';
import { z } from 'zod';

/** Ours have a code; what Node itself refuses has a phrase. */
const refusal = z.object({ error: z.string().regex(/^[A-Z_]+$/) });

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** `401 TOKEN_NEEDED`, or the status alone; `refused` where the connection was ended without an answer. */
  readonly line: string;
  readonly body: string;
}

function parse(said: string): Answer {
  const [head = '', ...rest] = said.split('\r\n\r\n');
  const [first = '', ...fields] = head.split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1] ?? 0);
  const headers = new Map(fields.map((field) => [field.slice(0, field.indexOf(':')).toLowerCase(), field.slice(field.indexOf(':') + 2)] as const));
  const body = rest.join('\r\n\r\n');
  const code = errorIn(body);
  return { status, headers, body, line: status === 0 ? 'refused' : code === undefined ? String(status) : `${status} ${code}` };
}

function errorIn(body: string): string | undefined {
  try {
    return refusal.parse(JSON.parse(body)).error;
  } catch {
    return undefined;
  }
}

export interface Target {
  readonly port: number;
  /** With it, over TLS. */
  readonly tls?: ConnectionOptions;
}

/** Writes the pieces one after the other and reads until the other side ends. */
export async function exchange({ port, tls }: Target, ...pieces: readonly (string | Uint8Array)[]): Promise<Answer> {
  const socket = tls ? connectSecure({ ...tls, host: '127.0.0.1', port, servername: 'localhost' }) : connectPlain(port, '127.0.0.1');
  try {
    await once(socket, tls ? 'secureConnect' : 'connect');
    for (const piece of pieces) socket.write(piece);
    return parse(await text(socket));
  } catch {
    return parse('');
  } finally {
    socket.destroy();
  }
}

export interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** One request with exactly these headers and this path, and `connection: close`. */
export function request(target: Target, { method = 'GET', path = '/v1/report', token, headers = {}, body }: Asked): Promise<Answer> {
  const bytes = body === undefined ? undefined : Buffer.from(body);
  const all = {
    host: `127.0.0.1:${target.port}`, connection: 'close',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(bytes && { 'content-type': 'application/json', 'content-length': String(bytes.length) }),
    ...headers,
  };
  const head = `${method} ${path} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return exchange(target, head, ...(bytes ? [bytes] : []));
}
