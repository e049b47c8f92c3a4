/** Money and carbon of recorded runs: a table of energy and tokens, whose rows may have no time of their own. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, seconds } from '@joulebook/shared/units.js';
import { readBook } from '../book/book.js';
import { FIGURES } from '../figures/table.js';
import type { Report } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { buildReport } from './build.js';
import { parseRequest } from './request.js';

let folder: string;
let store: Store;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
  folder = await mkdtemp(join(tmpdir(), 'untimed-'));
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

/** A run of 1 h, as `replay` lays it out: from 1970 on where it has no start. */
const run = (quantization: string, begin: number, joules: number, output: number): Slice[] => {
  const common = { from: epochMicros(begin * 1e6), to: epochMicros((begin + 3600) * 1e6), labels: { quantization } };
  return [{ ...energyFact({ joules, phase: 'active', seconds: seconds(3600), device: 'gpu', source: 'runs.csv' }), ...common }, { ...tokensFact({ count: output }), ...common }];
};
const asked = async (book: string, options: Record<string, string> = {}): Promise<Report> => {
  await writeFile(join(folder, 'book.yaml'), book);
  return buildReport(store, parseRequest(Object.fromEntries(Object.entries({ by: 'quantization', ...options }).map(([name, value]) => [name, [value]])), {}, '--'), '--', await readBook(join(folder, 'book.yaml')));
};
const row = ({ rows }: Report, quantization: string) => rows.find(({ group }) => group['quantization'] === quantization);
const codes = ({ flags }: Report): string[] => flags.map(({ code }) => code);
const PEAK = 'tariff: { zone: UTC, periods: [{ name: night, price: 0.1, to: "06:00" }, { name: day, price: 0.3 }] }';

it('are those of the same figures as anything else, where what energy is worth does not change', async () => {
  await store.append(batchOf([...run('fp16', 0, 3.6e6, 1000), ...run('fp8', 3600, 1.8e6, 1200)]));
  const report = await asked('sites: { default: { tariff: { price: 0.2 }, pue: 1.5, carbon: { location: 400 } } }\ncosts: [{ item: gpu, perGpuHour: 2 }]\n');
  expect(row(report, 'fp8')).toMatchObject({ energyCost: expect.closeTo(0.15, 12) as unknown, carbonGrams: expect.closeTo(300, 9) as unknown, gpuHours: 1, allInCost: expect.closeTo(2.15, 12) as unknown, tokensPerMoney: expect.closeTo(1200 / 2.15, 6) as unknown });
  expect(Object.keys(row(report, 'fp16') ?? {})).toEqual(expect.arrayContaining(Object.keys(FIGURES)));
  expect(codes(report)).not.toContain('WORTH_NEEDS_TIME');
});

it('are not known where that changes by the hour and nobody knows the hour; what does not change is', async () => {
  await store.append(batchOf(run('fp16', 0, 3.6e6, 1000)));
  const report = await asked(`sites: { default: { ${PEAK}, pue: 1.5, carbon: { location: 400 } } }`);
  expect(row(report, 'fp16')).toMatchObject({ energyCost: null, carbonGrams: expect.closeTo(600, 9) as unknown, facilityJoules: 5.4e6 });
  expect(codes(report)).toContain('WORTH_NEEDS_TIME');
  const said = await asked(`sites: { default: { ${PEAK}, pue: 1.5 } }`, { price: '1' });
  expect([row(said, 'fp16')?.energyCost, codes(said).includes('WORTH_NEEDS_TIME')]).toEqual([1.5, false]);
});

it('are known beside them for runs that have a start', async () => {
  const begin = Date.parse('2026-06-01T02:00:00Z') / 1000;
  await store.append(batchOf([...run('fp16', 0, 3.6e6, 1000), ...run('fp8', begin, 3.6e6, 1000), ...run('int4', begin + 36_000, 3.6e6, 1000)]));
  const report = await asked(`sites: { default: { ${PEAK} } }`);
  expect(['fp16', 'fp8', 'int4'].map((name) => row(report, name)?.energyCost)).toEqual([null, 0.1, 0.3]);
  expect(report.total.energyCost).toBeNull();
  expect(report.total.flags.find(({ code }) => code === 'PRICE_PARTLY_KNOWN')?.detail).toMatch(/^For 33 %/);
});
