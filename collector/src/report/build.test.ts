import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Slice } from '@joulebook/shared/slice.js';
import { microjoules, seconds } from '@joulebook/shared/units.js';
import type { Report, Row } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { at, batchOf, energyFact, flagFact, iso, requestsFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { buildReport } from './build.js';
import { parseRequest } from './request.js';

let store: Store;
let sequence = 0;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
});
afterEach(() => store.close());

const given = async (...slices: Slice[]): Promise<void> => {
  await store.append(batchOf(slices, { sequence: (sequence += 1) }));
};
const asked = (options: Record<string, string | string[]> = {}): Promise<Report> =>
  buildReport(store, parseRequest(Object.fromEntries(Object.entries(options).map(([name, value]) => [name, [value].flat()])), {}, '--'), '--');
const codes = (of: { flags: readonly { code: string }[] }): string[] => of.flags.map(({ code }) => code);
const rowFor = (report: Report, key: string, value: string | null): Row => {
  const found = report.rows.find(({ group }) => group[key] === value);
  if (!found) throw new Error(`no row with ${key} = ${value}`);
  return found;
};
const only = (report: Report): Row => {
  expect(report.rows).toHaveLength(1);
  return report.rows[0] ?? report.total;
};
/** 3,000 tokens/s at 1,000 W for 10 s: DESIGN's example, shorter. */
const example = (): Slice[] => Array.from({ length: 10 }, (_, from) => [energyFact({ from, joules: 1000 }), tokensFact({ from, count: 3000 })]).flat();

describe('one row without --by', () => {
  it('is the worked example', async () => {
    await given(...example());
    const report = await asked({ price: '0.17', carbon: '400', pue: '1.2' });
    expect(report).toMatchObject({ from: iso(0), to: iso(10), boundary: 'gpu', basis: 'all', pue: 1.2, currency: 'USD', coverage: 1, flags: [] });
    const row = only(report);
    expect(row).toMatchObject({ group: {}, joules: 10_000, modelledJoules: 0, seconds: 10, deviceSeconds: 10, watts: 1000, coverage: 1, tokensPerWattSecond: 3, tokensPerKwh: 10.8e6, uncertainty: null, flags: [] });
    expect(row.joulesPerToken).toBeCloseTo(1 / 3, 12);
    expect(row.energyCost).toBeCloseTo((10_000 * 1.2 * 0.17) / 3.6e6, 15);
    expect(row.energyCostPerToken).toBeCloseTo((0.17 * 1.2) / 10.8e6, 18);
    expect(row.carbonGrams).toBeCloseTo((10_000 * 1.2 * 400) / 3.6e6, 12);
  });

  it('has no cost without a price and no carbon without an intensity', async () => {
    await given(...example());
    expect(only(await asked())).toMatchObject({ energyCost: null, energyCostPerToken: null, carbonGrams: null });
  });

  it('adds devices up and takes wall time once', async () => {
    await given(energyFact({ device: 'a', joules: 100 }), energyFact({ device: 'b', joules: 50 }));
    expect(only(await asked())).toMatchObject({ joules: 150, deviceSeconds: 2, seconds: 1, watts: 150 });
  });

  it('stays a row when nothing was measured, and says so', async () => {
    expect(only(await asked())).toMatchObject({ group: {}, from: null, joules: null, tokens: { input: null, output: null }, requests: { ok: null, aborted: null, failed: null } });
    expect(codes(await asked())).toEqual(['NO_ENERGY']);
  });
});

describe('boundaries', () => {
  it('takes gpu where measured, else the narrowest measured, and never adds them', async () => {
    await given(energyFact({ boundary: 'server', device: 'bmc', joules: 500 }), energyFact({ boundary: 'cpu', device: 'rapl', joules: 80 }));
    expect(await asked()).toMatchObject({ boundary: 'cpu', boundaries: ['cpu', 'server'], total: { joules: 80 } });
    await given(energyFact({ joules: 300 }));
    expect(await asked()).toMatchObject({ boundary: 'gpu', total: { joules: 300 } });
    expect(await asked({ boundary: 'server' })).toMatchObject({ boundary: 'server', total: { joules: 500 } });
  });

  it('passes over a boundary that was asked for but never seen', async () => {
    await given(energyFact({ joules: 0, seconds: seconds(0), askedSeconds: seconds(1) }), energyFact({ boundary: 'server', device: 'bmc', joules: 500 }));
    expect(await asked()).toMatchObject({ boundary: 'server', total: { joules: 500 } });
  });

  it('says which boundaries exist when the one asked for does not', async () => {
    await given(...example());
    const report = await asked({ boundary: 'meter' });
    expect(only(report)).toMatchObject({ joules: null, watts: null, tokensPerWattSecond: null, tokens: { output: 30_000 } });
    expect(report.flags).toEqual([{ code: 'NO_ENERGY', detail: 'Tokens without energy at boundary meter; energy was measured at gpu.' }]);
  });
});

