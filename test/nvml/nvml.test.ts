/** The source `nvml` on a library with NVML's real ABI, compiled here: see test/support/fake-nvml/fake-nvml.c. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { nvmlGpuUses } from '@joulebook/agent/sources/power/nvidia/nvml-processes.js';
import { openNvmlSession, type NvmlOpening, type NvmlSession } from '@joulebook/agent/sources/power/nvidia/nvml-session.js';
import { loadNvml } from '@joulebook/agent/sources/power/nvidia/nvml-library.js';
import { nvml, probeNvml } from '@joulebook/agent/sources/power/nvidia/nvml.js';
import { throttles } from '@joulebook/agent/sources/power/nvidia/throttle.js';
import type { LiveContext, PowerEvent, Reading } from '@joulebook/agent/sources/source.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { fakeNvml, withoutCompiler, type FakeNvml } from '../support/fake-nvml/fake-nvml.js';

const worker = new URL('../../agent/dist/sources/power/nvidia/nvml-worker.js', import.meta.url);
const UUID = (index: number): string => `GPU-fa4e0000-0000-4000-8000-${String(index).padStart(12, '0')}`;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).toReversed()) await clean();
  vi.unstubAllEnvs();
});

async function fake(knobs: Readonly<Record<string, string | number>>): Promise<FakeNvml> {
  const made = await fakeNvml(knobs);
  for (const [name, value] of Object.entries(made.environment)) vi.stubEnv(name, value);
  cleanups.push(() => made.remove());
  return made;
}

/** A session under a clock that stands still between rounds. */
async function simulated(knobs: Readonly<Record<string, string | number>>, opening: Partial<NvmlOpening> = {}) {
  const made = await fake({ CLOCK: 'manual', ...knobs });
  const session = await openNvmlSession({ library: made.library, probe: false, period: seconds(0.2), slowEvery: 1, anew: false, ...opening });
  cleanups.push(() => session.close());
  return { session, round: async (millis: number) => roundAt(made, session, millis) };
}
async function roundAt(made: FakeNvml, session: NvmlSession, millis: number): Promise<PowerEvent[]> {
  await made.at(millis);
  return session.read(() => instant(millis / 1000));
}

const readings = (events: readonly PowerEvent[]): Reading[] => events.filter((event) => event.kind === 'reading');
const gauges = (events: readonly PowerEvent[]): Record<string, number> => Object.fromEntries(events.flatMap((event) => (event.kind === 'gauge' ? [[event.gauge, event.value]] : [])));
const flags = (events: readonly PowerEvent[]): string[] => events.flatMap((event) => (event.kind === 'flagged' ? [event.code] : []));
const ids = (events: readonly PowerEvent[]): string[] => readings(events).map(({ channel }) => channel.id.replaceAll(/GPU-[0-9a-f-]+(\d)/g, 'GPU$1'));

