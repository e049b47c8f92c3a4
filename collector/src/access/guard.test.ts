import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterAll, afterEach, expect, it } from 'vitest';
import { systemClock, type Clock } from '@joulebook/shared/clock.js';
import { instant } from '@joulebook/shared/units.js';
import { openAudit } from './audit.js';
import { addressOf, mayWrite } from './caller.js';
import { authority, hasOpenssl } from './certificates.testing.js';
import { guard, type GuardSettings } from './guard.js';
import { parseScope } from './scope.js';
import { openTls } from './tls.js';
import { openTokens, type Tokens } from './tokens.js';

const folder = mkdtempSync(join(tmpdir(), 'joulebook-guard-'));
const log: FastifyBaseLogger = pino({ level: 'silent' });
const never = (error: unknown): never => {
  throw error;
};
const apps: FastifyInstance[] = [];
afterEach(async () => void (await Promise.all(apps.splice(0).map((app) => app.close()))));
afterAll(() => rmSync(folder, { recursive: true }));

interface Given {
  readonly app?: FastifyInstance;
  readonly settings?: Partial<GuardSettings>;
  readonly clock?: Clock;
  readonly heard?: FastifyBaseLogger;
}
async function guarded({ heard = log, app = Fastify({ loggerInstance: heard }), settings, clock = systemClock }: Given = {}): Promise<{ app: FastifyInstance; tokens: Tokens }> {
  const tokens = await openTokens(join(folder, 'tokens'), clock, never);
  apps.push(app);
  await guard(app, { settings: { token: undefined, batchesPerMinute: 100, requestsPerMinute: 100, refusalsPerMinute: 100, ...settings }, tokens, closed: () => Promise.resolve(true), audit: openAudit(heard, clock), clock });
  return { app, tokens };
}
const tokenFor = async (tokens: Tokens, scope: string): Promise<{ authorization: string }> => ({ authorization: `Bearer ${(await tokens.create({ scopes: [parseScope(scope)], expires: undefined, note: undefined })).text}` });

it('keeps a route that does not say what it needs for admins', async () => {
  const { app, tokens } = await guarded();
  app.get('/forgotten', async () => 'secret');
  for (const [scope, status] of [['read', 403], ['ingest:*', 403], ['admin', 200]] as const) expect([scope, (await app.inject({ path: '/forgotten', headers: await tokenFor(tokens, scope) })).statusCode]).toEqual([scope, status]);
  expect((await app.inject({ path: '/forgotten' })).statusCode).toBe(401);
});

it('runs nothing of a route, and reads no body, for who is refused', async () => {
  const { app, tokens } = await guarded();
  const ran: string[] = [];
  app.addContentTypeParser('text/plain', { parseAs: 'string' }, (_request, body, done) => {
    ran.push('parser');
    done(null, body);
  });
  app.post('/write', { config: { needs: 'ingest' }, onRequest: async () => void ran.push('hook') }, async () => void ran.push('handler'));
  const write = { method: 'POST', path: '/write', payload: 'x' } as const;
  const type = { 'content-type': 'text/plain' };
  for (const headers of [type, { ...type, ...(await tokenFor(tokens, 'read')) }]) expect((await app.inject({ ...write, headers })).statusCode).toBeGreaterThanOrEqual(401);
  expect(ran).toEqual([]);
  expect((await app.inject({ ...write, headers: { ...type, ...(await tokenFor(tokens, 'ingest:*')) } })).statusCode).toBe(200);
  expect(ran).toEqual(['hook', 'parser', 'handler']);
});

it('writes no part of what was presented into the log, but the id that it claims', async () => {
  const lines: string[] = [];
  const { app, tokens } = await guarded({ heard: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }), settings: { token: 'chosen-by-somebody' } });
  const { text: revoked, token } = await tokens.create({ scopes: [{ may: 'read' }], expires: undefined, note: undefined });
  await tokens.revoke(token.id);
  for (const presented of [revoked, 'chosen-by-nobody', `${revoked}x`, 'chosen-by-somebody']) await app.inject({ path: '/v1/x', headers: { authorization: `Bearer ${presented}` } });
  expect(lines.join('')).toContain(`"reason":"TOKEN_UNKNOWN","token":"${token.id}"`);
  for (const secret of [revoked.slice(16), 'chosen-by']) expect(lines.join('')).not.toContain(secret);
});

