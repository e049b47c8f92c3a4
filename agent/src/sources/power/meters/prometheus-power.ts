/**
 * Power or energy from any Prometheus metrics page, or from a Prometheus server: a facility's meters often live there.
 * A plain selector asked of a server hides how old its sample is (up to five minutes); ask for a range, `meter_watts[2m]`,
 * and every sample comes with its own time.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { seconds, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import type { Fault } from '../../cells.js';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled, type Poller } from '../../polled.js';
import { parsePrometheusText } from '../../serving/metrics/prometheus-text.js';
import type { Flagged, LiveContext, LivePower, PowerEvent } from '../../source.js';
import { addressOption, httpAsker } from './http-asker.js';
import { accuracyOption, ENERGY_UNITS, meter, MICROJOULES, microjoulesOf, POWER_UNITS, sensorOf, WATTS, type Meter } from './meter.js';
import { seriesOfPage, seriesOfQuery, type Series } from './prometheus-series.js';
import { reveal, secretOption } from '../secret.js';
import { sensorAt } from '../sensors.js';
import { trouble, type Trouble } from '../trouble.js';

const NAME = 'prometheus-power';
const LONGEST_PAGE_BYTES = 32 * 1024 * 1024;
/** As old as Prometheus itself lets a sample be. */
const STALE_SECONDS = 300;
const AHEAD_SECONDS = 60;

const options = z
  .strictObject({
    url: addressOption,
    /** A metrics page's name of the value … */
    metric: z.string().regex(/^[a-zA-Z_:][\w:]*$/, 'is no name of a metric').optional(),
    labels: z.record(z.string(), z.string()).default({}),
    /** … or a PromQL query for the server at `url`. */
    query: z.string().min(1).optional(),
    measures: z.enum([...POWER_UNITS, ...ENERGY_UNITS]),
    /** The label that tells devices apart, or the one device's name. */
    deviceLabel: z.string().min(1).optional(),
    device: z.string().min(1).optional(),
    boundary: z.enum(BOUNDARIES).default('meter'),
    contains: z.array(z.string().min(1)).min(1).optional(),
    use: z.literal('check').optional(),
    accuracy: accuracyOption,
    averagedOver: duration.optional(),
    refresh: duration.optional(),
    user: z.string().min(1).optional(),
    password: secretOption.optional(),
    token: secretOption.optional(),
    period: duration.prefault('5s').refine((value) => value >= 0.05 && value <= 300, 'a period is 50 ms to 5 m'),
    timeout: duration.prefault('5s').refine((value) => value >= 0.1 && value <= 60, 'a timeout is 100 ms to 60 s'),
  })
  .refine(({ metric, query }) => (metric === undefined) !== (query === undefined), { path: ['metric'], message: "give 'metric' for a metrics page, or 'query' for a Prometheus server" })
  .refine(({ device, deviceLabel }) => (device === undefined) !== (deviceLabel === undefined), { path: ['device'], message: "give 'device', its name, or 'deviceLabel', the label that holds it" })
  .refine(({ user, password }) => (user === undefined) === (password === undefined), { path: ['password'], message: 'user and password go together' });
export type PrometheusPowerOptions = z.output<typeof options>;

export const livePrometheusPower: LivePowerKind = liveKind({
  name: NAME,
  summary: 'power or energy from any Prometheus metrics page or Prometheus server',
  options,
  open: prometheusPower,
  detect: async () => ({ found: false, reason: `a metric is not looked for; name it: power: [{ source: ${NAME}, url: …, metric: …, measures: watts, device: … }]` }),
});

export function prometheusPower(given: PrometheusPowerOptions): LivePower {
  const address = new URL(given.url);
  return polled({
    name: NAME,
    description: `${given.metric ?? 'a query'} of ${address.origin}${address.pathname} every ${given.period} s`,
    period: seconds(given.period),
    limit: seconds(given.timeout * 2 + 1),
    open: async (context) => openPrometheus(given, address, context),
  });
}

