import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { instant, seconds } from '@joulebook/shared/units.js';
import { EMPTY_BOOK } from '../book/book.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { scheduleStatements, writeStatements, type StatementParts } from './schedule.js';

let store: Store;
let folder: string;
let failures: unknown[];
beforeEach(async () => {
  [store, folder, failures] = [await openDuckdb(':memory:'), await mkdtemp(join(tmpdir(), 'statements-')), []];
  // January 2026, its first and second week.
  await store.append(batchOf([energyFact({ from: 3600 }), tokensFact({ from: 3600 }), energyFact({ from: 8 * 86_400 }), tokensFact({ from: 8 * 86_400 })]));
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const parts = (now: string, said: Partial<StatementParts> = {}): StatementParts => ({
  folder: join(folder, 'made'), schedule: '0 6 * * *', store, clock: { wall: () => instant(Date.parse(now) / 1000), monotonic: () => seconds(0) }, defaults: {}, book: () => EMPTY_BOOK,
  log: { error: (...said_: unknown[]) => void failures.push(said_), info: () => undefined }, ...said,
});
const names = async (now: string, said?: Partial<StatementParts>): Promise<string[]> => (await writeStatements(parts(now, said))).map((path) => path.slice(folder.length + 6));
const MONTH = ['monthly-2026-01.json', 'monthly-2026-01.html', 'monthly-2026-01.csv'];
const WEEK = ['weekly-2026-W02.json', 'weekly-2026-W02.html', 'weekly-2026-W02.csv'];

it('writes a week and a month once, a day after they are over', async () => {
  expect(await names('2026-01-12T06:00Z')).toEqual([]);
  expect(await names('2026-01-13T06:00Z')).toEqual(WEEK);
  expect(await names('2026-02-01T23:59Z')).toEqual([]);
  expect(await names('2026-02-02T00:01Z')).toEqual(MONTH);
  const read = (): Promise<string[]> => Promise.all(MONTH.map((name) => readFile(join(folder, 'made', name), 'utf8')));
  const before = await read();
  // What comes later changes nothing that was handed out.
  await store.append(batchOf([energyFact({ from: 7200 })], { sequence: 1 }));
  expect(await names('2026-02-03T06:00Z')).toEqual([]);
  expect(await read()).toEqual(before);
  expect(failures).toEqual([]);
});

it('goes on where it was killed, from the statement that is there', async () => {
  await names('2026-02-02T06:00Z');
  const path = join(folder, 'made', 'monthly-2026-01.csv');
  const before = await readFile(path, 'utf8');
  await rm(path);
  await store.append(batchOf([energyFact({ from: 7200 })], { sequence: 1 }));
  expect(await names('2026-02-02T07:00Z')).toEqual(['monthly-2026-01.csv']);
  expect(await readFile(path, 'utf8')).toBe(before);
});

it('says of a broken statement which file it is, and how to have it made anew', async () => {
  const path = join(folder, 'made', 'monthly-2026-01.json');
  await names('2026-02-02T06:00Z');
  for (const text of ['{"statement":"mon', '{"statement":"monthly"}']) {
    await writeFile(path, text);
    failures = [];
    await names('2026-02-03T06:00Z');
    expect(failures).toEqual([[{ statement: 'monthly-2026-01', error: expect.stringContaining(`${path} is no statement`) as unknown }, expect.anything()]]);
  }
  await rm(path);
  expect(await names('2026-02-03T06:00Z')).toEqual(['monthly-2026-01.json']);
});

it('two collectors with one folder write each file once, and leave nothing half', async () => {
  const written = (await Promise.all([names('2026-02-02T06:00Z'), names('2026-02-02T06:00Z')])).flat();
  expect(written.toSorted()).toEqual([...new Set(written)].toSorted());
  expect((await readdir(join(folder, 'made'))).toSorted()).toEqual(MONTH.toSorted());
});

it('a folder that can not be made is told, and harms nothing else', async () => {
  await writeFile(join(folder, 'file'), '');
  expect(await names('2026-01-13T06:00Z', { folder: join(folder, 'file/made') })).toEqual([]);
  expect(failures).toHaveLength(2);
});

it('begins by its schedule, and stops', async () => {
  const appeared = new Promise<void>((resolve) => {
    const given = parts('2026-01-13T06:00Z', { schedule: '* * * * * *' });
    const stop = scheduleStatements({ ...given, log: { ...given.log, info: () => void stop().then(resolve) } });
  });
  await appeared;
  expect((await stat(join(folder, 'made', 'weekly-2026-W02.json'))).isFile()).toBe(true);
});
