/** A small device on loopback that answers by path, with basic or digest login as RFC 7616 has it; and its bad days. */
import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

export interface TestServer {
  readonly url: string;
  /** Every request line's path, and how many connections there were. */
  readonly asked: string[];
  readonly connections: () => number;
  readonly openConnections: () => number;
  stop(): Promise<void>;
}

export interface TestServerOptions {
  /** By path with query; a function for what moves. Undefined: 404. */
  readonly answer: (path: string) => unknown;
  readonly login?: { readonly scheme: 'basic' | 'SHA-256' | 'MD5'; readonly user: string; readonly password: string };
  /** Requests a nonce is good for. */
  readonly nonceLasts?: number;
}

/** What `answer` may return instead of a page. */
export const HANG = Symbol('never answers');
export const BREAK = Symbol('drops the connection');
export const failWith = (status: number): { readonly status: number } => ({ status });

export async function startServer({ answer, login, nonceLasts = Infinity }: TestServerOptions): Promise<TestServer> {
  const asked: string[] = [];
  const sockets = new Set<object>();
  let connections = 0;
  let nonce = '';
  let left = 0;

  const admitted = (request: IncomingMessage): boolean => {
    const said = request.headers.authorization ?? '';
    if (!login) return true;
    if (login.scheme === 'basic') return said === `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`;
    const hash = (text: string): string => createHash(login.scheme === 'MD5' ? 'md5' : 'sha256').update(text).digest('hex');
    const field = (name: string): string => new RegExp(`\\b${name}="?([^",]*)"?`).exec(said)?.[1] ?? '';
    const secret = hash(`${login.user}:device:${login.password}`);
    const wanted = hash([secret, field('nonce'), field('nc'), field('cnonce'), 'auth', hash(`GET:${request.url ?? ''}`)].join(':'));
    left -= 1;
    return said.startsWith('Digest ') && field('uri') === request.url && field('nonce') === nonce && left >= 0 && field('response') === wanted;
  };
  const refuse = (response: ServerResponse): void => {
    nonce = randomUUID();
    left = nonceLasts;
    const challenge = login?.scheme === 'basic' ? 'Basic realm="device"' : `Digest qop="auth", realm="device", nonce="${nonce}", algorithm=${login?.scheme}`;
    response.writeHead(401, { 'www-authenticate': challenge }).end();
  };

  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    if (!admitted(request)) return refuse(response);
    const page = answer(request.url ?? '');
    if (page === HANG) return undefined;
    if (page === BREAK) return void request.socket.destroy();
    if (page === undefined) return void response.writeHead(404).end();
    if (typeof page === 'object' && page !== null && 'status' in page && typeof page.status === 'number') return void response.writeHead(page.status).end();
    return void response.end(typeof page === 'string' ? page : JSON.stringify(page));
  });
  server.on('connection', (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    connections: () => connections,
    openConnections: () => sockets.size,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
