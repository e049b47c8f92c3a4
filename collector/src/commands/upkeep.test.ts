/** `export`, `backup` and `retain`, of a running collector and of a store that nobody holds. */
import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DuckDBInstance } from '@duckdb/node-api';
import { pino } from 'pino';
import { encodeBatch } from '@joulebook/shared/batch.js';
import { loadSettings } from '@joulebook/shared/settings.js';
import { tokenMade } from '../api/tokens.js';
import { startCollector, type Collector } from '../collector.js';
import { report as reportShape } from '../join/report.js';
import { SETTINGS } from '../settings.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, tokensFact } from '../store/sample-facts.js';
import { said as program, type Said } from './program.testing.js';

const ADMIN = 'the-token-of-an-admin';
let folder: string;
let stores = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-upkeep-cli-'));
});
afterAll(() => rm(folder, { recursive: true }));

let running: Collector | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

const said = (...argv: string[]): Promise<Said> => program(argv);

const facts = [energyFact({ joules: 1000, labels: { q: 'fp8' } }), tokensFact({ count: 3000 })];

/** A store with facts of long ago, in a folder of its own. */
async function filled(): Promise<string> {
  const path = join(folder, String((stores += 1)), 'store.duckdb');
  const store = await openDuckdb(path);
  await store.append(batchOf(facts));
  await store.close();
  return path;
}
/** A file of DuckDB, of whomever. */
async function database(name: string, sql: string): Promise<string> {
  const instance = await DuckDBInstance.create(join(folder, name));
  const connection = await instance.connect();
  await connection.run(sql);
  connection.closeSync();
  instance.closeSync();
  return join(folder, name);
}
async function served(path: string): Promise<string> {
  running = await startCollector(await loadSettings(SETTINGS, { flags: { store: path, listen: '127.0.0.1:0', token: ADMIN } }), { log: pino({ level: 'silent' }) });
  return running.address;
}
const reported = async (...argv: string[]): Promise<unknown> => {
  const { code, out } = await said('report', ...argv, '--format', 'json');
  return code === 0 ? reportShape.parse(JSON.parse(out)).total : code;
};
const same = { joules: 1000, tokens: { output: 3000 }, tokensPerWattSecond: 3 };