describe.skipIf(withoutCompiler)(`a board through NVML's ABI${withoutCompiler ? ` (skipped: ${withoutCompiler})` : ''}`, () => {
  it('says instant and average power, its counter and its gauges', async () => {
    const { round } = await simulated({ PERIOD_MS: 400, LOW_MW: 100_000, HIGH_MW: 500_000 });
    const events = await round(10_300);
    expect(readings(events)).toMatchObject([
      // 25 ms before 10.3 s lie in the low half; the mean over a second of 2.5 waves that ends in a low half is below the middle.
      { measures: 'power', power: 100, channel: { id: `nvml/${UUID(0)}/power.instant`, device: UUID(0), index: 0, boundary: 'gpu', source: 'nvml', sensor: { averagedOver: 0.025, refresh: 0.1 } } },
      { measures: 'power', power: 300, channel: { id: `nvml/${UUID(0)}/power.average`, sensor: { averagedOver: 1 } } },
      { measures: 'counter', total: 123_456_789_000n + 3_110_000_000n, channel: { id: `nvml/${UUID(0)}/energy`, measures: 'counter', boundary: 'gpu' } },
    ]);
    expect(gauges(events)).toMatchObject({ 'gpu.temperature': 61, 'gpu.clock.sm': 1980, 'gpu.clock.sm.max': 1980, 'gpu.utilization': 0.97, 'gpu.memory.used': 71 * 1024, 'gpu.memory.power': 33, 'gpu.throttle.power': 0, 'gpu.throttle.thermal': 0 });
  });

  it('says the share of time under the power cap once its counter has been seen twice', async () => {
    const { round } = await simulated({});
    await round(1000);
    expect(gauges(await round(2000))['gpu.throttle.power']).toBeCloseTo(0.5, 6);
  });

  it('is asked for its counter and gauges only in slow rounds', async () => {
    const { round } = await simulated({}, { slowEvery: 5 });
    const kinds = [];
    for (let tick = 1; tick <= 10; tick += 1) kinds.push((await round(tick * 200)).length);
    expect(kinds).toEqual([kinds[0], 2, 2, 2, 2, kinds[0], 2, 2, 2, 2]);
    expect(kinds[0]).toBeGreaterThan(8);
  });

  it('without the fields of driver 530 says power.draw, and is never asked for the fields again', async () => {
    const { round } = await simulated({ UNSUPPORTED: '185,186,energy', NAME: 'Tesla T4', ARCH: 6 });
    await round(1000);
    const events = await round(2000);
    expect(ids(events)).toEqual(['nvml/GPU0/power.draw']);
    expect(readings(events)[0]?.channel.sensor).toMatchObject({ averagedOver: 0.1 });
    expect(flags(events)).toEqual([]);
  });

  it('that says nothing at all is told once', async () => {
    const { round } = await simulated({ UNSUPPORTED: 'fields,energy,usage' });
    expect([...flags(await round(1000)), ...flags(await round(2000)), ...flags(await round(3000))]).toEqual(['MISSING_READINGS']);
  });

  it('in MIG mode is one board with the whole board\'s power, without utilisation', async () => {
    const { round } = await simulated({ MIG: 1 });
    const events = await round(1000);
    expect(readings(events)).toHaveLength(3);
    expect(gauges(events)).not.toHaveProperty('gpu.utilization');
  });

  it('reports the power of a module once for all boards on it, and never their sum', async () => {
    const { round } = await simulated({ DEVICES: 4, MODULES: 'S1,S1,S2,S2', MODULE_MW: 130_000, LOW_MW: 100_000, HIGH_MW: 100_000 });
    const modules = readings(await round(2000)).filter(({ channel }) => channel.boundary === 'module');
    expect(modules.map(({ channel }) => channel.id)).toEqual(['nvml/S1/module.power', 'nvml/S2/module.power']);
    expect(modules.map((reading) => reading.measures === 'power' && reading.power)).toEqual([330, 330]);
  });

  it('hands the module over to its neighbour when it is lost', async () => {
    const { round } = await simulated({ DEVICES: 2, MODULES: 'S1,S1', MODULE_MW: 1000, ERRORS: '0:15@1500-' });
    await round(1000);
    expect(ids(await round(2000))).toContain('nvml/S1/module.power');
  });
});

describe.skipIf(withoutCompiler)('trouble with a board', () => {
  it('that is lost breaks its channels, is told once, and is mended by a try a minute later', async () => {
    const { round } = await simulated({ DEVICES: 2, ERRORS: '1:15@5000-100000' });
    expect(ids(await round(4000))).toHaveLength(6);
    const lost = await round(5000);
    expect(ids(lost)).toHaveLength(3);
    expect(lost.flatMap((event) => (event.kind === 'break' ? event.channels.map(({ device }) => device) : []))).toEqual([UUID(1), UUID(1), UUID(1)]);
    expect(flags(lost)).toEqual(['GPU_LOST']);
    for (const at of [6000, 64_000, 66_000, 101_000, 125_000]) expect(await round(at).then((events) => [ids(events).length, flags(events)]), `${at}`).toEqual([3, []]);
    expect(ids(await round(127_000))).toHaveLength(6);
  });

  it('that is lost from the beginning is there once it comes back', async () => {
    const { round } = await simulated({ DEVICES: 2, ERRORS: '1:15@0-30000' });
    const first = await round(1000);
    expect([ids(first).length, flags(first)]).toEqual([3, ['GPU_LOST']]);
    expect(ids(await round(62_000))).toHaveLength(6);
  });

  it('in one field costs that field alone, told when it begins and counted when it ends', async () => {
    const { round } = await simulated({ ERRORS: '0/186:999@2000-5000' });
    await round(1000);
    const begun = await round(2000);
    expect(ids(begun)).toEqual(['nvml/GPU0/power.average', 'nvml/GPU0/energy']);
    expect(flags(begun)).toEqual(['MISSING_READINGS']);
    expect(flags([...(await round(3000)), ...(await round(4000))])).toEqual([]);
    expect(await round(5000)).toContainEqual(expect.objectContaining({ kind: 'flagged', code: 'MISSING_READINGS', count: 2 }));
  });

  it('of unknown kind, three times in a row, ends the session; after that failed to help, the board is lost', async () => {
    const { round } = await simulated({ ERRORS: '0:999@1500-' });
    await round(1000);
    // Three calls to one board: fields, counter and temperature of one round.
    await expect(round(2000)).rejects.toMatchObject({ code: 'NVML_UNKNOWN_ERRORS', remedy: 'retry' });
    const again = await simulated({ ERRORS: '0:999@1500-' }, { anew: true });
    await again.round(1000);
    expect(flags(await again.round(2000))).toContain('GPU_LOST');
  });

  it.each([
    [17, 'NVML_DEVICE_BLOCKED', /container/],
    [18, 'NVML_VERSION_MISMATCH', /reboot/],
    [1, 'NVML_FAILED', /not initialised/],
  ])('with code %i asks for a new session', async (code, name, words) => {
    const { round } = await simulated({ ERRORS: `0:${code}@1500-` });
    await round(1000);
    const ending = round(2000);
    await expect(ending).rejects.toMatchObject({ code: name, remedy: 'retry' });
    await expect(ending).rejects.toThrow(words);
  });

  it('that reports an absurd power is flagged and no reading', async () => {
    const { round } = await simulated({ GAIN: 80 });
    const events = await round(2000);
    expect(ids(events)).toEqual(['nvml/GPU0/energy']);
    expect(flags(events)).toEqual(['ABSURD_READING', 'ABSURD_READING']);
  });
});