describe('phases', () => {
  beforeEach(() =>
    given(
      energyFact({ phase: 'prefill', joules: 30, modelledMicrojoules: microjoules(5_000_000), seconds: seconds(0.3) }), energyFact({ phase: 'decode', joules: 50, seconds: seconds(0.5) }),
      energyFact({ phase: 'idle', joules: 15, seconds: seconds(0.15) }), energyFact({ phase: 'unknown', joules: 5, seconds: seconds(0.05) }),
      tokensFact({ token: 'input', count: 600 }), tokensFact({ token: 'cachedInput', count: 400 }), tokensFact({ count: 100 }), requestsFact({ requests: 4 }),
    ));

  it('add up to what was measured, and repeat tokens and requests of their group', async () => {
    const report = await asked({ by: 'phase' });
    expect(report.rows.map(({ group }) => group['phase'])).toEqual(['prefill', 'decode', 'idle', 'unknown']);
    expect(report.rows.reduce((sum, { joules }) => sum + (joules ?? 0), 0)).toBe(100);
    for (const row of report.rows) expect(row).toMatchObject({ tokens: { input: 1000, cachedInput: 400, output: 100 }, requests: { ok: 4, aborted: 0, failed: 0 }, coverage: 1 });
    expect(rowFor(report, 'phase', 'prefill')).toMatchObject({ modelledJoules: 5, seconds: 0.3 });
  });

  it('put prefill over computed input tokens and all else over output tokens', async () => {
    const report = await asked({ by: 'phase', price: '3.6' });
    expect(rowFor(report, 'phase', 'prefill')).toMatchObject({ tokensPerWattSecond: 20, tokensPerKwh: 7.2e7, joulesPerToken: 0.05, energyCostPerToken: 30e-6 / 600 });
    expect(rowFor(report, 'phase', 'decode')).toMatchObject({ tokensPerWattSecond: 2, joulesPerToken: 0.5, energyCostPerToken: 50e-6 / 100 });
    expect(rowFor(report, 'phase', 'idle').joulesPerToken).toBeCloseTo(0.15, 12);
    expect(report.rows.flatMap(codes)).toEqual([]);
  });

  it('are named by a filter as well as by a key', async () => {
    expect(only(await asked({ where: 'phase=prefill' }))).toMatchObject({ joules: 30, tokensPerWattSecond: 20 });
  });

  it('of idle and unknown stay out of the ratios on basis serving, and out of nothing else', async () => {
    const all = only(await asked({ price: '3.6', carbon: '3600' }));
    expect(all).toMatchObject({ joules: 100, tokensPerWattSecond: 1 });
    const report = await asked({ basis: 'serving', price: '3.6', carbon: '3600' });
    expect(only(report)).toMatchObject({ joules: 100, seconds: all.seconds, watts: all.watts, energyCost: all.energyCost, carbonGrams: all.carbonGrams, tokensPerWattSecond: 1.25, joulesPerToken: 0.8 });
    expect(only(report).energyCostPerToken).toBeCloseTo(80e-6 / 100, 15);
    expect(codes(report)).toEqual(['BASIS_SERVING']);
    expect(rowFor(await asked({ basis: 'serving', by: 'phase' }), 'phase', 'idle')).toMatchObject({ joules: 15, joulesPerToken: null, flags: [{ code: 'NO_SERVING_ENERGY' }] });
  });
});

it('flags a prefill row whose cached tokens are not known', async () => {
  await given(energyFact({ phase: 'prefill', joules: 10 }), energyFact({ joules: 10 }), tokensFact({ token: 'input', count: 20 }), tokensFact());
  const report = await asked({ by: 'phase' });
  expect(rowFor(report, 'phase', 'prefill')).toMatchObject({ tokensPerWattSecond: 2, tokens: { input: 20, cachedInput: null }, flags: [{ code: 'CACHED_UNKNOWN' }] });
  expect(rowFor(report, 'phase', 'decode').flags).toEqual([]);
});

