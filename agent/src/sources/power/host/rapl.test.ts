import { readdir } from 'node:fs/promises';
import { seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PowerEvent } from '../../source.js';
import { channelsOf, codesOf, readingsOf, valuesOf, watch } from '../live.testing.js';
import { liveRapl, probeRapl, rapl } from './rapl.js';
import { asNobody, sysfsTree, type SysfsTree } from './sysfs-tree.testing.js';

const INTEL = 262_143_328_850;
const DRAM = 65_712_999_613;
const zone = (folder: string, name: string, energy: number | bigint, range: number): Record<string, string | number | bigint> => ({
  [`class/powercap/${folder}/name`]: name,
  [`class/powercap/${folder}/energy_uj`]: energy,
  [`class/powercap/${folder}/max_energy_range_uj`]: range,
  [`class/powercap/${folder}/enabled`]: 1,
});
const energyOf = (folder: string): string => `class/powercap/${folder}/energy_uj`;
const TWO_SOCKETS = {
  ...zone('intel-rapl:0', 'package-0', 1000, INTEL),
  ...zone('intel-rapl:0:0', 'dram', 2000, DRAM),
  ...zone('intel-rapl:0:1', 'core', 999, INTEL),
  ...zone('intel-rapl:1', 'package-1', 3000, INTEL),
  ...zone('intel-rapl:1:0', 'dram', 4000, DRAM),
  ...zone('intel-rapl:2', 'psys', 9000, INTEL),
  ...zone('intel-rapl-mmio:0', 'package-0', 77, INTEL),
};

let tree: SysfsTree;
beforeEach(async () => {
  tree = await sysfsTree();
});
afterEach(() => tree.remove());

const few = (count: number) => (events: readonly PowerEvent[]) => readingsOf(events).length >= count;
const run = (count: number) => watch(rapl({ sysfs: tree.root, period: seconds(0.02) }), few(count));

describe('which counters are read', () => {
  it('reads every package and its memory, psys as a check, never core or the package behind mmio', async () => {
    await tree.set(TWO_SOCKETS);
    const { events } = await run(5);
    expect(Object.values(channelsOf(events)).map(({ id, device, boundary, measures, use }) => [id, device, boundary, measures, use])).toEqual([
      ['rapl/cpu0/package', 'cpu0', 'cpu', 'counter', undefined],
      ['rapl/dram0/dram', 'dram0', 'dram', 'counter', undefined],
      ['rapl/cpu1/package', 'cpu1', 'cpu', 'counter', undefined],
      ['rapl/dram1/dram', 'dram1', 'dram', 'counter', undefined],
      ['rapl/server/psys', 'server', 'server', 'counter', 'check'],
    ]);
    expect(readingsOf(events).slice(0, 5)).toMatchObject([{ total: 1000n, wrapsAt: BigInt(INTEL) }, { total: 2000n, wrapsAt: BigInt(DRAM) }, { total: 3000n }, { total: 4000n }, { total: 9000n }]);
    expect(new Set(readingsOf(events).slice(0, 5).map(({ at }) => at)).size).toBe(1);
  });

  it('calls the dies of a package devices of their own, since their energy adds up', async () => {
    await tree.set({ ...zone('intel-rapl:0', 'package-0-die-0', 1, INTEL), ...zone('intel-rapl:0:0', 'dram', 2, DRAM), ...zone('intel-rapl:1', 'package-0-die-1', 3, INTEL) });
    const { events } = await run(3);
    expect(Object.values(channelsOf(events)).map(({ device }) => device)).toEqual(['cpu0-die0', 'dram0-die0', 'cpu0-die1']);
  });

  it('does not read a psys that is switched off', async () => {
    await tree.set({ ...zone('intel-rapl:0', 'package-0', 1, INTEL), ...zone('intel-rapl:1', 'psys', 0, 60_293_987_000_000), 'class/powercap/intel-rapl:1/enabled': 0 });
    const { events } = await run(2);
    expect(Object.keys(channelsOf(events))).toEqual(['rapl/cpu0/package']);
  });

  it('keeps its file descriptors and closes them at the end', async () => {
    await tree.set(TWO_SOCKETS);
    const before = (await readdir('/proc/self/fd')).length;
    let during = 0;
    await watch(rapl({ sysfs: tree.root, period: seconds(0.02) }), async (events) => {
      during = (await readdir('/proc/self/fd')).length;
      return readingsOf(events).length >= 20;
    });
    expect(during - before).toBeGreaterThanOrEqual(5);
    expect(during - before).toBeLessThan(15);
    expect((await readdir('/proc/self/fd')).length).toBeLessThan(during);
  });
});

