/** A management controller on loopback: TLS with certificates made on the spot, sessions with few slots, Basic, documents that a test sets. */
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

const OPENSSL = ['/usr/bin/openssl', '/usr/local/bin/openssl', '/opt/homebrew/bin/openssl'].find((file) => existsSync(file));
export const hasOpenssl = OPENSSL !== undefined;
export const ifNoOpenssl = hasOpenssl ? '' : ' (skipped: openssl is not installed here; apt install openssl)';

export const WATCHER = { username: 'watcher', password: 'sesame-6631' } as const;

export interface Certificate {
  readonly key: string;
  readonly cert: string;
  /** SHA-256, as openssl prints it. */
  readonly fingerprint: string;
  /** Of the file with `cert`. */
  readonly file: string;
  remove(): Promise<void>;
}

/** Signed by itself. @param days -1 has expired @param name what it is for besides 127.0.0.1 */
export async function certificate(days = 2, address = '127.0.0.1'): Promise<Certificate> {
  const folder = await mkdtemp(join(tmpdir(), 'certificate-'));
  const named = (name: string): string => join(folder, `${name}.pem`);
  const [key, request, file, extensions] = [named('key'), named('request'), named('cert'), named('extensions')];
  const openssl = OPENSSL ?? 'openssl';
  await execa(openssl, ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=controller', '-keyout', key, '-out', request]);
  await writeFile(extensions, `subjectAltName=IP:${address}\n`);
  await execa(openssl, ['x509', '-req', '-in', request, '-signkey', key, '-days', String(days), '-extfile', extensions, '-out', file]);
  const cert = await readFile(file, 'utf8');
  return { key: await readFile(key, 'utf8'), cert, fingerprint: new X509Certificate(cert).fingerprint256, file, remove: () => rm(folder, { recursive: true }) };
}

export interface RedfishServer {
  readonly url: string;
  /** Documents by path; changes count from the next request on. */
  readonly documents: Map<string, object | string>;
  /** A status to answer with instead, by path. */
  readonly failing: Map<string, number>;
  /** `METHOD path`, in order. */
  readonly requests: string[];
  /** Sessions that were opened and not given back. */
  readonly sessions: Set<string>;
  /** The most requests that were under way together. */
  readonly most: () => number;
  /** Connections that were made. */
  readonly connections: () => number;
  /** Milliseconds before an answer. */
  delay: number;
  /** False: there is no SessionService, only Basic. */
  hasSessions: boolean;
  close(): Promise<void>;
}

const SESSIONS = '/redfish/v1/SessionService/Sessions';

const answer = (response: ServerResponse, status: number, body?: object | string, headers: Record<string, string> = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body));
};

export async function startRedfish({ key, cert }: Certificate, documents: Readonly<Record<string, object>>): Promise<RedfishServer> {
  const sessions = new Set<string>();
  const requests: string[] = [];
  let running = 0;
  let most = 0;
  let connections = 0;

  const basic = `Basic ${Buffer.from(`${WATCHER.username}:${WATCHER.password}`).toString('base64')}`;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const path = request.url ?? '';
    requests.push(`${request.method} ${path}`);
    if (server.delay > 0) await new Promise((resolve) => setTimeout(resolve, server.delay));
    const status = server.failing.get(path);
    if (status !== undefined) return answer(response, status, { error: { code: 'Base.1.8.GeneralError' } });
    if (path === SESSIONS && request.method === 'POST') {
      if (!server.hasSessions) return answer(response, 404, {});
      const said: unknown = JSON.parse(body);
      if (createHash('sha256').update(JSON.stringify(said)).digest('hex') !== LOGIN) return answer(response, 401, { error: { code: 'Base.1.8.NoValidSession' } });
      const token = randomBytes(8).toString('hex');
      sessions.add(token);
      return answer(response, 201, { Id: token }, { 'x-auth-token': token, location: `${SESSIONS}/${token}` });
    }
    const token = request.headers['x-auth-token'];
    if (!(typeof token === 'string' && sessions.has(token)) && request.headers.authorization !== basic) return answer(response, 401, { error: { code: 'Base.1.8.NoValidSession' } });
    if (request.method === 'DELETE') {
      sessions.delete(path.split('/').at(-1) ?? '');
      return answer(response, 204);
    }
    const document = server.documents.get(path);
    return document === undefined ? answer(response, 404, { error: { code: 'Base.1.8.ResourceMissingAtURI' } }) : answer(response, 200, document);
  }

  const https = createServer({ key, cert }, (request, response) => {
    running += 1;
    most = Math.max(most, running);
    void serve(request, response).finally(() => {
      running -= 1;
    });
  });
  https.on('secureConnection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => {
    https.listen(0, '127.0.0.1', resolve);
  });
  const address = https.address();
  const server: RedfishServer = {
    url: `https://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    documents: new Map(Object.entries(documents)),
    failing: new Map(),
    requests,
    sessions,
    most: () => most,
    connections: () => connections,
    delay: 0,
    hasSessions: true,
    async close() {
      https.closeAllConnections();
      await new Promise<void>((resolve) => {
        https.close(() => resolve());
      });
    },
  };
  return server;
}

const LOGIN = createHash('sha256').update(JSON.stringify({ UserName: WATCHER.username, Password: WATCHER.password })).digest('hex');

/** A link as Redfish writes it. */
export const link = (path: string): { readonly '@odata.id': string } => ({ '@odata.id': path });
export const collection = (...paths: readonly string[]): object => ({ Members: paths.map(link) });
