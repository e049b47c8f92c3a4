import { instant } from '@joulebook/shared/units.js';
import { afterEach, describe, expect, it } from 'vitest';
import { flagsOf, observe, readingsOf, totalsOf, wattsOf } from '../../live.testing.js';
import { failWith, startServer, type TestServer, type TestServerOptions } from './http-server.testing.js';
import { livePrometheusPower } from './prometheus-power.js';

let server: TestServer | undefined;
afterEach(() => server?.stop());
const serve = async (answer: TestServerOptions['answer'], more: Partial<TestServerOptions> = {}): Promise<string> => {
  server = await startServer({ answer, ...more });
  return server.url;
};
const source = (url: string, more: Readonly<Record<string, unknown>>) => livePrometheusPower.open({ url, period: 0.05, timeout: 2, measures: 'watts', ...more });
const seconds = (): number => Date.now() / 1000;

const PAGE = `# HELP pdu_watts Power.
# TYPE pdu_watts gauge
pdu_watts{rack="7",feed="a"} 2500.5
pdu_watts{rack="7",feed="b"} 1300
pdu_watts{rack="8",feed="a"} 900
node_joules_total{host="n1"} 12.5
chassis_kwh 3
`;

describe('a metrics page', () => {
  it('one metric, chosen by labels', async () => {
    const url = await serve((path) => (path === '/metrics' ? PAGE : undefined));
    const { events } = await observe(source(`${url}/metrics`, { metric: 'pdu_watts', labels: { rack: '8' }, device: 'rack 8', refresh: '30s', averagedOver: 1, contains: ['n8'] }), (soFar) => readingsOf(soFar).length >= 2);
    expect(wattsOf(events, 'rack 8').slice(0, 2)).toEqual([900, 900]);
    expect(readingsOf(events)[0]?.channel).toEqual({ id: 'prometheus-power/rack 8/power', device: 'rack 8', boundary: 'meter', source: 'prometheus-power', measures: 'power', contains: ['n8'], sensor: { gain: { low: -0.01, high: 0.01 }, refresh: 30, averagedOver: 1 } });
  });

  it('one device for each value of a label', async () => {
    const url = await serve(() => PAGE);
    const { events } = await observe(source(url, { metric: 'pdu_watts', labels: { rack: '7' }, deviceLabel: 'feed' }), (soFar) => readingsOf(soFar).length >= 2);
    expect([wattsOf(events, 'a')[0], wattsOf(events, 'b')[0]]).toEqual([2500.5, 1300]);
  });

  it.each([
    ['node_joules_total', 'joules', 'server', 12_500_000n],
    ['chassis_kwh', 'kilowattHours', 'meter', 10_800_000_000_000n],
    ['chassis_kwh', 'millijoules', 'server', 3000n],
  ])('%s as %s at %s is a counter that may be booked', async (metric, measures, boundary, total) => {
    const url = await serve(() => PAGE);
    const { events } = await observe(source(url, { metric, measures, boundary, device: 'it' }), (soFar) => readingsOf(soFar).length >= 1);
    expect(totalsOf(events, 'it')[0]).toBe(total);
    expect(readingsOf(events)[0]?.channel).toMatchObject({ boundary, measures: 'counter' });
    expect(readingsOf(events)[0]?.channel.use).toBeUndefined();
  });

  it('says kilowatts in watts, and can be for cross-checks only', async () => {
    const url = await serve(() => 'feed_kw 1.5\n');
    const { events } = await observe(source(url, { metric: 'feed_kw', measures: 'kilowatts', device: 'feed', use: 'check' }), (soFar) => readingsOf(soFar).length >= 1);
    expect(wattsOf(events)[0]).toBe(1500);
    expect(readingsOf(events)[0]?.channel.use).toBe('check');
  });

  it('several series of one name are not read: which is meant is not known', async () => {
    const url = await serve(() => PAGE);
    const { events } = await observe(source(url, { metric: 'pdu_watts', device: 'rack' }), (soFar) => soFar.length > 0);
    expect(events).toMatchObject([{ kind: 'flagged', code: 'SERIES_SEVERAL', count: 1, device: 'rack' }]);
  });

  it('a series without the device label is flagged and not read', async () => {
    const url = await serve(() => 'w{d="x"} 4\nw 5\n');
    const { events } = await observe(source(url, { metric: 'w', deviceLabel: 'd' }), (soFar) => readingsOf(soFar).length >= 2);
    expect(new Set(wattsOf(events))).toEqual(new Set([4]));
    expect(flagsOf(events)).toMatchObject([{ code: 'SERIES_NAMELESS', count: 1 }]);
  });

  it.each([
    ['NaN', 'MISSING_READINGS|ABSURD_READING'],
    ['-3', 'ABSURD_READING'],
    ['+Inf', 'ABSURD_READING'],
    ['1e9', 'ABSURD_READING'],
  ])('%s is no power', async (value, code) => {
    const url = await serve(() => `w ${value}\n`);
    const { events } = await observe(source(url, { metric: 'w', device: 'x' }), (soFar) => soFar.length > 0);
    expect(events).toHaveLength(1);
    expect(flagsOf(events)[0]?.code).toMatch(new RegExp(`^(?:${code})$`));
  });

  it('0 of a GPU is a sensor that does not know, 0 of a meter is nothing drawn', async () => {
    const url = await serve(() => 'w 0\n');
    const gpu = await observe(source(url, { metric: 'w', device: 'x', boundary: 'gpu' }), (soFar) => soFar.length > 0);
    expect(gpu.events).toMatchObject([{ kind: 'flagged', device: 'x' }]);
    const meter = await observe(source(url, { metric: 'w', device: 'x' }), (soFar) => soFar.length > 0);
    expect(wattsOf(meter.events)).toEqual([0]);
  });

  it('a sample with its own time is read once, and not at all when it is old or of the future', async () => {
    const at = Math.floor(seconds()) - 2;
    let time = at;
    const url = await serve(() => `w 6 ${time * 1000}\n`);
    const { events } = await observe(source(url, { metric: 'w', device: 'x' }), (soFar) => {
      if (flagsOf(soFar).length === 1) time = at + 900;
      return flagsOf(soFar).length >= 2;
    }, { now: () => instant(seconds() + ((server?.asked.length ?? 0) > 4 ? 600 : 0)) });
    expect(readingsOf(events).map((reading) => reading.at)).toEqual([at]);
    expect(flagsOf(events).map(({ code }) => code)).toEqual(['STALE_SAMPLES', 'STALE_SAMPLES']);
  });

  it('a series that is gone is flagged, the page without any breaks', async () => {
    let page = 'w{d="x"} 1\nw{d="y"} 2\n';
    const url = await serve(() => page);
    const { events } = await observe(source(url, { metric: 'w', deviceLabel: 'd' }), (soFar) => {
      if (readingsOf(soFar).length >= 2) page = 'w{d="x"} 1\n';
      if (flagsOf(soFar).length >= 1) page = 'other 1\n';
      return flagsOf(soFar).some(({ code }) => code === 'SERIES_MISSING');
    });
    expect(flagsOf(events).find(({ device }) => device === 'y')).toMatchObject({ code: 'MISSING_READINGS' });
    expect(events.find((event) => event.kind === 'break')?.channels.map(({ device }) => device)).toEqual(['x', 'y']);
  });
});