describe('counters that fall', () => {
  it('hands a wrap on with the range at which it happened', async () => {
    await tree.set(zone('intel-rapl:0', 'package-0', INTEL - 1_000_000, INTEL));
    const { events } = await watch(rapl({ sysfs: tree.root, period: seconds(0.05) }), async (soFar) => {
      if (readingsOf(soFar).length === 1) await tree.set({ [energyOf('intel-rapl:0')]: 500_000 });
      return valuesOf(soFar).includes(500_000n);
    });
    expect(readingsOf(events).at(-1)).toMatchObject({ total: 500_000n, wrapsAt: BigInt(INTEL) });
    expect(codesOf(events)).toEqual([]);
    expect(events.filter(({ kind }) => kind === 'break')).toEqual([]);
  });

  it('says a break where a wrap would need an impossible power: the counter began anew', async () => {
    await tree.set(zone('intel-rapl:0', 'package-0', 1_000_000_000, INTEL));
    const { events } = await watch(rapl({ sysfs: tree.root, period: seconds(0.05) }), async (soFar) => {
      if (readingsOf(soFar).length === 1) await tree.set({ [energyOf('intel-rapl:0')]: 500_000 });
      return valuesOf(soFar).includes(500_000n);
    });
    expect(events.map(({ kind }) => kind).slice(-3)).toEqual(['break', 'flagged', 'reading']);
    expect(codesOf(events)).toEqual(['COUNTER_RESET']);
  });

  it('refuses a period in which a small counter could wrap unseen, and says which would do', async () => {
    await tree.set(zone('intel-rapl:0', 'package-0', 1, 40_000_000));
    const { ended } = await watch(rapl({ sysfs: tree.root, period: seconds(0.02) }), () => false);
    expect(ended).toBe('RAPL_PERIOD (disable): rapl: a counter here starts again after 40 J; set its period to 0.0080 s or less, so that no wrap is missed.');
  });
});

describe('where it is not', () => {
  it('is disabled where there are no counters, and is not found', async () => {
    const { ended } = await run(1);
    expect(ended).toMatch(/^RAPL_MISSING \(disable\): There are no RAPL counters in /);
    expect(JSON.stringify(await probeRapl(tree.root))).toMatch(/"found":false,.*virtual machines/);
  });

  it('says how to permit it where only root may read', async () => {
    await tree.set(TWO_SOCKETS);
    await tree.forbid(energyOf('intel-rapl:1'));
    const { ended } = await asNobody(() => run(1));
    expect(ended).toMatch(/^RAPL_PERMISSION \(disable\): .*intel-rapl:1\/energy_uj may be read by root only .*AmbientCapabilities=CAP_DAC_READ_SEARCH/);
    expect(JSON.stringify(await asNobody(() => probeRapl(tree.root)))).toMatch(/"found":false,.*CAP_DAC_READ_SEARCH/);
  });

  it('goes on by itself after a reading that is no number', async () => {
    await tree.set(zone('intel-rapl:0', 'package-0', 5, INTEL));
    const { events } = await watch(rapl({ sysfs: tree.root, period: seconds(0.02) }), async (soFar) => {
      if (readingsOf(soFar).length === 1) await tree.set({ [energyOf('intel-rapl:0')]: '' });
      if (codesOf(soFar).length === 1 && readingsOf(soFar).length === 1) await tree.set({ [energyOf('intel-rapl:0')]: 6 });
      return valuesOf(soFar).includes(6n);
    });
    expect(codesOf(events)).toEqual(['RAPL_READ']);
    expect(events.some(({ kind }) => kind === 'break')).toBe(true);
  });

  it('takes its options by name and refuses what it does not know', () => {
    expect(liveRapl.open({ period: '500ms' })).toMatchObject({ period: 0.5 });
    expect(() => liveRapl.open({ period: '1m', root: '/' })).toThrow(/period is 50 ms to 10 s[\s\S]*'root' is not a setting here/);
  });
});
