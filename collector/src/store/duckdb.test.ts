import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DuckDBInstance } from '@duckdb/node-api';
import { openDuckdb } from './duckdb.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { epochMicros } from '@joulebook/shared/units.js';
import { at, batchOf, energyFact, flagFact, requestsFact, tokensFact } from './sample-facts.js';
import { MIGRATIONS } from './migrations.js';
import { ledgerContract } from './ledger-contract.js';
import { storeContract } from './store-contract.js';
import { inBoundary } from './store.js';
import type { EmbeddedStore } from './upkeep.js';
import { duplicatesIn, joulesIn, tokensIn, writersContract } from './writers-contract.js';

const GPU = { kind: 'energy', by: [], where: [inBoundary('gpu')] } as const;
const worker = new URL('../../dist/store/duckdb-worker.js', import.meta.url);
const collectorFolder = fileURLToPath(new URL('../..', import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-store-'));
});
afterAll(() => rm(folder, { recursive: true }));

storeContract('the embedded store in memory', () => openDuckdb(':memory:'));
writersContract('the embedded store in memory', () => openDuckdb(':memory:'));
ledgerContract('the embedded store in memory', () => openDuckdb(':memory:'));

/** A file as the first release wrote it. */
async function oldFile(path: string): Promise<void> {
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  await connection.run(`CREATE TABLE schema_version (version INTEGER NOT NULL); ${MIGRATIONS[0]} INSERT INTO schema_version VALUES (1);
    INSERT INTO ledger VALUES ('${'a'.repeat(32)}', 0, 'hash', 'node-1', 1, 1);
    INSERT INTO energy VALUES ('${'a'.repeat(32)}', 0, 'node-1', ${at(0)}, ${at(10)}, NULL, 'chat', 'llama', NULL, 'GPU-0', 'gpu', 'decode', 7000000, 0, 10, 10, 'nvml', 'counter')`);
  connection.closeSync();
  instance.closeSync();
}

const part = (index: number) => [energyFact({ from: index * 10, to: index * 10 + 10 }), tokensFact({ from: index * 10 })];

