/** Both kinds of provider against a real server on this machine, which answers as they do, and as they should not. */
import { createServer, type RequestListener } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { epochMicros, seconds } from '@joulebook/shared/units.js';
import { electricityMaps } from './electricity-maps.js';
import { exchange } from './exchange.js';
import type { Failed, Provider, Told } from './provider.js';
import { fakeProvider, HOUR, json, PASSWORD, TOKEN, USER, type FakeProvider } from './provider.testing.js';
import { wattTime } from './watttime.js';

const NOW = Date.parse('2026-11-22T12:00:00Z') * 1000;
const hours = (from: number, to: number) => ({ from: epochMicros(NOW + from * HOUR), to: epochMicros(NOW + to * HOUR) });

let folder: string;
let fake: FakeProvider;
let opened: Provider[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'provider-'));
  await Promise.all([writeFile(join(folder, 'token'), `${TOKEN}\n`), writeFile(join(folder, 'password'), PASSWORD)]);
  fake = await fakeProvider(NOW);
  opened = [];
});
afterEach(async () => {
  await Promise.all(opened.map((each) => each.close()));
  await fake.close();
  await rm(folder, { recursive: true });
});

type Kind = 'electricitymaps' | 'watttime';
function open(kind: Kind, said: { url?: string; file?: string; now?: () => number } = {}): Provider {
  const { url = fake.url, now = () => NOW } = said;
  // Long enough for every answer that comes, on a machine that is busy.
  const over = exchange(seconds(fake.instead === slow ? 0.3 : 20));
  const provider = kind === 'electricitymaps' ? electricityMaps({ url, tokenFile: said.file ?? join(folder, 'token') }, now, over) : wattTime({ url, user: USER, passwordFile: said.file ?? join(folder, 'password'), signal: 'co2_moer' }, now, over);
  opened.push(provider);
  return provider;
}
const ask = (provider: Provider, from = -3, to = 0, zone = 'DE'): Promise<Told | Failed> => provider.fetch(zone, hours(from, to), new AbortController().signal);
const slow: RequestListener = (_request, response) => void response.writeHead(200).write('{');
function toldBy(answer: Told | Failed): Told {
  if (answer.kind === 'told') return answer;
  throw new Error(answer.reason);
}

describe('Electricity Maps', () => {
  it('is asked for the last 24 h by history, and for more by past-range, with the token in a header', async () => {
    fake.gramsOf = (from) => (from === NOW - 3 * HOUR ? null : 380.5);
    const recent = toldBy(await ask(open('electricitymaps'), -24));
    expect(recent.reported).toHaveLength(23);
    expect(recent.reported.at(-1)).toEqual({ ...hours(-1, 0), grams: 380.5, estimated: true });
    expect(recent.reported.find(({ from }) => from === NOW - 3 * HOUR)).toBeUndefined();
    const past = toldBy(await ask(open('electricitymaps'), -100, -97));
    expect(past.reported).toEqual([-100, -99, -98].map((from) => ({ ...hours(from, from + 1), grams: 380.5, estimated: false })));
    expect(fake.asked).toEqual(['GET /carbon-intensity/history?zone=DE', 'GET /carbon-intensity/past-range?zone=DE&start=2026-11-18T08%3A00%3A00.000Z&end=2026-11-18T11%3A00%3A00.000Z']);
  });

  it('leaves out intensities that no grid has, and says how many', async () => {
    fake.gramsOf = (from) => (from === NOW - 2 * HOUR ? -4 : from === NOW - 3 * HOUR ? 1e300 : 0);
    const told = toldBy(await ask(open('electricitymaps'), -24));
    expect([told.refused, told.reported.length]).toEqual([2, 22]);
  });

  it('is not believed where it tells of another zone than it is asked for', async () => {
    // Which one it says is not told: it may be the token.
    fake.instead = (request, response) => json(response, { zone: request.headers['auth-token'], history: [] });
    expect(await ask(open('electricitymaps'))).toEqual({ kind: 'failed', code: 'PROVIDER_ANSWER', reason: "tells of another zone when it is asked for 'DE'; check zone" });
  });
});

