/**
 * Electricity Maps, and servers that answer as it does (API v3). The header `auth-token` carries the token.
 *
 *     GET {url}/carbon-intensity/history?zone=DE                          the last 24 h:  { "history": [ … ] }
 *     GET {url}/carbon-intensity/past-range?zone=DE&start=…&end=…         at most 10 d:   { "data": [ … ] }
 *
 *     { "datetime": "2026-11-22T09:00:00.000Z", "carbonIntensity": 381, "isEstimated": true, "temporalGranularity": "hourly" }
 *
 * Beside them stands the `zone` that is told: who asks for one that they do not know is told that of its own address.
 * `carbonIntensity` is in g CO2e per kWh (life cycle, flow-traced); null where they know none. A value holds for the hour that
 * begins at `datetime`, or for what `temporalGranularity` says. Free tokens may ask for `history` of one zone only.
 */
import { epochMicros } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { exchange, failed, readSecret, type Exchange } from './exchange.js';
import { told, type Provider, type Reported } from './provider.js';

const HOUR = 3600e6;
const RECENT = 24 * HOUR;
/** Time goes on between who asks and here. */
const SLACK = HOUR / 2;
const LENGTHS: Readonly<Record<string, number>> = { '5_minutes': HOUR / 12, '15_minutes': HOUR / 4, hourly: HOUR };

const value = z.object({ datetime: z.iso.datetime({ offset: true }), carbonIntensity: z.number().nullable(), isEstimated: z.boolean().nullish(), temporalGranularity: z.enum(['5_minutes', '15_minutes', 'hourly']).nullish() });
const zoneTold = z.string().optional();
const answer = z.union([
  z.object({ zone: zoneTold, history: z.array(value) }).transform(({ zone, history: values }) => ({ zone, values })),
  z.object({ zone: zoneTold, data: z.array(value) }).transform(({ zone, data: values }) => ({ zone, values })),
]);

function reportedOf({ datetime, carbonIntensity, isEstimated, temporalGranularity }: z.output<typeof value>): Reported[] {
  if (carbonIntensity === null) return [];
  const length = LENGTHS[temporalGranularity ?? 'hourly'] ?? HOUR;
  // The newest may say the moment it was made, within its hour.
  const from = epochMicros(Math.floor((Date.parse(datetime) * 1000) / length) * length);
  return [{ from, to: epochMicros(from + length), grams: carbonIntensity, estimated: isEstimated === true }];
}

/** @param now µs since 1970 */
export function electricityMaps({ url, tokenFile }: { readonly url: string; readonly tokenFile: string }, now: () => number, over: Exchange = exchange()): Provider {
  return {
    longest: 10 * RECENT,
    async fetch(zone, span, signal) {
      const token = await readSecret(tokenFile);
      if (typeof token !== 'string') return token;
      const isRecent = span.from >= now() - RECENT - SLACK;
      const address = new URL(`${url.replace(/\/+$/, '')}/carbon-intensity/${isRecent ? 'history' : 'past-range'}`);
      const said = isRecent ? { zone } : { zone, start: new Date(span.from / 1000).toISOString(), end: new Date(span.to / 1000).toISOString() };
      for (const [name, text] of Object.entries(said)) address.searchParams.set(name, text);
      const answered = await over.ask({ url: address, headers: { 'auth-token': token }, secrets: [token], shape: answer, signal });
      if (answered.kind === 'failed') return answered;
      const { zone: toldOf, values } = answered.body;
      if (toldOf !== undefined && toldOf !== zone) return failed('PROVIDER_ANSWER', `tells of another zone when it is asked for '${zone}'; check zone`);
      return told(values.flatMap(reportedOf), span);
    },
    close: () => over.close(),
  };
}