describe('NVML that is not here', () => {
  it('says what to install, and how it may be found', async () => {
    const answer = await probeNvml({ library: '/nonexistent/libnvidia-ml.so.1' });
    expect(answer.found || answer.reason).toMatch(/Install the NVIDIA driver/);
    await expect(openNvmlSession({ library: '/nonexistent/libnvidia-ml.so.1', probe: false, period: seconds(0.2), slowEvery: 1, anew: false })).rejects.toMatchObject({ code: 'NVML_MISSING', remedy: 'disable' });
  });

  it('for want of koffi points to nvidia-smi', async () => {
    await expect(loadNvml({ koffi: () => Promise.reject(new Error('no prebuilt binary')) })).rejects.toMatchObject({ code: 'NVML_KOFFI_MISSING', remedy: 'disable' });
  });

  it.skipIf(withoutCompiler).each([
    [9, 'NVML_NO_DRIVER', 'disable'],
    [4, 'NVML_NO_PERMISSION', 'disable'],
    [18, 'NVML_VERSION_MISMATCH', 'retry'],
  ])('answering %i to its initialisation: %s, %s', async (code, name, remedy) => {
    const { library } = await fake({ ERRORS: `init:${code}@0-` });
    await expect(openNvmlSession({ library, probe: false, period: seconds(0.2), slowEvery: 1, anew: false })).rejects.toMatchObject({ code: name, remedy });
  });

  it.skipIf(withoutCompiler)('for lack of GPUs is disabled', async () => {
    const { library } = await fake({ DEVICES: 0 });
    const answer = await probeNvml({ library });
    expect(answer.found || answer.reason).toMatch(/no GPU/);
  });
});

it('tells throttling for power, for heat and for other reasons apart, and idle clocks from all of them', () => {
  expect(throttles(0x1 | 0x2 | 0x100)).toEqual({ power: 0, thermal: 0, other: 0 });
  expect(throttles(0x4)).toEqual({ power: 1, thermal: 0, other: 0 });
  expect(throttles(0x8 | 0x40)).toEqual({ power: 0, thermal: 1, other: 0 });
  expect(throttles(0x80)).toEqual({ power: 1, thermal: 0, other: 0 });
  expect(throttles(0x8 | 0x20)).toEqual({ power: 0, thermal: 1, other: 1 });
});

describe.skipIf(withoutCompiler)('who computes', () => {
  it('is told with memory and MIG instance', async () => {
    const { library } = await fake({ DEVICES: 2, MIG: 1, PROCESSES: '0:41:70000:1,1:42:512:2,1:43:1024:3' });
    const uses = nvmlGpuUses({ library, worker: undefined });
    expect(await uses.ask()).toEqual([
      { device: UUID(0), pid: 41, memoryMiB: 70_000, migInstance: 1 },
      { device: UUID(1), pid: 42, memoryMiB: 512, migInstance: 2 },
      { device: UUID(1), pid: 43, memoryMiB: 1024, migInstance: 3 },
    ]);
    await uses.close();
  });

  it('is told of more processes than there was room for at first', async () => {
    const { library } = await fake({ PROCESSES: Array.from({ length: 40 }, (_, n) => `0:${100 + n}:1`).join(',') });
    const uses = nvmlGpuUses({ library, worker: undefined });
    expect(await uses.ask()).toHaveLength(40);
    await uses.close();
  });
});

