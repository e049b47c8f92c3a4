/** From facts in a real store to what rules say of them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, fromEpochMicros, instant, microjoules, seconds } from '@joulebook/shared/units.js';
import { readBook } from '../book/book.js';
import { periodAround } from '../rates/local-time.js';
import { openDuckdb } from '../store/duckdb.js';
import { at, batchOf, energyFact, requestsFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { STEP_MICROS } from './anomaly.js';
import { askRules } from './ask.js';
import { standingOf } from './budgets.js';
import type { Answer, Condition } from './condition.js';
import { rulesOf } from './rules.js';
import { shiftOfBands, shiftOfMeans } from './shift.js';
import { seeded, simulatedMonth } from './simulated-month.testing.js';

const HOUR = 3600;
const DAY = 24 * HOUR;
let folder: string;
let store: Store;
let sequence = 0;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rules-'));
  store = await openDuckdb(':memory:');
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const given = (...slices: Slice[]): Promise<unknown> => store.append(batchOf(slices, { sequence: (sequence += 1) }));
/** What the first rule of a book says of a moment, s after 2026-01-01T00:00Z. */
async function answered(book: string, after: number, of: Store = store): Promise<Answer> {
  await writeFile(join(folder, 'book.yaml'), book);
  const [rule] = rulesOf({ book: await readBook(join(folder, 'book.yaml')), defaults: {} });
  if (!rule) throw new Error('no rule');
  return rule.evaluate(fromEpochMicros(at(after)), of);
}
const holding = ({ conditions }: Answer): Condition[] => conditions.filter(({ holds }) => holds === true);
const named = (conditions: readonly Condition[]): string[] => conditions.map(({ labels }) => Object.values(labels).join(' '));
const kwh = (from: number, kilowattHours: number, said: object = {}): Slice => energyFact({ from, to: from + 10, joules: 3.6e6 * kilowattHours, seconds: seconds(10), ...said });

const micros = (iso: string) => epochMicros(Date.parse(iso) * 1000);
const waves = (hours: number, mean: number): number[] => Array.from({ length: hours }, (_, hour) => mean * (1 + 0.15 * Math.sin((2 * Math.PI * hour) / 24) + 0.05 * Math.sin(hour * hour)));
const bands = (...counts: number[]): Map<string, number> => new Map(counts.map((count, band) => [String(band), count]));
const hoursOf = (from: number, count: number, tokens: number): Slice[] => Array.from({ length: count }, (_, hour) => requestsFact({ from: from + hour * HOUR, requests: 100, outputTokens: Math.round(100 * tokens * (1 + 0.1 * Math.sin(hour))), inputTokens: 5000 }));
const lengthsBook = (of: string): string => `alerts: [{ name: l, kind: lengths, of: ${of}, against: 4d, by: [deployment] }]`;
const periodShown = (per: 'day' | 'week' | 'month', iso: string, zone = 'Europe/Berlin'): string[] => Object.values(periodAround(per, zone, micros(iso))).map((time) => new Date(time / 1000).toISOString());

