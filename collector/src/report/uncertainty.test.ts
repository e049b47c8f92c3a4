import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnergySlice, Slice } from '@joulebook/shared/slice.js';
import { microjoules } from '@joulebook/shared/units.js';
import type { Report } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { buildReport } from './build.js';
import { plusMinus } from './columns.js';
import { render } from './render.js';
import { parseRequest } from './request.js';

let store: Store;
let sequence = 0;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
});
afterEach(() => store.close());

const given = (...slices: Slice[]) => store.append(batchOf(slices, { sequence: (sequence += 1) }));
const asked = (options: Record<string, string> = {}): Promise<Report> =>
  buildReport(store, parseRequest(Object.fromEntries(Object.entries(options).map(([name, value]) => [name, [value]])), {}, '--'), '--');

/** A sensor within −5 % and +6 % of the truth. */
const stated = (joules: number, said: Partial<EnergySlice> = {}): EnergySlice =>
  energyFact({ joules, lowMicrojoules: microjoules(Math.round(joules * 0.95e6)), highMicrojoules: microjoules(Math.round(joules * 1.06e6)), ...said });

const near = (low: number, high: number): unknown[] => [expect.closeTo(low, 9), expect.closeTo(high, 9)];

it('adds one sensor up linearly and sampling by its squares', async () => {
  // 100 slices of 10 J: the gain is off the same way in each; σ of 0.5 J each is 5 J together.
  await given(...Array.from({ length: 100 }, (_, index) => stated(10, { samplingVariance: 0.25, phase: index % 2 ? 'prefill' : 'decode' })), tokensFact({ count: 500 }));
  const report = await asked({ price: '3.6' });
  const low = 950 - 9.8;
  const high = 1060 + 9.8;
  expect(report.uncertainty).toEqual({ joules: near(low, high), joulesPerToken: near(low / 500, high / 500), tokensPerWattSecond: near(500 / high, 500 / low), tokensPerKwh: near((500 / high) * 3.6e6, (500 / low) * 3.6e6), energyCostPerToken: near(low / 500 / 1e6, high / 500 / 1e6) });
  expect(report.rows[0]?.uncertainty).toEqual(report.uncertainty);
  expect(report.total).toMatchObject({ joules: 1000, joulesPerToken: 2 });
  expect(plusMinus(report.total)).toBe('−6.0/+7.0 %');
});

it('has the error of each group where each states it, and none where one does not', async () => {
  await given(stated(100, { deployment: 'a' }), energyFact({ deployment: 'b' }), tokensFact({ deployment: 'a' }));
  const report = await asked({ by: 'deployment' });
  expect(report.rows.map((row) => [row.uncertainty?.joules ?? null, plusMinus(row)])).toEqual([[[95, 106], '−5.0/+6.0 %'], [null, '–']]);
  expect(report.uncertainty).toBeNull();
  expect(render(report, 'table')).toContain('do not state their error');
});

it('knows the error of joules where a ratio is not known', async () => {
  await given(stated(100));
  expect((await asked()).uncertainty).toEqual({ joules: [95, 106], joulesPerToken: null, tokensPerWattSecond: null, tokensPerKwh: null });
  expect(plusMinus((await asked()).total)).toBe('−5.0/+6.0 %');
});

it('is of the joules that the ratio divides by: basis serving leaves idle out', async () => {
  await given(stated(100), energyFact({ phase: 'idle', joules: 100, lowMicrojoules: microjoules(0), highMicrojoules: microjoules(500_000_000) }), tokensFact({ count: 100 }));
  expect((await asked({ basis: 'serving' })).uncertainty).toMatchObject({ joules: [95, 606], joulesPerToken: [0.95, 1.06] });
  expect((await asked()).uncertainty).toMatchObject({ joules: [95, 606], joulesPerToken: [0.95, 6.06] });
});

const divided = (phase: 'prefill' | 'decode'): EnergySlice => stated(50, { phase, divisionMicrojoules: microjoules(6_000_000) });

describe('of a phase', () => {
  // Sensor −5 and +6 J of 100 J; the division may be off by 12 J: √(5² + 12²) = 13 J below, √(6² + 12²) = 13.42 J above.
  const wide = [expect.closeTo(87, 9), expect.closeTo(100 + Math.sqrt(180), 9)];
  beforeEach(() => given(divided('prefill'), divided('prefill'), divided('decode'), divided('decode'), stated(40, { phase: 'idle' }), tokensFact({ count: 100 }), tokensFact({ token: 'input', count: 50 }), tokensFact({ token: 'cachedInput', count: 0 })));

  it('is widened by what its division from the others may be off, in joules and all ratios', async () => {
    const report = await asked({ by: 'phase', price: '3.6' });
    const [prefill, decode, idle] = report.rows.map(({ uncertainty }) => uncertainty);
    expect([prefill?.joules, decode?.joules, idle?.joules]).toEqual([wide, wide, [38, expect.closeTo(42.4, 9)]]);
    expect(prefill?.joulesPerToken).toEqual([expect.closeTo(87 / 50, 9), expect.closeTo((100 + Math.sqrt(180)) / 50, 9)]);
    expect(decode).toMatchObject({ joulesPerToken: [expect.closeTo(0.87, 9) as unknown, expect.closeTo(1.1342, 4) as unknown], energyCostPerToken: [expect.closeTo(0.87e-6, 12) as unknown, expect.anything() as unknown] });
    expect(decode?.tokensPerWattSecond?.[1]).toBeCloseTo(100 / 87, 9);
  });

  it('is so where a filter names it', async () => {
    expect((await asked({ where: 'phase=decode' })).uncertainty?.joules).toEqual(wide);
  });

  it('is none of the sum over phases', async () => {
    const whole = near(240 * 0.95, 240 * 1.06);
    expect((await asked()).uncertainty?.joules).toEqual(whole);
    expect((await asked({ by: 'phase' })).uncertainty?.joules).toEqual(whole);
    expect((await asked({ by: 'deployment' })).rows[0]?.uncertainty?.joules).toEqual(whole);
  });

  it('leaves idle out of the ratios on basis serving as before', async () => {
    const { rows } = await asked({ by: 'phase', basis: 'serving' });
    expect(rows.map(({ uncertainty }) => uncertainty?.joulesPerToken?.[0] ?? null)).toEqual([expect.closeTo(87 / 50, 9), expect.closeTo(0.87, 9), null]);
  });
});

it('is shown in every format', async () => {
  await given(stated(100), tokensFact({ count: 50 }));
  const report = await asked();
  for (const format of ['table', 'markdown', 'html'] as const) expect(render(report, format)).toContain('−5.0/+6.0 %');
  const [head = '', line = ''] = render(report, 'csv').split('\n');
  const cells = new Map(head.split(',').map((name, index) => [name, line.split(',')[index]]));
  expect(['joulesLow', 'joulesHigh', 'joulesPerTokenLow', 'tokensPerWattSecondHigh', 'energyCostPerTokenLow'].map((name) => cells.get(name))).toEqual(['95', '106', '1.9', String(50 / 95), '']);
});
