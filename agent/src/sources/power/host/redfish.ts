/** The server's power as its management controller says it by Redfish. */
import { readFile } from 'node:fs/promises';
import { codeOf, TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { isFault } from '../../cells.js';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled, type Poller } from '../../polled.js';
import type { LiveContext, LivePower, PowerEvent } from '../../source.js';
import { addressOption } from '../meters/http-asker.js';
import { powerGauge } from '../power-gauge.js';
import { redfishClient, type RedfishAccess, type RedfishClient } from './redfish-client.js';
import { isPin } from './redfish-trust.js';
import { energyIn, SOURCE, walk, wattsOf } from './redfish-walk.js';
import { reveal, secretOption } from '../secret.js';

const text = z.string().min(1);
const options = z
  .strictObject({
    url: addressOption,
    username: text.optional(),
    password: secretOption.optional(),
    /** Of a session that someone else keeps. */
    token: secretOption.optional(),
    login: z.enum(['session', 'basic']).default('session'),
    /** File with the PEM of the authority. */
    ca: text.optional(),
    fingerprint: z.string().refine(isPin, 'a fingerprint is the SHA-256 of the certificate: 64 hexadecimal digits').optional(),
    insecure: z.boolean().default(false),
    device: text.default('server'),
    chassis: text.optional(),
    gpus: z.enum(['no', 'check', 'book']).default('no'),
    period: duration.prefault('10s').refine((value) => value >= 1 && value <= 300, 'a period is 1 s to 5 min'),
    timeout: duration.prefault('10s').refine((value) => value >= 1 && value <= 60, 'a timeout is 1 s to 60 s'),
  })
  .refine(({ username, password }) => (username === undefined) === (password === undefined), 'username and password go together')
  .refine(({ username, token }) => username === undefined || token === undefined, 'give username and password, or a token')
  .refine(({ ca, fingerprint, insecure }) => [ca, fingerprint, insecure || undefined].filter((each) => each !== undefined).length <= 1, 'give one of ca, fingerprint and insecure')
  .refine(({ url, insecure }) => insecure || !/^http:/i.test(url), 'http sends the password in the clear: use https, or say insecure: true');

export type RedfishOptions = Omit<z.output<typeof options>, 'period' | 'timeout'> & { readonly period: Seconds; readonly timeout: Seconds };

export const liveRedfish: LivePowerKind = liveKind({
  name: SOURCE,
  summary: "the server's power as its management controller says it by Redfish",
  options,
  open: (chosen) => redfish({ ...chosen, period: seconds(chosen.period), timeout: seconds(chosen.timeout) }),
  detect: async () => ({ found: false, reason: 'a controller needs a login: configure url, username and password' }),
});

export function redfish(chosen: RedfishOptions): LivePower {
  const { url, period, timeout } = chosen;
  return polled({
    name: SOURCE,
    description: `Redfish at ${new URL(url).host} every ${period} s`,
    period,
    // The walk at the start asks for dozens of documents; each of them has its own limit.
    limit: seconds(Math.max(120, 4 * timeout)),
    open: (context) => open(chosen, context),
  });
}

async function open(chosen: RedfishOptions, context: LiveContext): Promise<Poller> {
  const client = redfishClient(await accessOf(chosen, context.environment));
  try {
    return await poller(client, chosen, context);
  } catch (error) {
    await client.close();
    // The agent is ending: no one wants to read why the question was broken off.
    if (context.signal.aborted) return { read: () => [] };
    throw error;
  }
}

async function poller(client: RedfishClient, { device, chassis, gpus }: RedfishOptions, context: LiveContext): Promise<Poller> {
  const { signal, now } = context;
  const get = (path: string): Promise<unknown> => client.get(path, signal);
  const places = (await walk(get, { device, chassis, gpus })).map((place) => ({ ...place, gauge: powerGauge(place.channel) }));
  return {
    async read() {
      const events: PowerEvent[] = [];
      try {
        for (const { paths, gauge, energy } of places) {
          const documents: unknown[] = [];
          for (const path of paths) {
            const document = await get(path);
            // Its ids change with its firmware: look for them anew.
            if (document === undefined) throw new TelemetryError('REDFISH_GONE', `${path} is gone; the controller is asked anew where its power is.`, 'retry');
            documents.push(document);
          }
          const at = now();
          const watts = wattsOf(documents, paths);
          events.push(...gauge.say(isFault(watts) ? undefined : watts, at, isFault(watts) ? `its reading ${watts.fault}` : undefined));
          const total = energy && energyIn(documents[0], paths[0]);
          if (energy && total !== undefined) events.push({ kind: 'reading', channel: energy, at, measures: 'counter', total });
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      }
      return events;
    },
    close: () => client.close(),
  };
}

async function accessOf({ url, username, password, token, login, ca, fingerprint, insecure, timeout }: RedfishOptions, environment: NodeJS.ProcessEnv): Promise<RedfishAccess> {
  return {
    url: new URL(url),
    timeout,
    insecure,
    fingerprint,
    ...(username !== undefined && password !== undefined && { login: { username, password: reveal(password, environment, 'password'), basicOnly: login === 'basic' } }),
    ...(token !== undefined && { login: { token: reveal(token, environment, 'token') } }),
    ...(ca !== undefined && { ca: await authority(ca) }),
  };
}

async function authority(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new TelemetryError('REDFISH_CA', `The authority's certificate ${file} can't be read (${codeOf(error) ?? 'unknown error'}): correct ca.`, 'disable');
  }
}
