/**
 * Attempts on a collector, each over a socket of its own, and what they are answered. The table in docs/security.md is made of
 * them: run with UPDATE_DOCS=1 to write it anew.
 */
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect as connectPlain, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { authority, hasOpenssl, type Authority, type Issued } from '@joulebook/collector/access/certificates.testing.js';
import { parseScope } from '@joulebook/collector/access/scope.js';
import { openTokens } from '@joulebook/collector/access/tokens.js';
import { serve, type Serving } from '@joulebook/collector/commands/program.testing.js';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { systemClock } from '@joulebook/shared/clock.js';
import { epochMicros } from '@joulebook/shared/units.js';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exchange, request, type Asked, type Target } from '../support/attempt.js';
import { COLLECTOR } from '../support/pipe.js';

const DOCUMENT = fileURLToPath(new URL('../../docs/security.md', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'joulebook-security-'));
const FOREIGN = 'https://evil.example';
const CONFIGURED = 'short-and-chosen-by-somebody';

const running: Serving[] = [];
let stores = 0;

async function started(flags: readonly string[], store = join(folder, `store-${(stores += 1)}.duckdb`)): Promise<Serving> {
  const serving = await serve(['--store', store, '--max-body-bytes', '10000', '--max-inflated-bytes', '100000', ...(flags.includes('--refusals-per-minute') ? [] : ['--refusals-per-minute', '10000']), ...flags]);
  running.push(serving);
  return serving;
}
const logOf = (): string => running.map(({ said }) => said()).join('');

const secrets: string[] = [];
async function tokenOf(store: string, scopes: readonly string[], expires?: Date): Promise<string> {
  const tokens = await openTokens(`${store}.tokens`, systemClock, (error) => { throw error; });
  const { text } = await tokens.create({ scopes: scopes.map(parseScope), expires, note: undefined });
  secrets.push(text);
  return text;
}

const idOf = (token: string): string => token.split('_')[1] ?? '';
const now = (): number => Math.floor(Date.now() / 1000) * 1e6;
const batchOf = (node: string, stream = 'a'.repeat(32)): Batch => ({
  schema: 1, stream, sequence: 0, node,
  slices: [{ kind: 'tokens', deployment: 'chat', model: 'llama', token: 'output', count: 7, from: epochMicros(now() - 10e6), to: epochMicros(now()) }],
});
let streams = 0;
const batch = (node: string): string => encodeBatch(batchOf(node, (streams += 1).toString(16).padStart(32, '0')));

const withLabel = (label: string): string => batch('gpu-01').replace('"deployment"', `"labels":{${label}},"deployment"`);

let open: Target;
let site: Target;
let hurried: Target;
let strict: Target;
let unguessable: { one: string; other: string };
let tokens: { admin: string; reader: string; gpu01: string; fleet: string; revoked: string; expired: string };

beforeAll(async () => {
  const store = join(folder, 'closed.duckdb');
  tokens = {
    admin: await tokenOf(store, ['admin']), reader: await tokenOf(store, ['read']), gpu01: await tokenOf(store, ['ingest:gpu-01']), fleet: await tokenOf(store, ['ingest:gpu-*']),
    revoked: await tokenOf(store, ['admin']), expired: await tokenOf(store, ['admin'], new Date(Date.now() - 1000)),
  };
  site = await started([], store);
  await ask({ method: 'DELETE', path: `/v1/tokens/${idOf(tokens.revoked)}`, token: tokens.admin });
  open = await started([]);
  hurried = await started(['--header-timeout', '0.3s', '--body-timeout', '0.3s']);
  const before = join(folder, 'strict.duckdb');
  unguessable = { one: await tokenOf(before, ['read']), other: await tokenOf(before, ['read']) };
  strict = await started(['--token', CONFIGURED, '--refusals-per-minute', '3', '--requests-per-minute', '3'], join(folder, 'strict.duckdb'));
});
afterAll(async () => {
  await Promise.all(running.map((serving) => serving.stop()));
  rmSync(folder, { recursive: true });
});

