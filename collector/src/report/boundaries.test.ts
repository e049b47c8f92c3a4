import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnergySlice, Slice } from '@joulebook/shared/slice.js';
import { seconds } from '@joulebook/shared/units.js';
import type { Report } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { at, batchOf, energyFact, iso, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { stepOf } from './boundaries.js';
import { buildReport } from './build.js';
import { render } from './render.js';
import { parseRequest } from './request.js';

let store: Store;
let sequence = 0;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
});
afterEach(() => store.close());

const given = async (slices: Slice[], node = 'node-1'): Promise<void> => {
  await store.append(batchOf(slices, { sequence: (sequence += 1), node }));
};
const asked = (options: Record<string, string | string[]> = {}): Promise<Report> =>
  buildReport(store, parseRequest(Object.fromEntries(Object.entries(options).map(([name, value]) => [name, [value].flat()])), {}, '--'), '--');

type Said = Partial<Omit<EnergySlice, 'from' | 'to'>> & { watts?: number; begin?: number; end?: number };
/** Steady power in slices of 10 s; 2 min unless said. */
function steady(boundary: EnergySlice['boundary'], { watts = 100, begin = 0, end = 120, ...said }: Said = {}): EnergySlice[] {
  return Array.from({ length: (end - begin) / 10 }, (_, index) =>
    energyFact({ boundary, device: boundary === 'gpu' ? 'GPU-0' : `${boundary}0`, seconds: seconds(10), ...said, from: begin + index * 10, to: begin + index * 10 + 10, joules: watts * 10 }),
  );
}
const inside = [...steady('gpu', { device: 'GPU-0', watts: 300 }), ...steady('gpu', { device: 'GPU-1', watts: 200 }), ...steady('cpu', { watts: 100 }), ...steady('dram', { watts: 20 })];
const codes = ({ flags }: Report): string[] => flags.map(({ code }) => code);

it('shows boundaries side by side and what the server draws beyond its parts', async () => {
  await given([...inside, ...steady('server', { watts: 800, source: 'ipmi-dcmi', method: 'power' }), tokensFact()]);
  const report = await asked();
  expect(report).toMatchObject({ boundary: 'gpu', total: { joules: 60_000 } });
  expect(report.boundariesMeasured).toEqual([
    { boundary: 'gpu', joules: 60_000, seconds: 120, coverage: 1, devices: 2 }, { boundary: 'cpu', joules: 12_000, seconds: 120, coverage: 1, devices: 1 },
    { boundary: 'dram', joules: 2400, seconds: 120, coverage: 1, devices: 1 }, { boundary: 'server', joules: 96_000, seconds: 120, coverage: 1, devices: 1 },
  ]);
  expect(report.other).toEqual({ of: 'server', joules: 21_600, coverage: 1, note: 'server − (gpu + cpu + dram), over 120 s in which all were measured' });
  expect(report.methods).toEqual([...['gpu', 'cpu', 'dram'].map((boundary) => ({ boundary, source: 'nvml', method: 'counter' })), { boundary: 'server', source: 'ipmi-dcmi', method: 'power' }]);
  for (const format of ['table', 'html', 'markdown'] as const) {
    expect(render(report, format)).toContain('Other in server: 21,600 J');
    expect(render(report, format)).toMatch(/server by ipmi.*dcmi .*power/);
  }
  expect((await asked({ by: 'node' })).other?.joules).toBe(21_600);
});

const secondsPerStep = (range: number, devices: number): number => {
  const sums = { microjoules: 1n, seconds: seconds(1), askedSeconds: seconds(1), modelledMicrojoules: 0n, divisionMicrojoules: 0n, wallSeconds: seconds(1), devices, stated: null };
  return stepOf(['gpu', 'server'].map((boundary) => ({ values: [boundary], step: at(0), from: at(0), to: at(range), sums }))) / 1e6;
};

it('looks at a month of a fleet in steps that are summed already, and at few', () => {
  expect([600, 3600, 3601, 86_400, 30 * 86_400 + 7].map((range) => secondsPerStep(range, 1))).toEqual([10, 10, 20, 240, 3 * 3600]);
  expect([125, 2000, 20_000].map((devices) => secondsPerStep(30 * 86_400, devices))).toEqual([2 * 3600, 29 * 3600, 30 * 3600]);
});

it('says nothing of it where one boundary was asked for, or a part of a node', async () => {
  await given([...inside, ...steady('server', { watts: 800 })]);
  for (const options of [{ boundary: 'server' }, { by: 'device' }, { where: 'deployment=chat' }, { by: ['node', 'phase'] }]) {
    const report = await asked(options);
    expect([report.boundariesMeasured, report.other]).toEqual([undefined, undefined]);
  }
  expect((await asked({ where: 'node=node-1' })).other?.joules).toBe(21_600);
});

it('has no other without a boundary around another', async () => {
  await given(inside);
  expect(await asked()).toMatchObject({ other: null, boundariesMeasured: [{ boundary: 'gpu' }, { boundary: 'cpu' }, { boundary: 'dram' }] });
});

it('says what is in it for want of a sensor', async () => {
  await given([...steady('gpu', { watts: 300 }), ...steady('server', { watts: 800 })]);
  expect((await asked()).other).toMatchObject({ joules: 60_000, note: 'server − gpu, over 120 s in which all were measured; cpu and dram are not measured and so in it' });
});