describe('tokens and requests', () => {
  it('are null, not 0, for what no fact speaks of', async () => {
    await given(energyFact(), tokensFact({ token: 'outsideOutput', count: 7 }), tokensFact({ token: 'cachedInput', count: 3 }));
    expect(await asked()).toMatchObject({ tokensOutside: { input: null, output: 7 }, total: { tokens: { input: 3, cachedInput: 3, output: null, useful: null }, requests: { ok: null } } });
  });

  it('are 0 where facts say 0', async () => {
    await given(energyFact(), tokensFact({ count: 0 }), requestsFact({ outcome: 'rejected', requests: 2 }));
    expect(only(await asked())).toMatchObject({ tokens: { output: 0 }, tokensPerWattSecond: null, requests: { ok: 0, aborted: 0, failed: 0, rejected: 2 } });
  });

  it('say why there is no ratio', async () => {
    await given(energyFact({ deployment: 'silent' }), tokensFact({ deployment: 'unmetered' }));
    const report = await asked({ by: 'deployment' });
    expect(rowFor(report, 'deployment', 'silent')).toMatchObject({ joulesPerToken: null, flags: [{ code: 'NO_TOKENS' }] });
    expect(rowFor(report, 'deployment', 'unmetered')).toMatchObject({ joulesPerToken: null, joules: null, flags: [{ code: 'NO_ENERGY' }] });
  });

  it('of a deployment without energy are named, because they flatter the total', async () => {
    await given(energyFact(), tokensFact(), tokensFact({ deployment: 'elsewhere' }));
    expect((await asked()).flags).toEqual([{ code: 'NO_ENERGY', detail: `Deployment 'elsewhere': tokens without energy at boundary gpu, yet in the total.` }]);
  });

  it('can not be divided by device', async () => {
    await given(...example(), energyFact({ device: 'GPU-1', joules: 5 }), requestsFact());
    const report = await asked({ by: 'device' });
    expect(rowFor(report, 'device', 'GPU-0')).toMatchObject({ joules: 10_000, tokens: { output: null }, requests: { ok: null }, tokensPerWattSecond: null, joulesPerToken: null });
    expect(codes(rowFor(report, 'device', 'GPU-0'))).toEqual(['TOKENS_NOT_PER_DEVICE', 'REQUESTS_NOT_PER_DEVICE']);
    expect(codes(report)).toContain('TOKENS_NOT_PER_DEVICE');
    expect(report.total).toMatchObject({ tokens: { output: 30_000 } });
  });

  it('share energy over tenants by their tokens, and say so', async () => {
    await given(energyFact({ joules: 30 }), tokensFact({ tenant: 'a', count: 1 }), tokensFact({ tenant: 'b', count: 2 }));
    const report = await asked({ by: 'tenant', price: '3.6' });
    expect(report.rows.map(({ group, tokens, joules, joulesPerToken }) => [group['tenant'], tokens.output, joules, joulesPerToken])).toEqual([['a', 1, 10, 10], ['b', 2, 20, 10]]);
    expect(rowFor(report, 'tenant', 'b').energyCost).toBeCloseTo(20e-6, 15);
    expect(codes(report)).toContain('ALLOCATED_BY_TOKENS');
    expect(only(await asked({ where: 'tenant=b' }))).toMatchObject({ joules: 20, tokens: { output: 2 } });
  });
});

const gap = () => energyFact({ from: 9, joules: 0, seconds: seconds(0), askedSeconds: seconds(1) });
const observed = () => Array.from({ length: 9 }, (_, from) => energyFact({ from }));

/** Device a is shared by two deployments in turn, b is chat's alone; each idles 3 s of 9. Seen from 0 to 9. */
const shared = () =>
  Array.from({ length: 9 }, (_, from) => [
    energyFact({ from, device: 'a', phase: from % 3 === 0 ? 'idle' : from % 3 === 1 ? 'prefill' : 'decode', deployment: from % 2 === 0 ? 'chat' : 'code', labels: { tier: from < 4 ? 'x' : 'y' } }),
    energyFact({ from, device: 'b', phase: from % 3 === 0 ? 'idle' : 'decode', model: from < 2 ? 'm' : 'n' }),
  ]).flat();