describe('WattTime', () => {
  it('is logged in to once, and its pounds per MWh become grams per kWh', async () => {
    fake.gramsOf = () => 1000;
    let now = NOW;
    const provider = open('watttime', { now: () => now });
    const told = toldBy(await ask(provider, -1, 0, 'CAISO_NORTH'));
    expect(told.reported).toHaveLength(12);
    expect(told.reported[0]).toEqual({ from: NOW - HOUR, to: NOW - HOUR + 300e6, grams: expect.closeTo(453.59237, 9) as unknown, estimated: false });
    await ask(provider);
    now += HOUR;
    await ask(provider);
    expect(fake.asked.map((each) => each.split('?')[0])).toEqual(['GET /login', 'GET /v3/historical', 'GET /v3/historical', 'GET /login', 'GET /v3/historical']);
    expect(fake.asked[1]).toBe('GET /v3/historical?region=CAISO_NORTH&start=2026-11-22T11%3A00%3A00.000Z&end=2026-11-22T12%3A00%3A00.000Z&signal_type=co2_moer');
  });

  it('is logged in to again after its token was refused, and refuses other units and regions', async () => {
    const provider = open('watttime');
    toldBy(await ask(provider));
    fake.instead = (_request, response) => json(response, {}, 401);
    expect(await ask(provider)).toMatchObject({ code: 'PROVIDER_REFUSES_TOKEN' });
    fake.instead = undefined;
    toldBy(await ask(provider));
    expect(fake.asked.filter((each) => each === 'GET /login')).toHaveLength(2);
    const meta = { units: 'percentile', data_point_period_seconds: 300 };
    fake.instead = (_request, response) => json(response, { data: [], meta });
    expect(await ask(provider)).toEqual({ kind: 'failed', code: 'PROVIDER_ANSWER', reason: 'tells co2_moer in another unit than lbs_co2_per_mwh; name another signal' });
    fake.instead = (request, response) => json(response, { data: [], meta: { ...meta, region: request.headers.authorization } });
    expect(await ask(provider)).toEqual({ kind: 'failed', code: 'PROVIDER_ANSWER', reason: "tells of another region when it is asked for 'DE'; check zone" });
  });
});

const echo: (status: number, headers?: Record<string, string>) => RequestListener = (status, headers = {}) => (request, response) => void response.writeHead(status, headers).end(JSON.stringify(request.headers));
const inAnHour = (): string => new Date(Date.now() + 3600e3).toUTCString();

describe.each(['electricitymaps', 'watttime'] satisfies Kind[])('%s', (kind) => {
  it.each<[string, RequestListener, string, RegExp]>([
    ['401', echo(401), 'PROVIDER_REFUSES_TOKEN', /answered 401/],
    ['403', echo(403), 'PROVIDER_REFUSES_TOKEN', /does it allow this zone/],
    ['404', echo(404), 'PROVIDER_REFUSES', /check zone and url/],
    ['a redirect', echo(302, { location: '/elsewhere' }), 'PROVIDER_REDIRECTS', /which is not followed/],
    ['500', echo(500), 'PROVIDER_BUSY', /answered 500/],
    ['a page for people', (_request, response) => void response.end('<html>Sign in</html>'), 'PROVIDER_ANSWER', /not JSON/],
    ['other JSON', (_request, response) => json(response, { hello: ['world'] }), 'PROVIDER_ANSWER', /not as expected/],
    ['JSON cut short', (_request, response) => void response.end('{"history":[{"datetime"'), 'PROVIDER_ANSWER', /not JSON/],
    ['an answer without end', (_request, response) => void response.writeHead(200).end(Buffer.alloc(9 * 1024 * 1024, 'x')), 'PROVIDER_ANSWER', /more than 8 MiB/],
    ['an answer that does not end', slow, 'PROVIDER_UNREACHABLE', /gives no whole answer within 0.3 s/],
    ['a connection that breaks', (request) => void request.socket.destroy(), 'PROVIDER_UNREACHABLE', /./],
  ])('to %s is a failure that says so, without a secret', async (_what, listener, code, reason) => {
    fake.instead = listener;
    const answer = await ask(open(kind));
    expect(answer).toMatchObject({ kind: 'failed', code, reason: expect.stringMatching(reason) as unknown });
    expect(fake.asked).toHaveLength(1);
    for (const secret of [TOKEN, PASSWORD, Buffer.from(`${USER}:${PASSWORD}`).toString('base64')]) expect(JSON.stringify(answer)).not.toContain(secret);
  });

  it('says how long it wants to be left alone, in seconds or as a date', async () => {
    fake.instead = echo(429, { 'retry-after': '90' });
    expect(await ask(open(kind))).toMatchObject({ code: 'PROVIDER_LIMITS', after: 90 });
    fake.instead = echo(429, { 'retry-after': inAnHour() });
    const later = await ask(open(kind));
    expect(later.kind === 'failed' && later.after !== undefined && later.after > 3000 && later.after <= 3600).toBe(true);
    fake.instead = echo(429, { 'retry-after': 'soon' });
    expect(await ask(open(kind))).not.toHaveProperty('after');
  });

  it('that is not there is a failure', async () => {
    const port = await new Promise<number>((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const address = server.address();
        server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
      });
    });
    expect(await ask(open(kind, { url: `http://127.0.0.1:${port}` }))).toMatchObject({ code: 'PROVIDER_UNREACHABLE', reason: expect.stringContaining('ECONNREFUSED') as unknown });
  });

  it('is not asked without a secret that can be read', async () => {
    await writeFile(join(folder, 'empty'), '\n');
    for (const file of ['gone', 'empty', '.']) expect(await ask(open(kind, { file: join(folder, file) }))).toMatchObject({ code: 'SECRET_UNREADABLE', reason: expect.stringContaining(folder) as unknown });
    expect(fake.asked).toEqual([]);
  });
});