/** Takes events until the condition holds; the source has ended when it returns. */
async function live(options: Parameters<typeof nvml>[0], enough: (events: readonly PowerEvent[]) => boolean) {
  const stop = new AbortController();
  const logged: string[] = [];
  const log = { info: (message: string) => void logged.push(message), warn: (message: string) => void logged.push(message) };
  const context: LiveContext = { now: () => instant(Date.now() / 1000), environment: process.env, bill: { read: () => undefined, missed: () => undefined }, signal: stop.signal, log };
  const events: PowerEvent[] = [];
  for await (const event of nvml(options).events(context)) {
    events.push(event);
    if (enough(events)) stop.abort();
  }
  return { events, logged };
}

describe.skipIf(withoutCompiler)('the live source', () => {
  it('finds out how often values change', async () => {
    const { library } = await fake({ UPDATE_MS: 40, WINDOW_MS: 40, COUNTER_MS: 60, PERIOD_MS: 70 });
    const { events } = await live({ library, period: seconds(0.05), probe: true }, (all) => readings(all).some(({ measures }) => measures === 'counter'));
    const refresh = (end: string) => readings(events).find(({ channel }) => channel.id.endsWith(end))?.channel.sensor.refresh ?? 0;
    // Steps of 1 ms on a busy machine: near is enough.
    expect(refresh('power.instant')).toBeGreaterThan(0.03);
    expect(refresh('power.instant')).toBeLessThan(0.1);
    expect(refresh('energy')).toBeGreaterThan(0.05);
    expect(refresh('energy')).toBeLessThan(0.12);
  });

  it('comes back by itself when the library must be initialised anew', async () => {
    const { library } = await fake({ ERRORS: '0:1@300-600' });
    const { events, logged } = await live({ library, period: seconds(0.05), probe: false }, (all) => {
      const broken = all.findIndex(({ kind }) => kind === 'break');
      return broken >= 0 && all.slice(broken).some(({ kind }) => kind === 'reading');
    });
    expect(flags(events).filter((code) => code === 'NVML_FAILED')).toHaveLength(1);
    expect(logged.some((line) => line.includes('reads again'))).toBe(true);
  });

  it('ends when NVML is absent, saying so', async () => {
    await expect(live({ library: '/nonexistent.so', probe: false }, () => false)).rejects.toMatchObject({ code: 'NVML_MISSING', remedy: 'disable' });
  });

  it('reads its counter at most once a second, and says how far apart its readings are', async () => {
    const { library } = await fake({});
    const { events } = await live({ library, period: seconds(0.3), probe: false }, (all) => readings(all).filter(({ measures }) => measures === 'counter').length > 1);
    const counted = readings(events).filter(({ measures }) => measures === 'counter');
    expect(counted[0]?.channel.period).toBeCloseTo(1.2, 9);
    expect((counted[1]?.at ?? 0) - (counted[0]?.at ?? 0)).toBeGreaterThan(1);
  });
});

describe.skipIf(withoutCompiler || !existsSync(worker))(`in a thread of its own (the built file${existsSync(worker) ? '' : ', which is not built'})`, () => {
  it('reads what it reads without one, stamped on the caller\'s clock', async () => {
    const { library } = await fake({ DEVICES: 2 });
    const before = Date.now() / 1000;
    const { events } = await live({ library, period: seconds(0.05), probe: false, worker }, (all) => readings(all).length >= 20);
    expect(new Set(ids(events))).toEqual(new Set([0, 1].flatMap((gpu) => ['power.instant', 'power.average', 'energy'].map((key) => `nvml/GPU${gpu}/${key}`))));
    for (const { at } of readings(events)) {
      expect(at).toBeGreaterThanOrEqual(before - 0.05);
      expect(at).toBeLessThanOrEqual(Date.now() / 1000 + 0.05);
    }
    expect(typeof readings(events).find((reading) => reading.measures === 'counter')?.total).toBe('bigint');
  });

  it('tells an error of opening as the same error', async () => {
    await expect(live({ library: '/nonexistent.so', probe: false, worker }, () => false)).rejects.toMatchObject({ code: 'NVML_MISSING', remedy: 'disable' });
  });

  it('is given up when a call blocks in the driver, its channels broken, and another reads on', async () => {
    const { library } = await fake({ BLOCK: '0@300:3000' });
    const { events } = await live({ library, period: seconds(0.05), silence: seconds(0.5), probe: false, worker }, (all) => {
      const broken = all.findIndex(({ kind }) => kind === 'break');
      return broken >= 0 && all.slice(broken).some(({ kind }) => kind === 'reading');
    });
    const broken = events.find((event) => event.kind === 'break');
    expect(broken?.kind === 'break' && broken.channels.map(({ id }) => id)).toContain(`nvml/${UUID(0)}/energy`);
    expect(flags(events)).toContain('NVML_SILENT');
    // The thread that was left behind ends when its call comes back.
    await sleep(2500);
  });
});
