/** Collectors at https with certificates made by openssl, as they are found in the field: right, foreign, expired, of another name. */
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync, utimesSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { httpTransport } from './http.js';
import type { TlsFiles } from './tls.js';
import type { SendOutcome } from './transport.js';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
let folder = '';
const at = (name: string): string => join(folder, name);
const openssl = (...args: readonly string[]): void => {
  const { status, stderr } = spawnSync('openssl', args, { cwd: folder });
  if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr.toString()}`);
};

function authority(name: string): void {
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${name}.key`, '-out', `${name}.pem`, '-days', '2', '-subj', `/CN=${name}`);
}

function certificate(name: string, by: string, subject: string, { days = 2 }: { days?: number } = {}): void {
  writeFileSync(at(`${name}.ext`), `subjectAltName=${subject}\n`);
  openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
  openssl('x509', '-req', '-in', `${name}.csr`, '-CA', `${by}.pem`, '-CAkey', `${by}.key`, '-CAcreateserial', '-out', `${name}.pem`, '-days', String(days), '-extfile', `${name}.ext`);
}

const servers: Server[] = [];
/** @returns its address; it says who sent by the certificate's name */
async function collector(name: string, { clientCa }: { clientCa?: string } = {}): Promise<{ url: string; senders: string[] }> {
  const senders: string[] = [];
  const server = createServer({ key: readFileSync(at(`${name}.key`)), cert: readFileSync(at(`${name}.pem`)), ...(clientCa !== undefined && { ca: readFileSync(at(clientCa)), requestCert: true, rejectUnauthorized: true }) }, (request, response) => {
    const socket: unknown = request.socket;
    senders.push(isTls(socket) ? nameOf(socket) : 'no TLS');
    request.resume().on('end', () => response.end('{}'));
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { url: `https://127.0.0.1:${address.port}`, senders };
}
const nameOf = (socket: TLSSocket): string => {
  const { subject } = socket.getPeerCertificate();
  return typeof subject?.CN === 'string' ? subject.CN : 'nobody';
};
const isTls = (socket: unknown): socket is TLSSocket => typeof socket === 'object' && socket !== null && 'getPeerCertificate' in socket;

async function send(url: string, tls: TlsFiles): Promise<SendOutcome> {
  const transport = httpTransport({ url, tls, token: 'secret' });
  try {
    return await transport.send(Buffer.from('{}'), new AbortController().signal);
  } finally {
    await transport.close();
  }
}

describe.skipIf(!hasOpenssl)(`a collector at https${hasOpenssl ? '' : ' (skipped: there is no openssl)'}`, () => {
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'joulebook-tls-'));
    authority('ours');
    authority('theirs');
    certificate('collector', 'ours', 'IP:127.0.0.1');
    certificate('elsewhere', 'ours', 'DNS:elsewhere.example');
    certificate('expired', 'ours', 'IP:127.0.0.1', { days: 0 });
    certificate('gpu-01', 'ours', 'DNS:gpu-01');
    certificate('gpu-02', 'ours', 'DNS:gpu-02');
    certificate('stranger', 'theirs', 'DNS:gpu-01');
  });
  afterAll(() => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(folder, { recursive: true });
  });

  it('is trusted by the authority that is named, and by no other', async () => {
    const { url, senders } = await collector('collector');
    expect(await send(url, { ca: at('ours.pem') })).toEqual({ kind: 'accepted' });
    const distrusted = await send(url, { ca: at('theirs.pem') });
    expect(distrusted).toMatchObject({ kind: 'retry', code: 'COLLECTOR_NOT_TRUSTED' });
    expect(JSON.stringify(distrusted)).toContain('collectorCa');
    expect(await send(url, {})).toMatchObject({ code: 'COLLECTOR_NOT_TRUSTED' });
    expect(senders).toHaveLength(1);
  });

  it.each([['expired', 'renew its certificate'], ['elsewhere', 'use the name']])('with a certificate that is %s is told nothing', async (name, remedy) => {
    const { url, senders } = await collector(name);
    // One that lasts 0 days ends with the second that it was made in.
    const ends = Date.parse(new X509Certificate(readFileSync(at(`${name}.pem`))).validTo) + 1000;
    if (name === 'expired') await new Promise((resolve) => setTimeout(resolve, Math.max(0, ends - Date.now())));
    const distrusted = await send(url, { ca: at('ours.pem') });
    expect(distrusted).toMatchObject({ code: 'COLLECTOR_NOT_TRUSTED' });
    expect(JSON.stringify(distrusted)).toContain(remedy);
    expect(senders).toEqual([]);
  });

  it('that asks for a certificate gets this agent\'s, and takes no stranger\'s', async () => {
    const { url, senders } = await collector('collector', { clientCa: 'ours.pem' });
    const as = (name: string): TlsFiles => ({ ca: at('ours.pem'), cert: at(`${name}.pem`), key: at(`${name}.key`) });
    expect(await send(url, as('gpu-01'))).toEqual({ kind: 'accepted' });
    expect(await send(url, as('stranger'))).toMatchObject({ kind: 'retry' });
    expect(await send(url, { ca: at('ours.pem') })).toMatchObject({ kind: 'retry' });
    expect(senders).toEqual(['gpu-01']);
  });

  it('gets a renewed certificate without a restart', async () => {
    const { url, senders } = await collector('collector', { clientCa: 'ours.pem' });
    const put = (name: string, time: number): void => {
      for (const part of ['pem', 'key']) {
        writeFileSync(at(`mine.${part}`), readFileSync(at(`${name}.${part}`)));
        utimesSync(at(`mine.${part}`), time, time);
      }
    };
    put('gpu-01', 1000);
    const transport = httpTransport({ url, tls: { ca: at('ours.pem'), cert: at('mine.pem'), key: at('mine.key') } });
    const { signal } = new AbortController();
    await transport.send(Buffer.from('{}'), signal);
    put('gpu-02', 2000);
    await transport.send(Buffer.from('{}'), signal);
    await transport.close();
    expect(senders).toEqual(['gpu-01', 'gpu-02']);
  });

  it('says which setting is wrong', () => {
    expect(() => httpTransport({ url: 'https://127.0.0.1', tls: { ca: at('nothing.pem') } })).toThrow(/^collectorCa: ENOENT/);
    expect(() => httpTransport({ url: 'https://127.0.0.1', tls: { cert: at('gpu-01.pem') } })).toThrow('collectorKey: needed beside collectorCert');
  });
});