describe('budgets', () => {
  it('last for the day, week or month of their zone, over changes of the clocks', () => {
    expect(periodShown('day', '2026-03-29T12:00:00Z')).toEqual(['2026-03-28T23:00:00.000Z', '2026-03-29T22:00:00.000Z']);
    expect(periodShown('day', '2026-10-25T12:00:00Z')).toEqual(['2026-10-24T22:00:00.000Z', '2026-10-25T23:00:00.000Z']);
    expect(periodShown('week', '2026-10-25T12:00:00Z')).toEqual(['2026-10-18T22:00:00.000Z', '2026-10-25T23:00:00.000Z']);
    expect(periodShown('month', '2026-10-31T23:30:00Z')).toEqual(['2026-10-31T23:00:00.000Z', '2026-11-30T23:00:00.000Z']);
    // Clocks go forward at midnight: the day begins at 01:00.
    expect(periodShown('day', '2026-09-06T12:00:00Z', 'America/Santiago')).toEqual(['2026-09-06T04:00:00.000Z', '2026-09-07T03:00:00.000Z']);
  });

  it('tell how fast they burn, and what they come to', () => {
    const period = { from: at(0), to: at(10 * DAY) };
    expect(standingOf({ name: 'b', of: 'kwh', amount: 100 }, {}, 30, period, at(2 * DAY))).toMatchObject({ share: 0.3, passed: 0.2, burnRate: expect.closeTo(1.5, 9) as unknown, forecast: expect.closeTo(150, 9) as unknown });
    expect(standingOf({ name: 'b', of: 'kwh', amount: 100 }, {}, null, period, at(2 * DAY))).toMatchObject({ spent: null, share: null, burnRate: null, forecast: null });
  });

  it('alert at shares of the amount, after PUE, of money, kWh, CO2e and tokens', async () => {
    await given(kwh(10 * DAY, 60), kwh(12 * DAY, 5), tokensFact({ from: 10 * DAY, count: 7000 }), tokensFact({ from: 10 * DAY, token: 'input', count: 3000 }));
    const sites = 'sites: { default: { tariff: { price: 0.5 }, pue: 1.2, carbon: { location: 400 } } }\n';
    const amounts = { kwh: 100, energyCost: 40, carbonGrams: 31200, tokens: 9000, outputTokens: 9000, allInCost: 1 };
    await writeFile(join(folder, 'book.yaml'), `currency: EUR\n${sites}budgets: [${Object.entries(amounts).map(([of, amount]) => `{ name: ${of}, of: ${of}, amount: ${amount}, per: month }`).join(', ')}]`);
    const asked = await askRules(rulesOf({ book: await readBook(join(folder, 'book.yaml')), defaults: {} }), fromEpochMicros(at(15 * DAY + 60)), store);
    expect(Object.fromEntries(asked.map(({ rule, answer }) => [rule.name, [answer?.budgets?.[0]?.spent, named(holding(answer ?? { conditions: [] }))]]))).toEqual({
      kwh: [expect.closeTo(78, 9), ['50 %']],
      energyCost: [expect.closeTo(39, 9), ['50 %', '80 %']],
      carbonGrams: [expect.closeTo(31200, 6), ['50 %', '80 %', '100 %']],
      tokens: [10000, ['50 %', '80 %', '100 %']],
      outputTokens: [7000, ['50 %']],
      // Other costs are not known: a part of a cost is not the cost.
      allInCost: [null, []],
    });
    const ofMoney = asked.find(({ rule }) => rule.name === 'energyCost')?.answer?.conditions[0]?.summary;
    expect(ofMoney).toMatch(/^39 of 40 EUR a month are spent/);
  });

  it('burn fast over an hour or slowly over six, and no more once it is over', async () => {
    // 720 kWh in a month of 31 days are 0.968 kW: fast is from 13.9 kWh in an hour on.
    await given(...Array.from({ length: 12 }, (_, index) => kwh(10 * DAY + index * 300, 1.5)));
    await writeFile(join(folder, 'book.yaml'), 'budgets: [{ name: usual, of: kwh, amount: 720, per: month }, { name: own, of: kwh, amount: 720, per: month, burn: { fast: 20, slow: 3 } }]');
    const rules = rulesOf({ book: await readBook(join(folder, 'book.yaml')), defaults: {} });
    const burning = async (after: number): Promise<string[][]> => (await askRules(rules, fromEpochMicros(at(after)), store)).map(({ answer }) => named(holding(answer ?? { conditions: [] })));
    expect(await burning(10 * DAY + HOUR + 60)).toEqual([['fast'], ['slow']]);
    expect((await burning(10 * DAY + HOUR + 660))[0]).toEqual([]);
  });

  it('are of each tenant, by what its tokens took', async () => {
    await given(kwh(HOUR, 10), tokensFact({ from: HOUR, tenant: 'gold', count: 300 }), tokensFact({ from: HOUR, tenant: 'free', count: 100 }));
    const { budgets } = await answered('budgets: [{ name: b, of: kwh, amount: 10, per: day, by: [tenant] }]', 2 * HOUR);
    expect(Object.fromEntries((budgets ?? []).map(({ group, spent }) => [group['tenant'], spent]))).toMatchObject({ gold: 7.5, free: 2.5 });
  });
});

