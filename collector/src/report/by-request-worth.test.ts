/** Money and carbon of single requests where what energy is worth changes over time and sites. */
import { array, assert, asyncProperty, constantFrom, integer, nat, record, subarray } from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PHASES, type Slice } from '@joulebook/shared/slice.js';
import { epochMicros, microjoules } from '@joulebook/shared/units.js';
import { readBook } from '../book/book.js';
import type { Report } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, requestsFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { buildReport } from './build.js';
import { parseRequest } from './request.js';

const BEGIN = Date.parse('2026-06-01T00:00:00Z') * 1000;
const HOUR = 3600;
const PRICES = [0.1, 0.3, -0.2, 0.05];
const GRID = [400, 100, 0, 250];

const lines = (values: readonly number[]): string => `from,to,value\n${values.map((value, hour) => `2026-06-01T0${hour}:00Z,2026-06-01T0${hour + 1}:00Z,${value}`).join('\n')}\n`;

let folder: string;
let store: Store;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
  folder = await mkdtemp(join(tmpdir(), 'by-request-'));
  await writeFile(join(folder, 'prices.csv'), lines(PRICES));
  await writeFile(join(folder, 'grid.csv'), lines(GRID));
  await writeFile(join(folder, 'book.yaml'), 'sites:\n  default: { tariff: { series: { file: prices.csv } }, pue: 1.5, carbon: { location: { file: grid.csv } } }\n  east: { tariff: { price: 1 } }\n');
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const at = (second: number) => ({ from: epochMicros(BEGIN + second * 1e6), to: epochMicros(BEGIN + second * 1e6 + 10e6) });
const measured = (second: number, joules: number, said: Parameters<typeof energyFact>[0] = {}): Slice => ({ ...energyFact({ joules, ...said }), ...at(second) });
const ended = (request: string, second: number, prefill: number, decode: number, said: Parameters<typeof requestsFact>[0] = {}): Slice =>
  ({ ...requestsFact({ request, inputTokens: 10, outputTokens: 10, prefillMicrojoules: microjoules(prefill * 1e6), decodeMicrojoules: microjoules(decode * 1e6), ...said }), ...at(second) });
const given = (...slices: Slice[]): Promise<unknown> => store.append(batchOf(slices));
const asked = async (options: Record<string, string>): Promise<Report> => buildReport(store, parseRequest(Object.fromEntries(Object.entries(options).map(([name, value]) => [name, [value]])), {}, '--'), '--', await readBook(join(folder, 'book.yaml')));
/** Money of a joule × 3.6e6. */
const shown = (value: number): number => Number(value.toFixed(6));
const costs = ({ rows }: Report): Record<string, number | null> => Object.fromEntries(rows.map(({ group, energyCost }) => [Object.values(group).join(' '), energyCost === null ? null : shown(energyCost * 3.6e6)]));
const codes = (of: { flags: readonly { code: string }[] }): string[] => of.flags.map(({ code }) => code);

