/** `joulebook statement` from a store that nobody holds and from a running collector. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fillMonth, MONTH_BOOK, PRICES } from '../statements/month.testing.js';
import { monthlyStatement } from '../statements/statement.js';
import { openDuckdb } from '../store/duckdb.js';
import { said, serve } from './program.testing.js';

let folder: string;
let [store, book] = ['', ''];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statement-'));
  [store, book] = [join(folder, 'store.duckdb'), join(folder, 'book.yaml')];
  await Promise.all([writeFile(book, MONTH_BOOK), writeFile(join(folder, 'prices.csv'), PRICES)]);
  const filled = await openDuckdb(store);
  await fillMonth(filled, { days: 2 });
  await filled.close();
});
afterAll(() => rm(folder, { recursive: true }));

it('writes a month of one site to a file, and the same from a running collector', async () => {
  const out = join(folder, 'october.json');
  expect(await said(['statement', 'monthly', '--store', store, '--book', book, '--month', '2026-10', '--site', 'ohio', '--format', 'json', '--out', out])).toEqual({ code: 0, out: '', err: '' });
  const text = await readFile(out, 'utf8');
  expect(monthlyStatement.parse(JSON.parse(text))).toMatchObject({ period: '2026-10', currency: 'EUR', sites: [{ site: 'ohio', zone: 'America/New_York', boundary: 'gpu' }] });
  const serving = await serve(['--store', store, '--book', book]);
  try {
    expect(await said(['statement', 'monthly', '--collector', serving.address, '--month', '2026-10', '--site', 'ohio', '--format', 'json'])).toEqual({ code: 0, out: text, err: '' });
    const faults = await said(['statement', 'monthly', '--collector', serving.address, '--price', '0.1', '--book', book]);
    expect([faults.code, faults.err]).toEqual([2, expect.stringMatching(/--book: a collector has its own[\s\S]*--price, --pue, --carbon/)]);
    expect(await said(['statement', 'weekly', '--collector', serving.address, '--week', '2026-W40'])).toMatchObject({ code: 1, err: expect.stringContaining('missing in 2026-W39') as unknown });
  } finally {
    await serving.stop();
  }
  expect((await readdir(folder)).filter((name) => name.endsWith('partial'))).toEqual([]);
}, 60_000);

it('tells every fault at once', async () => {
  const { code, err } = await said(['statement', 'monthly', '--store', store, '--month', '2026-13', '--boundary', 'gpus', '--format', 'pdf']);
  expect(code).toBe(2);
  for (const fault of [/--month: '2026-13' is no month/, /--boundary: 'gpus'/, /--format: 'pdf'/]) expect(err).toMatch(fault);
  expect(await said(['statement', 'weekly', '--store', store, '--week', 'last', '--zone', 'Mars'])).toMatchObject({ code: 2, err: expect.stringMatching(/--zone: 'Mars'[\s\S]*--week: 'last'/) as unknown });
  expect(await said(['statement', 'monthly', '--store', store, '--month', '2020-01'])).toMatchObject({ code: 1, err: expect.stringContaining('no facts of 2020-01') as unknown });
});