const answer = (data: unknown) => ({ status: 'success', data });

describe('a Prometheus server', () => {
  it('is asked a query; a value of the moment gets the time of the moment', async () => {
    const url = await serve((path) => (path === '/prom/api/v1/query?query=sum(w%7Brack%3D%227%22%7D)' ? answer({ resultType: 'vector', result: [{ metric: {}, value: [1, '3800.5'] }] }) : undefined));
    const { events } = await observe(source(`${url}/prom/`, { query: 'sum(w{rack="7"})', device: 'rack 7' }), (soFar) => readingsOf(soFar).length >= 2);
    expect(wattsOf(events, 'rack 7').slice(0, 2)).toEqual([3800.5, 3800.5]);
    expect(Math.abs((readingsOf(events)[0]?.at ?? 0) - seconds())).toBeLessThan(20);
  });

  it('a range gives every sample once, at its own time', async () => {
    const from = Math.floor(seconds()) - 30;
    let count = 1;
    const url = await serve(() => {
      count += 1;
      return answer({ resultType: 'matrix', result: [{ metric: { d: 'x' }, values: Array.from({ length: count }, (_, index) => [from + index, String(100 + index)]) }] });
    });
    const { events } = await observe(source(url, { query: 'w[1m]', deviceLabel: 'd' }), (soFar) => readingsOf(soFar).length >= 4);
    expect(wattsOf(events).slice(0, 4)).toEqual([100, 101, 102, 103]);
    expect(readingsOf(events).slice(0, 4).map(({ at }) => at - from)).toEqual([0, 1, 2, 3]);
  });

  it('a scalar is a value too', async () => {
    const url = await serve(() => answer({ resultType: 'scalar', result: [1, '12'] }));
    const { events } = await observe(source(url, { query: 'scalar(w)', device: 'x' }), (soFar) => readingsOf(soFar).length >= 1);
    expect(wattsOf(events)[0]).toBe(12);
  });

  it.each([
    ['no result', answer({ resultType: 'vector', result: [] }), 'SERIES_MISSING', /no result for the query/],
    ['an error', { status: 'error', errorType: 'bad_data', error: 'parse error' }, 'QUERY_FAILED', /parse error/],
    ['another kind of server', { hello: 1 }, 'QUERY_FAILED', /does not|did not/],
    ['status 500', failWith(500), 'HTTP_STATUS', /500/],
  ])('%s is flagged', async (_, page, code, said) => {
    const url = await serve(() => page);
    const { events } = await observe(source(url, { query: 'w', device: 'x' }), (soFar) => flagsOf(soFar).length > 0);
    expect(flagsOf(events)).toMatchObject([{ code }]);
    expect(flagsOf(events)[0]?.detail).toMatch(said);
  });

  it('takes a login', async () => {
    const url = await serve(() => answer({ resultType: 'scalar', result: [1, '12'] }), { login: { scheme: 'basic', user: 'me', password: 'prom-secret' } });
    const { events } = await observe(source(url, { query: 'w', device: 'x', user: 'me', password: 'prom-secret' }), (soFar) => readingsOf(soFar).length >= 1);
    expect(wattsOf(events)[0]).toBe(12);
    await expect(observe(source(url, { query: 'w', device: 'x', token: 'prom-token' }), () => true)).rejects.toMatchObject({ code: 'HTTP_LOGIN' });
  });
});

describe('what the configuration may say', () => {
  it.each([
    [{ metric: 'w', query: 'w', device: 'x' }, /give 'metric'/],
    [{ device: 'x' }, /give 'metric'/],
    [{ metric: 'w' }, /give 'device'/],
    [{ metric: 'w', device: 'x', deviceLabel: 'd' }, /give 'device'/],
    [{ metric: 'w w', device: 'x' }, /no name of a metric/],
    [{ metric: 'w', device: 'x', user: 'me' }, /go together/],
  ])('%j is refused with a reason', (given, reason) => {
    expect(() => source('http://meter', given)).toThrow(reason);
  });
});
