/**
 * A recording that is asked about in windows: [a, b) and [b, c) have together what [a, c) has, wherever they are cut, also where
 * something happens in that very moment.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Slice } from '@joulebook/shared/slice.js';
import { instant } from '@joulebook/shared/units.js';
import type { Window } from '../sampler/integrator.js';
import { newFolder, simulated } from '../simulate/simulation.testing.js';
import { evidenceFrom, evidenceTo } from './extent.js';
import { checkManifest, readManifest, type Recording } from './manifest.js';
import { openRecording } from './open.js';
import { replay, type ReplayOptions } from './replay.js';

const SCENARIO = { seed: 5, duration: '30s', traffic: [{ work: 'chat', arrivals: { kind: 'poisson', perSecond: 3 }, output: { kind: 'fixed', tokens: 60 }, aborts: 0.1 }], pauses: [{ from: 12, to: 15 }] };
/** Counters, boards that are looked at often and now and then, and a server whose readings are longer than some windows. */
const POWER = [{ format: 'readings', period: '300ms' }, { format: 'nvidia-smi-csv', period: '700ms' }, { format: 'ipmi-dcmi' }];
const START = Date.parse('2026-01-15T09:00:00Z') / 1000;
const PURE = { batching: 'prefillFirst' };

const recordingOf = async (serving: object, engine: object = {}): Promise<Recording> => readManifest((await simulated({ ...SCENARIO, engine, recording: { power: POWER, serving: [serving] } })).folder);

/** Looks at counters every so often, some of which are missing. */
async function countersRecording(): Promise<Recording> {
  const { folder } = await simulated({ ...SCENARIO, recording: { power: POWER, serving: [{ format: 'requests' }] } });
  const looks = Array.from({ length: 22 }, (_, look) => look).filter((look) => look % 7 !== 3);
  const rows = looks.map((look) => [START + 2 + look * 1.1, look * 137, look * 311, look * 40, look * 5].join(','));
  await writeFile(join(folder, 'counters.csv'), ['time,outputTokens,inputTokens,cachedInputTokens,requests', ...rows, ''].join('\n'));
  const { base, manifest } = await readManifest(folder);
  const [entry] = manifest.serving;
  if (!entry) throw new Error('no serving entry');
  const { tz, deployment } = entry;
  return { base, manifest: { ...manifest, serving: [{ format: 'counters', file: 'counters.csv', tz, deployment, columns: { requests: 'requests', inputTokens: 'inputTokens', cachedInputTokens: 'cachedInputTokens' } }] } };
}

const recordings = [
  ['vllm-metrics', () => recordingOf({ format: 'vllm-metrics', period: '2s' })],
  ['sglang-metrics', () => recordingOf({ format: 'sglang-metrics', period: '2s' }, PURE)],
  ['vllm-log', () => recordingOf({ format: 'vllm-log', interval: 5 })],
  ['requests', () => recordingOf({ format: 'requests' })],
  ['counters', countersRecording],
] as const;

/** Whole numbers are equal; seconds are not summed in the same order. */
const digitsOf = (key: string): number => (key.startsWith('~') ? 4 : 9);
const isOutside = (kind: string): boolean => kind.includes('outside');

/** Sums of what adds up. */
async function sumsOf(recording: Recording, options: ReplayOptions): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  const add = (key: string, amount: number): void => void (sums[key] = (sums[key] ?? 0) + amount);
  for await (const { slices } of replay(recording, options, () => undefined)) {
    for (const slice of slices) addSlice(slice, add);
  }
  return sums;
}

function addSlice(slice: Slice, add: (key: string, amount: number) => void): void {
  if (slice.kind === 'energy') {
    add(`µJ ${slice.boundary} ${slice.device}`, slice.microjoules);
    add(`~seconds ${slice.boundary} ${slice.device}`, slice.seconds);
    add(`~asked ${slice.boundary} ${slice.device}`, slice.askedSeconds);
  }
  if (slice.kind === 'tokens') add(`tokens ${slice.token}`, slice.count);
  if (slice.kind === 'requests') {
    add(`requests ${slice.outcome} ${slice.ttftBucket ?? ''} ${slice.tpotBucket ?? ''}`, slice.requests);
    add(`tokens of requests ${slice.outcome}`, slice.inputTokens + slice.cachedInputTokens + slice.outputTokens);
  }
  if (slice.kind === 'gauge') add(`~gauge ${slice.gauge} ${slice.device ?? ''}`, slice.valueSeconds);
}

