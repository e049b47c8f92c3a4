import { afterEach, describe, expect, it } from 'vitest';
import { flagsOf, observe, readingsOf, totalsOf, wattsOf } from '../../live.testing.js';
import { liveHttpMeter } from './http-meter.js';
import { BREAK, failWith, HANG, startServer, type TestServer, type TestServerOptions } from './http-server.testing.js';

let server: TestServer | undefined;
afterEach(() => server?.stop());
const serve = async (answer: TestServerOptions['answer'], more: Partial<TestServerOptions> = {}): Promise<string> => {
  server = await startServer({ answer, ...more });
  return server.url;
};
const meterAt = (url: string, more: Readonly<Record<string, unknown>>) => liveHttpMeter.open({ url, period: 0.05, timeout: 2, ...more });
const WH = 3_600_000_000n;

describe('a meter that answers with JSON', () => {
  it.each([
    ['shelly', '/rpc/Shelly.GetStatus', { sys: { mac: 'A8032ABE54DC' }, 'switch:0': { output: true, apower: 412.5, aenergy: { total: 18.015 } }, 'input:0': {} }, 'shelly A8032ABE54DC', 412.5, 64_854_000_000n],
    ['shelly', '/rpc/Shelly.GetStatus', { 'pm1:0': { apower: 9.5, aenergy: { total: 2 } } }, undefined, 9.5, 2n * WH],
    ['shelly', '/rpc/Shelly.GetStatus', { 'em1:0': { act_power: 501.8 }, 'em1data:0': { total_act_energy: 7 } }, undefined, 501.8, 7n * WH],
    ['shelly', '/rpc/Shelly.GetStatus', { 'em:0': { a_act_power: 1, b_act_power: 2, c_act_power: 3, total_act_power: 6 }, 'emdata:0': { total_act: 4 } }, undefined, 6, 4n * WH],
    ['shelly-gen1', '/status', { mac: 'C45BBE6A4C5B', meters: [{ power: 33.1, is_valid: true, total: 120 }] }, 'shelly-gen1 C45BBE6A4C5B', 33.1, 2n * WH],
    ['shelly-gen1', '/status', { emeters: [{ power: 250, pf: 0.9, is_valid: true, total: 120 }] }, undefined, 250, 120n * WH],
    ['tasmota', '/cm?cmnd=Status%208', { StatusSNS: { Time: '2019-09-06T20:06:19', ENERGY: { Total: 0.003, Power: 26, ApparentPower: 25 } } }, undefined, 26, 3n * WH],
  ])('%s at %s', async (profile, path, answer, device, power, total) => {
    const url = await serve((asked) => (asked === path ? answer : undefined));
    const { events } = await observe(meterAt(url, { profile }), (soFar) => readingsOf(soFar).length >= 4);
    expect(wattsOf(events)[0]).toBe(power);
    expect(totalsOf(events)[0]).toBe(total);
    expect(readingsOf(events)[0]?.channel).toMatchObject({ device: device ?? new URL(url).host, boundary: 'meter', source: 'http-meter', sensor: { gain: { low: -0.02, high: 0.02 }, refresh: 1 } });
    expect(readingsOf(events)[1]?.channel.use).toBe('check');
    expect(server?.connections()).toBe(1);
  });

  it('any JSON: by path, unit and scale', async () => {
    const url = await serve((path) => (path === '/live?all=1' ? { phases: [{ 'p.kw': '1.25' }], wh: 10 } : undefined));
    const { events } = await observe(meterAt(`${url}/live?all=1`, { profile: 'json', watts: 'phases[0]["p.kw"]', unit: 'kilowatts', scale: 2, energy: 'wh', device: 'rack', accuracy: 0.005 }), (soFar) => readingsOf(soFar).length >= 2);
    expect(wattsOf(events, 'rack')[0]).toBe(2500);
    expect(totalsOf(events)[0]).toBe(10n * WH);
    expect(readingsOf(events)[0]?.channel.sensor.gain.high).toBe(0.005);
  });

  it('several parts are several devices; one can be chosen', async () => {
    const url = await serve(() => ({ 'switch:0': { apower: 1 }, 'switch:1': { apower: 2 }, 'switch:2': { output: false } }));
    const all = await observe(meterAt(url, { profile: 'shelly', device: 'strip' }), (soFar) => readingsOf(soFar).length >= 2);
    expect(wattsOf(all.events, 'strip switch:0')[0]).toBe(1);
    expect(wattsOf(all.events, 'strip switch:1')[0]).toBe(2);
    const one = await observe(meterAt(url, { profile: 'shelly', device: 'strip', component: 'switch:1' }), (soFar) => readingsOf(soFar).length >= 2);
    expect(new Set(readingsOf(one.events).map(({ channel }) => channel.device))).toEqual(new Set(['strip']));
  });

  it('says 0 W when nothing is drawn', async () => {
    const url = await serve(() => ({ apower: 0 }));
    const { events } = await observe(meterAt(`${url}/rpc/Switch.GetStatus?id=0`, { profile: 'shelly' }), (soFar) => readingsOf(soFar).length >= 2);
    expect(wattsOf(events).slice(0, 2)).toEqual([0, 0]);
  });
});

