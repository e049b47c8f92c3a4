/**
 * /metrics, /healthz and /readyz of the agent. Health says nothing about anybody's work, and probes carry no tokens.
 * Whatever happens here, measuring goes on.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';
import { isLoopback, type Listen } from '@joulebook/shared/listen.js';
import type { LiveContext } from '../sources/source.js';
import type { AgentMetrics } from './metrics.js';

export interface PageOptions {
  readonly listen: Listen;
  readonly token: string | undefined;
  readonly metrics: Pick<AgentMetrics, 'trouble' | 'expose'>;
  readonly log: LiveContext['log'];
}

export interface Page {
  /** `http://127.0.0.1:9841`, with the port that was actually bound. */
  readonly address: string;
  close(): void;
}

const MOST_CONNECTIONS = 32;
const REQUEST_MILLISECONDS = 5000;

interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly body: string;
}

const said = (status: number, content: object): Answer => ({ status, type: 'application/json', body: JSON.stringify(content) });
const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** @throws UsageError where others would be served without a token */
export function checkPage({ host }: Listen, token: string | undefined): void {
  if (token === undefined && !isLoopback(host)) throw new UsageError([`metricsListen: ${host} can be reached by others; set a metricsToken or listen on 127.0.0.1`]);
}

/** @returns undefined where that address can't be had: it is said, and the agent measures all the same */
export async function servePage(options: PageOptions): Promise<Page | undefined> {
  const { listen, log } = options;
  checkPage(listen, options.token);
  const server = createServer({ headersTimeout: REQUEST_MILLISECONDS, requestTimeout: REQUEST_MILLISECONDS }, (request, response) => void respond(request, response, options));
  server.maxConnections = MOST_CONNECTIONS;
  server.listen(listen.port, listen.host);
  try {
    await once(server, 'listening');
  } catch (error) {
    log.warn('/metrics can not be served; the agent measures all the same. Choose another address by metricsListen.', { code: 'LISTEN_FAILED', reason: messageOf(error) });
    return undefined;
  }
  server.on('error', (error) => log.warn('/metrics: a connection failed', { reason: error.message }));
  const bound = server.address();
  const address = `http://${isIP(listen.host) === 6 ? `[${listen.host}]` : listen.host}:${bound !== null && typeof bound === 'object' ? bound.port : listen.port}`;
  log.info(`/metrics is at ${address}/metrics`);
  return {
    address,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function respond(request: IncomingMessage, response: ServerResponse, options: PageOptions): Promise<void> {
  const { status, type = 'text/plain; charset=utf-8', body } = await answer(request, options).catch((error: unknown) => {
    options.log.warn('/metrics: an answer could not be made', { reason: messageOf(error) });
    return said(500, { error: 'INTERNAL', message: 'The log of the agent says why.' });
  });
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', connection: 'close' });
  response.end(request.method === 'HEAD' ? '' : body);
}

async function answer({ method, url = '', headers }: IncomingMessage, { token, metrics }: PageOptions): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') return said(405, { error: 'METHOD', message: 'Only GET is answered here.' });
  const path = url.split('?')[0];
  if (path === '/healthz') return said(200, { ok: true });
  if (path === '/readyz') {
    const trouble = metrics.trouble();
    return trouble === undefined ? said(200, { ok: true }) : said(503, { ok: false, message: trouble });
  }
  if (path !== '/metrics') return said(404, { error: 'NOT_FOUND', message: 'There are /metrics, /healthz and /readyz here.' });
  const shown = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
  if (token !== undefined && (shown === undefined || !timingSafeEqual(digest(shown), digest(token)))) return said(401, { error: 'TOKEN_NEEDED', message: 'Send authorization: Bearer with the metricsToken of this agent.' });
  const { text, contentType } = await metrics.expose();
  return { status: 200, type: contentType, body: text };
}
