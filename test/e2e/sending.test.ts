/** Whether an agent can send to a collector at https that asks who it is: as `doctor` says it, and as `replay --collector` does it. */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { examineCollectors, type Finding } from '@joulebook/agent/doctor/surroundings.js';
import { authority, hasOpenssl, type Issued } from '@joulebook/collector/access/certificates.testing.js';
import { parseScope } from '@joulebook/collector/access/scope.js';
import { openTokens } from '@joulebook/collector/access/tokens.js';
import { serve, type Serving } from '@joulebook/collector/commands/program.testing.js';
import { systemClock } from '@joulebook/shared/clock.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { request } from '../support/attempt.js';
import { replay } from '../support/pipe.js';

const openssl = hasOpenssl();
const faults = (findings: readonly Finding[]): string => findings.filter(({ ok }) => !ok).map(({ check, detail }) => `${check}: ${detail}`).join('\n');
const origin = (serving: Serving): string => serving.address.replaceAll('.', String.raw`\.`);

describe.skipIf(!openssl)(`an agent and a collector at https${openssl ? '' : ' (skipped: there is no openssl here)'}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'joulebook-sending-'));
  const store = join(folder, 'store.duckdb');
  const running: Serving[] = [];
  let ca: { readonly own: string; readonly strange: string };
  let client: { readonly gpu01: Issued; readonly stranger: Issued; readonly expired: Issued };
  let tokens: { readonly gpu01: string; readonly fleet: string; readonly reader: string; readonly expired: string };
  let site: Serving;
  let mutual: Serving;
  let optional: Serving;
  let misnamed: Serving;
  let outdated: Serving;

  async function started(server: Issued, ...flags: readonly string[]): Promise<Serving> {
    const serving = await serve(['--store', ':memory:', '--token-folder', `${store}.tokens`, '--tls-cert', server.certFile, '--tls-key', server.keyFile, ...flags]);
    running.push(serving);
    return serving;
  }

  beforeAll(async () => {
    const [own, strange] = [authority(folder, 'own-ca'), authority(folder, 'strange-ca')];
    ca = { own: own.certFile, strange: strange.certFile };
    client = { gpu01: own.issue('gpu-01'), stranger: strange.issue('gpu-01'), expired: own.issue('gpu-03', { until: '20210101000000Z' }) };
    const book = await openTokens(`${store}.tokens`, systemClock, (error) => { throw error; });
    const made = async (scope: string, expires?: Date): Promise<string> => (await book.create({ scopes: [parseScope(scope)], expires, note: undefined })).text;
    tokens = { gpu01: await made('ingest:gpu-01'), fleet: await made('ingest:gpu-*'), reader: await made('read'), expired: await made('ingest:gpu-01', new Date(Date.now() - 1000)) };
    const server = own.issue('localhost', { alternative: 'IP:127.0.0.1' });
    site = await started(server);
    mutual = await started(server, '--tls-client-ca', ca.own);
    optional = await started(server, '--tls-client-ca', ca.own, '--tls-client-certificate', 'optional');
    misnamed = await started(own.issue('elsewhere', { alternative: 'DNS:collector.example' }));
    outdated = await started(own.issue('old', { alternative: 'IP:127.0.0.1', until: '20210101000000Z' }));
  });
  afterAll(async () => {
    await Promise.all(running.map((serving) => serving.stop()));
    rmSync(folder, { recursive: true });
  });

  const found = async (collector: Serving, token: string | undefined, { node = 'gpu-01', trusted = ca.own, show }: { node?: string; trusted?: string | null; show?: Issued } = {}): Promise<Finding[]> =>
    examineCollectors({ urls: [collector.address], token, tls: { ca: trusted ?? undefined, cert: show?.certFile, key: show?.keyFile } }, node);

  it('doctor finds nothing in the way of who may send', async () => {
    for (const [token, node] of [[tokens.gpu01, 'gpu-01'], [tokens.fleet, 'gpu-77']] as const) {
      const findings = await found(site, token, { node });
      expect(findings.map(({ check, ok }) => [check, ok])).toEqual([['collector', true], ['token', true], ['clock', true]]);
      expect(findings[1]?.detail).toMatch(new RegExp(`lets token [0-9a-f]{12} send facts of node '${node}'`));
    }
    expect((await found(mutual, undefined, { show: client.gpu01 }))[1]).toEqual({ check: 'token', ok: true, detail: "the collector lets certificate gpu-01 send facts of node 'gpu-01'" });
  });

  it('doctor says in words what stands against it', async () => {
    expect(faults(await found(site, tokens.gpu01, { node: 'gpu-02' }))).toMatch(/^token: the collector knows token [0-9a-f]{12}, but it may not send facts of node 'gpu-02' \(it may: ingest:gpu-01\); ask for a token with scope 'ingest:gpu-02', or set node/);
    expect(faults(await found(site, tokens.reader))).toContain('(it may: read)');
    expect(faults(await found(site, undefined))).toBe("token: the collector asks for a token; have one made by 'joulebook token create' and set JOULEBOOK_TOKEN");
    expect(faults(await found(site, 'made-up'))).toMatch(/^token: the collector answers 401: This token is not known here, or was revoked.*JOULEBOOK_TOKEN/);
    expect(faults(await found(site, tokens.expired))).toMatch(/^token: the collector answers 401: Token [0-9a-f]{12} expired at 20/);
    expect(faults(await found(mutual, tokens.fleet, { node: 'gpu-02', show: client.gpu01 }))).toBe('');
  });

  it('doctor says whose certificate is wrong, and that batches wait', async () => {
    const said: readonly (readonly [Serving, Promise<Finding[]>, string])[] = [
      [site, found(site, tokens.gpu01, { trusted: ca.strange }), 'is not trusted: .*collectorCa'],
      [site, found(site, tokens.gpu01, { trusted: null }), 'is not trusted: .*collectorCa'],
      [misnamed, found(misnamed, tokens.gpu01), "is not trusted: .*127\\.0\\.0\\.1 is not in the cert's list.*use the name that stands in its certificate"],
      [outdated, found(outdated, tokens.gpu01), 'is not trusted: .*expired; renew its certificate, or set this clock'],
      [mutual, found(mutual, tokens.gpu01), 'ends the connection: it asks for a certificate of this agent'],
      [mutual, found(mutual, tokens.gpu01, { show: client.stranger }), "ends the connection: it does not take this agent's certificate"],
      [mutual, found(mutual, tokens.gpu01, { show: client.expired }), "ends the connection: it does not take this agent's certificate.* has not expired"],
    ];
    const plain = await serve(['--store', ':memory:']);
    running.push(plain);
    expect(faults(await examineCollectors({ urls: [plain.address.replace('http:', 'https:')] }, 'gpu-01'))).toContain('ends the connection: it speaks no TLS; is its address one at http?');
    for (const [serving, findings, words] of said) expect(faults(await findings)).toMatch(new RegExp(`^collector: ${origin(serving)} ${words}.*Batches wait in the spool`));
  });

  it('doctor is no attempt: no batch is counted as refused, and nothing is audited', async () => {
    const before = site.said().length;
    await found(site, tokens.gpu01, { node: 'gpu-02' });
    await found(site, tokens.gpu01);
    const { body } = await request({ port: site.port, tls: { ca: readFileSync(ca.own) } }, { path: '/metrics', token: tokens.reader });
    expect(body).toContain('joulebook_ingest_batches_total{result="rejected"} 0');
    expect(site.said().slice(before)).not.toContain('"audit":true');
    expect(site.said()).toMatch(/"msg":"listening at https:[^]*"tls":"on","access":\["tokens in [^"]+"\]/);
    expect(mutual.said()).toContain('"tls":"on, clients must show a certificate"');
  });

  it('doctor tells a clock that is off, and a page that is no collector', async () => {
    const page = createServer((_request, response) => response.setHeader('date', new Date(Date.now() - 60_000).toUTCString()).end('<html>'));
    page.listen(0, '127.0.0.1');
    await once(page, 'listening');
    try {
      const address = page.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const said = faults(await examineCollectors({ urls: [`http://127.0.0.1:${port}`] }, 'gpu-01'));
      expect(said).toMatch(/^token: what answers 200 to \/v1\/access is not a collector of this release; check collectorUrl$/m);
      expect(said).toMatch(/^clock: the collector's clock is (59|60)\.\d s behind this one/m);
    } finally {
      page.close();
    }
  });

  it('replay ships by the settings of run: flags before the environment, and that before the file', { timeout: 60_000 }, async () => {
    const recording = join(folder, 'recording');
    mkdirSync(recording);
    writeFileSync(join(recording, 'power.csv'), `timestamp, index, power.draw [W]\n${Array.from({ length: 20 }, (_, second) => `2026/01/15 09:00:${String(second).padStart(2, '0')}.000, 0, 100.00 W\n`).join('')}`);
    writeFileSync(join(recording, 'recording.yaml'), 'node: gpu-01\npower:\n  - { format: nvidia-smi-csv, file: power.csv, tz: UTC }\n');
    const config = join(folder, 'agent.yaml');
    writeFileSync(config, `collectorUrl: http://127.0.0.1:9\nslice: 60s\ntoken: made-up\ncollectorCa: ${ca.own}\ncollectorCert: ${client.stranger.certFile}\ncollectorKey: ${client.stranger.keyFile}\n`);
    const shown = ['--collector-cert', client.gpu01.certFile, '--collector-key', client.gpu01.keyFile];
    const [sent, idle, nowhere] = await Promise.all([
      replay([recording, '--config', config, ...shown, '--token', tokens.reader, '--collector', 'https://127.0.0.1:9', '--collector', optional.address]),
      replay([recording, '--collector-ca', ca.own, '--config', config]),
      replay([recording, '--collector', 'nowhere']),
    ]);
    expect([sent.exitCode, sent.stdout], sent.stderr).toEqual([0, '']);
    const { body } = await request({ port: optional.port, tls: { ca: readFileSync(ca.own) } }, { path: '/v1/report?by=node', token: tokens.reader });
    expect(JSON.parse(body)).toMatchObject({ rows: [{ group: { node: 'gpu-01' }, joules: 1900 }] });
    expect(sent.stderr).toMatch(/^sent: 1 batches, 1 new, 0 that the collector had already$/m);
    const again = await replay([recording, '--config', config, ...shown, '--token', tokens.reader, '--collector', optional.address]);
    expect(again.stderr).toMatch(/^sent: 1 batches, 0 new, 1 that the collector had already$/m);
    expect([idle.exitCode, idle.stderr]).toEqual([2, 'joulebook-agent: --config: of use with --collector only\njoulebook-agent: --collector-ca: of use with --collector only']);
    expect([nowhere.exitCode, nowhere.stderr]).toEqual([2, expect.stringContaining('--collector: not an address')]);
  });
});