describe('a difference', () => {
  it('is taken only over the time in which both were measured', async () => {
    await given([...steady('gpu', { watts: 300, end: 100 }), ...steady('server', { watts: 800, begin: 20, end: 130 })]);
    expect((await asked()).other).toMatchObject({ joules: 80 * 500, coverage: expect.closeTo(80 / 110, 9) as unknown });
  });

  it('leaves out a step in which one side was seen for a part only', async () => {
    const half = energyFact({ from: 5, to: 10, seconds: seconds(5), joules: 1500 });
    await given([half, ...steady('gpu', { watts: 300, begin: 10 }), ...steady('server', { watts: 800 })]);
    expect((await asked()).other?.joules).toBe(110 * 500);
  });

  it('needs a minute together', async () => {
    await given([...steady('gpu', { end: 50 }), ...steady('server')]);
    expect((await asked()).other).toEqual({ of: 'server', joules: null, coverage: null, note: 'no difference: server and what is inside were measured together on node-1 for 50 s; at least 60 s are needed' });
    expect(render(await asked(), 'table')).toContain('Other in server: – (no difference: ');
  });

  it('needs coverage on both sides', async () => {
    const gaps = Array.from({ length: 2 }, (_, index) => energyFact({ from: 120 + index * 10, to: 130 + index * 10, joules: 0, seconds: seconds(0), askedSeconds: seconds(10) }));
    await given([...steady('gpu'), ...gaps, ...steady('server', { end: 140 })]);
    expect((await asked()).other).toMatchObject({ joules: null, note: 'no difference: coverage of gpu on node-1 is 85.7 %, below 95.0 %' });
    expect((await asked({ to: iso(120) })).other).toMatchObject({ joules: 0 });
  });

  it('leaves out moments in which one of the devices inside is silent', async () => {
    await given([...steady('gpu', { watts: 300 }), ...steady('gpu', { device: 'GPU-1', watts: 200, end: 90 }), ...steady('server', { watts: 800 })]);
    expect((await asked()).other?.joules).toBe(90 * 300);
  });

  it('below zero says that the sensor covers another boundary', async () => {
    await given([...steady('gpu', { watts: 300 }), ...steady('server', { watts: 250 })]);
    const report = await asked();
    expect(report.other?.joules).toBe(-6000);
    expect(report.flags.find(({ code }) => code === 'INCLUSION_VIOLATED')?.detail).toBe(`The server's sensor of node-1 shows 6000.0 J less than its GPUs over 120 s; it covers another boundary.`);
  });

  it('is of the same nodes: a node with one side only is left out, and told', async () => {
    await given([...inside, ...steady('server', { watts: 800 })]);
    await given(steady('server', { watts: 5000 }), 'node-2');
    await given(steady('gpu', { watts: 5000 }), 'node-3');
    expect((await asked({ by: 'node' })).other).toMatchObject({ joules: 21_600, note: expect.stringContaining('without 1 more: nothing inside the server of node-2 is measured') as unknown });
    await given(inside, 'node-2');
    expect((await asked()).other).toMatchObject({ joules: 21_600 + 120 * 4380, note: 'server − (gpu + cpu + dram), over 240 s in which all were measured, 2 systems together' });
  });

  it('takes a superchip for all that is on it: no GPU or CPU is subtracted twice', async () => {
    await given([...inside, ...steady('module', { watts: 700 }), ...steady('server', { watts: 800 })]);
    expect((await asked()).other).toMatchObject({ of: 'server', joules: 12_000, note: expect.stringMatching(/^server − module,/) as unknown });
    await given(steady('module', { watts: 400 }), 'node-2');
    await given(inside, 'node-2');
    expect(codes(await asked())).toEqual(expect.arrayContaining(['INCLUSION_VIOLATED']));
  });

  it('is the same in long steps', async () => {
    await given([...steady('gpu', { watts: 300, end: 40_000 }), ...steady('server', { watts: 800, end: 40_000 })]);
    expect((await asked()).other).toMatchObject({ joules: 500 * 40_000, coverage: 1 });
  });
});

describe('a meter', () => {
  it('reads for the nodes that it contains, from whichever node it is read', async () => {
    for (const node of ['node-1', 'node-2']) await given(steady('server', { watts: 800 }), node);
    await given(steady('meter', { watts: 1900, contains: ['node-2', 'node-1'] }), 'watcher');
    expect((await asked()).other).toMatchObject({ of: 'meter', joules: 36_000, note: expect.stringMatching(/^meter − server,/) as unknown });
    for (const node of ['node-1', 'node-2']) await given(steady('gpu', { watts: 700 }), node);
    expect((await asked()).other).toMatchObject({ of: 'server', joules: 24_000 });
    expect(codes(await asked())).not.toContain('INCLUSION_VIOLATED');
  });

  it('of two feeds is their sum, and of servers what is between plug and BMC', async () => {
    await given([...steady('server', { watts: 800 }), ...steady('meter', { device: 'feed A', watts: 500 }), ...steady('meter', { device: 'feed B', watts: 400 })]);
    expect((await asked({ by: 'node' })).other).toMatchObject({ of: 'meter', joules: 12_000 });
    await given(steady('meter', { device: 'feed B', watts: 400, begin: 120, end: 240 }));
    expect((await asked()).other).toMatchObject({ joules: 12_000, coverage: 0.5 });
  });

  it('that shares nodes with another is not subtracted from', async () => {
    await given([...steady('gpu'), ...steady('meter', { watts: 500 })]);
    await given(steady('meter', { device: 'row', watts: 900, contains: ['node-1', 'node-2'] }), 'watcher');
    expect((await asked()).other).toMatchObject({ of: 'meter', joules: null, note: expect.stringContaining('which contains which is not known') as unknown });
  });
});