function openPrometheus(given: PrometheusPowerOptions, address: URL, { now, signal, environment }: LiveContext): Poller {
  const password = given.password && reveal(given.password, environment, 'password');
  const asker = httpAsker(address, {
    timeout: seconds(given.timeout),
    most: LONGEST_PAGE_BYTES,
    ...(given.user !== undefined && password !== undefined && { credentials: { user: given.user, password } }),
    ...(given.token !== undefined && { token: reveal(given.token, environment, 'token') }),
  });
  const { metric, query } = given;
  const path = query === undefined ? `${address.pathname}${address.search}` : `${address.pathname.replace(/\/+$/, '')}/api/v1/query?query=${encodeURIComponent(query)}`;
  const devices = devicesOf(given);
  return {
    close: () => asker.close(),
    async read() {
      try {
        const { text, at } = await asker.ask(path, now, signal);
        const series = metric === undefined ? seriesOfQuery(text, asker.shown) : seriesOfPage(parsePrometheusText(text).samples, metric, given.labels);
        if (series.length === 0) throw new TelemetryError('SERIES_MISSING', `${asker.shown} has no ${metric === undefined ? 'result for the query' : `sample of '${metric}' with these labels`}.`, 'retry');
        return devices.events(series, at);
      } catch (error) {
        if (signal.aborted) return [];
        throw error;
      }
    },
  };
}

interface Device {
  readonly meter: Meter;
  readonly trouble: Trouble;
  last: number;
}

function devicesOf(given: PrometheusPowerOptions): { events(series: readonly Series[], at: Instant): PowerEvent[] } {
  const devices = new Map<string, Device>();
  const nameless = trouble(NAME);
  const { measures, averagedOver, refresh } = given;
  const sensor = {
    ...sensorOf(sensorAt(given.boundary), given.accuracy),
    ...(averagedOver !== undefined && { averagedOver: seconds(averagedOver) }),
    ...(refresh !== undefined && { refresh: seconds(refresh) }),
  };
  const open = (device: string): Device => ({
    meter: meter({ source: NAME, device, boundary: given.boundary, sensor, contains: given.contains, ...(given.use && { powerUse: given.use, energyUse: given.use }) }),
    trouble: trouble(device),
    last: -Infinity,
  });

  const say = ({ meter: its }: Device, value: number, at: Instant): readonly PowerEvent[] => (isPower(measures) ? its.power(value * WATTS[measures], at) : its.energy(energyOf(value, MICROJOULES[measures]), at));

  function* sayAll(device: Device, { samples }: Series, at: Instant): Generator<PowerEvent> {
    const newest = samples.at(-1)?.at ?? at;
    const bad = timeFault(newest, at);
    if (bad !== undefined) yield* device.trouble.is(bad.reason, { code: 'STALE_SAMPLES', detail: `${NAME}: ${bad.detail}` });
    else {
      yield* device.trouble.over();
      for (const sample of samples) {
        const when = sample.at ?? at;
        // The page or range before this one held it too.
        if (when <= device.last) continue;
        device.last = when;
        yield* say(device, sample.value, when);
      }
    }
  }

  return {
    events(series, at) {
      const events: PowerEvent[] = [];
      const byDevice = new Map<string | undefined, readonly Series[]>();
      for (const each of series) {
        const name = given.device ?? each.labels.get(given.deviceLabel ?? '');
        byDevice.set(name, [...(byDevice.get(name) ?? []), each]);
      }
      const without = byDevice.get(undefined);
      events.push(...(without ? nameless.is('label', { code: 'SERIES_NAMELESS', detail: `${NAME}: ${without.length} series have no label '${given.deviceLabel}' and are not read` }) : nameless.over()));
      for (const name of byDevice.keys()) if (name !== undefined && !devices.has(name)) devices.set(name, open(name));
      for (const [name, device] of devices) {
        const its = byDevice.get(name) ?? [];
        const [only] = its;
        if (only && its.length === 1) events.push(...sayAll(device, only, at));
        else events.push(...device.trouble.is(only ? 'several' : 'gone', unread(name, its.length)));
      }
      return events;
    },
  };
}

const isPower = (measures: PrometheusPowerOptions['measures']): measures is keyof typeof WATTS => measures in WATTS;

/** A counter that says NaN says nothing. */
const energyOf = (count: number, each: bigint): bigint | Fault => microjoulesOf(count, each) ?? { fault: 'the count is not a number' };

function timeFault(newest: Instant, now: Instant): { readonly reason: string; readonly detail: string } | undefined {
  const age = Math.round(now - newest);
  if (age > STALE_SECONDS) return { reason: 'stale', detail: `its newest sample is ${age} s old; nothing is read until there is a newer one` };
  if (age < -AHEAD_SECONDS) return { reason: 'ahead', detail: `its newest sample is ${-age} s in the future; set the clocks` };
  return undefined;
}

const unread = (name: string, count: number): Pick<Flagged, 'code' | 'detail'> =>
  count === 0
    ? { code: 'MISSING_READINGS', detail: `${NAME}: ${name} is not in the answer any more` }
    : { code: 'SERIES_SEVERAL', detail: `${NAME}: ${count} series are called ${name}; which of them is meant is not known, so none is read. Choose by 'labels', or add them up in a query` };
