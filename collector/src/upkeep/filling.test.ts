/** Providers asked on a schedule: what is asked for when, over outages and refusals, against a real server on this machine. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { epochMicros, fromEpochMicros, seconds } from '@joulebook/shared/units.js';
import type { ProviderEntry } from '../rates/provider.js';
import { fakeProvider, HOUR, json, TOKEN, type FakeProvider } from '../rates/provider.testing.js';
import { openShelf, type Shelf } from '../rates/shelf.js';
import { fillRates, unasked, type Filling } from './filling.js';

const NOW = Date.parse('2026-11-22T12:00:00Z') * 1000;

let folder: string;
let fake: FakeProvider;
let shelf: Shelf;
let filling: Filling | undefined;
let now: number;
let lines: { readonly level: string; readonly code: unknown; readonly message: string }[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'filling-'));
  await writeFile(join(folder, 'token'), TOKEN);
  fake = await fakeProvider(NOW);
  shelf = openShelf(join(folder, 'rates'));
  now = NOW;
  lines = [];
});
afterEach(async () => {
  await filling?.stop();
  filling = undefined;
  await fake.close();
  await rm(folder, { recursive: true });
});

const entry = (): ProviderEntry => ({ provider: 'electricitymaps', zone: 'DE', url: fake.url, tokenFile: join(folder, 'token'), lastGoodFor: 86_400, backfill: 10 * 86_400 });
const noted = (level: string) => (about: unknown, message?: string): void => void lines.push({ level, code: typeof about === 'object' && about !== null && 'code' in about ? about.code : undefined, message: message ?? '' });

/** As a collector that starts: it has asked once. A clock that stood still would hide what depends on it. */
async function begun(): Promise<Filling> {
  const clock = { wall: () => fromEpochMicros(epochMicros((now += 1000))), monotonic: () => seconds(now / 1e6) };
  filling = fillRates({ entries: () => [entry()], shelf, settings: { ratesSchedule: '0 0 1 1 *' }, metrics: { gauge: () => undefined }, log: { info: noted('info'), warn: noted('warn'), error: noted('error') }, clock });
  await filling.run();
  return filling;
}
async function again(after: number): Promise<string[]> {
  now += after;
  fake.now = now;
  const before = fake.asked.length;
  await filling?.run();
  return fake.asked.slice(before).map((each) => each.replace('GET /carbon-intensity/', '').split('&')[0] ?? '');
}
const grams = async (): Promise<Map<number, number>> => new Map((await shelf.series(entry())).reported.map((each) => [(each.from - NOW) / HOUR, each.grams]));

it('asks at first for all that the book wants, then for what is new, and after an outage for what it missed', async () => {
  await begun();
  expect([...(await grams()).keys()].length).toBe(240);
  expect(await again(HOUR / 4)).toEqual(['history?zone=DE']);
  fake.gramsOf = () => 77;
  expect(await again(30 * HOUR)).toEqual(['history?zone=DE', 'past-range?zone=DE']);
  const known = await grams();
  expect([known.get(1), known.get(29), known.get(-230)]).toEqual([77, 77, expect.any(Number)]);
  expect([...known.keys()].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 271 }, (_, index) => index - 240));
  // A collector that starts anew knows what was asked.
  await filling?.stop();
  shelf = openShelf(join(folder, 'rates'));
  const before = fake.asked.length;
  await begun();
  expect(fake.asked.slice(before)).toEqual(['GET /carbon-intensity/history?zone=DE']);
  expect(lines).toEqual([]);
});

it('takes a measurement for an estimate', async () => {
  await begun();
  expect((await shelf.series(entry())).reported.at(-1)?.estimated).toBe(true);
  await again(HOUR);
  const { reported } = await shelf.series(entry());
  expect(reported.slice(-2).map(({ estimated }) => estimated)).toEqual([false, true]);
});

it('logs once that a provider fails, leaves it alone for longer each time, and says when it answers again', async () => {
  fake.instead = (_request, response) => json(response, {}, 503);
  await begun();
  expect(fake.asked).toHaveLength(2);
  expect(lines).toEqual([
    { level: 'warn', code: 'PROVIDER_BUSY', message: expect.stringContaining('electricitymaps DE answered 503') as unknown },
    { level: 'warn', code: 'PROVIDER_BUSY', message: expect.any(String) as unknown },
  ]);
  const minutes: number[] = [];
  for (let minute = 1; minute <= 40; minute += 1) if ((await again(60e6)).length > 0) minutes.push(minute);
  expect(minutes).toEqual([1, 3, 7, 15, 31]);
  expect(lines).toHaveLength(2);
  fake.instead = undefined;
  await again(60 * 60e6);
  expect(lines.slice(2).map(({ level, message }) => [level, message])).toEqual([['info', 'electricitymaps DE answers again'], ['info', 'electricitymaps DE answers again']]);
  expect((await grams()).size).toBeGreaterThanOrEqual(240);
});

it('comes back no earlier than it is told to', async () => {
  fake.instead = (_request, response) => void response.writeHead(429, { 'retry-after': '3600' }).end();
  await begun();
  expect(await again(50 * 60e6)).toEqual([]);
  fake.instead = undefined;
  expect((await again(10 * 60e6)).length).toBeGreaterThan(0);
});

it('goes on with the newest where the past is refused, as it is to free tokens', async () => {
  fake.instead = (request, response) => (request.url?.includes('past-range') === true ? json(response, {}, 401) : json(response, { zone: 'DE', history: [{ datetime: new Date((fake.now - HOUR) / 1000).toISOString(), carbonIntensity: 400, isEstimated: false }] }));
  await begun();
  expect(await again(HOUR / 4)).toContain('history?zone=DE');
  expect((await grams()).get(-1)).toBe(400);
  expect(lines).toEqual([{ level: 'warn', code: 'PROVIDER_REFUSES_TOKEN', message: expect.stringContaining('answered 401') as unknown }]);
});

it('says once that intensities are below 0, and that a zone has none', async () => {
  fake.gramsOf = (from) => (from === NOW - 5 * HOUR ? -1 : 300);
  await begun();
  await again(HOUR / 4);
  expect(lines).toEqual([{ level: 'warn', code: 'INTENSITY_OUT_OF_BOUNDS', message: expect.any(String) as unknown }]);
  expect((await grams()).has(-5)).toBe(false);
  fake.instead = (_request, response) => json(response, { history: [] });
  await again(HOUR);
  expect(lines.at(-1)).toMatchObject({ code: 'PROVIDER_KNOWS_NOTHING' });
});

it('ends what is under way when it is stopped', async () => {
  const asked = new Promise<void>((resolve) => (fake.instead = () => resolve()));
  const first = begun();
  await asked;
  await filling?.stop();
  await first;
  expect(lines).toEqual([]);
});

const hours = (from: number, to: number) => ({ from: epochMicros(from * HOUR), to: epochMicros(to * HOUR) });
describe('what was never asked', () => {
  it.each([
    ['all where nothing was', [], [hours(15, 25), hours(5, 15), hours(0, 5)]],
    ['nothing where all was', [hours(-5, 30)], []],
    ['the holes, the newest first, in pieces that are allowed', [hours(2, 4), hours(20, 22)], [hours(22, 25), hours(10, 20), hours(4, 10), hours(0, 2)]],
    ['not what lies beyond', [hours(-3, -1), hours(30, 40)], [hours(15, 25), hours(5, 15), hours(0, 5)]],
  ])('is %s', (_what, asked, expected) => expect(unasked({ asked }, hours(0, 25), 10 * HOUR)).toEqual(expected));
});
