import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { channelsOf, codesOf, readingsOf, valuesOf, watch } from '../live.testing.js';
import { CHASSIS, environment, few, METRICS, POWER, rack, sensor, setDocuments, sourceOf, WITH_METRICS } from './redfish-rack.testing.js';
import { certificate, collection, hasOpenssl, ifNoOpenssl, link, startRedfish, type Certificate, type RedfishServer } from './redfish-server.testing.js';
import { liveRedfish, type RedfishOptions } from './redfish.js';

const bay = (name: string): string => `${CHASSIS}/1U/PowerSubsystem/PowerSupplies/${name}`;

describe.skipIf(!hasOpenssl)(`power of a controller on loopback${ifNoOpenssl}`, () => {
  let good: Certificate;
  let server: RedfishServer;
  beforeAll(async () => {
    good = await certificate();
  });
  afterAll(() => good.remove());
  beforeEach(async () => {
    server = await startRedfish(good, WITH_METRICS);
  });
  afterEach(() => server.close());
  const source = (options?: Partial<RedfishOptions>) => sourceOf(server, good, options);
  const documents = (all: Readonly<Record<string, object>>): void => setDocuments(server, all);

  it('follows the power as it changes, in one session over one connection, and gives the session back', async () => {
    const { events } = await watch(source(), (soFar) => {
      if (valuesOf(soFar).length === 2) server.documents.set(METRICS, environment(5120.5));
      return valuesOf(soFar).includes(5120.5);
    });
    expect(valuesOf(events).slice(0, 2)).toEqual([374, 374]);
    expect(readingsOf(events)[0]?.channel).toMatchObject({ id: 'redfish/server/PowerWatts', device: 'server', boundary: 'server', source: 'redfish', measures: 'power' });
    expect(server.requests.filter((request) => request.startsWith('POST'))).toHaveLength(1);
    expect(server.requests.at(-1)).toMatch(/^DELETE /);
    expect(server.sessions.size).toBe(0);
    expect([server.most(), server.connections()]).toEqual([1, 1]);
  });

  it('takes the facts of the sensor behind the metrics, and energy as a check', async () => {
    documents({
      ...WITH_METRICS,
      [METRICS]: environment('374', { PowerWatts: { Reading: '374', DataSourceUri: `${CHASSIS}/1U/Sensors/TotalPower` }, EnergykWh: { Reading: 325_675.25 } }),
      [`${CHASSIS}/1U/Sensors/TotalPower`]: { SensingInterval: 'PT0.25S', Accuracy: 0.2 },
    });
    const { events } = await watch(source(), few(2));
    expect(channelsOf(events)).toMatchObject({
      'redfish/server/PowerWatts': { sensor: { refresh: 0.25, gain: { low: -0.002, high: 0.002 } } },
      'redfish/server/energy': { measures: 'counter', use: 'check' },
    });
    expect(valuesOf(events).slice(0, 2)).toEqual([374, 1_172_430_900_000_000_000n]);
  });

  it('falls from metrics that say nothing to a total sensor, among sensors of parts', async () => {
    documents({
      ...rack({ EnvironmentMetrics: link(METRICS), Sensors: link(sensor('')), Power: link(POWER) }),
      [METRICS]: environment(null),
      [sensor('')]: collection(sensor('FanBay1'), sensor('TotalGPUPower'), sensor('PowerLimit'), sensor('SystemBoardPwrConsumption')),
      [sensor('SystemBoardPwrConsumption')]: { '@odata.type': '#Sensor.v1_6_0.Sensor', Id: 'SystemBoardPwrConsumption', ReadingType: 'Power', Reading: 144 },
      [POWER]: { PowerControl: [{ PowerConsumedWatts: 999 }] },
    });
    const { events } = await watch(source(), few(1));
    expect(valuesOf(events)).toEqual([144]);
    expect(server.requests).not.toContain(`GET ${sensor('TotalGPUPower')}`);
  });

  it('adds up what every supply takes in, without those that are not there', async () => {
    const supply = (name: string, watts: unknown): Record<string, object> => ({ [bay(name)]: { Status: { State: 'Enabled' }, Metrics: link(`${bay(name)}/Metrics`) }, [`${bay(name)}/Metrics`]: { InputPowerWatts: { Reading: watts } } });
    documents({
      ...rack({ PowerSubsystem: link(`${CHASSIS}/1U/PowerSubsystem`) }),
      [`${CHASSIS}/1U/PowerSubsystem`]: { PowerSupplies: link(bay('')) },
      [bay('')]: collection(bay('A'), bay('B'), bay('C')),
      ...supply('A', 704),
      ...supply('B', '688.5'),
      [bay('C')]: { Status: { State: 'Absent' } },
    });
    const { events } = await watch(source(), (soFar) => {
      if (readingsOf(soFar).length === 1) server.documents.set(`${bay('B')}/Metrics`, { InputPowerWatts: { Reading: 'nan' } });
      return codesOf(soFar).length > 0;
    });
    expect(new Set(valuesOf(events))).toEqual(new Set([1392.5]));
    expect(codesOf(events)).toEqual(['MISSING_READINGS']);
  });

  it('claims no sum of the supplies that have metrics where one has none', async () => {
    documents({
      ...rack({ PowerSubsystem: link(`${CHASSIS}/1U/PowerSubsystem`), Power: link(POWER) }),
      [`${CHASSIS}/1U/PowerSubsystem`]: { PowerSupplies: link(bay('')) },
      [bay('')]: collection(bay('A'), bay('B')),
      [bay('A')]: { Metrics: link(`${bay('A')}/Metrics`) },
      [`${bay('A')}/Metrics`]: { InputPowerWatts: { Reading: 704 } },
      [bay('B')]: { Status: { State: 'Enabled' } },
      [POWER]: { PowerControl: [{ PowerConsumedWatts: 1344 }] },
    });
    expect(valuesOf((await watch(source(), few(1))).events)).toEqual([1344]);
  });

  it('reads the old schema, also where the chassis does not link to it', async () => {
    documents({ ...rack({}), [POWER]: { PowerControl: [{ Name: 'Server Power Control', PowerConsumedWatts: 232 }, { Name: 'CPU Sub-system Power', PowerConsumedWatts: 90 }] } });
    expect(valuesOf((await watch(source(), few(1))).events)).toEqual([232]);
  });

  it('books one chassis and takes what is inside of it for a check, unless told which', async () => {
    const board = `${CHASSIS}/HGX_Chassis_0`;
    documents({
      [CHASSIS]: collection(board, `${CHASSIS}/1U`),
      [`${CHASSIS}/1U`]: { ChassisType: 'RackMount', EnvironmentMetrics: link(METRICS) },
      [METRICS]: environment(6000),
      [board]: { EnvironmentMetrics: link(`${board}/EnvironmentMetrics`) },
      [`${board}/EnvironmentMetrics`]: environment(5000),
    });
    const { events } = await watch(source(), few(2));
    expect(Object.values(channelsOf(events)).map(({ device, use }) => [device, use])).toEqual([['server', undefined], ['server/HGX_Chassis_0', 'check']]);
    expect(valuesOf((await watch(source({ chassis: 'HGX_Chassis_0', device: 'baseboard' }), few(1))).events, 'redfish/baseboard/PowerWatts')).toEqual([5000]);
    expect((await watch(source({ chassis: '2U' }), few(1))).ended).toBe("REDFISH_CHASSIS (disable): redfish: there is no chassis '2U': it has HGX_Chassis_0, 1U.");
  });

  it.each([
    ['check', 'check'],
    ['book', undefined],
  ] as const)('reads the GPUs of a baseboard as nvidia-smi calls them: %s', async (gpus, use) => {
    const processors = '/redfish/v1/Systems/HGX_Baseboard_0/Processors';
    documents({
      ...WITH_METRICS,
      '/redfish/v1/Systems': collection('/redfish/v1/Systems/HGX_Baseboard_0'),
      '/redfish/v1/Systems/HGX_Baseboard_0': { Processors: link(processors) },
      [processors]: collection(`${processors}/CPU_0`, `${processors}/GPU_SXM_1`),
      [`${processors}/CPU_0`]: { ProcessorType: 'CPU' },
      [`${processors}/GPU_SXM_1`]: { ProcessorType: 'GPU', UUID: 'E0F94E2B-6F7A-4BBD-9A0C-0123456789AB', EnvironmentMetrics: link(`${processors}/GPU_SXM_1/EnvironmentMetrics`) },
      [`${processors}/GPU_SXM_1/EnvironmentMetrics`]: { PowerLimitWatts: { Reading: 64.388, SetPoint: 700 } },
    });
    const { events } = await watch(source({ gpus }), few(2));
    expect(readingsOf(events)[1]).toMatchObject({ power: 64.388, channel: { device: 'GPU-e0f94e2b-6f7a-4bbd-9a0c-0123456789ab', boundary: 'gpu' } });
    expect(readingsOf(events)[1]?.channel.use).toBe(use);
  });
});

describe('options', () => {
  const url = 'https://bmc.example';
  it('are taken by name', () => {
    expect(liveRedfish.open({ url, username: 'u', password: { env: 'BMC' }, fingerprint: 'ab'.repeat(32), period: '5s' })).toMatchObject({ period: 5, description: 'Redfish at bmc.example every 5 s' });
  });

  it.each([
    [{}, /url/],
    [{ url: 'https://root:calvin@bmc' }, /not into the address/],
    [{ url: 'http://bmc' }, /in the clear/],
    [{ url, username: 'u' }, /go together/],
    [{ url, username: 'u', password: 'p', token: 't' }, /or a token/],
    [{ url, insecure: true, fingerprint: 'ab'.repeat(32) }, /one of ca, fingerprint and insecure/],
    [{ url, fingerprint: 'abcd' }, /64 hexadecimal digits/],
  ])('refuses %o', (options, fault) => {
    expect(() => liveRedfish.open(options)).toThrow(fault);
  });

  it('is not found by itself: it needs a login', async () => {
    expect(await liveRedfish.detect({})).toMatchObject({ found: false });
  });
});
