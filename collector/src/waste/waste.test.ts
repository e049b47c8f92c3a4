/** Waste from facts through the store: every number here is worked out by hand. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { latencyBucket, PHASES, type EnergySlice, type GaugeSlice, type Phase, type Slice } from '@joulebook/shared/slice.js';
import { microjoules, seconds } from '@joulebook/shared/units.js';
import { EMPTY_BOOK, readBook, type Book } from '../book/book.js';
import { openDuckdb } from '../store/duckdb.js';
import { at, batchOf, energyFact, requestsFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import type { Finding, Waste } from './answer.js';
import { wasteSection } from './render.js';
import { parseWaste } from './request.js';
import { findWaste } from './waste.js';

let folder: string;
let store: Store;
let sequence = 0;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
  folder = await mkdtemp(join(tmpdir(), 'waste-'));
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const given = (...slices: Slice[]): Promise<unknown> => store.append(batchOf(slices, { sequence: (sequence += 1) }));
async function bookOf(text: string): Promise<Book> {
  await writeFile(join(folder, 'book.yaml'), text);
  return readBook(join(folder, 'book.yaml'));
}
const asked = (options: Record<string, string> = {}, book: Book = EMPTY_BOOK): Promise<Waste> => findWaste(store, parseWaste(Object.fromEntries(Object.entries(options).map(([name, value]) => [name, [value]])), {}, '--'), '--', book);
const kindsOf = ({ kinds }: Waste): Record<string, number | null> => Object.fromEntries(kinds.map(({ kind, joules }) => [kind, joules]));
const kindIn = ({ kinds }: Waste, wanted: string): Waste['kinds'][number] => {
  const found = kinds.find(({ kind }) => kind === wanted);
  if (!found) throw new Error(`no ${wanted} among ${kinds.map(({ kind }) => kind).join(', ')}`);
  return found;
};

/** A step of 10 s. */
const SLICE = 10;
const gauge = (step: number, name: string, mean: number, device = 'GPU-0'): GaugeSlice => ({ kind: 'gauge', device, gauge: name, from: at(step * SLICE), to: at((step + 1) * SLICE), valueSeconds: mean * SLICE, seconds: seconds(SLICE), max: mean });
const drawn = (step: number, watts: number, said: Parameters<typeof energyFact>[0] = {}): EnergySlice => energyFact({ joules: watts * SLICE, from: step * SLICE, to: (step + 1) * SLICE, seconds: seconds(SLICE), phase: 'idle', ...said });
const steps = <T>(count: number, of: (step: number) => T[], first = 0): T[] => Array.from({ length: count }, (_, index) => of(first + index)).flat();

const unowned = (step: number, watts: number, device: string, phase: Phase = 'unknown'): Slice => ({ ...drawn(step, watts, { device, phase }), deployment: undefined, model: undefined });
const idleGauges = (step: number, utilization: number, clock: number): Slice[] => [gauge(step, 'gpu.memory.used', 60_000), gauge(step, 'gpu.utilization', utilization), gauge(step, 'gpu.clock.sm', clock), gauge(step, 'gpu.clock.sm.max', 2000)];
const highClock = (step: number): Slice[] => [gauge(step, 'gpu.clock.sm', 2000), gauge(step, 'gpu.clock.sm.max', 2000)];
const throttled = (step: number, power: number, heat = 0, device = 'GPU-0'): Slice[] => [gauge(step, 'gpu.throttle.power', power, device), gauge(step, 'gpu.throttle.thermal', heat, device)];
const made = (step: number, count: number): Slice => tokensFact({ count, from: step * SLICE, to: (step + 1) * SLICE });
const isIdle = ({ kind }: Finding): boolean => kind.startsWith('idle');

