import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tokenMade, tokensShown } from '../api/tokens.js';
import { said, serve, type Serving } from './program.testing.js';

let folder: string;
let store: string;
let serving: Serving;
let address: string;

const token = (...argv: string[]) => said(['token', ...argv], { environment: { JOULEBOOK_STORE: store } });
const made = async (...argv: string[]) => {
  const { code, out, err } = await token('create', '--json', ...argv);
  expect([code, err], err).toEqual([0, expect.stringContaining('It is shown this once')]);
  return tokenMade.parse(JSON.parse(out));
};
const listed = async (...argv: string[]) => tokensShown.parse(JSON.parse((await token('list', '--json', ...argv)).out)).tokens;
const status = async (presented: string): Promise<number> => (await fetch(`${address}/v1/nodes`, { headers: { authorization: `Bearer ${presented}` } })).status;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-token-'));
  store = join(folder, 'data', 'store.duckdb');
  serving = await serve(['--store', store, '--log-level', 'error']);
  address = serving.address;
});
afterAll(async () => {
  await serving.stop();
  await rm(folder, { recursive: true });
});

describe('joulebook token', () => {
  it('makes the first token beside the store, which closes a running collector', async () => {
    expect((await fetch(`${address}/v1/nodes`)).status).toBe(200);
    expect(await token('create', '--scope', 'read', '--collector', address)).toMatchObject({ code: 1, out: '', err: expect.stringContaining('Make the first one on the machine of the store') as unknown });
    const { code, out } = await token('create', '--scope', 'admin', '--note', 'me');
    expect([code, out]).toEqual([0, expect.stringMatching(/^jb_[0-9a-f]{12}_[0-9a-f]{64}\n$/)]);
    await expect.poll(async () => (await fetch(`${address}/v1/nodes`)).status, { interval: 200, timeout: 10_000 }).toBe(401);
    expect(await status(out.trim())).toBe(200);
  });

  it('makes, lists and revokes through a running collector, at once', async () => {
    const admin = (await made('--scope', 'admin')).token;
    const ask = ['--collector', address, '--token', admin];
    await expect.poll(() => status(admin), { interval: 200, timeout: 10_000 }).toBe(200);
    const reader = await made('--scope', 'ingest:gpu-*', '--scope', 'read', '--expires', '90d', '--note', 'rack 7', ...ask);
    expect(reader).toMatchObject({ scopes: ['ingest:gpu-*', 'read'], note: 'rack 7', lastUsed: null, valid: true });
    expect(Math.round((Date.parse(reader.expires ?? '') - Date.parse(reader.created)) / 60_000)).toBe(90 * 1440);
    expect(await status(reader.token)).toBe(200);
    expect((await listed(...ask)).map(({ id }) => id)).toEqual((await listed()).map(({ id }) => id));
    await expect.poll(async () => (await listed(...ask)).find(({ id }) => id === reader.id)?.lastUsed, { interval: 100, timeout: 10_000 }).toMatch(/^20/);
    expect((await token('list', ...ask)).out).toContain('ingest:gpu-* read');
    expect(await token('list', '--collector', address, '--token', reader.token)).toMatchObject({ code: 1, out: '', err: expect.stringContaining('scope admin') as unknown });
    expect(await token('revoke', reader.id, ...ask)).toEqual({ code: 0, out: '', err: `Token ${reader.id} is revoked.\n` });
    expect(await status(reader.token)).toBe(401);
    expect(await token('revoke', reader.id, ...ask)).toMatchObject({ code: 1, err: expect.stringContaining(`There is no token ${reader.id}`) as unknown });
    const log = serving.said();
    const audited = log.split('\n').filter((line) => line.includes('"audit":true')).map((line) => z.object({ event: z.string(), id: z.string().optional() }).parse(JSON.parse(line)));
    expect(audited).toEqual(expect.arrayContaining([{ event: 'token-created', id: reader.id }, { event: 'token-revoked', id: reader.id }]));
    for (const secret of [admin, reader.token]) expect(log).not.toContain(secret.split('_')[2]);
  });

  it('revokes by the file, which a running collector notices', async () => {
    const { id, token: text } = await made('--scope', 'read');
    await expect.poll(() => status(text), { interval: 200, timeout: 10_000 }).toBe(200);
    expect((await token('revoke', id)).code).toBe(0);
    await expect.poll(() => status(text), { interval: 200, timeout: 10_000 }).toBe(401);
    expect(await token('revoke', id)).toMatchObject({ code: 1, err: expect.stringContaining('There is no token') as unknown });
  });

  it('names every fault at once', async () => {
    const { code, err } = await token('create', '--scope', 'write', '--scope', 'ingest:a*b', '--expires', 'soon', '--collector', 'nowhere', '--store', 'x');
    expect(code).toBe(2);
    for (const fault of ["--scope: 'write' is no scope", "--scope: 'ingest:a*b' is no scope", "--expires: 'soon' is not a duration", '--collector: not an address', '--store and --collector: say one']) expect(err).toContain(fault);
    expect((await token('create')).code).toBe(2);
    expect((await said(['token', 'create', '--scope', 'read', '--store', ':memory:'])).err).toContain('This store keeps no tokens');
    expect((await token('create', '--scope', 'read', '--collector', address, '--collector-ca', join(folder, 'none'))).err).toContain('collectorCa: ENOENT');
  });

  it('lets a token out of its text in no file', async () => {
    const { token: text, id } = await made('--scope', 'read');
    expect(await readFile(join(`${store}.tokens`, `${id}.json`), 'utf8')).not.toContain(text.split('_')[2]);
  });
});
