/** Every host sample of ../shared/power-samples, against the value that stands in it; or why it carries none. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all } from '../../recorded-file.testing.js';
import type { PowerFormat } from '../../recorded.js';
import { hwmon } from './hwmon.js';
import { ipmiDcmi } from './ipmi-dcmi.js';
import { sensorRows, sensorSum } from './ipmi-output.js';
import { channelsOf, readingsOf, valuesOf, watch } from '../live.testing.js';
import { rapl } from './rapl.js';
import { powerOf, saysPower } from './redfish-document.js';
import { recordedRedfish } from './redfish-recorded.js';
import { sysfsTree } from './sysfs-tree.testing.js';

const folder = fileURLToPath(new URL('../../../../../../shared/power-samples/', import.meta.url));
const isHere = existsSync(folder);
const file = (name: string): string => `${folder}${name}`;
const text = (name: string): string => readFileSync(file(name), 'utf8');

interface Stands {
  readonly id: string;
  readonly value: number | bigint;
}

/** What a recorded format makes of a file, and by hand what stands in it. */
const RECORDED: Readonly<Record<string, readonly [PowerFormat, options: object, ...Stands[]]>> = {
  'ipmitool-dcmi-1.8.18.txt': [ipmiDcmi, {}, { id: 'ipmi-dcmi/server/dcmi', value: 197 }],
  'ipmitool-dcmi-1.8.19-supermicro.txt': [ipmiDcmi, {}, { id: 'ipmi-dcmi/server/dcmi', value: 109 }],
  'ipmitool-sim-session.txt': [ipmiDcmi, {}, { id: 'ipmi-dcmi/server/dcmi', value: 1364 }],
  'redfish-ami-megarac-power.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/AverageConsumedWatts', value: 148 }],
  'redfish-dell-power.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/PowerConsumedWatts', value: 429 }],
  'redfish-dmtf-EnvironmentMetrics.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/PowerWatts', value: 374 }],
  'redfish-dmtf-Power.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/PowerConsumedWatts', value: 344 }],
  'redfish-dmtf-PowerSubsystem-PowerSupplies-Bay1-Metrics.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/InputPowerWatts', value: 937.4 }],
  'redfish-dmtf-Sensors-PS1InputPower.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/Reading', value: 374 }],
  'redfish-dmtf-Sensors-TotalPower.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/Reading', value: 374 }],
  'redfish-fujitsu-power.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/CurrentPowerConsumptionW', value: 160 }],
  'redfish-hgx-b200-gpu-environmentmetrics.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/GPU_SXM_1/PowerLimitWatts', value: 64.388 }],
  'redfish-hp-power-subsys-metrics.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/InputPowerWatts', value: 937.4 }],
  'redfish-hp-power.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/PowerConsumedWatts', value: 221 }],
  'redfish-openbmc-power.json': [recordedRedfish, { time: 1_784_016_773 }, { id: 'redfish/server/PowerConsumedWatts', value: 232 }],
};

/** Redfish documents that carry no power of a server, and what the reader says of them. */
const NO_POWER: Readonly<Record<string, string>> = {
  'redfish-dell-chassis.json': 'a document without a power reading (Chassis)',
  'redfish-dmtf-Controls-PowerLimit.json': 'a document without a power reading (Control)',
  'redfish-dmtf-PowerSubsystem-PowerSupplies-Bay1.json': 'one supply: its input, where it says one, may be its rating',
  'redfish-dmtf-PowerSubsystem-PowerSupplies.json': 'a document without a power reading (PowerSupplyCollection)',
  'redfish-dmtf-PowerSubsystem.json': 'a document without a power reading (PowerSubsystem)',
  'redfish-dmtf-Sensors-PS1Energy.json': 'a sensor of EnergykWh',
  'redfish-dmtf-Sensors-TotalEnergy.json': 'a sensor of EnergykWh',
  'redfish-dmtf-Sensors.json': 'a document without a power reading (SensorCollection)',
  'redfish-hp-power-subsys-psu-1.json': 'one supply: its input, where it says one, may be its rating',
  'redfish-hp-power-subsys-psu.json': 'a document without a power reading (PowerSupplyCollection)',
  'redfish-hp-power-subsys.json': 'a document without a power reading (PowerSubsystem)',
  'redfish-idrac7-psu.json': 'one supply: its input, where it says one, may be its rating',
};

const zone = (folderName: string, name: string, range: string): Record<string, string> => ({ [`class/powercap/${folderName}/name`]: name, [`class/powercap/${folderName}/max_energy_range_uj`]: range, [`class/powercap/${folderName}/energy_uj`]: '1' });

/** Looked at by a test of their own below. */
const OWN = ['rapl-zones.txt', 'hwmon-grace-gh200.txt', 'ipmitool-dcmi-openbmc-deactivated.txt', 'ipmitool-errors.txt', 'ipmitool-sdr-vendors.txt'];

