/**
 * WattTime, and servers that answer as it does (API v3). A name and password are changed for a token that holds for 30 min.
 *
 *     GET {url}/login                                                     Basic; { "token": "…" }
 *     GET {url}/v3/historical?region=CAISO_NORTH&start=…&end=…&signal_type=co2_moer        Bearer; both ends are included
 *
 *     { "data": [{ "point_time": "2026-11-22T09:00:00Z", "value": 870.1, "imputed_data_used": false }],
 *       "meta": { "region": "CAISO_NORTH", "units": "lbs_co2_per_mwh", "data_point_period_seconds": 300 } }
 *
 * `co2_moer` is the marginal rate (what one kWh more would emit), `co2_aoer` the average one, which is what inventories of emissions ask
 * for. Pounds per MWh become g per kWh; other units are refused.
 */
import { epochMicros } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { exchange, failed, readSecret, type Exchange } from './exchange.js';
import { told, type Failed, type Provider } from './provider.js';

const GRAMS_PER_POUND = 453.592_37;
const KWH_PER_MWH = 1000;
const UNITS = 'lbs_co2_per_mwh';
const DAY = 86_400e6;
/** Less than the 30 min that a token holds. */
const TOKEN_FOR = 25 * 60e6;

const login = z.object({ token: z.string().min(1) });
const answer = z.object({
  data: z.array(z.object({ point_time: z.iso.datetime({ offset: true }), value: z.number().nullable(), imputed_data_used: z.boolean().nullish() })),
  meta: z.object({ region: z.string().optional(), units: z.string(), data_point_period_seconds: z.number().positive().max(86_400) }),
});

interface Entry {
  readonly url: string;
  readonly user: string;
  readonly passwordFile: string;
  readonly signal: string;
}

/** @param now µs since 1970 */
export function wattTime({ url, user, passwordFile, signal: signalType }: Entry, now: () => number, over: Exchange = exchange()): Provider {
  const base = url.replace(/\/+$/, '');
  let token: { readonly text: string; readonly until: number } | undefined;

  async function tokenNow(signal: AbortSignal): Promise<string | Failed> {
    if (token && now() < token.until) return token.text;
    const password = await readSecret(passwordFile);
    if (typeof password !== 'string') return password;
    const basic = Buffer.from(`${user}:${password}`).toString('base64');
    const answered = await over.ask({ url: new URL(`${base}/login`), headers: { authorization: `Basic ${basic}` }, secrets: [password, basic], shape: login, signal });
    if (answered.kind === 'failed') return answered;
    token = { text: answered.body.token, until: now() + TOKEN_FOR };
    return token.text;
  }

  return {
    longest: 30 * DAY,
    async fetch(region, span, signal) {
      const bearer = await tokenNow(signal);
      if (typeof bearer !== 'string') return bearer;
      const address = new URL(`${base}/v3/historical`);
      const said = { region, start: new Date(span.from / 1000).toISOString(), end: new Date(span.to / 1000).toISOString(), signal_type: signalType };
      for (const [name, text] of Object.entries(said)) address.searchParams.set(name, text);
      const answered = await over.ask({ url: address, headers: { authorization: `Bearer ${bearer}` }, secrets: [bearer], shape: answer, signal });
      if (answered.kind === 'failed') {
        // One that does not hold any more is not shown again.
        if (answered.code === 'PROVIDER_REFUSES_TOKEN') token = undefined;
        return answered;
      }
      const { data, meta } = answered.body;
      if (meta.region !== undefined && meta.region !== region) return failed('PROVIDER_ANSWER', `tells of another region when it is asked for '${region}'; check zone`);
      if (meta.units !== UNITS) return failed('PROVIDER_ANSWER', `tells ${signalType} in another unit than ${UNITS}; name another signal`);
      const length = meta.data_point_period_seconds * 1e6;
      return told(
        data.flatMap(({ point_time: at, value, imputed_data_used: imputed }) => {
          if (value === null) return [];
          const from = epochMicros(Date.parse(at) * 1000);
          return [{ from, to: epochMicros(from + length), grams: (value * GRAMS_PER_POUND) / KWH_PER_MWH, estimated: imputed === true }];
        }),
        span,
      );
    },
    close: () => over.close(),
  };
}
