/** What `serve` tells an operator: how it began, what it takes over on SIGHUP, and who did what to the store. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { encodeBatch } from '@joulebook/shared/batch.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, tokensFact } from '../store/sample-facts.js';
import { VERSION } from '../version.js';
import { said, serve, type Serving } from './program.testing.js';

const ADMIN = 'a-token-that-nobody-may-read-in-a-log';
let folder: string;
let config: string;
let store: string;
let serving: Serving;

const line = z.looseObject({ msg: z.string().optional(), event: z.string().optional() });
type Line = z.infer<typeof line>;
const lines = (): Line[] => serving.said().split('\n').filter((each) => each.startsWith('{')).map((each) => line.parse(JSON.parse(each)));
const acts = (...events: string[]): Line[] => lines().filter(({ event }) => event !== undefined && events.includes(event));
const ask = (path: string, init: RequestInit = {}): Promise<Response> => fetch(`${serving.address}/v1/${path}`, { ...init, headers: { authorization: `Bearer ${ADMIN}`, 'content-type': 'application/json' } });
const send = (sequence: number, labels = {}): Promise<Response> => ask('batches', { method: 'POST', body: encodeBatch(batchOf([tokensFact({ labels })], { sequence })) });

async function reload(text: string, until: string): Promise<void> {
  await writeFile(config, text);
  await serving.reload(until);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-serve-'));
  config = join(folder, 'collector.yaml');
  store = join(folder, 'store.duckdb');
  const filled = await openDuckdb(store);
  await filled.append(batchOf([energyFact(), tokensFact({ count: 3000 })], { stream: 'b'.repeat(32) }));
  await filled.close();
  await writeFile(config, 'maxLabels: 2\n');
  serving = await serve(['--config', config, '--store', store, '--retention-raw', '36h'], { JOULEBOOK_TOKEN: ADMIN });
});
afterAll(async () => {
  await serving.stop();
  await rm(folder, { recursive: true });
});

describe('serve', () => {
  it('says in one line what it is and who may ask, and no secret', () => {
    expect(lines().find(({ msg }) => msg === 'the collector has started')).toMatchObject({
      version: VERSION, address: serving.address, store: { kind: 'duckdb', file: store }, tls: 'off', access: ['the configured token'], retention: { raw: '36h', minute: '400d', hour: 'forever' },
    });
    expect(serving.said()).not.toContain(ADMIN);
  });

  it('warns in that line where a store that others have sent to is served without its tokens', async () => {
    const restored = join(folder, 'restored.duckdb');
    const filled = await openDuckdb(restored);
    await filled.append(batchOf([tokensFact()], { node: 'gpu-01', host: { hostname: 'gpu-01.example', os: 'Linux', kernel: '6', cpu: { model: 'x', sockets: 1, cores: 1 }, memoryBytes: 1, gpus: [], agentVersion: '0' } }));
    await filled.close();
    const unasked = await serve(['--store', restored]);
    await unasked.stop();
    expect(unasked.said()).toMatch(/"level":40,[^\n]*"access":\["this machine only: no token is set"\][^\n]*"code":"NO_TOKENS","msg":"the collector has started; no token is set, though its store has facts of other machines \(gpu-01\): everybody on this machine/);
    const asked = await serve(['--store', restored], { JOULEBOOK_TOKEN: ADMIN });
    await asked.stop();
    expect(asked.said()).not.toContain('NO_TOKENS');
  });

  it('goes on with what its settings say now, flags before them, and tells what it was', async () => {
    expect((await send(0, { a: '1', b: '2', c: '3' })).status).toBe(400);
    await reload('maxLabels: 3\nretentionRaw: 1d\nprice: 0.3\nretainSchedule: 0 4 * * *\n', 'the collector goes on with them');
    expect(lines().at(-1)).toMatchObject({ settings: { maxLabels: 3, price: 0.3, retainSchedule: '0 4 * * *' } });
    expect(lines().at(-1)?.['settings']).not.toHaveProperty('retentionRaw');
    expect((await send(0, { a: '1', b: '2', c: '3' })).status).toBe(200);
    expect(await (await ask('report')).json()).toMatchObject({ price: 0.3 });
  });

  it('names what needs a restart, and holds to what it was', async () => {
    await reload('maxLabels: 1\nmaxBodyBytes: 1024\ntlsCert: nowhere.pem\nprice: 0.3\nretainSchedule: 0 4 * * *\n', 'the collector goes on with them');
    expect(lines().find(({ msg }) => msg?.includes('restart to apply'))).toMatchObject({ level: 40, code: 'RESTART_NEEDED', settings: ['tlsCert', 'maxBodyBytes'], msg: 'tlsCert, maxBodyBytes changed: restart to apply; until then what was set before holds' });
    expect((await send(1, { a: '1', b: '2' })).status).toBe(400);
    expect((await send(1, { a: '1' })).status).toBe(200);
    await reload('maxSeries: 1\nprice: 0.3\n', 'the collector goes on with them');
    expect(await (await send(2, { a: '2' })).json()).toMatchObject({ error: 'TOO_MANY_SERIES' });
    await reload('price: 0.3\n', 'the collector goes on with them');
  });

  it('says that the book holds which it read anew', async () => {
    const book = join(folder, 'book.yaml');
    await writeFile(book, 'sites: { default: { pue: 1.2 } }\n');
    await reload(`price: 0.3\nbook: ${book}\n`, 'the collector goes on with them');
    await writeFile(book, 'sites: { default: { pue: 1.5 } }\n');
    const before = lines().length;
    await serving.reload('the book has changed');
    expect(lines().slice(before)).toMatchObject([{ level: 30, book, msg: 'the settings and the book were read again; the book has changed, and holds from now on' }]);
    expect(await (await ask('report')).json()).toMatchObject({ pue: 1.5 });
    await reload('price: 0.3\n', 'the collector goes on with them');
  });

  it('changes nothing for a file that can not be used, and says every fault of it', async () => {
    await reload('maxLabels: many\npirce: 1\nmaxSlices: 1\n', 'the settings can not be used');
    expect(lines().at(-1)).toMatchObject({ level: 50, code: 'RELOAD_REFUSED', faults: [expect.stringContaining("pirce: unknown; did you mean 'price'?"), expect.stringContaining("maxLabels: 'many' is not a whole number")] });
    expect(await (await ask('report')).json()).toMatchObject({ price: 0.3 });
    expect((await send(2)).status).toBe(200);
  });

  it('limits requests by the number that holds now, and logs as much as it is told to', async () => {
    await reload('requestsPerMinute: 1\nlogLevel: error\n', 'the collector goes on with them');
    expect((await ask('access')).status).toBe(429);
    await reload('logLevel: error\n', 'the collector goes on with them');
    expect((await ask('access')).status).toBe(200);
  });
});

describe('the audit', () => {
  it('says who took what away and who deleted what, from where and until when', async () => {
    expect((await ask('export?format=csv&kind=tokens&from=2026-01-01T00:00:00Z')).status).toBe(200);
    expect((await ask('backup')).status).toBe(200);
    expect((await ask('retain', { method: 'POST' })).status).toBe(200);
    const actor = { audit: true, by: 'the configured token', address: '127.0.0.1' };
    expect(acts('exported', 'backed-up', 'retained')).toMatchObject([
      { ...actor, event: 'exported', question: { format: 'csv', kind: 'tokens', from: '2026-01-01T00:00:00.000Z' }, bytes: expect.any(Number) as unknown },
      { ...actor, event: 'backed-up', bytes: expect.any(Number) as unknown },
      { ...actor, event: 'retained', facts: 5, minutes: 0, hours: 0, factsSince: expect.stringMatching(/^20\d\d-.*:00:00\.000Z$/) as unknown },
    ]);
    expect((await readdir(folder)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('has what failed too', async () => {
    const path = join(folder, 'gone', 'store.duckdb');
    const other = await serve(['--store', path]);
    try {
      await rm(join(folder, 'gone'), { recursive: true });
      expect((await fetch(`${other.address}/v1/backup`)).status).toBe(500);
      expect(other.said()).toMatch(/"audit":true,"event":"backup-failed","error":"[^"]+","by":"this machine","address":"127\.0\.0\.1"/);
    } finally {
      await other.stop();
    }
  });

  it('has nothing of a command that was refused', async () => {
    expect((await said(['retain', '--collector', serving.address, '--token', 'wrong'])).code).toBe(1);
    expect(acts('retained')).toHaveLength(1);
    expect(serving.said()).not.toContain(ADMIN);
  });
});