/** Tokens of a side, wherever they are. */
const allTokens = (sums: Record<string, number>, side: 'Input' | 'Output'): number => Object.entries(sums).reduce((sum, [key, count]) => sum + (key.startsWith('tokens ') && !key.includes(' of ') && key.toLowerCase().endsWith(side.toLowerCase()) ? count : 0), 0);

async function windowOf(recording: Recording): Promise<Window> {
  let window: Window | undefined;
  for await (const _ of replay(recording, {}, (summary) => (window = summary.window)));
  if (!window) throw new Error('the recording has no window');
  return window;
}

/** Times at which something was read, began or ended: where a cut is most easily counted twice or not at all. */
async function momentsOf(recording: Recording): Promise<number[]> {
  const { power, serving } = openRecording(recording);
  const moments: number[] = [];
  for (const { source } of serving) {
    for await (const event of source?.events() ?? []) if (event.kind === 'request' || event.kind === 'window' || event.kind === 'steps') moments.push(evidenceFrom(event), evidenceTo(event));
  }
  for (const { source } of power) for await (const event of source.events()) if (event.kind === 'reading') moments.push(event.at);
  return moments;
}

describe.each(recordings)('windows of a recording told by %s', (_, make) => {
  it('add up to the window of both, wherever they are cut', { timeout: 60_000 }, async () => {
    const recording = await make();
    const natural = await windowOf(recording);
    const moments = (await momentsOf(recording)).filter((at) => at > natural.from && at < natural.to);
    const anywhere = fc.integer({ min: Math.ceil(natural.from * 1_000) + 1, max: Math.floor(natural.to * 1_000) - 1 }).map((ms) => ms / 1_000);
    const cuts = fc.uniqueArray(fc.oneof(anywhere, fc.constantFrom(...moments)), { minLength: 3, maxLength: 3 }).map((three) => three.map(instant).toSorted((one, other) => one - other));
    await fc.assert(
      fc.asyncProperty(cuts, fc.boolean(), fc.constantFrom('cut', 'end', 'not asked'), async ([a, b, c], asked, until) => {
        const [from, middle, to] = [asked ? a : undefined, b, { cut: c, end: natural.to, 'not asked': undefined }[until]];
        const [whole, before, behind] = [await sumsOf(recording, { from, to }), await sumsOf(recording, { from, to: middle }), await sumsOf(recording, { from: middle, to })];
        for (const key of new Set([whole, before, behind].flatMap((sums) => Object.keys(sums)))) {
          if (isOutside(key)) continue;
          expect((before[key] ?? 0) + (behind[key] ?? 0), key).toBeCloseTo(whole[key] ?? 0, digitsOf(key));
        }
      }),
      { numRuns: 5, seed: 11 },
    );
  });

  it('have every token inside or outside', async () => {
    const recording = await make();
    const whole = await sumsOf(recording, {});
    const part = await sumsOf(recording, { from: instant(START + 11.3), to: instant(START + 12.1) });
    for (const side of ['Input', 'Output'] as const) {
      expect(allTokens(whole, side), side).toBeGreaterThan(0);
      expect(allTokens(part, side), side).toBe(allTokens(whole, side));
    }
  });
});

it('counts in a window the requests that ended in it, each once', async () => {
  const recording = await recordingOf({ format: 'requests' });
  const ends: number[] = [];
  for await (const event of openRecording(recording).serving[0]?.source?.events() ?? []) if (event.kind === 'request') ends.push(event.end);
  const [from, to] = [instant(START + 10), instant(START + 25)];
  const sums = await sumsOf(recording, { from, to });
  const counted = Object.entries(sums).reduce((sum, [key, count]) => sum + (key.startsWith('requests ') ? count : 0), 0);
  expect(counted).toBe(ends.filter((end) => end >= from && end < to).length);
});

/** Power of one GPU every second, and requests of 5 s that end at these seconds. */
async function madeUp(power: number, ends: readonly number[], more: { readonly power?: readonly object[]; readonly files?: Readonly<Record<string, readonly string[]>> } = {}): Promise<Recording> {
  const base = newFolder();
  await mkdir(base);
  const readings = Array.from({ length: power + 1 }, (_, second) => `${START + second},${100 + (second % 7)}.5`);
  const requests = ends.map((end) => `${START + end - 5},${START + end - 4},${START + end},10,20`);
  const files = { 'power.csv': ['time,watts', ...readings], 'requests.csv': ['start,firstToken,end,inputTokens,outputTokens', ...requests], ...more.files };
  for (const [file, lines] of Object.entries(files)) await writeFile(join(base, file), [...lines, ''].join('\n'));
  return { base, manifest: checkManifest({ power: [{ format: 'csv', file: 'power.csv', device: GPU }, ...(more.power ?? [])], serving: [{ format: 'requests', file: 'requests.csv' }] }, 'recording.yaml', 'node') };
}
const GPU = 'GPU-11111111-2222-3333-4444-555555555555';