describe('figures and targets', () => {
  it('alert above or below, of each group, and say nothing of what is not known', async () => {
    await given(energyFact({ from: HOUR, joules: 500 }), tokensFact({ from: HOUR, count: 100 }), energyFact({ from: HOUR, joules: 100, deployment: 'code', device: 'b' }), tokensFact({ from: HOUR, deployment: 'code', count: 100 }), energyFact({ from: HOUR, deployment: 'none', device: 'c' }));
    const { conditions } = await answered('alerts: [{ name: a, kind: figure, figure: joulesPerToken, above: 3, by: [deployment] }]', 2 * HOUR);
    expect(Object.fromEntries(conditions.map(({ labels, holds }) => [labels['deployment'], holds]))).toEqual({ chat: true, code: false, none: null });
    expect(named(holding(await answered('alerts: [{ name: a, kind: figure, figure: tokensPerWattSecond, below: 0.5, by: [deployment] }]', 2 * HOUR)))).toEqual(['chat tokensPerWattSecond']);
  });

  it('alert where less was seen than a share of the time', async () => {
    await given(energyFact({ from: HOUR, to: HOUR + 10, seconds: seconds(3600), askedSeconds: seconds(3600) }), energyFact({ from: HOUR, to: HOUR + 10, device: 'b', seconds: seconds(1800), askedSeconds: seconds(3600) }));
    expect(named(holding(await answered('alerts: [{ name: a, kind: figure, figure: coverage, below: 0.95, over: 1h, by: [device] }]', 2 * HOUR + 30)))).toEqual(['b coverage']);
  });

  it('hold a target beside the baseline of an earlier period', async () => {
    await given(energyFact({ from: HOUR, joules: 200 }), tokensFact({ from: HOUR, count: 100 }), energyFact({ from: 3 * DAY, joules: 240 }), tokensFact({ from: 3 * DAY, count: 100 }));
    const book = 'targets: [{ name: t, figure: joulesPerToken, atMost: 2.5, over: 1d, baseline: { from: 2026-01-01T00:00:00Z, to: 2026-01-02T00:00:00Z }, deviation: 0.1, where: { deployment: chat } }]';
    const answer = await answered(book, 3 * DAY + HOUR);
    expect(answer.targets).toMatchObject([{ value: 2.4, baseline: 2, change: expect.closeTo(0.2, 9) as unknown, met: true }]);
    expect(holding(answer)).toMatchObject([{ labels: { target: 'deviation' }, summary: 'Energy per token: 2.4 J/token; 20 % above its baseline of 2; alert from 10 % on.' }]);
    expect(named(holding(await answered(book.replace('2.5', '2.3'), 3 * DAY + HOUR)))).toEqual(['joulesPerToken atMost', 'joulesPerToken deviation']);
  });
});

it('books that do not close are told by what is wrong with them', async () => {
  await given(energyFact({ from: HOUR, lowMicrojoules: microjoules(101e6), highMicrojoules: microjoules(103e6) }), energyFact({ from: HOUR, device: 'b', lowMicrojoules: microjoules(101e6), highMicrojoules: microjoules(103e6) }));
  const answer = await answered('alerts: [{ name: books, kind: books, over: 1h, coverage: 0 }]', 2 * HOUR);
  const [first] = holding(answer).filter(({ labels }) => labels['check'] === 'phases');
  expect(first).toMatchObject({ value: 2, summary: expect.stringMatching(/GPU-0 .* b of node-1/s) as unknown });
});

it('agents are silent from a time on, until they are forgotten; what only sent a recording is none', async () => {
  const host = { hostname: '', os: '', kernel: '', cpu: { model: '', sockets: 1, cores: 1 }, memoryBytes: 1, gpus: [], agentVersion: '1' };
  const seen: Store = { ...store, nodes: () => Promise.resolve([{ node: 'a', lastSeen: at(100), batches: 1, slices: 1, host }, { node: 'b', lastSeen: at(990), batches: 1, slices: 1, host }, { node: 'replayed', lastSeen: at(0), batches: 1, slices: 1, host: null }]) };
  const silent = async (after: number, more = ''): Promise<string[]> => named(holding(await answered(`alerts: [{ name: s, kind: silent, after: 5m${more} }]`, after, seen)));
  expect(await silent(1000)).toEqual(['a']);
  expect(await silent(1000, ', where: { node: b }')).toEqual([]);
  expect(await silent(2000)).toEqual(['a', 'b']);
  expect(await silent(8 * DAY)).toEqual([]);
});

describe('lengths of requests', () => {

  it('shift where hours of a day are longer than those before, and not by a few percent', () => {
    expect(shiftOfMeans(waves(14 * 24, 300), waves(24, 300))).toMatchObject({ shifted: false });
    expect(shiftOfMeans(waves(14 * 24, 300), waves(24, 330))).toMatchObject({ shifted: false });
    expect(shiftOfMeans(waves(14 * 24, 300), waves(24, 420))).toMatchObject({ statistic: 'kolmogorovSmirnov', shifted: true, change: expect.closeTo(0.4, 1) as unknown });
    // Told apart with certainty, and of no matter.
    expect(shiftOfMeans(Array.from({ length: 336 }, () => 300), Array.from({ length: 24 }, () => 330))).toMatchObject({ shifted: false, value: 1 });
    expect(shiftOfMeans(waves(71, 300), waves(24, 420))).toBeNull();
  });

  it('shift where prompts are of other bands', () => {
    expect(shiftOfBands(bands(0, 4000, 5000, 1000), bands(0, 390, 510, 100))).toMatchObject({ shifted: false });
    expect(shiftOfBands(bands(0, 4000, 5000, 1000), bands(0, 400, 500, 100))?.value).toBeLessThan(0.01);
    expect(shiftOfBands(bands(0, 4000, 5000, 1000), bands(0, 100, 500, 400))).toMatchObject({ statistic: 'populationStabilityIndex', shifted: true });
    expect(shiftOfBands(bands(0, 4000), bands(0, 999))).toBeNull();
  });

  it('are read from facts, by hours', async () => {
    await given(...hoursOf(0, 96, 200), ...hoursOf(4 * DAY, 24, 300));
    expect(holding(await answered(lengthsBook('outputTokens'), 5 * DAY + 60))).toMatchObject([{ labels: { deployment: 'chat', of: 'outputTokens' }, summary: expect.stringMatching(/Output tokens per request of deployment chat over 24 h against the 4 days before: kolmogorovSmirnov 1, .* longer/) as unknown }]);
    expect(holding(await answered(lengthsBook('inputTokens'), 5 * DAY + 60))).toEqual([]);
  });
});

