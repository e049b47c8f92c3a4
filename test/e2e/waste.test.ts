/** From rows of nvidia-smi and what an engine said, through replay, to what was wasted: every number here is worked out by hand. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { said, serve } from '@joulebook/collector/commands/program.testing.js';
import { waste, type Waste } from '@joulebook/collector/waste/answer.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { replayEndsHere } from '../support/pipe.js';

const T = Date.UTC(2026, 6, 1, 12) / 1000;
/** Serves for 20 s, of which the cap holds it back for 10; then it is idle for 220, for 60 of them at its highest clock. */
const SECONDS = 240;
const isCapped = (second: number): boolean => second >= 10 && second < 20;
const clock = (second: number): number => (second < 20 || (second >= 120 && second < 180) ? 1980 : 345);
const time = (second: number): string => new Date((T + second) * 1000).toISOString().slice(0, 23).replaceAll('-', '/').replace('T', ' ');
const row = (second: number): string => `${time(second)}, GPU-0, ${second < 20 ? 300 : 100}.00 W, ${second < 20 ? 98 : 0} %, 61000 MiB, ${clock(second)} MHz, 1980 MHz, ${isCapped(second) ? '0x0000000000000004' : '0x0000000000000001'}`;
const POWER = ['timestamp, uuid, power.draw [W], utilization.gpu [%], memory.used [MiB], clocks.sm [MHz], clocks.max.sm [MHz], clocks_event_reasons.active', ...Array.from({ length: SECONDS + 1 }, (_, second) => row(second))].join('\n');
const WINDOWS = Array.from({ length: SECONDS }, (_, second) => ({ kind: 'window', from: T + second, to: T + second + 1, tokens: { input: 0, output: second >= 20 ? 0 : isCapped(second) ? 14 : 20 }, running: second < 19 ? 1 : 0, busy: second < 20 ? 1 : 0 }));

let folder: string;
let batches: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-waste-'));
  await writeFile(join(folder, 'power.csv'), POWER);
  await writeFile(join(folder, 'engine.jsonl'), WINDOWS.map((each) => `${JSON.stringify(each)}\n`).join(''));
  await writeFile(join(folder, 'recording.yaml'), 'node: n\npower: [{ format: nvidia-smi-csv, file: power.csv, tz: UTC }]\nserving: [{ format: evidence, file: engine.jsonl, deployment: chat, tokens: count }]\n');
  const { exitCode, stdout, stderr } = await replayEndsHere(folder);
  if (exitCode !== 0) throw new Error(`replay ended with ${exitCode}: ${stderr}`);
  batches = stdout;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const kind = ({ kinds }: Waste, name: string): Waste['kinds'][number] | undefined => kinds.find((each) => each.kind === name);

it('finds what a recording tells: clocks held high, a model that waits, and a cap', async () => {
  const { code, out, err } = await said(['waste', '-', '--price', '0.36', '--json'], { stdin: batches });
  expect([code, err]).toEqual([0, '']);
  const found = waste.parse(JSON.parse(out));
  expect(found.step).toBe(10);
  expect(kind(found, 'idleClocksHigh')?.joules).toBeCloseTo(6000, 6);
  expect(kind(found, 'idleClocksHigh')?.energyCost).toBeCloseTo(0.0006, 12);
  // Half of the reading between work and idling.
  expect(Math.abs((kind(found, 'idleLoaded')?.joules ?? 0) - 16_000)).toBeLessThan(200);
  // 10 s at 14 tokens a second instead of 20; windows of a second leave open which part of the last was work.
  const capped = kind(found, 'throttledByPower');
  expect(capped?.seconds).toBeCloseTo(10, 6);
  expect(Math.abs((capped?.tokens ?? 0) - 57)).toBeLessThanOrEqual(3);
  expect(Math.abs((capped?.tokensAtMost ?? 0) - 190)).toBeLessThanOrEqual(10);
  expect(found.kinds).toHaveLength(3);
  expect(found.notSeen).toEqual([]);
});

it('says the same in a table, in the page of a report, and when a collector is asked', async () => {
  const table = await said(['waste', '-', '--price', '0.36'], { stdin: batches });
  expect(table.out).toMatch(/│ idle, clocks held high\s*│ chat\s*│ n\s*│ GPU-0\s*│ 0\.001667 │/);
  expect(table.out).toMatch(/^idle, clocks held high: .*nvidia-smi -rgc/m);
  const page = await said(['report', '-', '--format', 'html'], { stdin: batches });
  expect(page.out).toMatch(/<section aria-label="Waste"><h2>Waste<\/h2>.*idle, clocks held high/s);
  expect((await said(['report', '-', '--format', 'html', '--where', 'phase=idle'], { stdin: batches })).out).not.toContain('<h2>Waste');

  const serving = await serve(['--store', join(folder, 'store.duckdb'), '--price', '0.36']);
  try {
    for (const line of batches.trim().split('\n')) expect((await fetch(`${serving.address}/v1/batches`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: line })).ok).toBe(true);
    const asked = await said(['waste', '--collector', serving.address]);
    expect([asked.code, asked.err]).toEqual([0, '']);
    expect(asked.out).toBe(table.out);
    expect((await said(['waste', '--collector', serving.address, '--by', 'phase'])).code).toBe(2);
  } finally {
    await serving.stop();
  }
});