describe('idle energy', () => {
  it('is of a loaded model where a deployment is, and nothing tells more of it', async () => {
    await given(...steps(20, (step) => [drawn(step, 100)]));
    const found = await asked({ price: '0.36', pue: '1.5', carbon: '400' });
    expect(found.step).toBe(SLICE);
    expect(found.findings).toEqual([expect.objectContaining({ kind: 'idleLoaded', group: { deployment: 'chat', node: 'node-1', device: 'GPU-0' }, joules: 20_000, allInCost: null, seconds: null, tokens: null })]);
    // 20 kJ are 1/180 kWh.
    const [first] = found.findings;
    expect([first?.kwh, first?.gpuHours, first?.energyCost, first?.carbonGrams]).toEqual([1 / 180, 200 / 3600, expect.closeTo((1.5 * 0.36) / 180, 12), expect.closeTo((1.5 * 400) / 180, 9)]);
    expect(found.notSeen.map(({ kind, gpus, of }) => [kind, gpus, of])).toEqual([['idleEmpty', 1, 1], ['idleClocksHigh', 1, 1], ['idleBusyLoop', 1, 1], ['throttledByPower', 1, 1], ['throttledByHeat', 1, 1]]);
  });

  it('is of an empty GPU where its memory is, also where no engine says what an unowned one does', async () => {
    await given(
      ...steps(4, (step) => [drawn(step, 70), gauge(step, 'gpu.memory.used', 600)]),
      ...steps(4, (step) => [unowned(step, 60, 'GPU-1'), gauge(step, 'gpu.memory.used', 4, 'GPU-1')]),
      ...steps(4, (step) => [unowned(step, 90, 'GPU-2'), gauge(step, 'gpu.memory.used', 40_000, 'GPU-2')]),
      ...steps(4, (step) => [unowned(step, 50, 'GPU-3', 'idle')]),
    );
    const found = await asked();
    expect(kindsOf(found)).toEqual({ idleEmpty: 2800 + 2400, idleUntold: 2000 });
    expect(found.account).toEqual({ joules: 10_800, serving: 0, idle: 7200, unknown: 3600, wastedOutput: null });
  });

  it('is of high clocks and of work that nobody asked for, but only after a minute of idling', async () => {
    await given(
      ...steps(1, (step) => [drawn(step, 500, { phase: 'decode' }), ...idleGauges(step, 1, 2000)]),
      // Gauges still say what was before.
      ...steps(6, (step) => [drawn(step, 120), ...idleGauges(step, 1, 2000)], 1),
      ...steps(5, (step) => [drawn(step, 120), ...idleGauges(step, 0, 1600)], 7),
      ...steps(3, (step) => [drawn(step, 150), ...idleGauges(step, 0.5, 2000)], 12),
      ...steps(2, (step) => [drawn(step, 100), ...idleGauges(step, 0.49, 1599)], 15),
    );
    const found = await asked();
    expect(kindsOf(found)).toEqual({ idleLoaded: 7200 + 2000, idleClocksHigh: 6000, idleBusyLoop: 4500 });
    expect(found.account).toMatchObject({ serving: 5000, idle: 19_700 });
    expect(found.notSeen.map(({ kind }) => kind)).toEqual(['throttledByPower', 'throttledByHeat']);
    expect(kindIn(found, 'idleClocksHigh').remedy).toMatch(/nvidia-smi -rgc/);
  });

  it('is of work that nobody asked for where it takes half as much again as the same GPU idling', async () => {
    await given(...steps(30, (step) => [drawn(step, step < 20 ? 80 : step < 25 ? 119 : 120)]));
    expect(kindsOf(await asked())).toEqual({ idleLoaded: 20 * 800 + 5 * 1190, idleBusyLoop: 5 * 1200 });
  });

  it('of a GPU that others work on is never taken for clocks held high', async () => {
    await given(...steps(20, (step) => [drawn(step, 60, { seconds: seconds(5) }), drawn(step, 200, { seconds: seconds(5), phase: 'decode', deployment: 'batch' }), ...highClock(step)]));
    // Though the question leaves the other out.
    expect(kindsOf(await asked({ where: 'deployment=chat' }))).toEqual({ idleLoaded: 12_000 });
    expect((await asked({ where: 'deployment=chat' })).account.joules).toBe(12_000);
  });

  it('is worth what the book says of its time, with the GPU hours that it took', async () => {
    const book = await bookOf(`
currency: EUR
sites: { default: { tariff: { zone: UTC, periods: [{ name: night, price: 0.1, from: "00:00", to: "01:00" }, { name: day, price: 0.4 }] }, carbon: { location: 300 } } }
costs:
  - { item: gpu, perGpuHour: 3.6 }
  - { item: engineering, perHour: 7.2, where: { deployment: chat } }
`);
    const hour = 3600 / SLICE;
    // 1 kJ a step; the last ten minutes before one o'clock, and ten after it.
    await given(...steps(60, (step) => [drawn(step, 100)], hour - 60), ...steps(60, (step) => [drawn(step, 100, { phase: 'decode' })], hour), ...steps(60, (step) => [drawn(step, 100)], hour + 60));
    const found = await asked({}, book);
    const [idle] = found.findings;
    expect(found.currency).toBe('EUR');
    expect(idle).toMatchObject({ kind: 'idleLoaded', joules: 120_000, gpuHours: 1 / 3 });
    expect(idle?.energyCost).toBeCloseTo((60_000 * 0.1 + 60_000 * 0.4) / 3.6e6, 12);
    expect(idle?.carbonGrams).toBeCloseTo((120_000 / 3.6e6) * 300, 9);
    // A third of an hour of the GPU; of half an hour of engineering two thirds.
    expect((idle?.allInCost ?? 0) - (idle?.energyCost ?? 0)).toBeCloseTo(3.6 / 3 + (7.2 / 2) * (2 / 3), 12);
  });
});

