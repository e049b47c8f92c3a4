/** October 2026 of four nodes at two sites, with a change of clocks at one: its statement, and the bundle of it. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '@joulebook/shared/clock.js';
import { loadSettings } from '@joulebook/shared/settings.js';
import { readBook } from '../book/book.js';
import { SETTINGS } from '../settings.js';
import { COLUMN_NAMES } from '../statements/columns.js';
import { expected, fillMonth, FIRST, LAST, MONTH_BOOK, PRICES, utc } from '../statements/month.testing.js';
import { monthlyStatementOf } from '../statements/monthly.js';
import { renderStatement } from '../statements/render.js';
import { monthlyStatement, type MonthlyStatement, type SiteStatement } from '../statements/statement.js';
import { openDuckdb } from '../store/duckdb.js';
import type { EmbeddedStore } from '../store/upkeep.js';
import { checkEvidence } from './check.js';
import { makeEvidence } from './make.js';

let store: EmbeddedStore;
let folder: string;
let statement: MonthlyStatement;
beforeAll(async () => {
  [store, folder] = [await openDuckdb(':memory:'), await mkdtemp(join(tmpdir(), 'month-'))];
  await fillMonth(store);
  await Promise.all([writeFile(join(folder, 'book.yaml'), MONTH_BOOK), writeFile(join(folder, 'prices.csv'), PRICES)]);
  statement = await monthlyStatementOf(store, await readBook(join(folder, 'book.yaml')), { period: '2026-10', site: undefined, boundary: undefined });
}, 60_000);
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const siteOf = (name: string): SiteStatement => {
  const found = statement.sites.find(({ site }) => site === name);
  if (!found) throw new Error(`no site ${name}`);
  return found;
};
const BERLIN = { from: utc('2026-09-30T22:00Z'), to: utc('2026-10-31T23:00Z') };
const OHIO = { from: utc('2026-10-01T04:00Z'), to: utc('2026-11-01T04:00Z') };

describe('the statement of a month', () => {
  it('is of each site’s own month: 745 hours where clocks go back, 744 where they do not', () => {
    expect([siteOf('berlin'), siteOf('ohio')].map(({ localFrom, localTo }) => [localFrom, localTo])).toEqual([
      ['2026-10-01T00:00:00+02:00', '2026-11-01T00:00:00+01:00'],
      ['2026-10-01T00:00:00-04:00', '2026-11-01T00:00:00-04:00'],
    ]);
    for (const [site, nodes, { from, to }] of [['berlin', ['n1', 'n2'], BERLIN], ['ohio', ['n3', 'n4'], OHIO]] as const) {
      const truth = nodes.map((node) => expected(node, from, to));
      const sum = (of: 'joules' | 'outputTokens' | 'seconds'): number => truth.reduce((all, each) => all + each[of], 0);
      const { total } = siteOf(site);
      expect(total.energyKwh).toBeCloseTo(sum('joules') / 3.6e6, 9);
      expect([total.outputTokens, total.promptTokens, total.cachedPromptTokens]).toEqual([sum('outputTokens'), 4 * sum('outputTokens'), sum('outputTokens')]);
      expect(total.deviceHours).toBeCloseTo(sum('seconds') / 3600, 9);
      expect(total.coverage).toBeCloseTo(sum('seconds') / (2 * (to - from)), 9);
      expect(total.joulesPerToken).toBeCloseTo(sum('joules') / sum('outputTokens'), 12);
      expect([total.energyKwhLow, total.energyKwhHigh]).toEqual([expect.closeTo((0.98 * sum('joules')) / 3.6e6, 6), expect.closeTo((1.02 * sum('joules')) / 3.6e6, 6)]);
    }
  });

  it('gives the meter, carbon both ways where they are known, and money hour by hour', () => {
    const [berlin, ohio] = [siteOf('berlin').total, siteOf('ohio').total];
    expect(berlin.meterKwh).toBeCloseTo((berlin.energyKwh ?? 0) * 1.3, 9);
    expect([berlin.locationTonnes, berlin.marketTonnes]).toEqual([expect.closeTo(((berlin.meterKwh ?? 0) * 340) / 1e6, 9), expect.closeTo(((berlin.meterKwh ?? 0) * 40) / 1e6, 9)]);
    expect([ohio.pue, ohio.marketTonnes]).toEqual([expect.closeTo(1.2, 12), null]);
    expect(siteOf('ohio').notMeasured.join()).toContain('Market-based carbon');
    // Its prices are a series by the hour: 0.08 + the hour after the series began, in thousandths.
    let cost = 0;
    for (let at = OHIO.from; at < OHIO.to; at += 3600) for (const node of ['n3', 'n4']) cost += ((expected(node, at, at + 3600).joules * 1.2) / 3.6e6) * Number((0.08 + (((at - FIRST) / 3600) % 24) / 1000).toFixed(3));
    expect(ohio.energyCost).toBeCloseTo(cost, 6);
    expect(siteOf('berlin').demand).toMatchObject([{ month: '2026-10', at: '2026-10-01T15:00:00.000Z' }]);
    expect(siteOf('ohio').demand).toEqual([]);
  });

  it('names the gap, and models that add up to their site', () => {
    expect(siteOf('berlin').gaps).toEqual([{ node: 'n2', from: '2026-10-12T03:00:00.000Z', to: '2026-10-12T06:00:00.000Z', deviceSeconds: 10_800 }]);
    expect([siteOf('berlin').shortGapSeconds, siteOf('ohio').gaps]).toEqual([0, []]);
    for (const { models, total } of statement.sites) {
      for (const name of ['energyKwh', 'meterKwh', 'locationTonnes', 'outputTokens', 'usefulTokens', 'energyCost', 'allInCost'] as const) expect(models.reduce((sum, each) => sum + (each[name] ?? 0), 0)).toBeCloseTo(total[name] ?? Number.NaN, 6);
    }
    expect(siteOf('berlin').models.map(({ model }) => model)).toEqual(['llama-70b', 'qwen-32b']);
  });

  it('reads the same in every format, and is what it was when it is read back', () => {
    const json: unknown = JSON.parse(renderStatement(statement, 'json'));
    expect(monthlyStatement.parse(json)).toEqual(json);
    const [head = '', ...lines] = renderStatement(statement, 'csv').trim().split('\n').map((line) => line.split(','));
    expect(lines.map((line) => [line[head.indexOf('site')], line[head.indexOf('level')], line[head.indexOf('model')], Number(line[head.indexOf('energyKwh')])])).toEqual(
      statement.sites.flatMap(({ site, total, models }) => [[site, 'site', '', total.energyKwh], ...models.map(({ model, energyKwh }) => [site, 'model', model, energyKwh])]));
    expect(COLUMN_NAMES.every((name) => head.includes(name))).toBe(true);
    const html = renderStatement(statement, 'html');
    expect(html).toContain('Simulated');
    // Self-contained: nothing is fetched.
    expect(html).not.toMatch(/(?:src|href)=|@import|url\(/);
    expect(renderStatement(statement, 'markdown')).toContain('| n2 | 2026-10-12T03:00Z | 2026-10-12T06:00Z | 3 h |');
  });

  it('names the site that has no facts, and those that have', async () => {
    await expect(monthlyStatementOf(store, await readBook(join(folder, 'book.yaml')), { period: '2026-10', site: 'oslo', boundary: undefined })).rejects.toThrow(/no facts of site 'oslo' in 2026-10\. Sites with facts around then: berlin, ohio/);
  });

  const browser = '/usr/bin/chromium';
  it.skipIf(!existsSync(browser))('is a page that a browser shows (skipped where there is no /usr/bin/chromium)', async () => {
    const [page, picture] = [join(folder, 'statement.html'), join(folder, 'statement.png')];
    await writeFile(page, renderStatement(statement, 'html'));
    await promisify(execFile)(browser, ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${join(folder, 'profile')}`, '--window-size=1280,1200', `--screenshot=${picture}`, `file://${page}`]);
    expect((await stat(picture)).size).toBeGreaterThan(20_000);
  }, 60_000);
});

it('its bundle verifies, with books that close', async () => {
  const bundle = await mkdtemp(join(folder, 'bundle-'));
  const settings = await loadSettings(SETTINGS, { flags: { book: join(folder, 'book.yaml') } });
  const question = { from: new Date(BERLIN.from * 1000).toISOString(), to: new Date(BERLIN.to * 1000).toISOString(), boundary: null, price: null, pue: null, carbon: null };
  const made = await makeEvidence({ store, settings, book: await readBook(join(folder, 'book.yaml')), clock: systemClock }, question, bundle, undefined);
  expect(made.rows.energy).toBe(2 * (4 * 745 - 3));
  expect(LAST - FIRST).toBeGreaterThan(BERLIN.to - BERLIN.from);
  const found = await checkEvidence(bundle, { publicKey: undefined, leastCoverage: 0.95 });
  expect(found.reasons).toEqual([]);
  expect(found.checks.map(({ check, closed }) => [check, closed])).toEqual([['files', true], ['signature', null], ['figures', true], ['phases', true], ['boundaries', null], ['requests', null], ['tokens', true], ['sequences', true], ['losses', true], ['coverage', true], ['duplicates', true]]);
}, 60_000);