/** Requests in a window of these seconds. */
async function okIn(recording: Recording, from: number | undefined, to: number | undefined): Promise<number> {
  const sums = await sumsOf(recording, { from: from === undefined ? undefined : instant(START + from), to: to === undefined ? undefined : instant(START + to) });
  return Object.entries(sums).reduce((sum, [key, count]) => sum + (key.startsWith('requests ok') ? count : 0), 0);
}

it('has what ends a recording in the window that ends there, and in no other', async () => {
  const logEndsFirst = await madeUp(40, [10, 20, 30]);
  expect(await Promise.all([okIn(logEndsFirst, undefined, undefined), okIn(logEndsFirst, undefined, 30), okIn(logEndsFirst, 20, 30), okIn(logEndsFirst, undefined, 20), okIn(logEndsFirst, 30, 40)])).toEqual([3, 3, 2, 1, 0]);
  const powerEndsFirst = await madeUp(20, [10, 20, 30]);
  expect(await Promise.all([okIn(powerEndsFirst, undefined, undefined), okIn(powerEndsFirst, undefined, 20), okIn(powerEndsFirst, 20, 30), okIn(powerEndsFirst, undefined, 30)])).toEqual([2, 2, 1, 3]);
});

it('books a window from the sensor that the whole recording is booked from, also where one had just fallen silent', async () => {
  const board = Array.from({ length: 11 }, (_, minute) => `${new Date((START + minute * 60) * 1_000).toISOString().replace('T', ' ').replace(/-/g, '/').slice(0, 23)}, 0, ${GPU}, Some GPU, ${200 + minute}.25 W`);
  const recording = await madeUp(1_200, [1_100], { power: [{ format: 'nvidia-smi-csv', file: 'smi.csv', tz: 'UTC' }], files: { 'smi.csv': ['timestamp, index, uuid, name, power.draw [W]', ...board] } });
  const whole = await sumsOf(recording, { from: instant(START), to: instant(START + 1_200) });
  for (const cut of [START + 300.5, START + 610, START + 620].map(instant)) {
    const [before, behind] = [await sumsOf(recording, { from: instant(START), to: cut }), await sumsOf(recording, { from: cut, to: instant(START + 1_200) })];
    const key = `µJ gpu ${GPU}`;
    expect((before[key] ?? 0) + (behind[key] ?? 0)).toBe(whole[key]);
  }
  expect(whole[`~seconds gpu ${GPU}`]).toBeCloseTo(1_200, 6);
});

async function runsOf(rows: readonly string[]): Promise<Recording> {
  const base = newFolder();
  await mkdir(base);
  await writeFile(join(base, 'runs.csv'), ['start,seconds,joules,inputTokens,outputTokens,requests', ...rows, ''].join('\n'));
  return { base, manifest: checkManifest({ runs: [{ file: 'runs.csv' }] }, 'recording.yaml', 'node') };
}

describe('whole runs in a window', () => {
  const timed = [`${START},10,100.000001,70,31,3`, `${START + 20},7,50,20,11,1`];

  it('are there with what of their time is in it, and with its neighbour whole', async () => {
    const recording = await runsOf(timed);
    const whole = await sumsOf(recording, {});
    expect(whole).toMatchObject({ 'µJ gpu gpu': 150_000_001, 'tokens input': 90, 'tokens output': 42, 'requests ok  ': 4, '~seconds gpu gpu': 17 });
    for (const cut of [START + 3.3, START + 10, START + 15, START + 21.7].map(instant)) {
      const [before, behind] = [await sumsOf(recording, { to: cut }), await sumsOf(recording, { from: cut })];
      for (const key of Object.keys(whole)) expect((before[key] ?? 0) + (behind[key] ?? 0), key).toBeCloseTo(whole[key] ?? 0, digitsOf(key));
    }
    expect(await sumsOf(recording, { to: instant(START + 15) })).toMatchObject({ 'µJ gpu gpu': 100_000_001, 'requests ok  ': 3 });
  });

  it('say so where none of them is in it, and are told in any window where their time is not known', async () => {
    await expect(sumsOf(await runsOf(timed), { from: instant(START + 500) })).rejects.toMatchObject({ code: 'WINDOW_EMPTY' });
    expect(await sumsOf(await runsOf([',5,10,7,3,1']), { from: instant(START) })).toMatchObject({ 'µJ gpu gpu': 10_000_000, 'tokens output': 3 });
  });
});
