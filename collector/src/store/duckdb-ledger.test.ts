import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Batch } from '@joulebook/shared/batch.js';
import { openDuckdb } from './duckdb.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { entryOf } from './duckdb-ledger.js';
import { joinedBy, MOST_RUNS } from './ledger.js';
import { at, batchOf, tokensFact } from './sample-facts.js';
import type { Store } from './store.js';
import { tokensIn } from './writers-contract.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-ledger-'));
});
afterAll(() => rm(folder, { recursive: true }));

const STREAM = 'a'.repeat(32);
const numbered = (sequence: number, said: Partial<Batch> = {}): Batch => batchOf([tokensFact({ from: sequence * 10, count: 1 })], { stream: STREAM, sequence, ...said });

async function rowsIn(path: string): Promise<{ ledger: number; pages: number; hashed: number }> {
  const instance = await DuckDBInstance.create(path, { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  const count = async (sql: string): Promise<number> => Number((await connection.runAndReadAll(sql)).getRows()[0]?.[0]);
  const rows = { ledger: await count('SELECT count(*) FROM ledger'), pages: await count('SELECT count(*) FROM ledger_page'), hashed: await count('SELECT count(*) FROM ledger_page WHERE hashes IS NOT NULL') };
  instance.closeSync();
  return rows;
}

const inOrder = async (store: Store, sequences: readonly number[]): Promise<void> => {
  const answers = await Promise.all(sequences.map((sequence) => store.append(numbered(sequence))));
  expect(new Set(answers)).toEqual(new Set(['accepted']));
};
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

it('keeps rows for the newest batches only, and answers for packed ones as before, also after a restart', async () => {
  const path = join(folder, 'packed.duckdb');
  const sequences = range(0, 1100).filter((sequence) => sequence < 300 || sequence >= 305);
  let store = await openDuckdb(path);
  await inOrder(store, sequences);
  const answers = async (): Promise<unknown[]> => Promise.all([0, 255, 299, 305, 800, 1099].flatMap((sequence) => [store.append(numbered(sequence)), store.append(numbered(sequence, { node: 'a clone' }))]));
  const expected = Array.from({ length: 6 }, () => ['duplicate', 'conflict']).flat();
  expect(await answers()).toEqual(expected);
  await store.close();
  expect(await rowsIn(path)).toEqual({ ledger: 1100 - 768, pages: 4, hashed: 4 });

  store = await openDuckdb(path);
  expect(await answers()).toEqual(expected);
  expect(await store.streams()).toMatchObject([{ lowWater: 300, highest: 1099, missing: [{ first: 300, last: 304 }] }]);
  await inOrder(store, [303, 300, 301, 302, 304]);
  expect(await store.streams()).toMatchObject([{ lowWater: 1100, missing: [] }]);
  expect(await store.nodes()).toMatchObject([{ node: 'node-1', batches: 1100, slices: 1100 }]);
  expect(await tokensIn(store)).toBe(1100);
  await inOrder(store, range(1100, 1300));
  expect(await store.append(numbered(302))).toBe('duplicate');
  expect(await store.append(numbered(302, { node: 'a clone' }))).toBe('conflict');
  await store.close();
  expect(await rowsIn(path)).toMatchObject({ ledger: 1300 - 1024 });
});

/** As after a month of an agent, written at once. */
async function longLived(path: string, batches: number): Promise<void> {
  await (await openDuckdb(path)).close();
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  await connection.run(`INSERT INTO ledger SELECT '${STREAM}', range, sha256(range::VARCHAR), 'node-1', range, 1, ${at(0)} + range * 10000000, ${at(1)} + range * 10000000 FROM range(${batches})`);
  instance.closeSync();
}

it('stays small over months, and still tells a stale copy of a spool from a batch sent again', async () => {
  const path = join(folder, 'long.duckdb');
  const months = 260_000;
  await longLived(path, months);
  const store = await openDuckdb(path);
  await inOrder(store, range(months, months + 600));
  // The oldest are known by their times: what was made at that time, and what is made now under an old number.
  expect(await store.append(numbered(5))).toBe('duplicate');
  expect(await store.append({ ...numbered(months + 600), sequence: 5 })).toBe('conflict');
  expect(await store.append({ ...numbered(60_000), sequence: 5 })).toBe('conflict');
  expect(await store.append(batchOf([], { stream: STREAM, sequence: 5 }))).toBe('duplicate');
  // Younger ones by their hash.
  expect(await store.append(numbered(months - 1000))).toBe('conflict');
  expect(await store.streams()).toMatchObject([{ lowWater: months + 600, highest: months + 599, missing: [] }]);
  expect(await store.nodes()).toMatchObject([{ batches: months + 600, slices: months + 600 }]);
  await store.close();
  const rows = await rowsIn(path);
  expect(rows.hashed).toBeLessThanOrEqual(513);
  expect(rows.pages).toBeLessThanOrEqual(512 + 66);
  expect(rows.ledger).toBeLessThan(512);
});

it('forgets what it would have accepted when storing fails', async () => {
  const store = await openDuckdb(':memory:');
  const poison = batchOf([tokensFact({ count: Number.MAX_SAFE_INTEGER * 4096 })], { stream: STREAM });
  await expect(store.append(poison)).rejects.toThrow(/INT64|BIGINT|range/i);
  expect(await store.streams()).toEqual([]);
  expect(await store.append(numbered(0))).toBe('accepted');
  await store.close();
});

it('tells a stream with more gaps than it keeps to begin another', async () => {
  const store = await openDuckdb(':memory:');
  await inOrder(store, range(0, MOST_RUNS).map((index) => index * 2));
  expect(await store.append(numbered(MOST_RUNS * 2 + 2))).toBe('conflict');
  await inOrder(store, [1, MOST_RUNS * 2 - 1]);
  await store.close();
});

const run = (first: number, last: number, since = 1) => ({ first, last, since: at(since), from: undefined, to: undefined });

it('puts runs together from both sides and leaves the rest', () => {
  expect(joinedBy([], 3, at(9))).toEqual([run(3, 3, 9)]);
  expect(joinedBy([run(0, 2), run(4, 5, 2), run(8, 8, 3)], 3, at(9))).toEqual([run(0, 5), run(8, 8, 3)]);
  expect(joinedBy([run(0, 2), run(4, 5, 2)], 6, at(9))).toEqual([run(0, 2), run(4, 6, 2)]);
  expect(joinedBy([run(1, 2)], 0, at(9))).toEqual([run(0, 2)]);
  expect(joinedBy([{ ...run(0, 2), to: at(20) }, { ...run(4, 5, 2), from: at(40), to: at(50) }], 3, at(9), { from: at(30), to: at(40) })).toEqual([{ ...run(0, 5), from: at(30), to: at(50) }]);
  expect(joinedBy([{ ...run(0, 2), from: at(0), to: at(20) }], 3, at(9), { from: at(30), to: at(40) })).toEqual([{ ...run(0, 3), from: at(0), to: at(40) }]);
  const same = [run(0, 2)];
  expect(joinedBy(same, 1, at(9))).toBe(same);
});

const written = (...slices: readonly Slice[]) => ({ batch: batchOf([...slices]), text: '' });

it('spans a batch from its first fact to its last', () => {
  expect(entryOf(written(tokensFact({ from: 5, to: 6 }), tokensFact({ from: 2, to: 9 }), tokensFact({ from: 3, to: 4 })))).toMatchObject({ from: at(2), to: at(9) });
  expect(entryOf(written())).toMatchObject({ from: null, to: null });
});
