import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:net';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { pino } from 'pino';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import type { EnergySlice } from '@joulebook/shared/slice.js';
import { fromEpochMicros, microjoules, seconds } from '@joulebook/shared/units.js';
import { startCollector, type Collector } from './collector.js';
import { SETTINGS, type CollectorSettings } from './settings.js';
import { loadSettings } from '@joulebook/shared/settings.js';
import { at, batchOf, energyFact, iso, tokensFact } from './store/sample-facts.js';
import { openDuckdb } from './store/duckdb.js';
import type { Store } from './store/store.js';

const TOKEN = 'a-token-of-some-length';
const log = pino({ level: 'silent' });
const clockAt = (after: number): Clock => ({ wall: () => fromEpochMicros(at(after)), monotonic: () => seconds(performance.now() / 1000) });

let running: Collector[] = [];
afterEach(async () => {
  await Promise.all(running.map((collector) => collector.close()));
  running = [];
});

const settingsOf = (flags: Record<string, unknown> = {}): Promise<CollectorSettings> =>
  loadSettings(SETTINGS, { flags: { store: ':memory:', listen: '127.0.0.1:0', logLevel: 'silent', ...flags } });

async function started(flags: Record<string, unknown> = {}, surroundings: { clock?: Clock; store?: Store } = {}): Promise<string> {
  const collector = await startCollector(await settingsOf(flags), { log, ...surroundings });
  running.push(collector);
  return collector.address;
}