it('is what it was when the request ended, and the rest bears the difference', async () => {
  await given(
    measured(10, 3, { phase: 'prefill' }), measured(HOUR + 10, 3), measured(HOUR + 10, 5, { phase: 'idle' }),
    ended('a', HOUR + 10, 2, 2), ended('b', 10, 1, 0), ended('c', HOUR + 10, 0, 1, { site: 'east' }),
  );
  const report = await asked({ by: 'request' });
  expect(costs(report)).toEqual({ a: shown(1.5 * 4 * 0.3), b: shown(1.5 * 0.1), c: 1, '(other requests)': shown(1.5 * (3 * 0.1 + 3 * 0.3 - 4 * 0.3 - 0.1) - 1), '(idle)': shown(1.5 * 5 * 0.3) });
  expect(report.rows.find(({ group }) => group['request'] === 'a')?.carbonGrams).toBeCloseTo((1.5 * 4 * 100) / 3.6e6, 12);
  expect(report.rows.reduce((sum, { energyCost }) => sum + (energyCost ?? Number.NaN), 0)).toBeCloseTo(report.total.energyCost ?? Number.NaN, 12);
  expect(codes(report)).toContain('REQUESTS_PRICED_AT_END');
  expect(costs(await asked({ by: 'request,phase', where: 'phase=prefill' }))).toEqual({ 'a prefill': shown(1.5 * 2 * 0.3), 'b prefill': shown(1.5 * 0.1), 'c prefill': 0, '(other requests) prefill': shown(1.5 * (3 * 0.1 - 2 * 0.3 - 0.1)) });
  const alone = await asked({ where: 'request=a' });
  expect([alone.total.energyCost, alone.price]).toEqual([expect.closeTo((1.5 * 4 * 0.3) / 3.6e6, 12) as unknown, expect.closeTo(0.3, 9) as unknown]);
  expect(codes(await asked({ by: 'request', price: '1', carbon: '1', pue: '1' }))).not.toContain('REQUESTS_PRICED_AT_END');
});

it('is a row of money alone where requests drew all, but in another hour than it was measured in', async () => {
  await given(measured(10, 4), ended('a', HOUR + 10, 0, 4));
  const report = await asked({ by: 'request' });
  expect(costs(report)).toEqual({ a: shown(1.5 * 4 * 0.3), '(other requests)': shown(1.5 * 4 * (0.1 - 0.3)) });
});

it('is not known where the price is not, and says how much that is', async () => {
  await given(measured(3 * HOUR, 4), measured(5 * HOUR, 4), ended('a', 3 * HOUR, 0, 1, { inputBand: 3 }), ended('b', 5 * HOUR, 0, 3, { inputBand: 3 }));
  const report = await asked({ by: 'inputBand' });
  const [band] = report.rows;
  expect([band?.energyCost, band?.facilityJoules]).toEqual([null, 6]);
  expect(band?.flags.find(({ code }) => code === 'PRICE_PARTLY_KNOWN')?.detail).toMatch(/^For 75 %/);
  expect(costs(await asked({ by: 'request' }))).toMatchObject({ a: shown(1.5 * 0.05), b: null });
});

it('adds up to what was measured, in joules, money and carbon, for any facts and cuts', async () => {
  const place = { second: integer({ min: 0, max: 4 * HOUR - 10 }), site: constantFrom(undefined, 'east', 'west'), deployment: constantFrom('chat', 'code') };
  const energy = record({ ...place, joules: nat(500), phase: constantFrom(...PHASES) }).map(({ second, joules, ...said }) => (index: number) => measured(second, joules, { ...said, device: `d${index}` }));
  const request = record({ ...place, prefill: nat(300), decode: nat(300), inputBand: nat(2) }).map(({ second, prefill, decode, ...said }) => (index: number) => ended(`r${index}`, second, prefill, decode, said));
  let priced = 0;
  await assert(
    asyncProperty(array(energy, { minLength: 1, maxLength: 12 }), array(request, { maxLength: 8 }), subarray(['deployment', 'phase', 'site']), constantFrom('request', 'inputBand'), constantFrom(undefined, '1h'), async (energies, requests, more, key, step) => {
      await store.close();
      store = await openDuckdb(':memory:');
      await given(...energies.map((make, index) => make(index)), ...requests.map((make, index) => make(index)));
      const { rows, total } = await asked({ by: [key, ...more].join(','), ...(step !== undefined && { step }) });
      for (const figure of ['joules', 'energyCost', 'facilityJoules'] as const) {
        const sum = rows.reduce((all, row) => all + (row[figure] ?? 0), 0);
        expect(Math.abs(sum - (total[figure] ?? 0))).toBeLessThan(1e-6);
      }
      if ((total.energyCost ?? 0) !== 0) priced += 1;
    }),
    { numRuns: 6 },
  );
  expect(priced).toBeGreaterThan(2);
});
