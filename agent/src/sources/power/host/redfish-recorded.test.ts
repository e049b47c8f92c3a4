import { expect, it } from 'vitest';
import { all, details, flags, recordedFile, refusal } from '../../recorded-file.testing.js';
import type { RecordedPowerEntry } from '../../recorded.js';
import type { PowerEvent } from '../../source.js';
import { channelsOf, readingsOf } from '../live.testing.js';
import { recordedRedfish } from './redfish-recorded.js';

const read = (content: string | readonly object[], options: unknown = {}, entry: Partial<RecordedPowerEntry> = {}): Promise<PowerEvent[]> =>
  all(recordedRedfish.open({ file: recordedFile(typeof content === 'string' ? content : content.map((each) => `${JSON.stringify(each)}\n`).join(''), 'redfish.jsonl'), tz: 'UTC', ...entry }, options).events());
const said = (events: readonly PowerEvent[]): unknown[] => readingsOf(events).map((reading) => [reading.channel.device, reading.at, reading.measures === 'power' ? reading.power : reading.total]);

const T = 1_750_000_000;
const at = (seconds: number, body: object, path?: string): object => ({ time: T + seconds, ...(path !== undefined && { path }), body });
const metrics = (watts: unknown, chassis = '1U'): object => ({ '@odata.id': `/redfish/v1/Chassis/${chassis}/EnvironmentMetrics`, PowerWatts: { Reading: watts } });
const supply = (bay: string, watts: unknown): object => ({ '@odata.id': `/redfish/v1/Chassis/1U/PowerSubsystem/PowerSupplies/${bay}/Metrics`, InputPowerWatts: { Reading: watts } });

it('reads lines of time, path and body, in text or in numbers', async () => {
  const events = await read([at(0, metrics(374)), { time: '2025-06-15T15:06:50Z', body: metrics('380.5') }]);
  expect(said(events)).toEqual([['server', T, 374], ['server', T + 10, 380.5]]);
  expect(readingsOf(events)[0]?.channel).toMatchObject({ id: 'redfish/server/PowerWatts', source: 'redfish', boundary: 'server' });
});

it('reads one array of them, and one document with the time of the manifest', async () => {
  expect(said(await read(JSON.stringify([at(0, metrics(1)), at(1, metrics(2))], null, 2)))).toEqual([['server', T, 1], ['server', T + 1, 2]]);
  expect(said(await read(JSON.stringify(metrics(374), null, 2), { time: '2025-06-15 15:06:40' }))).toEqual([['server', T, 374]]);
  expect(await refusal(read(JSON.stringify(metrics(374))))).toMatch(/^FILE_FORMAT: .*no time: save \{ time, path, body \}/);
});

it('adds up supplies of one time, and claims no sum where one of them is missing', async () => {
  const events = await read([at(0, supply('A', 700)), at(0, supply('B', 688)), at(10, supply('A', 710)), at(20, supply('A', 700)), at(20, supply('B', 'nan')), at(30, supply('A', 1)), at(30, supply('B', 2))]);
  expect(said(events)).toEqual([['server', T, 1388], ['server', T + 30, 3]]);
  expect(flags(events)).toEqual([['MISSING_READINGS', 2]]);
});

it('takes the first chassis for the server and others for checks, energy for a check too', async () => {
  const energy = { EnergykWh: { Reading: 1.5 } };
  const events = await read([at(0, { ...metrics(6000, 'DGX'), ...energy }), at(0, metrics(5000, 'HGX_Chassis_0'))], {}, { device: 'node7' });
  expect(Object.values(channelsOf(events)).map(({ id, use }) => [id, use])).toEqual([
    ['redfish/node7/PowerWatts', undefined],
    ['redfish/node7/energy', 'check'],
    ['redfish/node7/HGX_Chassis_0/PowerWatts', 'check'],
  ]);
  expect(said(events)[1]).toEqual(['node7', T, 5_400_000_000_000n]);
});

it('takes GPUs for checks unless they are to be booked', async () => {
  const gpu = at(0, { PowerLimitWatts: { Reading: 64.388 } }, '/redfish/v1/Systems/HGX_Baseboard_0/Processors/GPU_SXM_1/EnvironmentMetrics');
  expect(readingsOf(await read([gpu, gpu]))[0]?.channel).toMatchObject({ device: 'GPU_SXM_1', boundary: 'gpu', use: 'check' });
  expect(readingsOf(await read([gpu, gpu], { gpus: 'book' }))[0]?.channel.use).toBeUndefined();
});

it('counts what is missing, absurd or cut off, and leaves out documents without power', async () => {
  const events = await read(`${[at(0, metrics(374)), at(0, { Name: 'Chassis' }), at(1, metrics(0)), at(2, metrics(300_000)), at(3, metrics(null)), at(4, metrics(375))].map((each) => JSON.stringify(each)).join('\n')}\n{"time":17500`);
  expect(said(events)).toEqual([['server', T, 374], ['server', T + 4, 375]]);
  expect(flags(events)).toEqual([['MISSING_READINGS', 1], ['ABSURD_READING', 1], ['MISSING_READINGS', 1], ['SKIPPED_LINES', 1]]);
  expect(details(events)[3]).toContain('line 7: not JSON, or cut off');
});

it('refuses a file without power, one that is no JSON and an empty one', async () => {
  expect(await refusal(read([at(0, { Name: 'Chassis' }), at(1, { Name: 'Chassis' })]))).toMatch(/^FILE_FORMAT: redfish.jsonl says no power: a document without a power reading/);
  expect(await refusal(read('<html></html>'))).toMatch(/^FILE_FORMAT: redfish.jsonl is not redfish: it is no JSON/);
  expect(await refusal(read(''))).toMatch(/^FILE_(?:EMPTY|FORMAT)/);
});
