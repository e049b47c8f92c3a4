/** Each cut of a report with money, carbon and useful tokens on: its rows add up to the whole, or say why a column is empty. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { latencyBucket, type Slice } from '@joulebook/shared/slice.js';
import { microjoules, seconds } from '@joulebook/shared/units.js';
import { readBook, type Book } from '../book/book.js';
import type { Report, Row } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, requestsFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { buildReport } from './build.js';
import { parseRequest } from './request.js';

const BOOK = `
sites:
  default:
    tariff: { zone: UTC, periods: [{ name: night, price: 0.1, from: "00:00", to: "00:50" }, { name: day, price: 0.4 }] }
    pue: 1.25
    carbon: { location: 300, market: 20 }
costs: [{ item: gpu, perGpuHour: 3 }]
slo: [{ ttft: 2s, tpot: 100ms }]
`;
const STEPS = 20;

let store: Store;
let book: Book;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cuts-'));
  await writeFile(join(folder, 'book.yaml'), BOOK);
  book = await readBook(join(folder, 'book.yaml'));
  store = await openDuckdb(':memory:');
  // 100 minutes in steps of 5, each with a request that grows with it; every third is late, and the price changes in the middle.
  const slices = Array.from({ length: STEPS }, (_, step): Slice[] => {
    const span = { from: step * 300, to: step * 300 + 10 };
    const labels = { feature: step % 2 === 0 ? 'search' : 'chat' };
    const [input, cached, output] = [2 ** step, step % 4 === 0 ? 8 : 0, 10 * (step + 1)];
    return [
      energyFact({ ...span, joules: 1000, seconds: seconds(10), labels }), energyFact({ ...span, joules: 200, phase: 'prefill', device: 'GPU-1', seconds: seconds(10), labels }), energyFact({ ...span, joules: 60, phase: 'idle', device: 'GPU-2', seconds: seconds(10), labels }),
      tokensFact({ ...span, token: 'input', count: input, labels }), tokensFact({ ...span, token: 'cachedInput', count: cached, labels }), tokensFact({ ...span, count: output, labels }),
      requestsFact({
        ...span, labels, request: `r${step}`, inputTokens: input, cachedInputTokens: cached, outputTokens: output, inputBand: step, concurrencyBand: step % 3, ttftBucket: latencyBucket(seconds(step % 3 === 0 ? 9 : 1)), tpotBucket: latencyBucket(seconds(0.02)),
        prefillMicrojoules: microjoules(150e6), decodeMicrojoules: microjoules(900e6),
      }),
    ];
  });
  await store.append(batchOf(slices.flat()));
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const asked = (options: Record<string, string>): Promise<Report> => buildReport(store, parseRequest(Object.fromEntries(Object.entries(options).map(([name, value]) => [name, [value]])), {}, '--'), '--', book);
const sum = (rows: readonly Row[], of: (row: Row) => number | null): number => rows.reduce((all, row) => all + (of(row) ?? 0), 0);
/** Steps that are not late. */
const USEFUL = 10 * (2 + 3 + 5 + 6 + 8 + 9 + 11 + 12 + 14 + 15 + 17 + 18 + 20);
const COST = ((10 * 1260 * 0.1 + 10 * 1260 * 0.4) * 1.25) / 3.6e6;

const BY_GPU = ['feature', 'tariffPeriod', 'loadBand', 'tariffPeriod,feature'];
const BY_REQUEST = ['inputBand', 'concurrencyBand', 'cached', 'request', 'cached,feature', 'inputBand,tariffPeriod'];

it.each([...BY_GPU, ...BY_REQUEST])('by %s the rows have all joules, money, carbon and useful tokens', async (by) => {
  const { rows, total, flags } = await asked({ by });
  expect(rows.length).toBeGreaterThan(1);
  expect([total.joules, total.tokens.useful]).toEqual([STEPS * 1260, USEFUL]);
  expect(total.energyCost).toBeCloseTo(COST, 12);
  expect(sum(rows, ({ joules }) => joules)).toBeCloseTo(STEPS * 1260, 6);
  expect(sum(rows, ({ energyCost }) => energyCost)).toBeCloseTo(COST, 12);
  expect(sum(rows, ({ carbonGrams }) => carbonGrams)).toBeCloseTo((STEPS * 1260 * 1.25 * 300) / 3.6e6, 9);
  expect(sum(rows, ({ carbonGramsMarket }) => carbonGramsMarket)).toBeCloseTo((STEPS * 1260 * 1.25 * 20) / 3.6e6, 9);
  expect(sum(rows, ({ tokens }) => tokens.useful)).toBe(USEFUL);
  const [costs, isSaid] = [rows.map(({ allInCost }) => allInCost), flags.some(({ code }) => code === 'COSTS_NOT_PER_REQUEST')];
  // Three GPUs, 20 times 10 s; no request has GPU time for itself.
  const [wanted, isWanted] = BY_REQUEST.includes(by) ? [0, true] : [COST + (3 * 3 * STEPS * 10) / 3600, false];
  expect(isSaid).toBe(isWanted);
  expect(costs.reduce<number>((all, cost) => all + (cost ?? 0), 0)).toBeCloseTo(wanted, 12);
});

it('tells useful tokens of requests by what they drew', async () => {
  const row = (await asked({ by: 'request' })).rows.find(({ group }) => group['request'] === 'r19');
  expect([row?.tokens.useful, row?.joulesPerUsefulToken, row?.energyCostPerUsefulToken]).toEqual([200, 1050 / 200, expect.closeTo((1050 * 1.25 * 0.4) / 3.6e6 / 200, 12)]);
  expect((await asked({ by: 'request', slo: 'ttft=1ms' })).rows.map(({ tokens }) => tokens.useful).filter((useful) => useful !== null)).toEqual(Array.from({ length: STEPS }, () => 0));
});

it('has the figures at the highest tenth of load, and of it alone', async () => {
  const top = (await asked({ by: 'loadBand' })).rows.find(({ group }) => group['loadBand'] === 'P90 and above');
  // The last two of twenty steps, by day; the first of them is late.
  expect([top?.joules, top?.tokens.output, top?.tokens.useful, top?.joulesPerUsefulToken]).toEqual([2520, 390, 200, 2520 / 200]);
  expect(top?.energyCostPerUsefulToken).toBeCloseTo((2520 * 1.25 * 0.4) / 3.6e6 / 200, 12);
  expect(top?.allInCost).toBeCloseTo((2520 * 1.25 * 0.4) / 3.6e6 + (6 * 10 * 3) / 3600, 9);
  expect((await asked({ where: 'loadBand=P90 and above' })).total).toMatchObject({ joules: 2520, tokens: { useful: 200 } });
});

it('has bands of load in a short recording too: by steps of which there are enough', async () => {
  const one = await openDuckdb(':memory:');
  try {
    await one.append(batchOf(Array.from({ length: 15 }, (_, step) => [energyFact({ from: step * 10, to: step * 10 + 10, joules: 10 }), tokensFact({ from: step * 10, to: step * 10 + 10, count: step + 1 })]).flat()));
    const { rows } = await buildReport(one, parseRequest({ by: ['loadBand'] }, {}, '--'), '--');
    expect(rows.map(({ group, joules, tokens }) => [group['loadBand'], joules, tokens.output])).toEqual([['P50–P90', 60, 63], ['P90 and above', 20, 29], ['below P50', 70, 28]]);
  } finally {
    await one.close();
  }
});