describe('throttling', () => {
  it('is told in seconds, and in what the same deployment makes without it', async () => {
    await given(
      ...steps(10, (step) => [drawn(step, 600, { phase: 'decode' }), made(step, 1000), ...throttled(step, 0)]),
      ...steps(4, (step) => [drawn(step, 700, { phase: 'decode' }), made(step, 700), ...throttled(step, 1)], 10),
      ...steps(2, (step) => [drawn(step, 700, { phase: 'decode' }), made(step, 900), ...throttled(step, 0, 0.5)], 14),
    );
    const found = await asked({}, await bookOf('sites: { default: { tariff: { price: 0 } } }\ncosts: [{ item: gpu, perGpuHour: 36 }]\n'));
    // 100 tokens a second without; 40 s with 70, and 10 s (half of 20) with 90.
    expect(kindIn(found, 'throttledByPower')).toMatchObject({ seconds: 40, tokens: 1200, tokensAtMost: 4000, joules: null, energyCost: null });
    const heat = kindIn(found, 'throttledByHeat');
    expect([heat.seconds, heat.tokens, heat.tokensAtMost]).toEqual([10, expect.closeTo(100, 9), expect.closeTo(1000, 9)]);
    // 1,200 tokens are 12 s of this GPU.
    expect(kindIn(found, 'throttledByPower').allInCost).toBeCloseTo((12 / 3600) * 36, 12);
    expect(found.account).toMatchObject({ idle: 0, unknown: 0 });
  });

  it('has no tokens where there was no time without it, and none missing where as much was made', async () => {
    await given(...steps(5, (step) => [drawn(step, 600, { phase: 'decode' }), made(step, 1000), ...throttled(step, 0.9)]));
    expect(kindIn(await asked(), 'throttledByPower')).toMatchObject({ seconds: 45, tokens: null, tokensAtMost: null, gpuHours: null, allInCost: null });
    await given(...steps(5, (step) => [drawn(step, 600, { phase: 'decode' }), made(step, 900), ...throttled(step, 0)], 5));
    expect(kindIn(await asked(), 'throttledByPower')).toMatchObject({ seconds: 45, tokens: 0, tokensAtMost: 45 * 90 });
  });

  it('is shared over GPUs by how long each was held back, whatever the question keeps of them', async () => {
    const device = 'GPU-1';
    await given(
      ...steps(5, (step) => [drawn(step, 600, { phase: 'decode' }), drawn(step, 600, { phase: 'decode', device }), made(step, 2000), ...throttled(step, 0), ...throttled(step, 0, 0, device)]),
      ...steps(4, (step) => [drawn(step, 600, { phase: 'decode' }), drawn(step, 600, { phase: 'decode', device }), made(step, 1200), ...throttled(step, 1), ...throttled(step, 0.5, 0, device)], 5),
    );
    // Each GPU made 100 a second, and 60 in the throttled time: of 40 s and 20 s.
    const byDevice = new Map((await asked()).findings.map(({ group, seconds: held, tokens }) => [group['device'], [held, tokens]]));
    expect([...byDevice]).toEqual(expect.arrayContaining([['GPU-0', [40, expect.closeTo(1600, 9)]], ['GPU-1', [20, expect.closeTo(800, 9)]]]));
    const one = kindIn(await asked({ where: 'device=GPU-1' }), 'throttledByPower');
    expect([one.seconds, one.tokens]).toEqual([20, expect.closeTo(800, 9)]);
    expect(kindIn(await asked({ by: 'deployment' }), 'throttledByPower')).toMatchObject({ seconds: 60, findings: 1 });
  });
});