const ask = (asked: Asked) => request(site, asked);
const line = async (asked: Asked, target: Target = site): Promise<string> => (await request(target, asked)).line;
const send = (token: string | undefined, node: string, more: Asked = {}): Promise<string> => line({ method: 'POST', path: '/v1/batches', token, body: batch(node), ...more });
const basic = (token: string): string => `Basic ${Buffer.from(`me:${token}`).toString('base64')}`;
const hashKept = (token: string): string => readFileSync(join(folder, 'closed.duckdb.tokens', `${idOf(token)}.json`), 'utf8').replace(/.*"hash":"([0-9a-f]+)".*/s, '$1');

/** What was tried, what it is answered, and how to try it. */
type Attempt = readonly [what: string, answer: string, attempt: () => Promise<string>];
const GROUPS: Readonly<Record<string, readonly Attempt[]>> = {
  'Who are you?': [
    ['figures without a token', '401 TOKEN_NEEDED', () => line({})],
    ['the page without a token', '401 TOKEN_NEEDED', () => line({ path: '/' })],
    ['`/metrics` without a token', '401 TOKEN_NEEDED', () => line({ path: '/metrics' })],
    ['a batch without a token', '401 TOKEN_NEEDED', () => send(undefined, 'gpu-01')],
    ['a path that is not there, without a token', '401 TOKEN_NEEDED', () => line({ path: '/wp-login.php' })],
    ['`/healthz` without a token', '200', () => line({ path: '/healthz' })],
    ['a token in the address', '401 TOKEN_NEEDED', () => line({ path: `/v1/report?token=${tokens.reader}` })],
    ['another scheme than Bearer and Basic', '401 TOKEN_NEEDED', () => line({ headers: { authorization: `Digest ${tokens.reader}` } })],
    ['a made-up token', '401 TOKEN_UNKNOWN', () => line({ token: `jb_${'0'.repeat(12)}_${'0'.repeat(64)}` })],
    ['the id of a token with another secret', '401 TOKEN_UNKNOWN', () => line({ token: `jb_${idOf(tokens.admin)}_${'0'.repeat(64)}` })],
    ['the hash of a token, read from its file', '401 TOKEN_UNKNOWN', () => line({ token: hashKept(tokens.admin) })],
    ['a token with the hash of it as secret', '401 TOKEN_UNKNOWN', () => line({ token: `jb_${idOf(tokens.admin)}_${hashKept(tokens.admin)}` })],
    ['a revoked token', '401 TOKEN_UNKNOWN', () => line({ token: tokens.revoked })],
    ['an expired token', '401 TOKEN_EXPIRED', () => line({ token: tokens.expired })],
    ['`X-Forwarded-For: 127.0.0.1` instead of a token', '401 TOKEN_NEEDED', () => line({ headers: { 'x-forwarded-for': '127.0.0.1' } })],
  ],
  'May you?': [
    ['a batch of gpu-01 with its token', '200', () => send(tokens.gpu01, 'gpu-01')],
    ['a batch of gpu-02 with the token of gpu-01', '403 FOREIGN_NODE', () => send(tokens.gpu01, 'gpu-02')],
    ['a batch of gpu-011 with the token of gpu-01', '403 FOREIGN_NODE', () => send(tokens.gpu01, 'gpu-011')],
    ['a batch of node `gpu-*` with the token of gpu-01', '403 FOREIGN_NODE', () => send(tokens.gpu01, 'gpu-*')],
    ['a batch of gpu-02 with a token for `gpu-*`', '200', () => send(tokens.fleet, 'gpu-02')],
    ['a batch of cpu-01 with a token for `gpu-*`', '403 FOREIGN_NODE', () => send(tokens.fleet, 'cpu-01')],
    ['a batch with a token that may read', '403 SCOPE_NEEDED', () => send(tokens.reader, 'gpu-01')],
    ['a batch of gpu-02 in the numbers of a stream that gpu-01 began', '409 BATCH_CONFLICT', async () => {
      const stream = 'f'.repeat(32);
      expect(await send(tokens.gpu01, 'gpu-01', { body: encodeBatch(batchOf('gpu-01', stream)) })).toBe('200');
      return send(tokens.fleet, 'gpu-02', { body: encodeBatch({ ...batchOf('gpu-02', stream), sequence: 1 }) });
    }],
    ['figures with a token that may send', '403 SCOPE_NEEDED', () => line({ token: tokens.gpu01 })],
    ['figures with a token that may read', '200', () => line({ token: tokens.reader })],
    ['an export with a token that may send', '403 SCOPE_NEEDED', () => line({ path: '/v1/export?format=ndjson', token: tokens.gpu01 })],
    ['a backup with a token that may read', '403 SCOPE_NEEDED', () => line({ path: '/v1/backup', token: tokens.reader })],
    ['retention now with a token that may read', '403 SCOPE_NEEDED', () => line({ method: 'POST', path: '/v1/retain', token: tokens.reader })],
    ['missing batches accepted as lost with a token that may read', '403 SCOPE_NEEDED', () => line({ method: 'POST', path: '/v1/losses?node=gpu-01', token: tokens.reader })],
    ['the tokens with a token that may read', '403 SCOPE_NEEDED', () => line({ path: '/v1/tokens', token: tokens.reader })],
    ['a token of scope admin made with one that may read', '403 SCOPE_NEEDED', () => line({ method: 'POST', path: '/v1/tokens', token: tokens.reader, body: '{"scopes":["admin"]}' })],
    ['the first token made through a collector that has none', '403 FIRST_TOKEN', () => line({ method: 'POST', path: '/v1/tokens', body: '{"scopes":["admin"]}' }, open)],
  ],
  'What is this?': [
    ['a body larger than `maxBodyBytes`', '413 BODY_TOO_LARGE', () => send(tokens.gpu01, '', { body: 'x'.repeat(10_001) })],
    ['a body that inflates to 500 times its size', '413 BODY_TOO_LARGE', () => send(tokens.gpu01, '', { body: gzipSync('x'.repeat(5_000_000)) })],
    ['a batch as `text/plain`', '415 BODY_TYPE', () => send(tokens.gpu01, 'gpu-01', { headers: { 'content-type': 'text/plain' } })],
    ['a batch as a form', '415 BODY_TYPE', () => send(tokens.gpu01, 'gpu-01', { headers: { 'content-type': 'application/x-www-form-urlencoded' } })],
    ['no JSON', '400 BATCH_NOT_JSON', () => send(tokens.gpu01, '', { body: '{"schema":1' })],
    ['half of a surrogate pair in a label', '400 BATCH_INVALID', () => send(tokens.gpu01, '', { body: withLabel(String.raw`"q":"\ud800"`) })],
    ['a label named `__proto__`, written in escapes', '400 BATCH_INVALID', () => send(tokens.gpu01, '', { body: withLabel(String.raw`"__pro\u0074o__":"q"`) })],
    ['2^53 − 1 as the number of a batch', '400 BATCH_INVALID', () => send(tokens.gpu01, '', { body: JSON.stringify({ ...batchOf('gpu-01'), sequence: Number.MAX_SAFE_INTEGER }) })],
    ['an unknown scope', '400 USAGE', () => line({ method: 'POST', path: '/v1/tokens', token: tokens.admin, body: '{"scopes":["write"]}' })],
    ['17 KiB of wishes for a new token', '413 BODY_TOO_LARGE', () => line({ method: 'POST', path: '/v1/tokens', token: tokens.admin, body: JSON.stringify({ scopes: ['read'], note: 'x'.repeat(17_000) }) })],
    ['`__proto__` in a body', '400 BAD_REQUEST', () => line({ method: 'POST', path: '/v1/tokens', token: tokens.admin, body: '{"scopes":["read"],"__proto__":{"may":"admin"}}' })],
    ['a path for the id of a token', '404 NO_SUCH_TOKEN', () => line({ method: 'DELETE', path: '/v1/tokens/..%2f..%2fclosed.duckdb', token: tokens.admin })],
  ],
  'Browsers': [
    ['a form of another site, with the token that the browser remembers', '403 CROSS_SITE', () => send(undefined, 'gpu-01', { headers: { authorization: basic(tokens.admin), origin: FOREIGN, 'content-type': 'text/plain' } })],
    ['`fetch` of another site, with the token that the browser remembers', '403 CROSS_SITE', () => line({ headers: { authorization: basic(tokens.admin), 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' } })],
    ['the same from another port of this machine', '403 CROSS_SITE', () => line({ headers: { authorization: basic(tokens.admin), 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' } })],
    ['`Origin: null` (a sandboxed frame)', '403 CROSS_SITE', () => send(undefined, 'gpu-01', { headers: { authorization: basic(tokens.admin), origin: 'null' } })],
    ['a preflight of another site', '403 CROSS_SITE', () => line({ method: 'OPTIONS', path: '/v1/batches', headers: { origin: FOREIGN, 'access-control-request-method': 'POST' } })],
    ['the page in a frame of another site', '403 CROSS_SITE', () => line({ path: '/', headers: { authorization: basic(tokens.reader), 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' } })],
    ['a link to the page on another site', '200', () => line({ path: '/', headers: { authorization: basic(tokens.reader), 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' } })],
    ['another name pointed at this address (DNS rebinding), where no token is needed', '421 WRONG_HOST', () => line({ headers: { host: 'evil.example' } }, open)],
    ['another site, where no token is needed', '403 CROSS_SITE', () => line({ headers: { origin: FOREIGN } }, open)],
  ],
  'Tricks': [
    ...['//v1/report', '/v1/../v1/report', '/healthz/../v1/report', '/healthz%2f..%2fv1%2freport', '/%2e%2e/v1/report', '/V1/REPORT', '/v1/report/', '/v1/report%00', '/v1/report;.css', '/v1%2freport', 'http://evil.example/v1/report'].map(
      (path): Attempt => [`\`${path}\` without a token`, '401 TOKEN_NEEDED', () => line({ path })]),
    ['`/v1/%zz`', '400', () => line({ path: '/v1/%zz' })],
    ['`HEAD` instead of `GET`, without a token', '401', () => line({ method: 'HEAD' })],
    ['`X-HTTP-Method-Override: DELETE` with a token that may read', '200', () => line({ token: tokens.reader, headers: { 'x-http-method-override': 'DELETE' } })],
    ['a second request hidden in the body of the first (two lengths)', '400', () => line({ method: 'POST', path: '/v1/batches', token: tokens.gpu01, body: '0\r\n\r\n', headers: { 'transfer-encoding': 'chunked' } })],
    ['20 KiB of headers', '431', () => line({ headers: { cookie: 'x'.repeat(20_000) } })],
    ['3,000 headers', '431', () => line({ headers: Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`x-${index}`, '1'])) })],
    ['headers that never end (slow loris), after `headerTimeout`', '408', async () => (await exchange(hurried, 'GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ')).line],
    ['a body that never ends, after `bodyTimeout`', '408 BODY_TIMEOUT', async () => (await exchange(hurried, 'POST /v1/batches HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 300\r\n\r\n{')).line],
  ],
};
const attempts = Object.entries(GROUPS).flatMap(([group, list]) => list.map((attempt) => [group, ...attempt] as const));

describe('attempts', () => {
  it.each(attempts)('%s %s → %s', async (_group, _what, answer, attempt) => {
    expect(await attempt()).toBe(answer);
  });

  it('left no facts of the nodes that were not theirs', async () => {
    const { body } = await ask({ path: '/v1/nodes', token: tokens.reader });
    expect([...body.matchAll(/"node":"([^"]+)"/g)].map(([, node]) => node)).toEqual(['gpu-01', 'gpu-02']);
  });

  it('tells other sites nothing: no answer allows them to read it', async () => {
    for (const asked of [{}, { token: tokens.reader }, { token: tokens.reader, headers: { origin: FOREIGN } }]) {
      const { headers } = await ask(asked);
      expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
      expect(Object.fromEntries(headers)).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer', 'cross-origin-resource-policy': 'same-origin', 'cache-control': 'no-store' });
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    }
  });
});

const begun: Socket[] = [];
/** A body of which only the beginning comes. */
function begin({ port }: Target, token: string): void {
  const socket = connectPlain(port, '127.0.0.1').on('error', () => undefined);
  socket.write(`POST /v1/batches HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: 300\r\n\r\n{`);
  begun.push(socket);
}

const FLOODS: readonly Attempt[] = [
  ['300 bodies that are begun and never end, and a batch, by one token', '503 BUSY', async () => {
    for (let count = 0; count < 300; count += 1) begin(site, tokens.gpu01);
    return expect.poll(() => send(tokens.gpu01, 'gpu-01'), { timeout: 10_000 }).toBe('503 BUSY').then(() => '503 BUSY');
  }],
  ['meanwhile a batch by another token', '200', async () => {
    const answer = await send(tokens.fleet, 'gpu-02');
    for (const socket of begun) socket.destroy();
    return answer;
  }],
  ['a wrong token again and again: after `refusalsPerMinute`', '429 TOO_MANY', async () => {
    for (let count = 0; count < 3; count += 1) expect(await line({ token: 'wrong' }, strict)).toBe('401 TOKEN_UNKNOWN');
    const refused = await request(strict, { token: 'wrong' });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    return refused.line;
  }],
  ['then the right one, where it is one that could be guessed (`token`, below 32 characters)', '429 TOO_MANY', () => line({ token: CONFIGURED }, strict)],
  ['then a right one of 256 random bits', '200', () => line({ token: unguessable.one }, strict)],
  ['more than `requestsPerMinute` with a token that may', '429 TOO_MANY', async () => {
    for (let count = 0; count < 3; count += 1) expect(await line({ token: unguessable.other }, strict)).toBe('200');
    return line({ token: unguessable.other }, strict);
  }],
];

describe.sequential('floods', () => {
  it.each(FLOODS)('%s → %s', async (_what, answer, attempt) => {
    expect(await attempt()).toBe(answer);
  });
});

const openssl = hasOpenssl();
let own: Authority;
let strange: Authority;
let server: Issued;
let clients: { right: Issued; wrong: Issued; expired: Issued; named: Issued; star: Issued };
let mutual: Serving;
let optional: Serving;
let caFile: string;

const by = ({ port }: Target, client?: Issued): Target => ({ port, tls: { ca: own.cert, ...(client && { cert: client.cert, key: client.key }) } });
const sendBy = (client: Issued | undefined, node: string, target: Target = mutual, more: Asked = {}): Promise<string> => line({ method: 'POST', path: '/v1/batches', body: batch(node), ...more }, by(target, client));

const CERTIFICATES: readonly Attempt[] = [
  ['plain HTTP', 'refused', () => line({ path: '/healthz' }, { port: mutual.port })],
  ['no certificate of a client, where one is required', 'refused', () => sendBy(undefined, 'gpu-01')],
  ['a certificate of another CA', 'refused', () => sendBy(clients.wrong, 'gpu-01')],
  ['an expired certificate', 'refused', () => sendBy(clients.expired, 'gpu-01')],
  ['a batch of gpu-01 with its certificate', '200', () => sendBy(clients.right, 'gpu-01')],
  ['a batch of gpu-02 with the certificate of gpu-01', '403 FOREIGN_NODE', () => sendBy(clients.right, 'gpu-02')],
  ['a batch of gpu-07 with a certificate that has it as DNS name', '200', () => sendBy(clients.named, 'gpu-07')],
  ['a batch of gpu-02 with a certificate for `gpu-*`', '403 FOREIGN_NODE', () => sendBy(clients.star, 'gpu-02')],
  ['figures with a certificate', '403 SCOPE_NEEDED', () => line({}, by(mutual, clients.right))],
  ['no certificate, where it is optional, and no token', '401 TOKEN_NEEDED', () => sendBy(undefined, 'gpu-01', optional)],
  ['no certificate, where it is optional, and a token', '200', () => sendBy(undefined, 'gpu-01', optional, { token: tokens.gpu01 })],
  ['a certificate of another CA, where it is optional, and a token', '401 CERTIFICATE_INVALID', () => sendBy(clients.wrong, 'gpu-01', optional, { token: tokens.gpu01 })],
  ['a certificate of gpu-01 and a token that may read: figures', '200', () => line({ token: tokens.reader }, by(optional, clients.right))],
];

describe.skipIf(!openssl)(`certificates${openssl ? '' : ' (skipped: there is no openssl here)'}`, () => {
  beforeAll(async () => {
    own = authority(folder, 'own-ca');
    strange = authority(folder, 'strange-ca');
    server = own.issue('localhost', { alternative: 'DNS:localhost,IP:127.0.0.1' });
    clients = { right: own.issue('gpu-01'), wrong: strange.issue('gpu-01'), expired: own.issue('gpu-03', { until: '20210101000000Z' }), named: own.issue('host7', { alternative: 'DNS:gpu-07' }), star: own.issue('gpu-*') };
    caFile = join(folder, 'clients.pem');
    writeFileSync(caFile, own.cert);
    const flags = ['--tls-cert', server.certFile, '--tls-key', server.keyFile, '--tls-client-ca', caFile];
    mutual = await started(flags);
    optional = await started([...flags, '--tls-client-certificate', 'optional', '--token-folder', join(folder, 'closed.duckdb.tokens')]);
  });

  it.each(CERTIFICATES)('%s → %s', async (_what, answer, attempt) => {
    expect(await attempt()).toBe(answer);
  });

  it('says in the page\'s headers that this address is asked by TLS alone', async () => {
    const { headers } = await request(by(optional), { path: '/healthz' });
    expect(headers.get('strict-transport-security')).toContain('max-age=');
  });

  it('serves a renewed certificate after SIGHUP, as a program', async () => {
    const files = { cert: join(folder, 'served.pem'), key: join(folder, 'served.key') };
    const use = ({ cert, key }: Issued): void => {
      writeFileSync(files.cert, cert);
      writeFileSync(files.key, key);
    };
    use(server);
    const program = execa(process.execPath, [COLLECTOR, 'serve', '--store', ':memory:', '--listen', '127.0.0.1:0', '--tls-cert', files.cert, '--tls-key', files.key], { reject: false });
    try {
      let said = '';
      program.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
      await expect.poll(() => said, { timeout: 10_000 }).toMatch(/https:\/\/127\.0\.0\.1:\d+/);
      const port = Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1]);
      expect(await line({ path: '/healthz' }, { port, tls: { ca: own.cert } })).toBe('200');
      use(strange.issue('localhost', { alternative: 'DNS:localhost' }));
      program.kill('SIGHUP');
      await expect.poll(() => said, { timeout: 10_000 }).toContain('the certificates were read again');
      expect(await line({ path: '/healthz' }, { port, tls: { ca: own.cert } })).toBe('refused');
      expect(await line({ path: '/healthz' }, { port, tls: { ca: strange.cert } })).toBe('200');
    } finally {
      program.kill('SIGTERM');
    }
    expect((await program).exitCode).toBe(0);
  });

  it('keeps the certificate that is valid where the new one has expired, and says so to whoever asks', async () => {
    const files = { cert: join(folder, 'kept.pem'), key: join(folder, 'kept.key') };
    const use = ({ cert, key }: Issued): void => {
      writeFileSync(files.cert, cert);
      writeFileSync(files.key, key);
    };
    use(server);
    const kept = await started(['--tls-cert', files.cert, '--tls-key', files.key]);
    use(own.issue('long-ago', { alternative: 'DNS:localhost', until: '20210101000000Z' }));
    await kept.reload('the certificates can not be used; those of before stay in use');
    await kept.reload('the certificates can not be used; those of before stay in use');
    expect(kept.said()).toMatch(/tlsCert: the certificate in \S+kept\.pem expired at Jan +1 00:00:00 2021 GMT/);
    expect(await line({ path: '/healthz' }, { port: kept.port, tls: { ca: own.cert } })).toBe('200');
    use(own.issue('localhost', { alternative: 'DNS:localhost' }));
    await kept.reload('the certificates were read again');
  });

  it('audits who is refused in the handshake, and not who hangs up in it', async () => {
    // One of its own: an address has five lines a minute.
    const asking = await started(['--tls-cert', server.certFile, '--tls-key', server.keyFile, '--tls-client-ca', caFile]);
    const gone = connectPlain(asking.port, '127.0.0.1');
    await once(gone, 'connect');
    gone.resetAndDestroy();
    expect(await line({ path: '/healthz' }, by(asking))).toBe('refused');
    await expect.poll(asking.said).toMatch(/"event":"handshake"[^\n]*CERTIFICATE/);
    expect(asking.said()).not.toContain('ECONNRESET');
  });

  it('makes its files for its own user alone, as a program', async () => {
    const home = join(folder, 'private');
    const store = join(home, 'store.duckdb');
    const environment = { reject: false, env: { JOULEBOOK_TOKEN: undefined } } as const;
    const program = execa(process.execPath, [COLLECTOR, 'serve', '--store', store, '--listen', '127.0.0.1:0'], environment);
    let said = '';
    program.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await expect.poll(() => said, { timeout: 10_000 }).toMatch(/Joulebook is at http/);
    program.kill('SIGTERM');
    expect((await program).exitCode).toBe(0);
    for (const args of [['backup', '--out', join(home, 'backup.duckdb')], ['export', '--format', 'csv', '--kind', 'energy', '--out', join(home, 'energy.csv')], ['export', '--format', 'ndjson', '--out', join(home, 'batches.ndjson')]]) {
      expect((await execa(process.execPath, [COLLECTOR, ...args, '--store', store], environment)).exitCode).toBe(0);
    }
    const made = readdirSync(home);
    expect(made.toSorted()).toEqual(['backup.duckdb', 'batches.ndjson', 'energy.csv', 'store.duckdb']);
    expect([home, ...made.map((name) => join(home, name))].map((path) => (statSync(path).mode & 0o777).toString(8))).toEqual(['700', '600', '600', '600', '600']);
  });

  it('reads its files again without a restart: another CA ends the connections of the first, a broken file changes nothing', async () => {
    writeFileSync(caFile, 'no certificate');
    await mutual.reload('tlsClientCa: there is no certificate in');
    expect(await sendBy(clients.right, 'gpu-01')).toBe('200');
    const before = connect({ host: '127.0.0.1', port: mutual.port, servername: 'localhost', ca: own.cert, cert: clients.right.cert, key: clients.right.key });
    await once(before, 'secureConnect');
    const ended = once(before, 'close');
    writeFileSync(caFile, strange.cert);
    await mutual.reload('the certificates were read again');
    await ended;
    expect(await sendBy(clients.right, 'gpu-01')).toBe('refused');
    expect(await sendBy(clients.wrong, 'gpu-01')).toBe('200');
  });
});

describe('what is left behind', () => {
  it('audits who was refused, at most a few lines of one address, and no token or hash anywhere', () => {
    const log = logOf();
    for (const event of ['refused', 'foreign-node', 'token-revoked']) expect(log, event).toContain(`"audit":true,"event":"${event}"`);
    for (const secret of secrets) {
      expect(log).not.toContain(secret);
      expect(log).not.toContain(secret.split('_')[2]);
    }
    for (const name of readdirSync(join(folder, 'closed.duckdb.tokens')).filter((each) => each.endsWith('.json'))) {
      const text = readFileSync(join(folder, 'closed.duckdb.tokens', name), 'utf8');
      for (const secret of secrets) expect(text).not.toContain(secret.split('_')[2]);
      expect(log).not.toContain(text.replace(/.*"hash":"([0-9a-f]+)".*/s, '$1'));
    }
  });
});

const cell = (text: string): string => text.replaceAll('|', '\\|');
function table(): string {
  const groups: readonly (readonly [string, readonly Attempt[]])[] = [...Object.entries(GROUPS), ['Floods', FLOODS], ['Certificates', CERTIFICATES]];
  return ['| attempt | answer |', '| --- | --- |', ...groups.flatMap(([name, list]) => [`| **${name}** | |`, ...list.map(([what, answer]) => `| ${cell(what)} | ${answer === 'refused' ? 'connection refused' : answer} |`)])].join('\n');
}

it('docs/security.md has the table of these attempts', () => {
  const section = /<!-- attempts -->[\s\S]*?<!-- \/attempts -->/;
  const written = `<!-- attempts -->\n${table()}\n<!-- /attempts -->`;
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(DOCUMENT, readFileSync(DOCUMENT, 'utf8').replace(section, () => written));
  expect(section.exec(readFileSync(DOCUMENT, 'utf8'))?.[0]).toBe(written);
});