const post = (address: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${address}/v1/batches`, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
const send = (address: string, batch: Batch, headers: Record<string, string> = {}): Promise<Response> => post(address, encodeBatch(batch), headers);
const zipped = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(gzipSync(text));
const answer = async (response: Promise<Response>): Promise<[number, unknown]> => {
  const got = await response;
  return [got.status, await got.json()];
};

describe('ingest', () => {
  it('accepts a batch once, as JSON or gzip, and refuses other content under its key', async () => {
    const address = await started();
    const batch = batchOf([energyFact(), tokensFact()]);
    expect(await answer(send(address, batch))).toEqual([200, { accepted: true, duplicate: false }]);
    expect(await answer(post(address, zipped(encodeBatch(batch)), { 'content-encoding': 'gzip' }))).toEqual([200, { accepted: true, duplicate: true }]);
    expect(await answer(send(address, batchOf([tokensFact({ count: 1 })])))).toMatchObject([409, { error: 'BATCH_CONFLICT' }]);
    const metrics = await (await fetch(`${address}/metrics`)).text();
    for (const [result, count] of Object.entries({ accepted: 1, duplicate: 1, conflict: 1, rejected: 0 })) expect(metrics).toContain(`joulebook_ingest_batches_total{result="${result}"} ${count}\n`);
    expect(metrics).toContain('joulebook_ingest_slices_total 2\n');
    expect(metrics).toContain('joulebook_ingest_seconds_count 3\n');
    expect(metrics).toContain('process_cpu_seconds_total');
  });

  it('says what is wrong with a batch', async () => {
    const address = await started();
    const batch = batchOf([tokensFact()]);
    expect(await answer(post(address, encodeBatch(batch).slice(0, 50)))).toMatchObject([400, { error: 'BATCH_NOT_JSON' }]);
    expect(await answer(post(address, JSON.stringify({ ...batch, schema: 2 })))).toMatchObject([400, { error: 'BATCH_SCHEMA', message: expect.stringContaining('schema version 2') as unknown }]);
    expect(await answer(post(address, JSON.stringify({ ...batch, color: 'red' })))).toMatchObject([400, { error: 'BATCH_INVALID', message: expect.stringContaining('color') as unknown }]);
    expect(await answer(post(address, ''))).toMatchObject([400, { error: 'BODY_MISSING' }]);
    expect(await answer(post(address, zipped('{}').slice(0, 12)))).toMatchObject([400, { error: 'BODY_NOT_GZIP' }]);
    expect(await answer(post(address, new Uint8Array([0x7b, 0xff, 0x7d])))).toMatchObject([400, { error: 'BODY_NOT_UTF8' }]);
    expect(await answer(post(address, encodeBatch(batch), { 'content-type': 'text/plain' }))).toMatchObject([415, { error: 'BODY_TYPE' }]);
    expect(await (await fetch(`${address}/metrics`)).text()).toContain('{result="rejected"} 6\n');
  });

  it('refuses facts that can not be', async () => {
    const address = await started();
    const refused = [
      [{ microjoules: microjoules(-1) }, 'microjoules: must not be negative'], [{ modelledMicrojoules: microjoules(200_000_001) }, 'modelledMicrojoules: is a part of microjoules'],
      [{ from: 5, to: 4 }, 'to: must not be before from'], [{ seconds: seconds(864_001) }, 'seconds: must be at most 864000 s'], [{ from: -2e9, to: 1 }, 'from: must not be before 1970'],
    ] as const;
    for (const [said, message] of refused) expect(await answer(send(address, batchOf([energyFact(said)])))).toMatchObject([400, { error: 'BATCH_INVALID', message: expect.stringContaining(message) as unknown }]);
    expect((await send(address, batchOf([energyFact({ seconds: seconds(2.5) })]))).status).toBe(200);
  });

  it('bounds bodies as sent and as inflated', async () => {
    const address = await started({ maxBodyBytes: 10_000, maxInflatedBytes: 100_000 });
    expect(await answer(post(address, 'x'.repeat(10_001)))).toMatchObject([413, { error: 'BODY_TOO_LARGE' }]);
    const bomb = zipped('x'.repeat(5_000_000));
    expect(bomb.length).toBeLessThan(10_000);
    expect(await answer(post(address, bomb))).toMatchObject([413, { error: 'BODY_TOO_LARGE' }]);
  });

  it('tells agents to come back when the store fails, and again when it works', async () => {
    const real = await openDuckdb(':memory:');
    let broken = true;
    const address = await started({}, { store: { ...real, append: async (batch) => (broken ? Promise.reject(new Error('disk full')) : real.append(batch)) } });
    const refused = await send(address, batchOf([tokensFact()]));
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await refused.text()).not.toContain('disk full');
    broken = false;
    expect((await send(address, batchOf([tokensFact()]))).status).toBe(200);
  });
});

describe('reading', () => {
  it('answers the same question as the command, with the defaults of its settings', async () => {
    const address = await started({ price: '0.17' });
    await send(address, batchOf([energyFact({ joules: 1000 }), tokensFact({ count: 3000, labels: { quantization: 'fp8' } })]));
    const [status, report] = await answer(fetch(`${address}/v1/report?by=deployment&where=deployment%3Dchat&where=deployment%3Dother&carbon=400`));
    expect(status).toBe(200);
    expect(report).toMatchObject({ price: 0.17, carbon: 400, rows: [{ group: { deployment: 'chat' }, joules: 1000, tokensPerWattSecond: 3 }] });
    expect(await answer(fetch(`${address}/v1/report?by=quantisation&step=soon&slo=1&form=x`))).toMatchObject([400, { error: 'USAGE', faults: [expect.stringMatching(/^form: unknown; did you mean 'from'/) as unknown, expect.stringMatching(/^step: 'soon' is not a duration/) as unknown, expect.stringMatching(/^slo: '1' names no targets/) as unknown] }]);
    expect(await answer(fetch(`${address}/v1/report?by=quantisation`))).toMatchObject([400, { faults: ["by: no fact carries the label 'quantisation'; did you mean 'quantization'?"] }]);
  });

  it('lists nodes, says it is alive and ready, and knows no other paths', async () => {
    const address = await started();
    await send(address, batchOf([tokensFact()]));
    expect(await answer(fetch(`${address}/v1/nodes`))).toMatchObject([200, { nodes: [{ node: 'node-1', batches: 1, host: null, lastSeen: expect.stringMatching(/^20\d\d-.*Z$/) as unknown }] }]);
    expect(await answer(fetch(`${address}/healthz`))).toEqual([200, { ok: true }]);
    expect(await answer(fetch(`${address}/readyz`))).toEqual([200, { ok: true }]);
    expect(await answer(fetch(`${address}/nothing`))).toMatchObject([404, { error: 'NOT_FOUND' }]);
  });

  it('is not ready while the store does not answer', async () => {
    const real = await openDuckdb(':memory:');
    let asked = 0;
    const gone = (): Promise<never> => {
      asked += 1;
      return Promise.reject(new Error('gone: /var/lib/secret'));
    };
    const address = await started({}, { store: { ...real, extent: gone }, clock: clockAt(0) });
    const probes = await Promise.all(Array.from({ length: 20 }, () => fetch(`${address}/readyz`)));
    expect(new Set(probes.map(({ status }) => status))).toEqual(new Set([503]));
    expect(await probes[0]?.text()).not.toContain('secret');
    expect(asked, 'the store is asked no more than once a second').toBeLessThan(5);
    expect((await fetch(`${address}/healthz`)).status).toBe(200);
    expect(await answer(fetch(`${address}/v1/report`))).toMatchObject([500, { error: 'INTERNAL' }]);
  });
});

describe('who may ask', () => {
  it('needs the token for ingest, figures, metrics and the page, not for health', async () => {
    const address = await started({ token: TOKEN });
    const batch = batchOf([tokensFact()]);
    expect((await send(address, batch)).status).toBe(401);
    expect((await send(address, batch, { authorization: `Bearer ${TOKEN}x` })).status).toBe(401);
    expect((await send(address, batch, { authorization: `Bearer ${TOKEN}` })).status).toBe(200);
    for (const path of ['/v1/report', '/v1/nodes', '/metrics', '/', '/nothing']) expect([path, (await fetch(`${address}${path}`)).status]).toEqual([path, 401]);
    for (const path of ['/healthz', '/readyz']) expect([path, (await fetch(`${address}${path}`)).status]).toEqual([path, 200]);
    const page = await fetch(`${address}/`, { headers: { authorization: `Basic ${Buffer.from(`me:${TOKEN}`).toString('base64')}` } });
    expect(page.status).toBe(200);
    expect((await fetch(`${address}/`)).headers.get('www-authenticate')).toBe('Basic realm="Joulebook"');
  });

  it('binds nothing but loopback without a token', async () => {
    for (const listen of ['0.0.0.0:0', '[::]:0', 'example.com:0']) await expect(started({ listen })).rejects.toThrow(/set a token/);
  });

  it('answers no name that somebody else could point here', async () => {
    const address = await started();
    const { request } = await import('node:http');
    const status = await new Promise((resolve, reject) => {
      request(`${address}/v1/report`, { headers: { host: 'evil.example:9840' } }, (response) => resolve(response.resume().statusCode)).on('error', reject).end();
    });
    expect(status).toBe(421);
    expect((await fetch(address.replace('127.0.0.1', 'localhost') + '/healthz')).status).toBe(200);
  });
});

const twoMinutes = (boundary: 'gpu' | 'server', watts: number): EnergySlice[] =>
  Array.from({ length: 12 }, (_, index) =>
    energyFact({
      boundary, device: `${boundary}0`, from: 870 + index * 10, to: 880 + index * 10, seconds: seconds(10), joules: watts * 10,
      lowMicrojoules: microjoules(watts * 9.5e6), highMicrojoules: microjoules(watts * 10.5e6), source: boundary === 'gpu' ? '<nvml>' : 'ipmi-dcmi',
    }),
  );

describe('the first page', () => {
  it('says what to do next when there are no facts', async () => {
    const address = await started();
    const page = await (await fetch(`${address}/`)).text();
    expect(page).toContain('No facts yet');
    expect(page).toContain(`JOULEBOOK_COLLECTOR_URL=${address} npx joulebook-agent run`);
  });

  it('shows the last minutes, marked as demonstration where they are one, with names escaped', async () => {
    const address = await started({}, { clock: clockAt(1000) });
    const labels = { demonstration: 'true' };
    await send(address, batchOf(Array.from({ length: 60 }, (_, index) => [energyFact({ from: 935 + index, joules: 1000, labels }), tokensFact({ from: 935 + index, count: 3000, labels, deployment: index === 0 ? '<b>x</b>' : 'chat' })]).flat()));
    const response = await fetch(`${address}/`);
    const page = await response.text();
    expect(page).toContain('Demonstration data — not measured on this machine');
    expect(page).toContain('1,000 W');
    expect(page).toContain('3,000 tokens/s');
    expect(page).toContain('<dd>100.0 %</dd>');
    expect(page).toContain(`${iso(935)} – ${iso(995)}`);
    expect(page).toContain('&lt;b&gt;x&lt;/b&gt;');
    expect(page).not.toContain('<b>');
    const policy = response.headers.get('content-security-policy') ?? '';
    const nonce = /script-src 'nonce-([^']+)'/.exec(policy)?.[1] ?? 'none';
    expect(policy).toContain("default-src 'none'");
    expect(page).toContain(`<script nonce="${nonce}">`);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('shows by which methods, with which error, and what the server draws beyond its GPUs', async () => {
    const address = await started({}, { clock: clockAt(1000) });
    await send(address, batchOf([...twoMinutes('gpu', 300), ...twoMinutes('server', 250)]));
    const page = await (await fetch(`${address}/`)).text();
    expect(page).toContain('<dt>± by the sensors</dt><dd>−5.0/+5.0 %</dd>');
    expect(page).toContain('gpu by &lt;nvml&gt; (counter), server by ipmi-dcmi (counter)');
    expect(page).toContain('Other in server: -6,000 J');
    expect(page).toContain('INCLUSION_VIOLATED');
    expect(await (await fetch(`${address}/?boundary=gpu`)).text()).not.toContain('Other in server');
  });

  it('is not blinded by a fact of the future', async () => {
    // Ingest takes none; a store may have some of before.
    const store = await openDuckdb(':memory:');
    const address = await started({}, { clock: clockAt(1000), store });
    await store.append(batchOf([...Array.from({ length: 60 }, (_, index) => energyFact({ from: 935 + index, joules: 1000 })), energyFact({ from: 1e8, joules: 7 })]));
    const page = await (await fetch(`${address}/`)).text();
    expect(page).toContain(`${iso(935)} – ${iso(995)}`);
    expect(page).toContain('<dd>100.0 %</dd>');
    await store.append(batchOf([energyFact({ from: 1100, joules: 7 })], { sequence: 1 }));
    expect(await (await fetch(`${address}/`)).text()).toContain(`– ${iso(1000)}`);
    const future = await openDuckdb(':memory:');
    const only = await started({}, { clock: clockAt(1000), store: future });
    await future.append(batchOf([energyFact({ from: 1e8 })]));
    expect(await (await fetch(`${only}/`)).text()).toContain('is its clock right?');
  });

  it('waits for an answer before it asks again, and asks nothing while nobody looks', async () => {
    const address = await started();
    const script = /<script nonce="[^"]+">([^]*?)<\/script>/.exec(await (await fetch(`${address}/`)).text())?.[1] ?? '';
    const timers: (() => void)[] = [];
    const answers: (() => void)[] = [];
    const page = { hidden: false, getElementById: () => ({ hidden: true }), querySelector: () => null };
    runInNewContext(script, {
      document: page, location: { href: '/' }, setTimeout: (work: () => void) => timers.push(work), setInterval: (work: () => void) => timers.push(work, work),
      fetch: () => new Promise((_, reject) => answers.push(() => reject(new Error('no')))),
    });
    const tick = async (): Promise<void> => {
      for (const work of timers.splice(0)) work();
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    await tick();
    await tick();
    expect([answers.length, timers.length]).toEqual([1, 0]);
    page.hidden = true;
    answers[0]?.();
    await tick();
    await tick();
    expect([answers.length, timers.length]).toEqual([1, 1]);
    page.hidden = false;
    await tick();
    expect(answers).toHaveLength(2);
  });

  it('counts the silence of an agent as not observed, and says so when all is old', async () => {
    const facts = batchOf(Array.from({ length: 60 }, (_, from) => energyFact({ from })));
    const silent = await started({}, { clock: clockAt(120) });
    await send(silent, facts);
    expect(await (await fetch(`${silent}/`)).text()).toContain('<dd>50.0 %</dd>');
    const old = await started({}, { clock: clockAt(10_000) });
    await send(old, facts);
    expect(await (await fetch(`${old}/?window=5m`)).text()).toContain(`The newest fact is of ${iso(60)}`);
  });
});

it('says which address is taken', async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => {
    const bound = server.address();
    resolve(typeof bound === 'object' && bound ? bound.port : 0);
  }));
  await expect(started({ listen: `127.0.0.1:${port}` })).rejects.toThrow(`Can't listen on 127.0.0.1:${port}: another program listens there.`);
  server.close();
});

it('finishes what was sent before it closes', async () => {
  const real = await openDuckdb(':memory:');
  const asked = new EventEmitter();
  const arrival = once(asked, 'append');
  const slow: Store = { ...real, append: async (batch) => { asked.emit('append'); await new Promise((resolve) => setTimeout(resolve, 100)); return real.append(batch); } };
  const collector = await startCollector(await settingsOf(), { log, store: slow });
  const sent = send(collector.address, batchOf([tokensFact()]));
  await arrival;
  await collector.close();
  expect((await sent).status).toBe(200);
});