describe('values that are none', () => {
  it.each([
    ['negative', { apower: -4 }, 'ABSURD_READING', /said -4 W \(negative\), which can't be.*turned round/],
    ['absurd', { apower: 1e6 }, 'ABSURD_READING', /more than 100000 W/],
    ['not there', { apower: null }, 'MISSING_READINGS', /no value/],
    ['text', { apower: 'confidential words' }, 'MISSING_READINGS', /is not a number$/],
    ['failed', { apower: 3, errors: ['power_meter_failure'] }, 'MISSING_READINGS', /its meter failed/],
  ])('%s: no reading, one flag however long it lasts, then how often', async (_, bad, code, said) => {
    let asked = 0;
    const url = await serve(() => (++asked <= 4 ? bad : { apower: 5 }));
    const { events } = await observe(meterAt(`${url}/s`, { profile: 'shelly' }), (soFar) => readingsOf(soFar).length > 0);
    expect(wattsOf(events)).toEqual([5]);
    expect(flagsOf(events)).toMatchObject([{ code, count: 1 }, { code, count: 3 }]);
    expect(flagsOf(events)[0]?.detail).toMatch(said);
  });
});

describe('login', () => {
  const login = { user: 'admin', password: 'meter-secret' };
  it.each(['SHA-256', 'MD5', 'basic'] as const)('%s, asked for once', async (scheme) => {
    const url = await serve(() => ({ apower: 7 }), { login: { scheme, ...login } });
    const { events } = await observe(meterAt(`${url}/rpc/Switch.GetStatus?id=0`, { profile: 'shelly', password: { env: 'PLUG' } }), (soFar) => readingsOf(soFar).length >= 5, { environment: { PLUG: login.password } });
    expect(wattsOf(events).length).toBeGreaterThanOrEqual(5);
    expect((server?.asked.length ?? 0) - wattsOf(events).length).toBeLessThanOrEqual(2);
  });

  it('a nonce that is over is replaced', async () => {
    const url = await serve(() => ({ apower: 7 }), { login: { scheme: 'SHA-256', ...login }, nonceLasts: 2 });
    const { events } = await observe(meterAt(`${url}/s`, { profile: 'shelly', password: login.password }), (soFar) => readingsOf(soFar).length >= 6);
    expect(flagsOf(events)).toEqual([]);
  });

  it.each([
    ['a wrong password', { password: 'wrong-secret' }, /check user, password/],
    ['none', {}, /wants a login/],
  ])('%s ends the source with an error that does not hold it', async (_, given, said) => {
    const url = await serve(() => ({ apower: 7 }), { login: { scheme: 'SHA-256', ...login } });
    const failed: unknown = await observe(meterAt(url, { profile: 'shelly', ...given }), () => true).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'HTTP_LOGIN', remedy: 'disable' });
    expect(String(failed)).toMatch(said);
    expect(`${String(failed)} ${JSON.stringify(failed)}`).not.toContain('wrong-secret');
  });

  it('Tasmota takes the password in the question, and no message repeats it', async () => {
    const url = await serve((path) => (path.endsWith('&user=admin&password=p%26w') ? failWith(500) : undefined));
    const { events, logged } = await observe(meterAt(url, { profile: 'tasmota', password: 'p&w' }), (soFar) => flagsOf(soFar).length > 0);
    expect(flagsOf(events)[0]?.detail).toContain('answered 500');
    expect(JSON.stringify([events, logged])).not.toMatch(/p&w|p%26w/);
  });
});

describe('a meter in trouble', () => {
  it.each([
    ['drops the connection', BREAK, 'HTTP_UNREACHABLE'],
    ['does not answer', HANG, 'HTTP_UNREACHABLE'],
    ['answers 503', failWith(503), 'HTTP_STATUS'],
    ['answers with a web page', '<html></html>', 'NOT_JSON'],
    ['says nothing of power', { sys: {} }, 'METER_SILENT'],
  ])('%s: breaks, is flagged once, and is read again', async (_, trouble, code) => {
    let asked = 0;
    const url = await serve(() => {
      asked += 1;
      return asked === 3 || asked === 4 ? trouble : { 'switch:0': { apower: asked } };
    });
    const { events } = await observe(meterAt(url, { profile: 'shelly', timeout: 0.2 }), (soFar) => wattsOf(soFar).length >= 4);
    expect(wattsOf(events).slice(0, 4)).toEqual([1, 2, 5, 6]);
    expect(events.filter((event) => event.kind === 'break')).toHaveLength(1);
    expect(flagsOf(events).map((flag) => flag.code)).toEqual([code]);
  });

  it('lets the source end while it does not answer', async () => {
    const url = await serve(() => HANG);
    const began = performance.now();
    const { events } = await observe(meterAt(url, { profile: 'shelly', timeout: 60 }), () => false, {}, 400);
    expect(performance.now() - began).toBeLessThan(3000);
    expect(events).toEqual([]);
  });
});

describe('what the configuration may say', () => {
  it.each([
    [{ url: 'http://admin:hidden-one@plug', profile: 'shelly' }, /not into the address/],
    [{ url: 'http://plug', profile: 'json' }, /needs 'watts'/],
    [{ url: 'http://plug', profile: 'shelly', watts: 'a' }, /needs 'watts'/],
    [{ url: 'plug', profile: 'shelly' }, /url/],
  ])('%j is refused with a reason', (given, reason) => {
    expect(() => liveHttpMeter.open(given)).toThrow(reason);
    expect(() => liveHttpMeter.open(given)).not.toThrow('hidden-one');
  });
});