it('counts each token apart, and batches apart from other requests', async () => {
  const { app, tokens } = await guarded({ settings: { batchesPerMinute: 2, requestsPerMinute: 1 } });
  app.get('/read', { config: { needs: 'read' } }, async () => 'x');
  app.get('/write', { config: { needs: 'ingest' } }, async () => 'x');
  const [one, other] = [await tokenFor(tokens, 'admin'), await tokenFor(tokens, 'admin')];
  const status = async (path: string, headers: { authorization: string }): Promise<number> => (await app.inject({ path, headers })).statusCode;
  for (const headers of [one, other]) {
    expect([await status('/read', headers), await status('/read', headers)]).toEqual([200, 429]);
    expect([await status('/write', headers), await status('/write', headers), await status('/write', headers)]).toEqual([200, 200, 429]);
  }
});

it('lets nobody write whom it did not let in', async () => {
  const { app } = await guarded();
  app.get('/open', { config: { needs: 'open' } }, async (asked) => ({ may: mayWrite(asked, 'gpu-01') }));
  expect((await app.inject({ path: '/open' })).json()).toEqual({ may: false });
});

it('takes a site of IPv6 for one address', async () => {
  const { app } = await guarded();
  app.get('/open', { config: { needs: 'open' } }, async (asked) => addressOf(asked));
  const of = async (remoteAddress: string): Promise<string> => (await app.inject({ path: '/open', remoteAddress })).body;
  expect(await of('2001:db8::1')).toBe(await of('2001:db8::ffff:1'));
  expect(await of('2001:db8::1')).not.toBe(await of('2001:db8:0:1::1'));
  expect(await of('::ffff:10.0.0.9')).toBe('10.0.0.9');
});

const openssl = hasOpenssl();
it.skipIf(!openssl)(`refuses a certificate that runs out while its connection lasts${openssl ? '' : ' (skipped: there is no openssl here)'}`, async () => {
  const own = authority(folder, 'own-ca');
  const [server, client] = [own.issue('localhost', { alternative: 'DNS:localhost' }), own.issue('gpu-01')];
  let ahead = 0;
  const clock: Clock = { ...systemClock, wall: () => instant(systemClock.wall() + ahead) };
  const tls = await openTls({ tlsCert: server.certFile, tlsKey: server.keyFile, tlsClientCa: own.certFile, tlsClientCertificate: 'required' }, log, openAudit(log, clock));
  const { app } = await guarded({ app: Fastify({ loggerInstance: log, serverFactory: (listener) => tls.serve(listener, {}) }), clock });
  app.get('/any', { config: { needs: 'any' } }, async ({ caller }) => ({ name: caller?.name }));
  const address = await app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => '' });
  const ask = async (): Promise<string> => {
    const to = { servername: 'localhost', ca: own.cert, cert: client.cert, key: client.key };
    return text(await new Promise<IncomingMessage>((resolve, reject) => request(`https://127.0.0.1:${new URL(address).port}/any`, to, resolve).on('error', reject).end()));
  };
  expect(await ask()).toContain('certificate gpu-01');
  ahead = 30 * 86_400;
  expect(await ask()).toContain('CERTIFICATE_EXPIRED');
  tls.close();
});

const open = (files: Record<string, string>): Promise<unknown> => openTls({ tlsCert: undefined, tlsKey: undefined, tlsClientCa: undefined, tlsClientCertificate: 'required', ...files }, log, openAudit(log, systemClock));

it('names every fault of the files for TLS', async () => {
  await expect(open({ tlsKey: 'k' })).rejects.toThrow('tlsCert: missing');
  await expect(open({ tlsCert: 'c' })).rejects.toThrow('tlsKey: missing');
  await expect(open({ tlsClientCa: 'a' })).rejects.toThrow('certificates of clients (tlsClientCa) need TLS');
  await expect(open({ tlsCert: '/nowhere/c', tlsKey: '/nowhere/k' })).rejects.toThrow(/tlsCert: ENOENT[^]*tlsKey: ENOENT/);
  if (!openssl) return;
  const own = authority(folder, 'other-ca');
  const [one, other] = [own.issue('one'), own.issue('other')];
  await expect(open({ tlsCert: one.certFile, tlsKey: other.keyFile })).rejects.toThrow(/tlsKey: .*can't be used together/);
  await expect(open({ tlsCert: one.keyFile, tlsKey: one.keyFile })).rejects.toThrow('tlsCert: there is no certificate in');
});