describe('coverage', () => {
  it('counts a gap as asked and not observed, and flags it when it is low', async () => {
    await given(...observed(), gap());
    const report = await asked();
    expect(report).toMatchObject({ coverage: 0.9, total: { joules: 900, seconds: 9, watts: 100 } });
    expect(report.flags.find(({ code }) => code === 'LOW_COVERAGE')?.detail).toContain('90.0 %');
    expect(codes(only(report))).toContain('LOW_COVERAGE');
  });

  it('asks for the whole of a window that was named', async () => {
    await given(...observed());
    const window = { from: iso(0), to: iso(18) };
    expect(await asked(window)).toMatchObject({ from: iso(0), to: iso(18), coverage: 0.5, rows: [{ coverage: 0.5, from: iso(0), to: iso(18) }] });
    expect(rowFor(await asked({ ...window, by: 'deployment' }), 'deployment', 'chat').coverage).toBe(0.5);
    expect(rowFor(await asked({ ...window, by: 'phase' }), 'phase', 'decode').coverage).toBe(0.5);
    expect((await asked({ to: iso(5) })).coverage).toBe(1);
  });

  it('asks it of every device', async () => {
    await given(...observed(), ...observed().map((fact) => ({ ...fact, device: 'GPU-1' })));
    expect((await asked({ from: iso(0), to: iso(18) })).coverage).toBe(0.5);
  });

  const divisions: Record<string, string | string[]>[] = [
    {}, { by: 'deployment' }, { by: 'phase' }, { by: 'deployment,phase' }, { by: 'device' }, { by: 'node,model' }, { by: 'tier' }, { where: ['phase=prefill', 'phase=decode'] },
    { where: 'deployment=code' }, { where: 'phase=idle', by: 'deployment' }, { where: 'device=b', by: 'model' }, { where: 'tier=x', by: 'phase' },
  ];

  it.each(divisions)('of facts seen throughout is 1, and of facts seen half of the window 0.5, in every row of %o', async (division) => {
    await given(...shared());
    for (const [to, expected] of [[9, 1], [18, 0.5]] as const) {
      const report = await asked({ ...division, from: iso(0), to: iso(to) });
      for (const row of [report.total, ...report.rows]) expect(row.coverage).toBeCloseTo(expected, 12);
      expect(codes(report).includes('LOW_COVERAGE')).toBe(expected < 1);
    }
  });

  it('keeps a gap with whom it was asked of, and the rest with all', async () => {
    await given(...observed().slice(0, 4), energyFact({ from: 4, deployment: 'code' }), energyFact({ from: 5, deployment: 'code', joules: 0, seconds: seconds(0), askedSeconds: seconds(1) }));
    const report = await asked({ by: 'deployment', from: iso(0), to: iso(12) });
    expect([report.coverage, ...report.rows.map(({ coverage }) => coverage)]).toEqual([5 / 12, 0.5, 0.25]);
  });

  it('is of the step in a report by steps', async () => {
    await given(...observed());
    const report = await asked({ from: iso(0), to: iso(15), step: '5s' });
    expect(report.rows.map(({ from, to, coverage, joules }) => [from, to, coverage, joules])).toEqual([[iso(0), iso(5), 1, 500], [iso(5), iso(10), 0.8, 400]]);
  });

  it('of a run with totals only is not known, nor is its power, but its joules are', async () => {
    await given(energyFact({ joules: 42, seconds: seconds(0), askedSeconds: seconds(0) }), tokensFact({ count: 84 }));
    expect(only(await asked({ from: iso(0), to: iso(100) }))).toMatchObject({ joules: 42, seconds: null, deviceSeconds: null, watts: null, coverage: null, tokensPerWattSecond: 2 });
  });

  it('of a group that was only a gap leaves no joules, which is not 0 J', async () => {
    await given(gap());
    expect(only(await asked())).toMatchObject({ joules: null, watts: null, coverage: 0, seconds: 0 });
  });
});