describe.skipIf(!isHere)(`host samples${isHere ? '' : ' (skipped: ../shared/power-samples is not here)'}`, () => {
  it('are all looked at', () => {
    const samples = isHere ? readdirSync(folder).filter((name) => /^(?:rapl|hwmon|ipmitool|redfish)/.test(name) && !name.endsWith('.src')) : [];
    expect([...Object.keys(RECORDED), ...Object.keys(NO_POWER), ...OWN].toSorted()).toEqual(samples.toSorted());
  });

  it.each(Object.entries(RECORDED))('%s', async (name, [format, options, ...stands]) => {
    const events = await all(format.open({ file: { file: file(name), label: name }, tz: 'UTC' }, options).events());
    expect(readingsOf(events).map(({ channel }, index) => ({ id: channel.id, value: valuesOf(events)[index] }))).toEqual(stands);
  });

  it.each(Object.entries(NO_POWER))('%s carries none: %s', (name, reason) => {
    const document: unknown = JSON.parse(text(name));
    const said = powerOf(document);
    expect(saysPower(said) ? said : said.nothing).toBe(reason);
  });

  it('ipmitool-dcmi-openbmc-deactivated.txt: valid although deactivated, but of 1970: it needs a comment with its time', async () => {
    const name = 'ipmitool-dcmi-openbmc-deactivated.txt';
    const open = (path: string) => ipmiDcmi.open({ file: { file: path, label: name }, tz: 'UTC' }, {}).events();
    await expect(all(open(file(name)))).rejects.toThrow(/its time is none/);
    const tree = await sysfsTree({ commented: `# 2024-05-01T00:00:00Z\n${text(name)}` });
    expect(valuesOf(await all(open(`${tree.root}/commented`)))).toEqual([319]);
    await tree.remove();
  });

  it('ipmitool-errors.txt: failures and no reading', async () => {
    await expect(all(ipmiDcmi.open({ file: { file: file('ipmitool-errors.txt'), label: 'errors' }, tz: 'UTC' }, {}).events())).rejects.toThrow(/^errors is not ipmi-dcmi: it has no line "Instantaneous/);
  });

  it('ipmitool-sdr-vendors.txt: rows of elist are read, those of other listings have no sensor number', () => {
    const rows = sensorRows(text('ipmitool-sdr-vendors.txt'));
    expect(rows.map(({ name, watts }) => [name, watts])).toEqual([['Pwr Consumption', 288], ['PS1 Power In', 132], ['Power Supply 1', 110]]);
    expect(sensorSum(sensorRows(text('ipmitool-sim-session.txt')), ['PSU1 Input Power', 'PSU2 Input Power'])).toEqual({ watts: 1392 });
  });

  it('hwmon-grace-gh200.txt: the module is booked, what is inside of it is a check', async () => {
    const attributes = [...text('hwmon-grace-gh200.txt').matchAll(/^\/sys\/(\S+): (.+)$/gm)].map(([, path = '', value = '']): [string, string] => [path, value]);
    const tree = await sysfsTree(Object.fromEntries(attributes));
    const { events } = await watch(hwmon({ sysfs: tree.root, period: seconds(0.02) }), (soFar) => readingsOf(soFar).length >= 4);
    const channels = channelsOf(events);
    expect(readingsOf(events).slice(0, 4).map(({ channel: { id, use } }, index) => [id, valuesOf(events)[index], use])).toEqual([
      ['hwmon/module0/module', 465.31, undefined],
      ['hwmon/cpu0/grace', 103.65, 'check'],
      ['hwmon/cpu0/cpu', 52.81, 'check'],
      ['hwmon/cpu0/sysio', 6.34, 'check'],
    ]);
    expect(channels['hwmon/module0/module']?.sensor.averagedOver).toBe(0.05);
    await tree.remove();
  });

  it('rapl-zones.txt: names and ranges of a server with two sockets, laid out by hand from its first column', async () => {
    const listing = text('rapl-zones.txt');
    for (const line of ['intel-rapl:0/name package-0', 'intel-rapl:0/max_energy_range_uj 262143328850', 'intel-rapl:0:0/name dram', 'intel-rapl:0:0/max_energy_range_uj 65712999613', 'intel-rapl:1/name package-1', 'intel-rapl:2/name psys']) expect(listing).toContain(line);
    const tree = await sysfsTree({ ...zone('intel-rapl:0', 'package-0', '262143328850'), ...zone('intel-rapl:0:0', 'dram', '65712999613'), ...zone('intel-rapl:1', 'package-1', '262143328850'), ...zone('intel-rapl:2', 'psys', '262143328850') });
    const { events } = await watch(rapl({ sysfs: tree.root, period: seconds(0.02) }), (soFar) => readingsOf(soFar).length >= 4);
    expect(readingsOf(events).slice(0, 4).map((reading) => [reading.channel.id, reading.measures === 'counter' && reading.wrapsAt])).toEqual([
      ['rapl/cpu0/package', 262_143_328_850n],
      ['rapl/dram0/dram', 65_712_999_613n],
      ['rapl/cpu1/package', 262_143_328_850n],
      ['rapl/server/psys', 262_143_328_850n],
    ]);
    await tree.remove();
  });
});
