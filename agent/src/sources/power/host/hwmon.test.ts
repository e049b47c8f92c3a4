import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hwmon, liveHwmon, probeHwmon } from './hwmon.js';
import { channelsOf, codesOf, readingsOf, valuesOf, watch } from '../live.testing.js';
import { asNobody, sysfsTree, type SysfsTree } from './sysfs-tree.testing.js';

let tree: SysfsTree;
beforeEach(async () => {
  tree = await sysfsTree();
});
afterEach(() => tree.remove());

const at = (chip: number, attributes: Record<string, string | number>): Promise<void> => tree.set(Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`class/hwmon/hwmon${chip}/${name}`, value])));
const rail = (chip: number, text: string, microwatts: number): Promise<void> => at(chip, { name: 'power_meter', 'device/power1_oem_info': text, 'device/power1_average': microwatts, 'device/power1_average_interval': 50 });
const run = (count: number) => watch(hwmon({ sysfs: tree.root, period: seconds(0.02) }), (events) => readingsOf(events).length >= count);
const booked = async (count: number): Promise<unknown[]> => Object.values(channelsOf((await run(count)).events)).map(({ id, boundary, use }) => [id, boundary, use]);

describe('power meters of the platform', () => {
  it('is the whole server, averaged over what the meter says', async () => {
    await at(0, { name: 'power_meter', power1_average: 412_500_000, power1_average_interval: 1000, 'device/power1_oem_info': 'Intel(R) Node Manager' });
    const { events } = await run(2);
    expect(valuesOf(events).slice(0, 2)).toEqual([412.5, 412.5]);
    expect(readingsOf(events)[0]?.channel).toMatchObject({ id: 'hwmon/server/power_meter', device: 'server', boundary: 'server', measures: 'power', sensor: { averagedOver: 1 } });
  });

  it('books one of several meters, since the kernel does not say whether they add up', async () => {
    await at(0, { name: 'power_meter', power1_average: 1_000_000 });
    await at(10, { name: 'power_meter', power1_average: 2_000_000 });
    await at(2, { name: 'power_meter', 'device/power1_average': 3_000_000 });
    expect(await booked(3)).toEqual([
      ['hwmon/server/power_meter', 'server', undefined],
      ['hwmon/server/power_meter-2', 'server', 'check'],
      ['hwmon/server/power_meter-3', 'server', 'check'],
    ]);
  });
});

describe('the rails of Grace sockets', () => {
  it('books the module once; socket, CPU and SysIO inside of it are checks', async () => {
    await rail(1, 'Module Power Socket 0', 465_310_000);
    await rail(2, 'Grace Power Socket 0', 103_650_000);
    await rail(3, 'CPU Power Socket 0', 52_810_000);
    await rail(4, 'SysIO Power Socket 0', 6_340_000);
    const { events } = await run(8);
    expect(Object.values(channelsOf(events)).map(({ id, boundary, use, sensor }) => [id, boundary, use, sensor.averagedOver])).toEqual([
      ['hwmon/module0/module', 'module', undefined, 0.05],
      ['hwmon/cpu0/grace', 'cpu', 'check', 0.05],
      ['hwmon/cpu0/cpu', 'cpu', 'check', 0.05],
      ['hwmon/cpu0/sysio', 'cpu', 'check', 0.05],
    ]);
    expect(valuesOf(events).slice(0, 4)).toEqual([465.31, 103.65, 52.81, 6.34]);
    expect(new Set(readingsOf(events).slice(0, 4).map((reading) => reading.at)).size).toBe(1);
  });

  it('books the socket where there is no module, and reads the words of newer firmware', async () => {
    await rail(0, 'Grace Input Power Socket 0', 98_000_000);
    await rail(1, 'CPU Input Power Socket 0', 51_000_000);
    await rail(2, 'Grace Input Power Socket 1', 99_000_000);
    expect(await booked(3)).toEqual([
      ['hwmon/cpu0/grace', 'cpu', undefined],
      ['hwmon/cpu0/cpu', 'cpu', 'check'],
      ['hwmon/cpu1/grace', 'cpu', undefined],
    ]);
  });
});

