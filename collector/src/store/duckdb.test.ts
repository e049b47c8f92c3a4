import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DuckDBInstance } from '@duckdb/node-api';
import { openDuckdb } from './duckdb.js';
import { batchOf, energyFact, tokensFact } from './sample-facts.js';
import { storeContract } from './store-contract.js';
import { inBoundary } from './store.js';

const GPU = { kind: 'energy', by: [], where: [inBoundary('gpu')] } as const;
const worker = new URL('../../dist/store/duckdb-worker.js', import.meta.url);
const collectorFolder = fileURLToPath(new URL('../..', import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-store-'));
});
afterAll(() => rm(folder, { recursive: true }));

storeContract('the embedded store in memory', () => openDuckdb(':memory:'));

describe.skipIf(!existsSync(worker))('in a thread of its own (the built file)', () => {
  storeContract('the embedded store behind its thread', () => openDuckdb(':memory:', { worker }));

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
    await expect(openDuckdb(path)).rejects.toThrow(/schema 99; this program knows up to 1/);
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