it('energy per token out of the ordinary is found in a store, as it came, and a stretch that was not seen is none', async () => {
  const points = simulatedMonth(21, 6, [seeded('fifteen', 5, 12)]);
  const first = points[0]?.at ?? 0;
  const day = (from: number): Slice[] => points.slice(from, from + 144).flatMap((point): Slice[] => {
    const span = { from: point.at, to: epochMicros(point.at + STEP_MICROS) };
    const half = { ...energyFact({ joules: point.joules / 2, seconds: seconds(600), askedSeconds: seconds(600) }), ...span };
    // Of one device nothing was seen for an hour: half of the joules for all of the tokens.
    const hole = point.at >= first + (5 * 24 + 8) * HOUR * 1e6 && point.at < first + (5 * 24 + 9) * HOUR * 1e6;
    return [half, { ...half, device: 'b', ...(hole && { microjoules: microjoules(0), seconds: seconds(0) }) }, { ...tokensFact({ count: point.tokens }), ...span }];
  });
  for (let from = 0; from < points.length; from += 144) await given(...day(from));
  await writeFile(join(folder, 'book.yaml'), 'alerts: [{ name: unusual, kind: anomaly }]');
  const [rule] = rulesOf({ book: await readBook(join(folder, 'book.yaml')), defaults: {} });
  const found = async (hours: number): Promise<(boolean | null | undefined)[]> => (await rule?.evaluate(instant(first / 1e6 + hours * HOUR + 60), store))?.conditions.map(({ holds }) => holds) ?? [];
  expect(await found(5 * 24 + 7)).toEqual([false]);
  expect(await found(5 * 24 + 9)).toEqual([null]);
  expect(await found(5 * 24 + 11.5)).toEqual([false]);
  expect(await found(5 * 24 + 13)).toEqual([true]);
  expect(await found(5 * 24 + 17)).toEqual([false]);
  // Nothing new has come: there is nothing to judge.
  expect(await found(6 * 24 + 3)).toEqual([null]);
});

it('a book says all that is wrong with its rules', async () => {
  await expect(answered('alerts: [{ name: a, kind: figure, figure: joulesPerTokens, above: 1 }, { name: b, kind: figure, figure: coverage }, { name: b, kind: silent, where: { site: x } }]\nbudgets: [{ name: c, of: kwh, amount: 0, per: year, zone: Mars }]\ntargets: [{ name: d, figure: coverage, deviation: 0.1 }]\nsinks: [{ name: e, kind: webhook }, { name: f, kind: webhook, url: "ftp://x" }]', 0)).rejects.toThrow(
    /budgets\.0\.amount: must be above 0[\s\S]*budgets\.0\.per[\s\S]*alerts\.0\.figure/,
  );
  await expect(answered('alerts: [{ name: b, kind: figure, figure: coverage }, { name: b, kind: silent, where: { site: x } }]\ntargets: [{ name: d, figure: coverage, deviation: 0.1 }]\nsinks: [{ name: e, kind: webhook }]', 0)).rejects.toThrow(
    /targets\.0\.baseline: deviation is from one[\s\S]*say one of above and below[\s\S]*agents are known by node alone[\s\S]*say one of url and urlFile/,
  );
  await expect(answered('alerts: [{ name: b, kind: books }, { name: b, kind: silent }]', 0)).rejects.toThrow("'b' is the name of another");
  await expect(answered('alerts: [{ name: b, kind: books }]\nbudgets: [{ name: b, of: kwh, amount: 1, per: day }]', 0)).rejects.toThrow("'b' is the name of two");
  await expect(answered('alerts: [{ name: b, kind: figure, figure: coverage, below: 1, by: [boundary] }]\ntargets: [{ name: d, figure: coverage, atLeast: 1, baseline: { from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z" } }]', 0)).rejects.toThrow(/targets\.d\.baseline: .* is no period[\s\S]*alerts\.b\.by: boundaries overlap/);
});