let files = 0;
async function oldStore(version: number): Promise<string> {
  const path = join(folder, `old-${(files += 1)}.duckdb`);
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  await connection.run(`CREATE TABLE schema_version (version INTEGER NOT NULL); ${MIGRATIONS.slice(0, version).join('\n')} INSERT INTO schema_version VALUES (${version})`);
  instance.closeSync();
  return path;
}
/** Every column of every table, as the database tells it. */
async function columnsOf(path: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create(path, { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  const columns = await connection.runAndReadAll('SELECT table_name, column_name, data_type, is_nullable, column_default FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index');
  instance.closeSync();
  return columns.getRows();
}

// It comes by every migration; stores of later releases come out the same, to the column.
storeContract('an embedded store that the first release made', async () => openDuckdb(await oldStore(1)));

it('a store that any release made has the tables of a new one', async () => {
  const path = join(folder, 'new.duckdb');
  await (await openDuckdb(path)).close();
  const columns = await columnsOf(path);
  expect(columns.length).toBeGreaterThan(50);
  for (const version of MIGRATIONS.keys()) {
    const old = await oldStore(version);
    await (await openDuckdb(old)).close();
    expect(await columnsOf(old), `schema ${version}`).toEqual(columns);
  }
});

/** A file for each of two stores. */
const out = (index: number, name: string): string => join(folder, `${name}-${index}`);

describe.skipIf(!existsSync(worker))('in a thread of its own (the built file)', () => {
  it('answers every call as the store in memory does, which keeps the contract', async () => {
    const stores = [await openDuckdb(':memory:'), await openDuckdb(':memory:', { worker })] as const;
    const batch = { ...batchOf([energyFact({ labels: { q: 'fp8' } }), tokensFact(), requestsFact(), flagFact()]), host: { hostname: 'h', os: 'Linux', kernel: '6', cpu: { model: 'c', sockets: 1, cores: 2 }, memoryBytes: 1, gpus: [], agentVersion: '1' } };
    const late = batchOf([energyFact({ from: 5 })], { sequence: 3 });
    /** What both say, which is the same. */
    const both = async <T>(ask: (store: EmbeddedStore, index: number) => Promise<T>): Promise<T> => {
      const [here, there] = await Promise.all([ask(stores[0], 0), ask(stores[1], 1)]);
      expect(there).toEqual(here);
      return there;
    };
    try {
      expect(await both((store) => store.append(batch))).toBe('accepted');
      expect(await both((store) => store.append(batch))).toBe('duplicate');
      expect(await both((store) => store.append({ ...batch, slices: [tokensFact({ count: 1 })] }))).toBe('conflict');
      expect(await both((store) => store.append(late))).toBe('accepted');
      expect([await both((store) => store.seen(batch)), await both((store) => store.seen({ ...batch, sequence: 9 }))]).toEqual(['duplicate', null]);
      expect(await both(async (store) => (await store.streams()).map(({ stream, node, lowWater, highest, missing }) => ({ stream, node, lowWater, highest, missing: missing.length })))).toMatchObject([{ missing: 1 }]);
      expect((await both((store) => store.sum({ ...GPU, by: ['device', { label: 'q' }] }))).map(({ sums }) => sums.microjoules)).toEqual([100_000_000n, 100_000_000n]);
      for (const kind of ['tokens', 'requests', 'flag'] as const) expect(await both((store) => store.sum({ kind, by: [], where: [] }))).toHaveLength(1);
      expect(await both((store) => store.labels())).toEqual(['q']);
      expect(await both(async (store) => (await store.nodes()).map(({ node, host }) => ({ node, host })))).toEqual([{ node: batch.node, host: batch.host }]);
      await both((store) => store.markExperiment({ at: at(1), text: '{}' }));
      expect(await both((store) => store.experimentMarks())).toEqual([{ at: at(1), text: '{}' }]);
      expect(await both((store) => store.extent())).not.toBeNull();
      expect(await both((store) => store.extent(epochMicros(1)))).toBeNull();
      expect(await both((store) => store.rollUp(20))).toMatchObject({ left: 0, faults: [] });
      expect(await both(async (store) => store.resolution?.({ kind: 'tokens', by: [], where: [] }))).toMatchObject({ read: [{}] });
      expect(await both((store, index) => store.export({ format: 'csv', kind: 'tokens', resolution: 'facts', from: undefined, to: undefined }, out(index, 'tokens.csv')))).toBeDefined();
      expect(readFileSync(out(1, 'tokens.csv'), 'utf8')).toBe(readFileSync(out(0, 'tokens.csv'), 'utf8'));
      await both((store, index) => store.backup(out(index, 'backup.duckdb')));
      expect(existsSync(out(1, 'backup.duckdb'))).toBe(true);
      expect(await both((store) => store.retain({ raw: 3600, minute: null, hour: null }))).toMatchObject({ facts: 5 });
      await expect(stores[1].append(late)).resolves.toBe('duplicate');
      await expect(stores[1].export({ format: 'csv', kind: 'tokens', resolution: 'facts', from: undefined, to: undefined }, join(folder, 'none', 'x.csv'))).rejects.toBeInstanceOf(TelemetryError);
    } finally {
      for (const store of stores) await store.close();
    }
  });

  it('tells an error of opening as the same error', async () => {
    await expect(openDuckdb(join(folder, 'none.duckdb'), { readOnly: true, worker })).rejects.toMatchObject({ code: 'STORE_MISSING', remedy: 'abort' });
  });

  it('refuses calls after it was closed', async () => {
    const store = await openDuckdb(':memory:', { worker });
    await store.close();
    await expect(store.labels()).rejects.toMatchObject({ code: 'STORE_CLOSED' });
  });
});

describe('a store file', () => {
  it('keeps facts and ledger across a restart', async () => {
    const path = join(folder, 'deep', 'restart.duckdb');
    const first = await openDuckdb(path);
    await first.append(batchOf([energyFact({ joules: 7 })]));
    await first.close();
    const second = await openDuckdb(path);
    expect(await second.append(batchOf([energyFact({ joules: 7 })]))).toBe('duplicate');
    expect(await second.append(batchOf([energyFact({ joules: 8 })]))).toBe('conflict');
    expect((await second.sum(GPU))[0]?.sums.microjoules).toBe(7_000_000n);
    await second.close();
  });

  it('of an older release keeps its facts, states no error for them, and knows their writer', async () => {
    const path = join(folder, 'migrated.duckdb');
    await oldFile(path);
    await expect(openDuckdb(path, { readOnly: true })).rejects.toThrow(/older schema 1/);
    for (const restart of [0, 1]) {
      const store = await openDuckdb(path);
      expect((await store.sum(GPU))[0]?.sums).toMatchObject({ microjoules: 7_000_000n, stated: null });
      await store.append(batchOf([energyFact({ from: 5 })], { stream: 'b'.repeat(32), sequence: restart }));
      expect([await joulesIn(store), (await duplicatesIn(store)).length]).toEqual([7, 1]);
      await store.close();
    }
  });

  it('still knows after a restart who wrote what, and whose account is a second one', async () => {
    const path = join(folder, 'writers.duckdb');
    const write = async (stream: string, indices: readonly number[], sequence: number): Promise<void> => {
      const store = await openDuckdb(path);
      await store.append(batchOf(indices.flatMap(part), { stream: stream.repeat(32), sequence }));
      await store.close();
    };
    await write('a', [0, 1, 2], 0);
    await write('b', [0], 0);
    await write('b', [1, 2, 3], 1);
    await write('a', [4], 1);
    const store = await openDuckdb(path);
    await store.append(batchOf([tokensFact({ from: 10 })], { stream: 'b'.repeat(32), sequence: 2 }));
    expect([await joulesIn(store), await tokensIn(store)]).toEqual([500, 50]);
    expect((await duplicatesIn(store)).reduce((sum, { sums }) => sum + sums.count, 0)).toBe(7);
    await store.close();
  });

  it('still knows after a restart which meter reads for which nodes', async () => {
    const path = join(folder, 'meters.duckdb');
    for (const [index, node] of ['watcher', 'other'].entries()) {
      const store = await openDuckdb(path);
      await store.append(batchOf([energyFact({ boundary: 'meter', device: 'feed', contains: ['n2', 'n1'] })], { stream: String(index).repeat(32), node }));
      expect(await joulesIn(store, 'meter')).toBe(100);
      await store.close();
    }
  });

  it('books a device for the one who could store it, not for the one who could not', async () => {
    const path = join(folder, 'failed.duckdb');
    const store = await openDuckdb(path);
    const poison = batchOf([energyFact(), tokensFact({ count: Number.MAX_SAFE_INTEGER * 4096 })], { stream: 'a'.repeat(32) });
    await expect(store.append(poison)).rejects.toThrow(/INT64|BIGINT|range/i);
    expect(await store.append(batchOf([energyFact()], { stream: 'b'.repeat(32) }))).toBe('accepted');
    expect([await joulesIn(store), await duplicatesIn(store)]).toEqual([100, []]);
    await store.close();
  });

  it('where no folder can be made is refused with a sentence, at once', async () => {
    await writeFile(join(folder, 'plain'), '');
    await expect(openDuckdb(join(folder, 'plain', 'deep', 'store.duckdb'))).rejects.toThrow(`${join(folder, 'plain')} is a file`);
    await expect(openDuckdb(join(folder, 'plain', 'store.duckdb'))).rejects.toMatchObject({ code: 'STORE_FOLDER', remedy: 'abort' });
  });

  it.skipIf(!existsSync('/proc/self'))('under /proc, where Node would try for ever, is refused with a sentence (Linux)', async () => {
    await expect(openDuckdb('/proc/joulebook-none/deep/store.duckdb')).rejects.toThrow(`no folder can be made in /proc (ENOENT). Name a file elsewhere with --store FILE.`);
    await expect(openDuckdb('/proc/joulebook-none.duckdb')).rejects.toMatchObject({ remedy: 'abort' });
  });

  it('is read without being written to', async () => {
    const path = join(folder, 'read.duckdb');
    const owner = await openDuckdb(path);
    await owner.append(batchOf([energyFact()]));
    await owner.close();
    const reader = await openDuckdb(path, { readOnly: true });
    expect((await reader.sum(GPU))[0]?.sums.microjoules).toBe(100_000_000n);
    await expect(reader.append(batchOf([tokensFact()], { sequence: 1 }))).rejects.toThrow(/readonly/);
    await reader.close();
  });

  it('is not made by reading', async () => {
    const path = join(folder, 'missing.duckdb');
    await expect(openDuckdb(path, { readOnly: true })).rejects.toThrow(`There is no store at ${path}.`);
    expect(existsSync(path)).toBe(false);
  });

  it('that is something else is refused with a sentence', async () => {
    const path = join(folder, 'text.duckdb');
    await writeFile(path, 'this is not a database, but it is long enough to look at'.repeat(200));
    await expect(openDuckdb(path)).rejects.toMatchObject({ code: 'STORE_UNREADABLE' });
  });

  it('written by a newer program is refused, naming both schemas', async () => {
    const path = join(folder, 'newer.duckdb');
    await (await openDuckdb(path)).close();
    const instance = await DuckDBInstance.create(path);
    const connection = await instance.connect();
    await connection.run('INSERT INTO schema_version VALUES (99)');
    instance.closeSync();
    await expect(openDuckdb(path)).rejects.toThrow(`schema 99; this program knows up to ${MIGRATIONS.length}`);
  });

  it('held by another process names the file, the holder and the way out', async () => {
    const path = join(folder, 'held.duckdb');
    await (await openDuckdb(path)).close();
    const program = `const { DuckDBInstance } = await import('@duckdb/node-api'); const held = await DuckDBInstance.create(process.argv[1]); console.log('held'); setInterval(() => held, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', program, path], { cwd: collectorFolder, stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await new Promise((resolve) => holder.stdout.once('data', resolve));
      await expect(openDuckdb(path)).rejects.toThrow(path);
      await expect(openDuckdb(path)).rejects.toThrow(`PID ${holder.pid}`);
      await expect(openDuckdb(path, { readOnly: true })).rejects.toThrow('--collector URL');
    } finally {
      holder.kill();
    }
  });
});
