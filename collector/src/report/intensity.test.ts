/** Carbon by a provider's intensities: from a server on this machine over a running collector, its cache and a report without any, to rows. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { encodeBatch } from '@joulebook/shared/batch.js';
import { epochMicros, fromEpochMicros, seconds } from '@joulebook/shared/units.js';
import { readBook } from '../book/book.js';
import { runningCollector, type RunningCollector } from '../collector.testing.js';
import { said } from '../commands/program.testing.js';
import { report, type Report } from '../join/report.js';
import { fakeProvider, HOUR, json, TOKEN, type FakeProvider } from '../rates/provider.testing.js';
import { batchOf, energyFact } from '../store/sample-facts.js';

const NOW = Date.parse('2026-11-22T12:00:00Z') * 1000;
const KWH = 3.6e6;

let folder: string;
let fake: FakeProvider;
let running: RunningCollector | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intensity-'));
  fake = await fakeProvider(NOW);
  fake.gramsOf = (from) => (from < NOW - 2 * HOUR ? 400 : 200);
  await writeFile(join(folder, 'token'), TOKEN);
  await writeFile(join(folder, 'book.yaml'), `sites: { default: { pue: 1.5, carbon: { location: { provider: electricitymaps, zone: DE, url: '${fake.url}', tokenFile: token } } } }\n`);
});
afterEach(async () => {
  await running?.close();
  running = undefined;
  await fake.close();
  await rm(folder, { recursive: true });
});

const BOOK = (): Record<string, string> => ({ book: join(folder, 'book.yaml'), ratesFolder: join(folder, 'rates') });
const begin = async (): Promise<RunningCollector> => (running = await runningCollector(BOOK(), { wall: () => fromEpochMicros(epochMicros(NOW)), monotonic: () => seconds(performance.now() / 1000) }));
const kwhAt = (hour: number) => ({ ...energyFact({ joules: KWH }), from: epochMicros(NOW + hour * HOUR), to: epochMicros(NOW + hour * HOUR + 10e6) });
const given = (sequence: number, ...hours: number[]) => batchOf(hours.map(kwhAt), { sequence });
const asked = async (query = ''): Promise<Report> => report.parse(await (await fetch(`${running?.address}/v1/report?${query}`)).json());
const flagOf = ({ flags }: Pick<Report, 'flags'>, code: string): string | undefined => flags.find((flag) => flag.code === code)?.detail;

it('is each joule at what was told of its time; the last value stands in for a day and says how old it is; beyond that nothing is known', async () => {
  const { store } = await begin();
  // Of before anything was told there are facts, and no energy.
  await store.append(batchOf([...[-3, -1].map(kwhAt), { ...energyFact({ joules: 0 }), from: kwhAt(-300).from, to: kwhAt(-300).to }], { sequence: 1 }));
  await vi.waitFor(async () => expect((await asked()).total.carbonGrams).not.toBeNull(), { timeout: 10_000, interval: 50 });
  const first = await asked();
  expect(first.total.carbonGrams).toBeCloseTo(1.5 * (400 + 200), 6);
  expect(flagOf(first.total, 'INTENSITY_ESTIMATED')).toMatch(/^For 50 % of the energy/);
  expect(flagOf(first.total, 'INTENSITY_STALE')).toBeUndefined();
  // No market was ever asked for.
  expect([first.total.carbonGramsMarket, flagOf(first, 'INTENSITY_NOT_TOLD')]).toEqual([null, undefined]);
  fake.instead = (_request, response) => json(response, {}, 500);

  await store.append(given(2, 2));
  const stale = await asked('by=device');
  expect(stale.total.carbonGrams).toBeCloseTo(1.5 * (400 + 200 + 200), 6);
  expect(flagOf(stale.total, 'INTENSITY_STALE')).toMatch(/^For 33 % of the energy here the intensity of the grid is the last that was told: electricitymaps DE has told it until 2026-11-22T12:00:00.000Z, 2 h before/);
  expect(stale.flags).toContainEqual(stale.total.flags.find(({ code }) => code === 'INTENSITY_STALE'));
  expect(flagOf(stale.rows[0] ?? stale, 'INTENSITY_STALE')).toMatch(/33 %/);
  expect((await asked('carbon=100')).total.flags.map(({ code }) => code)).not.toContain('INTENSITY_STALE');

  await store.append(given(3, 30));
  const unknown = await asked();
  expect(unknown.total.carbonGrams).toBeNull();
  expect(flagOf(unknown.total, 'INTENSITY_PARTLY_KNOWN')).toMatch(/^For 25 % /);

  await running?.close();
  const again = await begin();
  await again.store.append(given(1, -3, -1, 2));
  expect((await asked()).total.carbonGrams).toBeCloseTo(1.5 * 800, 6);

  // Without a collector, and without a provider.
  await fake.close();
  fake = await fakeProvider(NOW);
  const file = join(folder, 'batches.ndjson');
  await writeFile(file, `${Buffer.from(encodeBatch(given(1, -3, 2))).toString()}\n`);
  const { code, out, err } = await said(['report', file, '--book', join(folder, 'book.yaml'), '--rates-folder', join(folder, 'rates'), '--format', 'json']);
  expect([code, err]).toEqual([0, '']);
  const offline = report.parse(JSON.parse(out));
  expect(offline.total.carbonGrams).toBeCloseTo(1.5 * 600, 6);
  expect(flagOf(offline, 'INTENSITY_STALE')).toMatch(/^For 50 % /);
  const nowhere = report.parse(JSON.parse((await said(['report', file, '--book', join(folder, 'book.yaml'), '--rates-folder', join(folder, 'elsewhere'), '--format', 'json'])).out));
  expect(nowhere.total.carbonGrams).toBeNull();
  expect(flagOf(nowhere, 'INTENSITY_NOT_TOLD')).toMatch(/^electricitymaps DE told nothing of this time/);
});

it('needs a place to be kept', async () => {
  await expect(readBook(join(folder, 'book.yaml'))).rejects.toThrow(/sites\.default\.carbon\.location: .*name a folder with the setting ratesFolder/);
});

it.each([
  ['a provider that nobody knows', '{ provider: electricitymap, zone: DE }', /sites\.a\.carbon\.location\.provider: /],
  ['no zone', '{ provider: electricitymaps, tokenFile: t }', /sites\.a\.carbon\.location\.zone: /],
  ['what is no part of it', '{ provider: electricitymaps, zone: DE, tokenFile: t, token: secret }', /sites\.a\.carbon\.location: 'token' is not a setting here/],
  ['a token in clear text over a network', '{ provider: watttime, zone: PJM, user: a, passwordFile: p, url: "http://example.com" }', /sites\.a\.carbon\.location\.url: would carry the token in clear text/],
  ['a password in an address', '{ provider: watttime, zone: PJM, user: a, passwordFile: p, url: "https://a:b@example.com" }', /sites\.a\.carbon\.location\.url: is to be an address alone/],
  ['an intensity below 0', '-3', /sites\.a\.carbon\.location: must not be negative/],
])('refuses %s', async (_what, location, expected) => {
  await writeFile(join(folder, 'book.yaml'), `sites: { a: { carbon: { location: ${location} } } }\n`);
  await expect(readBook(join(folder, 'book.yaml'))).rejects.toThrow(expected);
});