describe('GPUs', () => {
  it('calls an AMD GPU by its own number, else by its PCI address', async () => {
    await at(0, { name: 'amdgpu', power1_average: 94_000_000, 'device/unique_id': '5b2c8a0f1e7d9c34' });
    await at(1, { name: 'amdgpu', power1_input: 717_000_000, 'device/unique_id': '0', 'device/uevent': 'DRIVER=amdgpu\nPCI_SLOT_NAME=0000:63:00.0' });
    expect(await booked(2)).toEqual([
      ['hwmon/5b2c8a0f1e7d9c34/power1_average', 'gpu', undefined],
      ['hwmon/0000:63:00.0/power1_input', 'gpu', undefined],
    ]);
  });

  it('takes a GPU inside a CPU for a check: it says the power of the whole socket', async () => {
    await at(0, { name: 'amdgpu', power1_average: 45_000_000, in1_label: 'vddnb', 'device/uevent': 'PCI_SLOT_NAME=0000:c4:00.0' });
    expect(await booked(1)).toEqual([['hwmon/0000:c4:00.0/power1_average', 'gpu', 'check']]);
  });

  it('finds the PCI address behind the link of the device', async () => {
    await at(0, { name: 'amdgpu', power1_average: 94_000_000 });
    await mkdir(join(tree.root, 'devices/pci0000:00/0000:0b:00.0'), { recursive: true });
    await symlink('../../../devices/pci0000:00/0000:0b:00.0', join(tree.root, 'class/hwmon/hwmon0/device'));
    expect(await booked(1)).toEqual([['hwmon/0000:0b:00.0/power1_average', 'gpu', undefined]]);
  });

  it('books the card of an Intel GPU by its label, whatever its number, and the package where the card stands at 0', async () => {
    const gpu = { name: 'xe', energy1_label: 'card', energy2_label: 'pkg', energy2_input: 20_000_000 };
    await at(0, { ...gpu, energy1_input: 30_000_001, 'device/uevent': 'PCI_SLOT_NAME=0000:03:00.0' });
    await at(1, { ...gpu, energy1_input: 0, 'device/uevent': 'PCI_SLOT_NAME=0000:04:00.0' });
    await at(2, { name: 'i915', energy1_input: 5, 'device/uevent': 'PCI_SLOT_NAME=0000:05:00.0' });
    await at(3, { name: 'i915_gt0', energy1_input: 5 });
    const { events } = await run(8);
    expect(Object.values(channelsOf(events)).map(({ id, measures, use }) => [id, measures, use])).toEqual([
      ['hwmon/0000:03:00.0/card', 'counter', undefined],
      ['hwmon/0000:03:00.0/pkg', 'counter', 'check'],
      ['hwmon/0000:04:00.0/pkg', 'counter', undefined],
      ['hwmon/0000:05:00.0/card', 'counter', undefined],
    ]);
    expect(valuesOf(events)[0]).toBe(30_000_001n);
  });
});

describe('values that are none', () => {
  it('is missing at 0 W, told once, and read again afterwards', async () => {
    await at(0, { name: 'power_meter', power1_average: 0 });
    await at(1, { name: 'amdgpu', power1_average: 94_000_000, 'device/unique_id': 'abc' });
    const { events } = await watch(hwmon({ sysfs: tree.root, period: seconds(0.02) }), async (soFar) => {
      if (readingsOf(soFar).length === 5) await at(0, { power1_average: 300_000_000 });
      return valuesOf(soFar, 'hwmon/server/power_meter').length >= 2;
    });
    expect(valuesOf(events, 'hwmon/server/power_meter')).toEqual([300, 300]);
    const flagged = events.filter((event) => event.kind === 'flagged');
    expect(flagged.map(({ code, device }) => [code, device])).toEqual([['MISSING_READINGS', 'server'], ['MISSING_READINGS', 'server']]);
    expect(flagged[0]).toMatchObject({ count: 1, detail: 'hwmon/server/power_meter: says no power: 0 W' });
    expect(flagged[1]?.count).toBeGreaterThanOrEqual(3);
  });

  it('keeps reading the others when one sensor goes', async () => {
    await at(0, { name: 'power_meter', power1_average: 300_000_000 });
    await at(1, { name: 'amdgpu', power1_average: 94_000_000, 'device/unique_id': 'abc' });
    const { events } = await watch(hwmon({ sysfs: tree.root, period: seconds(0.02) }), async (soFar) => {
      if (readingsOf(soFar).length === 2) await at(1, { power1_average: '' });
      return readingsOf(soFar, 'hwmon/server/power_meter').length >= 6;
    });
    expect(readingsOf(events, 'hwmon/abc/power1_average').length).toBeLessThan(readingsOf(events, 'hwmon/server/power_meter').length);
    expect(codesOf(events)).toEqual(['MISSING_READINGS']);
  });
});

describe('where it is not', () => {
  it('is disabled without a sensor of power, and not found', async () => {
    await at(0, { name: 'coretemp', temp1_input: 41_000 });
    const { ended } = await run(1);
    expect(ended).toMatch(/^HWMON_MISSING \(disable\): No sensor of power in .*acpi_power_meter/);
    expect(await probeHwmon(tree.root)).toMatchObject({ found: false });
    await rm(join(tree.root, 'class'), { recursive: true });
    expect(await probeHwmon(tree.root)).toMatchObject({ found: false });
  });

  it('says so when a sensor is there that only root may read', async () => {
    await at(0, { name: 'power_meter', power1_average: 300_000_000 });
    await tree.forbid('class/hwmon/hwmon0/power1_average');
    expect((await asNobody(() => run(1))).ended).toMatch(/^HWMON_PERMISSION \(disable\): .*power1_average may not be read by this user/);
  });

  it('is found with its sensors, and takes its options by name', async () => {
    await at(0, { name: 'power_meter', power1_average: 300_000_000 });
    expect(await probeHwmon(tree.root)).toEqual({ found: true, options: {} });
    expect(liveHwmon.open({ sysfs: tree.root, period: 2 })).toMatchObject({ period: 2, description: 'hwmon every 2 s' });
  });
});