describe('of a running collector', () => {
  it('exports batches that report reads, to a file or a pipe, and leaves nothing beside the store', async () => {
    const path = await filled();
    const address = await served(path);
    const out = join(folder, 'batches.ndjson');
    expect(await said('export', '--format', 'ndjson', '--out', out, '--collector', address, '--token', ADMIN)).toMatchObject({ code: 0, out: '' });
    expect(await reported(out)).toMatchObject(same);
    const piped = await said('export', '--format', 'ndjson', '--out', '-', '--collector', address, '--token', ADMIN);
    expect(piped).toEqual({ code: 0, out: await readFile(out, 'utf8'), err: '' });
    expect((await readdir(join(path, '..'))).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('exports parquet and CSV of one kind', async () => {
    const address = await served(await filled());
    const out = join(folder, 'tokens.csv');
    expect((await said('export', '--format', 'csv', '--kind', 'tokens', '--out', out, '--collector', address, '--token', ADMIN)).code).toBe(0);
    expect((await readFile(out, 'utf8')).split('\n')[1]).toContain(',output,3000');
    await said('export', '--format', 'parquet', '--kind', 'energy', '--out', `${out}.parquet`, '--collector', address, '--token', ADMIN);
    expect((await readFile(`${out}.parquet`)).subarray(0, 4).toString()).toBe('PAR1');
  });

  it('backs it up to a store, while it goes on', async () => {
    const path = await filled();
    const address = await served(path);
    const out = join(folder, 'backup.duckdb');
    expect((await said('backup', '--out', out, '--collector', address, '--token', ADMIN)).code).toBe(0);
    const sent = await fetch(`${address}/v1/batches`, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${ADMIN}` }, body: encodeBatch(batchOf([tokensFact()], { sequence: 1 })) });
    expect(sent.status).toBe(200);
    expect(await reported('--store', out)).toMatchObject(same);
    expect((await said('backup', '--out', join(folder, 'told.duckdb'), '--collector', address, '--token', ADMIN)).err).toMatch(/Its tokens are not in it: copy their folder .* to .*told\.duckdb\.tokens\. Without it everybody/);
    expect(await said('backup', '--out', out, '--collector', address, '--token', ADMIN)).toMatchObject({ code: 2, err: expect.stringContaining('is there already') as unknown });
  });

  it('deletes what is too old by its own settings, and reports the same from sums', async () => {
    const path = await filled();
    const address = await served(path);
    const { code, err } = await said('retain', '--collector', address, '--token', ADMIN);
    expect([code, err]).toEqual([0, expect.stringMatching(/^Deleted 2 facts, \d+ sums by minute and 0 by hour and day\. Facts are kept since 20/)]);
    expect(await reported('--collector', address, '--token', ADMIN)).toMatchObject(same);
    const { out } = await said('report', '--collector', address, '--token', ADMIN);
    expect(out).toMatch(/Read: sums by (hour|day)/);
    expect(await said('retain', '--collector', address, '--token', ADMIN, '--retention-raw', '1d', '--compact')).toMatchObject({ code: 2, err: expect.stringMatching(/--retention-raw: a running collector has its own[^]*--compact: stop the collector/) as unknown });
  });

  it('lets only an admin back up and delete, and only who may read export', async () => {
    const address = await served(await filled());
    for (const [method, path] of [['GET', 'export?format=ndjson'], ['GET', 'backup'], ['POST', 'retain']] as const) expect((await fetch(`${address}/v1/${path}`, { method })).status).toBe(401);
    const make = async (scope: string): Promise<string> => tokenMade.parse(JSON.parse((await said('token', 'create', '--scope', scope, '--json', '--collector', address, '--token', ADMIN)).out)).token;
    const [reader, sender] = [await make('read'), await make('ingest:node-1')];
    const status = async (token: string, method: string, path: string): Promise<number> => (await fetch(`${address}/v1/${path}`, { method, headers: { authorization: `Bearer ${token}` } })).status;
    expect([await status(reader, 'GET', 'export?format=ndjson'), await status(reader, 'GET', 'backup'), await status(reader, 'POST', 'retain'), await status(sender, 'GET', 'export?format=ndjson')]).toEqual([200, 403, 403, 403]);
  });
});

describe('of a store that nobody holds', () => {
  it('exports, backs up and deletes', async () => {
    const path = await filled();
    const [batches, backup] = [join(folder, 'own.ndjson'), join(folder, 'own.duckdb')];
    expect(await said('export', '--format', 'ndjson', '--out', batches, '--store', path)).toEqual({ code: 0, out: '', err: '' });
    expect(await reported(batches)).toMatchObject(same);
    expect((await said('backup', '--out', backup, '--store', path)).code).toBe(0);
    expect((await said('retain', '--store', path, '--retention-raw', 'forever')).err).toContain('All facts are kept');
    const { code, err } = await said('retain', '--store', path, '--retention-raw', '1d', '--compact');
    expect([code, err]).toEqual([0, expect.stringMatching(/Deleted 2 facts[^]*The file was [\d.]+ MiB and is [\d.]+ MiB/)]);
    expect(await reported('--store', path)).toMatchObject(same);
    expect(await said('export', '--format', 'ndjson', '--out', '-', '--store', path)).toEqual({ code: 0, out: '', err: '' });
    expect((await said('export', '--format', 'csv', '--kind', 'tokens', '--resolution', '1h', '--out', '-', '--store', path)).out).toContain(',output,3000');
    expect(await reported('--store', backup)).toMatchObject(same);
  });

  it('says why a small store grows where what was never summed is summed first', async () => {
    const path = await filled();
    const before = (await stat(path)).size;
    expect((await said('retain', '--store', path, '--retention-raw', 'forever', '--compact')).err).toMatch(/The file was [\d.]+ MiB and is [\d.]+ MiB\. What was summed now takes more than was set free: each kind of sum takes 0\.25 MiB or more/);
    expect((await stat(path)).size).toBeGreaterThan(before);
    expect((await said('retain', '--store', path, '--retention-raw', 'forever', '--compact')).err).not.toContain('takes more');
  });

  it('makes a compacted file smaller, and a stale copy of an interrupted one is never taken for it', async () => {
    const path = join(folder, 'large', 'store.duckdb');
    const store = await openDuckdb(path);
    await store.append(batchOf(Array.from({ length: 20_000 }, (_, index) => tokensFact({ from: index % 60, tenant: createHash('sha256').update(String(index)).digest('hex') }))));
    await store.close();
    const before = (await stat(path)).size;
    await writeFile(`${path}.compact`, 'left by a crash');
    expect((await said('retain', '--store', path, '--retention-raw', '1d', '--retention-minute', '1d', '--retention-hour', '1d', '--compact')).code).toBe(0);
    expect((await stat(path)).size).toBeLessThan(before);
    expect((await readdir(join(path, '..'))).toSorted()).toEqual(['store.duckdb']);
  });

  it('backs its tokens up beside it, by their hashes, and a collector of the backup asks for them', async () => {
    const path = await filled();
    const token = (await said('token', 'create', '--scope', 'read', '--store', path)).out.trim();
    const bare = join(folder, 'bare.duckdb');
    expect((await said('backup', '--out', bare, '--store', await filled())).err).toMatch(/^The backup is \S+bare\.duckdb\. To go back/);
    expect(await readdir(folder)).not.toContain('bare.duckdb.tokens');
    await writeFile(`${path}.tokens/notes.txt`, 'of somebody');
    const out = join(folder, 'with-tokens.duckdb');
    expect((await said('backup', '--out', out, '--store', path)).err).toContain(`Its 1 tokens (their hashes) are in ${out}.tokens.`);
    const id = token.split('_')[1];
    expect(await readdir(`${out}.tokens`)).toEqual([`${id}.json`]);
    expect([(await stat(`${out}.tokens`)).mode & 0o777, (await stat(`${out}.tokens/${id}.json`)).mode & 0o777]).toEqual([0o700, 0o600]);
    expect(await readFile(`${out}.tokens/${id}.json`, 'utf8')).not.toContain(token.split('_')[2]);
    running = await startCollector(await loadSettings(SETTINGS, { flags: { store: out, listen: '127.0.0.1:0' } }), { log: pino({ level: 'silent' }) });
    expect([await reported('--collector', running.address), await reported('--collector', running.address, '--token', token)]).toMatchObject([1, same]);
    const taken = join(folder, 'taken.duckdb');
    await mkdir(`${taken}.tokens`);
    expect(await said('backup', '--out', taken, '--store', path)).toMatchObject({ code: 2, err: expect.stringContaining('taken.duckdb.tokens is there already') as unknown });
  });

  it('put in the place of a store that was killed says whose log is in the way', async () => {
    const [path, backup] = [join(folder, 'killed.duckdb'), join(folder, 'restored.duckdb')];
    const store = await openDuckdb(path);
    await store.append(batchOf(facts));
    await store.backup(backup);
    await copyFile(`${path}.wal`, `${backup}.wal`);
    await store.close();
    expect((await said('report', '--store', backup)).err).toContain(`Was a backup put in its place? Then ${backup}.wal is of the store before: move it away.`);
    await rm(`${backup}.wal`);
    expect(await reported('--store', backup)).toMatchObject(same);
  });

  it('keeps those out whose tokens were all revoked, in the backup too', async () => {
    const path = await filled();
    const { id } = tokenMade.parse(JSON.parse((await said('token', 'create', '--scope', 'read', '--json', '--store', path)).out));
    await said('token', 'revoke', id, '--store', path);
    const out = join(folder, 'revoked.duckdb');
    await said('backup', '--out', out, '--store', path);
    expect(await readdir(`${out}.tokens`)).toEqual([]);
  });

  it('says that a server keeps itself, whatever is asked of its store', async () => {
    const store = 'http://127.0.0.1:9?bucket=b';
    for (const argv of [['retain'], ['retain', '--compact'], ['backup', '--out', join(folder, 'server.duckdb')], ['export', '--format', 'ndjson', '--out', '-']]) {
      expect(await said(...argv, '--store', store), argv.join(' ')).toMatchObject({ code: 1, err: expect.stringContaining('The store is a server') as unknown });
    }
  });

  it('tells a store whose first start was interrupted from a file that is none', async () => {
    for (const [name, sql] of [['begun.duckdb', 'CREATE TABLE schema_version (version INTEGER NOT NULL)'], ['empty.duckdb', 'SELECT 1']] as const) {
      const path = await database(name, sql);
      expect((await said('report', '--store', path)).err).toMatch(/is a store that was never finished: its first start was interrupted.*'joulebook serve --store .*' finishes it/);
      await (await openDuckdb(path)).close();
      expect((await said('export', '--format', 'ndjson', '--out', '-', '--store', path)).code).toBe(0);
    }
    expect((await said('report', '--store', await database('other.duckdb', 'CREATE TABLE customers (name VARCHAR)'))).err).toContain('is no Joulebook store');
  });

  it('says every fault at once', async () => {
    const { code, err } = await said('export', '--format', 'csv', '--from', 'yesterday', '--collector', 'nowhere', '--store', 'x');
    expect([code, err.split('\n').filter((line) => line !== '')]).toEqual([2, [
      'joulebook: --out: say where to write, a file or -', 'joulebook: --collector: not an address like http://127.0.0.1:9840', 'joulebook: --store and --collector: say one place to read from',
      "joulebook: --from: 'yesterday' is no time; write ISO 8601 with a zone, or epoch seconds", 'joulebook: --kind: a csv file holds one kind; say one of energy, tokens, requests, gauge, flag',
    ]]);
    expect((await said('export', '--out', '-')).err).toContain('--format: say one of parquet, csv, ndjson');
    expect((await said('export', '--format', 'ndjson', '--resolution', '1h', '--out', '-')).err).toContain('ndjson is of batches, which are facts');
    expect((await said('retain', '--store', join(folder, 'none.duckdb'))).err).toContain('There is no store at');
  });
});
