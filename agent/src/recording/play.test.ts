/** A short recording played for several rounds by a clock that is always late, so that nothing is waited for. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { instant } from '@joulebook/shared/units.js';
import { expect, it } from 'vitest';
import { NO_BILL } from '../sources/no-bill.testing.js';
import type { LiveContext } from '../sources/source.js';
import { checkManifest } from './manifest.js';
import { play, type Played } from './play.js';

const ROUNDS = 3;
const T = 1_768_466_600;
const BEGIN = instant(1_800_000_000);
const context: LiveContext = { now: () => instant(1e12), environment: {}, bill: NO_BILL, signal: new AbortController().signal, log: { info: () => undefined, warn: () => undefined } };

/** Power every 200 ms from T + 0.1 s to T + 9.9 s, and what was served as these rows say. */
async function played(format: string, rows: readonly string[]): Promise<Played> {
  const base = mkdtempSync(join(tmpdir(), 'joulebook-play-'));
  writeFileSync(join(base, 'power.csv'), ['time,watts', ...Array.from({ length: 50 }, (_, index) => `${(T + 0.1 + index * 0.2).toFixed(1)},${100 + index}`), ''].join('\n'));
  writeFileSync(join(base, 'serving.csv'), [...rows, ''].join('\n'));
  const manifest = checkManifest({ power: [{ format: 'csv', file: 'power.csv', device: 'gpu0' }], serving: [{ format, file: 'serving.csv' }] }, 'recording.yaml', 'node');
  return play({ base, manifest }, BEGIN);
}

async function first<T>(count: number, events: AsyncIterable<T> | undefined): Promise<T[]> {
  const taken: T[] = [];
  for await (const event of events ?? []) if (taken.push(event) === count) break;
  return taken;
}

const COUNTERS = ['time,outputTokens,running', ...Array.from({ length: 11 }, (_, index) => `${T + index},${index * 10},1`)];

it('goes on from the last reading of a round to the first of the next at the pace of the sensor', async () => {
  const { power } = await played('counters', COUNTERS);
  const readings = (await first(ROUNDS * 49, power[0]?.events(context))).flatMap((event) => (event.kind === 'reading' && event.measures === 'power' ? [event] : []));
  expect(readings[0]?.at).toBeCloseTo(BEGIN, 5);
  const gaps = readings.slice(1).map(({ at }, index) => at - (readings[index]?.at ?? Number.NaN));
  expect(Math.min(...gaps)).toBeCloseTo(0.2, 5);
  expect(Math.max(...gaps)).toBeCloseTo(0.2, 5);
  expect(readings.map(({ power: watts }) => watts).filter((watts) => watts === 100)).toHaveLength(ROUNDS);
});

it('leaves no time between two rounds without evidence, and tells none twice', async () => {
  const { serving } = await played('counters', COUNTERS);
  const windows = (await first(ROUNDS * 10, serving[0]?.source.events(context))).flatMap((event) => (event.kind === 'window' ? [event] : []));
  expect(windows).toHaveLength(ROUNDS * 10);
  expect(windows[0]?.from).toBeCloseTo(BEGIN, 5);
  const seams = windows.slice(1).map(({ from }, index) => Math.abs(from - (windows[index]?.to ?? Number.NaN)));
  expect(Math.max(...seams)).toBeLessThan(1e-5);
  expect(windows.reduce((sum, { tokens }) => sum + (tokens.output ?? 0), 0)).toBe(ROUNDS * 100);
});

it('tells a request in the round in which it starts, whole', async () => {
  const { serving } = await played('requests', ['start,firstToken,end,outputTokens', `${T - 1},${T},${T + 2},5`, `${T + 1},${T + 1.5},${T + 3},6`, `${T + 8},${T + 9},${T + 12},7`]);
  const requests = (await first(ROUNDS * 2, serving[0]?.source.events(context))).flatMap((event) => (event.kind === 'request' ? [event] : []));
  expect(requests.map(({ tokens }) => tokens.output)).toEqual([6, 7, 6, 7, 6, 7]);
  expect(requests.map(({ start, end }) => Math.round((end - start) * 1e3))).toEqual([2000, 4000, 2000, 4000, 2000, 4000]);
  expect((requests[2]?.start ?? 0) - (requests[0]?.start ?? 0)).toBeCloseTo(9.8, 5);
});