describe('output of no use', () => {
  it('is told by class, of the energy that served and not of that of idling', async () => {
    const ttftBucket = latencyBucket(seconds(1));
    await given(
      drawn(0, 90, { phase: 'decode' }), drawn(1, 10), tokensFact({ count: 100 }),
      requestsFact({ outputTokens: 60, ttftBucket }), requestsFact({ outcome: 'failed', outputTokens: 30, ttftBucket }), requestsFact({ outputTokens: 10, ttftBucket: latencyBucket(seconds(9)) }),
    );
    const found = await asked({ slo: 'ttft=2s', price: '1', carbon: '100' });
    expect(kindsOf(found)).toEqual({ idleLoaded: 100, late: 90, failed: 270 });
    const failed = kindIn(found, 'failed');
    expect([failed.tokens, failed.requests, failed.energyCost, failed.carbonGrams]).toEqual([30, 1, expect.closeTo(270 / 3.6e6, 15), expect.closeTo(27_000 / 3.6e6, 12)]);
    expect(found.findings.find(({ kind }) => kind === 'failed')?.group).toEqual({ deployment: 'chat', node: null, device: null });
    expect(found.account).toEqual({ joules: 1000, serving: 900, idle: 100, unknown: 0, wastedOutput: 360 });
    // What a request draws is told of all its GPUs together, and of one node where its deployment may be on several.
    for (const where of ['device=GPU-0', 'node=node-1']) {
      const ofOne = await asked({ slo: 'ttft=2s', price: '1', where });
      expect([kindsOf(ofOne), ofOne.account.wastedOutput]).toEqual([{ idleLoaded: 100 }, null]);
      expect(ofOne.flags.map(({ code }) => code)).toContain('WASTED_OUTPUT_NOT_TOLD');
      expect(String(wasteSection(ofOne))).toContain('WASTED_OUTPUT_NOT_TOLD');
    }
    expect(found.flags.map(({ code }) => code)).not.toContain('WASTED_OUTPUT_NOT_TOLD');
  });
});

it('keeps what has the value, and not what has none', async () => {
  await given({ ...drawn(0, 100), labels: { rack: '' } }, { ...drawn(1, 100), labels: { rack: 'a' } }, drawn(2, 100));
  expect((await asked({ where: 'rack=' })).account.joules).toBe(1000);
  expect(() => parseWaste({ where: ['deployment='] }, {}, '--')).toThrow("--where: 'deployment=' names no deployment");
});

const entry = fc.record({
  step: fc.integer({ min: 0, max: 25 }), device: fc.constantFrom('GPU-0', 'GPU-1'), deployment: fc.constantFrom('chat', 'batch', undefined), phase: fc.constantFrom<Phase>(...PHASES),
  micros: fc.integer({ min: 0, max: 5e9 }), asked: fc.integer({ min: 0, max: 10 }),
});
const gauges = fc.record({ step: fc.integer({ min: 0, max: 25 }), device: fc.constantFrom('GPU-0', 'GPU-1'), name: fc.constantFrom('gpu.memory.used', 'gpu.utilization', 'gpu.clock.sm', 'gpu.clock.sm.max', 'gpu.throttle.power'), value: fc.constantFrom(0, 0.3, 0.9, 500, 3000) });
const ended = fc.record({ deployment: fc.constantFrom('chat', 'batch'), outcome: fc.constantFrom('ok' as const, 'failed' as const, 'aborted' as const), input: fc.integer({ min: 0, max: 100 }), output: fc.integer({ min: 0, max: 100 }) });

