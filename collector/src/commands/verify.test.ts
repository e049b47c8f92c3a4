import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { seconds } from '@joulebook/shared/units.js';
import { runningCollector } from '../collector.testing.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact } from '../store/sample-facts.js';
import { verification } from '../verify/verification.js';
import { said as program, type Said } from './program.testing.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-verify-'));
});
afterAll(() => rm(folder, { recursive: true }));

const said = (argv: readonly string[], stdin = ''): Promise<Said> => program(['verify', ...argv], { stdin });

const numbered = (sequence: number): Batch => batchOf([energyFact({ from: sequence })], { sequence });
const ndjson = (...sequences: number[]): string => sequences.map((sequence) => `${encodeBatch(numbered(sequence))}\n`).join('');

it('ends with 0 and a table where the books of a pipe or a file close', async () => {
  expect(await said(['-'], ndjson(0, 1))).toMatchObject({ code: 0, err: '', out: expect.stringContaining('The books close.') as unknown });
  const file = join(folder, 'batches.ndjson');
  await writeFile(file, ndjson(0, 1));
  expect(await said([file])).toMatchObject({ code: 0 });
});

it('ends with 3 and the reasons where they do not', async () => {
  const { code, out, err } = await said(['-'], ndjson(0, 2, 3));
  expect([code, err]).toEqual([3, '']);
  expect(out).toMatch(/sequences +│ NO/);
  expect(out).toMatch(/SEQUENCES_MISSING {2}1 batches of node-1 are missing/);
  const json = await said(['-', '--json'], ndjson(0, 2));
  expect(json.code).toBe(3);
  expect(verification.parse(JSON.parse(json.out))).toMatchObject({ closed: false, reasons: [{ check: 'sequences', code: 'SEQUENCES_MISSING' }, { check: 'coverage', code: 'LOW_COVERAGE' }] });
});

it('verifies a store that nobody holds', async () => {
  const path = join(folder, 'store.duckdb');
  const store = await openDuckdb(path);
  await store.append(numbered(0));
  await store.close();
  expect(await said(['--store', path])).toMatchObject({ code: 0 });
  expect(await said(['--store', path, '--coverage', '1', '--from', '2026-01-01T00:00:00Z', '--to', '2026-01-01T00:00:01Z', '--json'])).toMatchObject({ code: 0 });
  expect(await said(['--store', path, '--from', '2026-01-01T00:00:00Z', '--to', '2026-01-01T00:00:02Z'])).toMatchObject({ code: 3, out: expect.stringContaining('50.0 % of the time asked') as unknown });
});

it('asks a running collector', async () => {
  const collector = await runningCollector();
  try {
    for (const sequence of [0, 1]) await fetch(`${collector.address}/v1/batches`, { method: 'POST', body: encodeBatch(numbered(sequence)), headers: { 'content-type': 'application/json' } });
    expect(await said(['--collector', collector.address])).toMatchObject({ code: 0, out: expect.stringContaining('1 streams, 2 batches') as unknown });
    await fetch(`${collector.address}/v1/batches`, { method: 'POST', body: encodeBatch({ ...numbered(2), slices: [energyFact({ from: 2, askedSeconds: seconds(100) })] }), headers: { 'content-type': 'application/json' } });
    expect(await said(['--collector', collector.address])).toMatchObject({ code: 3, out: expect.stringContaining('LOW_COVERAGE') as unknown });
    expect(await said(['--collector', collector.address, '--coverage', '5'])).toMatchObject({ code: 2, err: expect.stringContaining("--coverage: '5' is not a share") as unknown });
  } finally {
    await collector.close();
  }
});

it('ends with 1 where there is nothing to verify, and with 2 for two places to read from', async () => {
  expect(await said(['-'])).toMatchObject({ code: 1, err: expect.stringContaining('no facts to verify') as unknown });
  expect(await said(['-', '--collector', 'http://127.0.0.1:1'])).toMatchObject({ code: 2, err: 'joulebook: FILE and --collector: say one place to read from\n' });
  expect(await said(['--store', join(folder, 'none.duckdb')])).toMatchObject({ code: 1, err: expect.stringContaining('There is no store') as unknown });
});