describe('flags of the facts', () => {
  it('are counted by code and detail and appear where they fit', async () => {
    await given(energyFact(), energyFact({ deployment: 'other' }), tokensFact(), tokensFact({ deployment: 'other' }),
      flagFact({ deployment: 'chat', count: 2 }), flagFact({ deployment: 'chat', count: 3 }), flagFact({ code: 'BAD_LINES', detail: '3 lines of server.log' }));
    const report = await asked({ by: 'deployment' });
    expect(report.flags).toEqual([{ code: 'BAD_LINES', detail: '3 lines of server.log', count: 1 }, { code: 'GAP', detail: 'no readings for 3 s', count: 5 }]);
    expect(codes(rowFor(report, 'deployment', 'chat'))).toEqual(['BAD_LINES', 'GAP']);
    expect(codes(rowFor(report, 'deployment', 'other'))).toEqual(['BAD_LINES']);
    expect(codes(await asked({ where: 'deployment=other' }))).toEqual(['BAD_LINES']);
  });

  it('that say "of how many" are shown when they hold for half of them or more', async () => {
    await given(energyFact(), tokensFact(), flagFact({ code: 'MOST', detail: 'evidence is coarse', count: 6, of: 10 }), flagFact({ code: 'FEW', detail: 'x', count: 4, of: 10 }));
    expect((await asked()).flags).toEqual([{ code: 'MOST', detail: 'evidence is coarse (6 of 10)' }]);
  });

  it('with very many details are told by a few and a count of the rest', async () => {
    await given(energyFact(), tokensFact(), ...Array.from({ length: 50 }, (_, index) => flagFact({ detail: `gap ${index}` })));
    const { flags } = await asked();
    expect(flags).toHaveLength(6);
    expect(flags.at(-1)).toEqual({ code: 'GAP', detail: 'and 45 more of this kind', count: 45 });
  });

  it('keep to their time step', async () => {
    await given(energyFact(), energyFact({ from: 60 }), tokensFact(), tokensFact({ from: 60 }), flagFact({ from: 61 }));
    expect((await asked({ step: '1m' })).rows.map(codes)).toEqual([[], ['GAP']]);
  });

  it('say DEMONSTRATION when any fact in range is one', async () => {
    await given(...example(), energyFact({ from: 100, labels: { demonstration: 'true' } }));
    expect(codes(await asked())).toContain('DEMONSTRATION');
    expect(codes(await asked({ to: iso(50) }))).not.toContain('DEMONSTRATION');
  });

  it('say SIMULATED when any fact in range is, whatever else it is', async () => {
    await given(...example(), energyFact({ from: 100, labels: { simulated: 'true', demonstration: 'true' } }));
    expect(codes(await asked()).slice(0, 2)).toEqual(['SIMULATED', 'DEMONSTRATION']);
    expect(codes(await asked({ to: iso(50) }))).not.toContain('SIMULATED');
  });
});

describe('groups and ranges', () => {
  it('divides by labels, and names the nearest when no fact carries one', async () => {
    await given(energyFact({ labels: { quantization: 'fp8' } }), tokensFact({ labels: { quantization: 'fp8' } }), energyFact({ labels: { quantization: 'fp16' } }));
    const report = await asked({ by: 'quantization' });
    expect(report.rows.map(({ group, joules }) => [group['quantization'], joules])).toEqual([['fp16', 100], ['fp8', 100]]);
    await expect(asked({ by: 'quantisation' })).rejects.toThrow(`--by: no fact carries the label 'quantisation'; did you mean 'quantization'?`);
    await expect(asked({ where: 'deploymnet=chat' })).rejects.toThrow(`--where: no fact carries the label 'deploymnet'; did you mean 'deployment'?`);
  });

  it('keeps facts by filters: keys together, values of one key either', async () => {
    await given(...['a', 'b', 'c'].map((deployment) => energyFact({ deployment, joules: 1, labels: { x: deployment === 'c' ? '2' : '1' } })));
    expect(only(await asked({ where: ['deployment=a', 'deployment=b'] })).joules).toBe(2);
    expect(only(await asked({ where: ['deployment=a', 'deployment=c', 'x=2'] })).joules).toBe(1);
  });

  it('takes slices by their beginning and to the microsecond', async () => {
    await given(energyFact({ from: 1 }), energyFact({ from: 2 }), energyFact({ from: 3 }));
    expect((await asked({ from: iso(1), to: String(at(3) / 1e6) })).total.joules).toBe(200);
  });

  it('gives facts without the key a group of their own', async () => {
    await given(energyFact(), energyFact({ deployment: undefined, phase: 'idle', joules: 7 }));
    expect(rowFor(await asked({ by: 'deployment' }), 'deployment', null).joules).toBe(7);
  });
});
