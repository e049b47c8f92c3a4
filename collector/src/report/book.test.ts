/** Reports by a book: tariffs over a change of clocks, costs, targets and outcomes, from facts to rows. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { latencyBucket, type Slice } from '@joulebook/shared/slice.js';
import { epochMicros, seconds } from '@joulebook/shared/units.js';
import { readBook } from '../book/book.js';
import type { Report, Row } from '../join/report.js';
import { CLASSES } from '../join/waste.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, requestsFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { buildReport } from './build.js';
import { noteLines } from './notes.js';
import { parseRequest } from './request.js';

let folder: string;
let store: Store;
let sequence = 0;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
  folder = await mkdtemp(join(tmpdir(), 'book-'));
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const given = (...slices: Slice[]): Promise<unknown> => store.append(batchOf(slices, { sequence: (sequence += 1) }));
async function asked(book: string, options: Record<string, string> = {}): Promise<Report> {
  await writeFile(join(folder, 'book.yaml'), book);
  return buildReport(store, parseRequest(Object.fromEntries(Object.entries(options).map(([name, value]) => [name, [value]])), {}, '--'), '--', await readBook(join(folder, 'book.yaml')));
}
const rowFor = (report: Report, key: string, value: string | null): Row => {
  const found = report.rows.find(({ group }) => group[key] === value);
  if (!found) throw new Error(`no row with ${key} = ${value}`);
  return found;
};
const codes = (of: { flags: readonly { code: string }[] }): string[] => of.flags.map(({ code }) => code);
const time = (iso: string) => epochMicros(Date.parse(iso) * 1000);
const moved = <S extends Slice>(slice: S, from: string | number, length = 10): S => {
  const at = typeof from === 'number' ? epochMicros(from) : time(from);
  return { ...slice, from: at, to: epochMicros(at + length * 1e6) };
};

const BERLIN = `
currency: EUR
sites:
  default:
    tariff:
      zone: Europe/Berlin
      periods: [{ name: peak, price: 0.3, days: [mon-fri], from: "08:00", to: "20:00" }, { name: off-peak, price: 0.1 }]
    pue: 1.5
    carbon: { location: 400, market: 50 }
`;

describe('a tariff by time of use', () => {
  it('gives for a year with two changes of clocks what an hour-by-hour computation gives', async () => {
    const clock = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Berlin', weekday: 'short', hour: '2-digit', hourCycle: 'h23' });
    let expected = 0;
    let peak = 0;
    const slices: Slice[] = [];
    for (let hour = 0, begin = time('2026-01-01T00:00Z'); hour < 8760; hour += 3) {
      const from = begin + hour * 3600e6;
      const joules = 1000 + (hour % 97);
      slices.push(moved(energyFact({ joules }), from));
      const parts = Object.fromEntries(clock.formatToParts(new Date(from / 1000)).map(({ type, value }) => [type, value]));
      const isPeak = !['Sat', 'Sun'].includes(parts['weekday'] ?? '') && Number(parts['hour']) >= 8 && Number(parts['hour']) < 20;
      expected += (joules * 1.5 * (isPeak ? 0.3 : 0.1)) / 3.6e6;
      peak += isPeak ? joules : 0;
    }
    await given(...slices);
    const report = await asked(BERLIN, { by: 'tariffPeriod' });
    expect(report.total.energyCost).toBeCloseTo(expected, 9);
    expect(report.currency).toBe('EUR');
    expect(rowFor(report, 'tariffPeriod', 'peak').joules).toBe(peak);
    expect(rowFor(report, 'tariffPeriod', 'peak').energyCost).toBeCloseTo((peak * 1.5 * 0.3) / 3.6e6, 9);
    expect(report.rows.reduce((sum, { joules }) => sum + (joules ?? 0), 0)).toBe(report.total.joules);
    expect(report.total.carbonGrams).toBeCloseTo(((report.total.joules ?? 0) * 1.5 * 400) / 3.6e6, 6);
    expect(report.total.carbonGramsMarket).toBeCloseTo(((report.total.joules ?? 0) * 1.5 * 50) / 3.6e6, 6);
    expect(report.pue).toBeCloseTo(1.5, 12);
  });

  it('takes each site at its own price, and what is said in the question for all', async () => {
    await given(moved(energyFact({ joules: 3.6e6, site: 'east' }), '2026-06-01T10:00Z'), moved(energyFact({ joules: 3.6e6, site: 'west', device: 'b' }), '2026-06-01T10:00Z'), moved(energyFact({ joules: 3.6e6, device: 'c' }), '2026-06-01T10:00Z'));
    const book = 'sites:\n  east: { tariff: { price: 0.5 }, pue: 2 }\n  default: { tariff: { price: -0.1 } }\n';
    const report = await asked(book, { by: 'site' });
    expect(rowFor(report, 'site', 'east').energyCost).toBeCloseTo(1, 12);
    expect(rowFor(report, 'site', 'west').energyCost).toBeCloseTo(-0.1, 12);
    expect(rowFor(report, 'site', null).energyCost).toBeCloseTo(-0.1, 12);
    expect(report.total.energyCost).toBeCloseTo(0.8, 12);
    expect((await asked(book, { price: '0.2', pue: '1' })).total.energyCost).toBeCloseTo(0.6, 12);
  });

  it('has no cost where some of the prices are missing, and says how much', async () => {
    await writeFile(join(folder, 'prices.csv'), 'from,to,value\n2026-06-01T00:00Z,2026-06-01T01:00Z,0.2\n');
    await given(moved(energyFact({ joules: 300 }), '2026-06-01T00:30Z'), moved(energyFact({ joules: 100 }), '2026-06-01T01:30Z'));
    const { total } = await asked('sites: { default: { tariff: { series: { file: prices.csv } } } }');
    expect(total).toMatchObject({ energyCost: null, energyCostPerToken: null, facilityJoules: 400 });
    expect(total.flags.find(({ code }) => code === 'PRICE_PARTLY_KNOWN')?.detail).toMatch(/25 %/);
  });

  it('tells every fault of a book at once, each with its place', async () => {
    const book = 'sites:\n  a: { tariff: { zone: Mars, periods: [{ name: p, price: 1 }] }, pue: { file: gone.csv } }\n  b: { tariff: { price: 1, currency: EUR } }\ncurrency: USD\n';
    await expect(asked(book)).rejects.toThrow(/sites\.a\.tariff\.zone: 'Mars'[\s\S]*sites\.a\.pue: .*gone\.csv can't be read[\s\S]*sites\.b\.tariff\.currency: 'EUR' beside a book in USD/);
    await expect(asked('sites: { a: { carbon: { location: -3 } } }')).rejects.toThrow(/sites\.a\.carbon\.location/);
    await expect(asked('slos: []')).rejects.toThrow(/'slos' is not a setting here/);
  });
});

const cell = (said: Parameters<typeof requestsFact>[0], ttft?: number, tpot?: number): Slice =>
  requestsFact({ ...said, ...(ttft !== undefined && { ttftBucket: latencyBucket(seconds(ttft)) }), ...(tpot !== undefined && { tpotBucket: latencyBucket(seconds(tpot)) }) });

it('tells the demand of each site and local month apart, at the highest mean power of an interval', async () => {
  const book = 'sites:\n  east: { tariff: { price: 1, zone: Europe/Berlin, demand: { pricePerKw: 10, interval: 15m, zone: Europe/Berlin } }, pue: 2 }\n';
  // 900 kJ in 15 min are 1 kW. 23:10 UTC on 31 May is June in Berlin.
  await given(...([['2026-05-31T10:00Z', 900e3], ['2026-05-31T10:05Z', 900e3], ['2026-05-31T10:20Z', 900e3], ['2026-05-31T23:10Z', 450e3]] as const).map(([from, joules]) => moved(energyFact({ joules, site: 'east' }), from)), moved(energyFact({ joules: 9e9, site: 'west', device: 'b' }), '2026-05-31T10:00Z'));
  const { demand, total } = await asked(book);
  expect(demand).toEqual([
    { site: 'east', month: '2026-05', peakKw: 4, at: '2026-05-31T10:00:00.000Z', cost: 40, coverage: 1 },
    { site: 'east', month: '2026-06', peakKw: 1, at: '2026-05-31T23:00:00.000Z', cost: 10, coverage: 1 },
  ]);
  expect(total.costs).toBeNull();
  expect((await asked(book, { where: 'deployment=chat' })).demand).toBeUndefined();
});

it('has no demand for a month with facts that are longer than its interval, and says so', async () => {
  const book = 'sites:\n  east: { tariff: { price: 1, zone: UTC, demand: { pricePerKw: 10, interval: 15m } } }\n';
  // Over 30 min it was 1 kW, in all of its first quarter of an hour it would be 2. Ten seconds that reach over the end matter little.
  await given(moved(energyFact({ joules: 1800e3, site: 'east' }), '2026-05-31T10:00Z', 1800), moved(energyFact({ joules: 900e3, site: 'east' }), '2026-06-01T10:14:55Z'));
  const report = await asked(book);
  expect(report.demand).toMatchObject([{ month: '2026-05', peakKw: null, at: null, cost: null, coverage: 1 }, { month: '2026-06', peakKw: 1, cost: 10 }]);
  expect(report.flags.find(({ code }) => code === 'DEMAND_TOO_COARSE')?.detail).toMatch(/^Demand of east in 2026-05:.*15 min/);
  expect(noteLines(report).join()).toContain('Demand of east in 2026-05: –');
});

describe('useful tokens', () => {
  it('are those inside the targets, of the question or of the book, and every waste is priced', async () => {
    await given(
      energyFact({ joules: 900 }), energyFact({ joules: 100, phase: 'prefill', device: 'b' }), tokensFact({ count: 1000 }), tokensFact({ token: 'input', count: 500 }),
      cell({ requests: 6, outputTokens: 600, inputTokens: 300 }, 0.5, 0.02), cell({ requests: 2, outputTokens: 200, inputTokens: 100, tenant: 'gold' }, 4, 0.02), cell({ outcome: 'aborted', requests: 1, outputTokens: 200, inputTokens: 100 }),
    );
    const report = await asked('{}', { slo: 'ttft=2s,tpot=50ms', price: '3.6' });
    expect(report.total.tokens.useful).toBe(600);
    expect(report.total).toMatchObject({ usefulShare: 0.6, usefulBounds: [600, 600], joulesPerUsefulToken: 1000 / 600 });
    const spending = report.total.spending;
    expect(spending?.aborted).toMatchObject({ requests: 1, outputTokens: 200 });
    expect(spending?.aborted.joules).toBeCloseTo(200, 9);
    expect(CLASSES.reduce((sum, name) => sum + (spending?.[name].joules ?? 0), 0)).toBeCloseTo(1000, 9);
    expect(CLASSES.reduce((sum, name) => sum + (spending?.[name].cost ?? 0), 0)).toBeCloseTo(0.001, 12);
    expect(report.total.ttft?.p50?.[1]).toBeCloseTo(0.5, 9);
    // The second entry is of everybody; gold may wait longer.
    expect((await asked('slo:\n  - { ttft: 5s, where: { tenant: gold } }\n  - { ttft: 1s }\n')).total.tokens.useful).toBe(800);
    expect((await asked('{}')).total.tokens.useful).toBe(800);
  });

  it('come from ratios where the book gives those: 6,650 and 7,449.6', async () => {
    await given(energyFact({ deployment: 'a' }), tokensFact({ deployment: 'a', count: 10_000 }), energyFact({ deployment: 'b', device: 'b' }), tokensFact({ deployment: 'b', count: 8000 }), requestsFact({ deployment: 'b', outputTokens: 8000 }));
    const book = 'outcomes:\n  - { sloSuccess: 0.7, accepted: 0.95, where: { deployment: a } }\n  - { sloSuccess: 0.96, accepted: 0.97, where: { deployment: b } }\n';
    const report = await asked(book, { by: 'deployment' });
    expect(rowFor(report, 'deployment', 'a').tokens.useful).toBeCloseTo(6650, 9);
    expect(rowFor(report, 'deployment', 'b').tokens.useful).toBeCloseTo(7449.6, 9);
    expect(codes(rowFor(report, 'deployment', 'a'))).toContain('USEFUL_FROM_RATIOS');
  });

  it('are not told by latencies that no fact has', async () => {
    await given(energyFact(), tokensFact({ count: 10 }), cell({ requests: 1, outputTokens: 10 }));
    const { total } = await asked('{}', { slo: 'ttft=1s' });
    expect(total).toMatchObject({ tokens: { useful: null }, usefulBounds: [0, 10], joulesPerUsefulToken: null, usefulShare: null });
    expect(codes(total)).toContain('LATENCY_UNKNOWN');
  });
});

describe('costs beside energy', () => {
  const BOOK = `
costs:
  - { item: gpu, perGpuHour: 2 }
  - { item: engineering, perHour: 6, where: { deployment: [chat, code] } }
  - { item: idleHeadroom, shareOfGpu: 0.5, where: { deployment: chat } }
`;
  it('follow the time of the GPUs, and add up over rows', async () => {
    // One hour: chat has a whole GPU and half of another.
    await given(
      moved(energyFact({ joules: 3.6e6, seconds: seconds(3600) }), '2026-06-01T00:00Z', 3600), moved(energyFact({ joules: 0, device: 'b', seconds: seconds(1800) }), '2026-06-01T00:00Z', 3600), moved(energyFact({ joules: 0, device: 'b', deployment: 'code', seconds: seconds(1800) }), '2026-06-01T00:00Z', 3600),
      moved(tokensFact({ count: 1e6 }), '2026-06-01T00:00Z', 3600),
    );
    const report = await asked(BOOK, { by: 'deployment', price: '1' });
    const chat = rowFor(report, 'deployment', 'chat');
    expect(chat).toMatchObject({ gpuHours: 1.5, costs: { gpu: 3, engineering: 4.5, idleHeadroom: 1.5, energy: 1 }, allInCost: 10 });
    expect(rowFor(report, 'deployment', 'code')).toMatchObject({ costs: { gpu: 1, engineering: 1.5 } });
    expect(report.total.allInCost).toBe(12.5);
    expect(chat.tokensPerMoney).toBe(1e5);
  });

  it('are null without a price of energy, or where no entry fits', async () => {
    await given(energyFact({ deployment: 'other', seconds: seconds(3600) }), tokensFact({ deployment: 'other' }));
    expect((await asked(BOOK)).total.allInCost).toBeNull();
    expect((await asked('costs: [{ item: gpu, perGpuHour: 2, where: { deployment: chat } }]', { price: '1' })).total).toMatchObject({ costs: null, allInCost: null });
  });
});

it('tells bands of load: the lower half of the time, what is above, and the highest tenth', async () => {
  const slices = Array.from({ length: 20 }, (_, step) => [moved(energyFact({ joules: 100 + step }), time('2026-06-01T00:00Z') + step * 300e6), moved(tokensFact({ count: step + 1 }), time('2026-06-01T00:00Z') + step * 300e6)]).flat();
  await given(...slices);
  const report = await asked('{}', { by: 'loadBand' });
  expect(report.rows.map(({ group, tokens }) => [group['loadBand'], tokens.output])).toEqual([['P50–P90', 11 + 12 + 13 + 14 + 15 + 16 + 17 + 18], ['P90 and above', 19 + 20], ['below P50', 55]]);
  expect(report.rows.reduce((sum, { joules }) => sum + (joules ?? 0), 0)).toBe(report.total.joules);
});
