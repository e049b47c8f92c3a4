/** A server that answers as Electricity Maps and WattTime do, and one that goes wrong in the ways that servers do. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const HOUR = 3600e6;

export interface FakeProvider {
  readonly url: string;
  /** `GET /carbon-intensity/history?zone=DE`, in order. */
  readonly asked: string[];
  /** What answers instead, until it is taken back. */
  instead: RequestListener | undefined;
  /** µs: what is the newest that it knows. */
  now: number;
  /** g/kWh of the hour that begins then; null: not known. */
  gramsOf: (from: number) => number | null;
  close(): Promise<void>;
}

export const TOKEN = 'a-token-of-somebody';
export const USER = 'acme';
export const PASSWORD = 'a-password-of-somebody';
const BEARER = 'a-bearer-for-half-an-hour';

export const json = (response: ServerResponse, body: unknown, status = 200): void => void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

const times = (from: number, to: number, step: number): number[] => Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, index) => from + index * step);
const iso = (micros: number): string => new Date(micros / 1000).toISOString();

export async function fakeProvider(now: number): Promise<FakeProvider> {
  const asked: string[] = [];
  const fake: Omit<FakeProvider, 'url'> = {
    asked, now, instead: undefined, gramsOf: (from) => 300 + ((from / HOUR) % 24),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  const values = (from: number, to: number) => times(Math.ceil(from / HOUR) * HOUR, Math.min(to, fake.now), HOUR).map((at) => ({ datetime: iso(at), carbonIntensity: fake.gramsOf(at), isEstimated: at >= fake.now - HOUR, temporalGranularity: 'hourly' }));

  function electricityMaps(request: IncomingMessage, url: URL, response: ServerResponse): void {
    if (request.headers['auth-token'] !== TOKEN) return json(response, { error: `Invalid auth-token ${request.headers['auth-token']?.toString()}` }, 401);
    const zone = url.searchParams.get('zone');
    if (url.pathname.endsWith('/history')) return json(response, { zone, history: values(fake.now - 24 * HOUR, fake.now) });
    const [start, end] = ['start', 'end'].map((name) => Date.parse(url.searchParams.get(name) ?? '') * 1000);
    if (end === undefined || start === undefined || !(end - start <= 240 * HOUR)) return json(response, { error: 'range too long' }, 400);
    json(response, { zone, data: values(start, end) });
  }

  function wattTime(request: IncomingMessage, url: URL, response: ServerResponse): void {
    if (url.pathname === '/login') return request.headers.authorization === `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}` ? json(response, { token: BEARER }) : json(response, 'no', 403);
    if (request.headers.authorization !== `Bearer ${BEARER}`) return json(response, { error: 'Invalid token' }, 401);
    const [start = 0, end = 0] = ['start', 'end'].map((name) => Date.parse(url.searchParams.get(name) ?? '') * 1000);
    // Both ends are included.
    const data = times(Math.ceil(start / 300e6) * 300e6, Math.min(end + 1, fake.now), 300e6).map((at) => ({ point_time: iso(at), value: fake.gramsOf(Math.floor(at / HOUR) * HOUR), imputed_data_used: false }));
    json(response, { data, meta: { region: url.searchParams.get('region'), signal_type: url.searchParams.get('signal_type'), units: 'lbs_co2_per_mwh', data_point_period_seconds: 300 } });
  }

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://fake');
    asked.push(`${request.method} ${url.pathname}${url.search}`);
    if (fake.instead) fake.instead(request, response);
    else if (url.pathname.startsWith('/carbon-intensity/')) electricityMaps(request, url, response);
    else wattTime(request, url, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address: AddressInfo | string | null = server.address();
  return Object.assign(fake, { url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` });
}