it('puts each joule in one place: findings of idle and of output, what served well and what is unknown are all that was measured', async () => {
  const book = await bookOf('sites: { default: { tariff: { zone: UTC, periods: [{ name: a, price: 0.2, from: "00:00", to: "00:01" }, { name: b, price: 0.7 }] }, carbon: { location: 300 } } }\ncosts: [{ item: gpu, perGpuHour: 2 }, { item: idleHeadroom, shareOfGpu: 0.1 }]\n');
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 40 }), fc.array(gauges, { maxLength: 40 }), fc.array(ended, { maxLength: 8 }), async (energies, means, requests) => {
      const one = await openDuckdb(':memory:');
      try {
        const facts = energies.map(({ step, device, deployment, phase, micros, asked: length }) => ({ ...drawn(step, 0, { device, phase, seconds: seconds(length) }), deployment, microjoules: microjoules(micros) }));
        await one.append(batchOf([...facts, ...means.map(({ step, device, name, value }) => gauge(step, name, value, device)), ...requests.map(({ deployment, outcome, input, output }) => requestsFact({ deployment, outcome, inputTokens: input, outputTokens: output }))]));
        const found = await findWaste(one, parseWaste({}, {}, ''), '', book);
        const total = (name: 'joules' | 'energyCost' | 'carbonGrams' | 'gpuHours', kept: (finding: Finding) => boolean): number => found.findings.filter(kept).reduce((sum, finding) => sum + (finding[name] ?? 0), 0);
        const all = energies.reduce((sum, { micros }) => sum + micros, 0) / 1e6;
        expect(found.account.joules).toBeCloseTo(all, 6);
        expect(found.account.serving + found.account.idle + found.account.unknown).toBeCloseTo(all, 6);
        expect(total('joules', isIdle)).toBeCloseTo(found.account.idle, 6);
        expect(found.account.wastedOutput ?? 0).toBeLessThanOrEqual(found.account.serving + 1e-6);
        // At its own price and carbon, and each second of a GPU in one finding; an empty GPU may have idled where nobody says so.
        const claimed = new Set(found.findings.map(({ kind, group }) => (kind === 'idleEmpty' ? group['device'] : '')));
        const idle = energies.filter(({ phase, device }) => phase === 'idle' && !claimed.has(device));
        const elsewhere = (finding: Finding): boolean => isIdle(finding) && !claimed.has(finding.group['device'] ?? '');
        expect(total('energyCost', elsewhere)).toBeCloseTo(idle.reduce((sum, { step, micros }) => sum + (micros / 3.6e12) * (step < 6 ? 0.2 : 0.7), 0), 9);
        expect(total('gpuHours', elsewhere)).toBeCloseTo(idle.reduce((sum, { asked: length }) => sum + length, 0) / 3600, 9);
        expect(total('carbonGrams', isIdle)).toBeCloseTo((found.account.idle / 3.6e6) * 300, 6);
      } finally {
        await one.close();
      }
    }),
    { numRuns: 3 },
  );
});

it('refuses what waste can’t be told by, with every fault at once', () => {
  expect(() => parseWaste({ by: ['phase'], where: ['tenant=a'], step: ['1m'] }, {}, '--')).toThrow(/--step: unknown here[\s\S]*--by: waste is not told by phase[\s\S]*--where: waste is not told by tenant/);
});

it('says nothing was measured where no GPU was', async () => {
  await given(energyFact({ boundary: 'server', device: 'bmc' }));
  const found = await asked();
  expect([found.step, found.findings, found.flags.map(({ code }) => code)]).toEqual([0, [], expect.arrayContaining(['NO_ENERGY'])]);
});

it('looks by hours where time is long and GPUs are many', async () => {
  await given(...steps(3, (step) => [drawn(step * 360 * 24 * 10, 100)]), ...Array.from({ length: 40 }, (_, index) => drawn(0, 50, { device: `GPU-${index}` })));
  const found = await asked();
  expect(found.step).toBe(900);
  expect(found.account.joules).toBe(3 * 1000 + 40 * 500);
});
