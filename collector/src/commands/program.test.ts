import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeBatch } from '@joulebook/shared/batch.js';
import { report as reportShape } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, tokensFact } from '../store/sample-facts.js';
import { said, serve } from './program.testing.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-cli-'));
});
afterAll(() => rm(folder, { recursive: true }));

const ndjson = `${encodeBatch(batchOf([energyFact({ joules: 1000, labels: { q: 'fp8' } }), tokensFact({ count: 3000 })]))}\n`;

describe('report', () => {
  it('reads a pipe and writes data to stdout and nothing else anywhere', async () => {
    const { code, out, err } = await said(['report', '-', '--by', 'deployment', '--price', '0.17', '--format', 'json'], { stdin: ndjson });
    expect([code, err]).toEqual([0, '']);
    expect(reportShape.parse(JSON.parse(out))).toMatchObject({ price: 0.17, rows: [{ group: { deployment: 'chat' }, tokensPerWattSecond: 3 }] });
  });

  it('and whatever else is worth money or carbon, finds what providers have told', async () => {
    for (const command of [['report'], ['waste'], ['statement', 'monthly'], ['statement', 'weekly'], ['evidence'], ['alerts']]) expect([command, (await said([...command, '--help'])).out]).toEqual([command, expect.stringContaining('--rates-folder <DIR>')]);
  });

  it('reads a file and a store, with settings from the environment', async () => {
    const file = join(folder, 'batches.ndjson');
    await writeFile(file, ndjson);
    const environment = { JOULEBOOK_CARBON: '400', JOULEBOOK_STORE: join(folder, 'store.duckdb') };
    expect((await said(['report', file], { environment })).out).toContain('g CO2');
    expect(await said(['report'], { environment })).toMatchObject({ code: 1, err: expect.stringContaining('There is no store at') as unknown });
    const store = await openDuckdb(environment.JOULEBOOK_STORE);
    expect(await store.append(batchOf([energyFact()]))).toBe('accepted');
    await store.close();
    expect((await said(['report', '--format', 'csv'], { environment })).out).toContain('joules');
  });

  it('ends with 1 and a sentence when there is nothing to report', async () => {
    expect(await said(['report', '-'])).toEqual({ code: 1, out: '', err: 'joulebook: There are no facts in stdin: no batch with a slice in it.\n' });
    expect(await said(['report', '-'], { stdin: ndjson.slice(0, 99) })).toMatchObject({ code: 1, out: '', err: expect.stringContaining('line 1') as unknown });
    expect(await said(['report', join(folder, 'nowhere')])).toMatchObject({ code: 1, err: expect.stringContaining('ENOENT') as unknown });
  });

  it('ends with 2 and every fault at once, of settings and question alike', async () => {
    const { code, out, err } = await said(['report', '-', '--store', 'x', '--by', 'boundary', '--price', 'free', '--format', 'xml', '--collector', 'nowhere'], { environment: { JOULEBOOK_PUE: '0' } });
    expect([code, out]).toEqual([2, '']);
    for (const name of ['--price', 'JOULEBOOK_PUE', '--by', '--format', '--collector', 'FILE and --store and --collector']) expect(err).toContain(`joulebook: ${name}: `);
    expect((await said(['report', '-', '--by', 'qq'], { stdin: ndjson })).code).toBe(2);
    expect((await said(['report', '--store', 'influxdb://host/db'])).err).toContain("'influxdb' stores are not available");
  });

  it('ends with 2 for what commander refuses, and 0 for help', async () => {
    expect((await said(['report', '--bogus'])).code).toBe(2);
    expect((await said(['bogus'])).code).toBe(2);
    expect(await said(['report', '--help'])).toMatchObject({ code: 0, out: expect.stringContaining('JOULEBOOK_PRICE') as unknown });
    expect((await said(['report', '--help'])).out).toMatch(/inputBand[^]*\(other requests\)[^]*joulesPerPromptToken/);
  });
});

describe('serve', () => {
  it('says where it is, answers reports for a token, and closes when asked', async () => {
    const serving = await serve(['--store', ':memory:', '--token', 'secret-token', '--log-level', 'error']);
    const { address } = serving;
    const ask = ['report', '--collector', address, '--format', 'json'];
    expect(await said(ask)).toMatchObject({ code: 1, err: expect.stringContaining('401') as unknown });
    const sent = await fetch(`${address}/v1/batches`, { method: 'POST', body: ndjson, headers: { 'content-type': 'application/json', authorization: 'Bearer secret-token' } });
    expect(sent.status).toBe(200);
    const { code, out } = await said([...ask, '--token', 'secret-token', '--where', 'q=fp8', '--pue', '1.5']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ pue: 1.5, total: { joules: 1000 } });
    expect(await said([...ask, '--token', 'secret-token', '--by', 'qq'])).toMatchObject({ code: 2, err: `joulebook: --by: no fact carries the label 'qq'; did you mean 'q'?\n` });
    expect(await serving.stop()).toEqual({ code: 0, out: '' });
    expect(await said(ask)).toMatchObject({ code: 1, err: expect.stringContaining('does not answer') as unknown });
  });

  it('refuses to serve others without a token, naming the setting', async () => {
    expect(await said(['serve', '--listen', '0.0.0.0:0', '--store', ':memory:'])).toMatchObject({ code: 2, err: expect.stringMatching(/^joulebook: listen: 0\.0\.0\.0 can be reached by others; set a token/) as unknown });
  });
});
