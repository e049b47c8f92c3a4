/**
 * Boards that were measured by nvidia-smi and by an external meter at once: what nvidia-smi's column integrates to, and
 * whether the stated interval holds the meter.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { replayHere } from './support/pipe.js';

const shared = new URL('../../shared/', import.meta.url);
const present = existsSync(fileURLToPath(new URL('recordings', shared)));
const WIDEST = 0.12;

interface Measured {
  readonly joules: number;
  readonly low: number;
  readonly high: number;
}

async function measure(folder: string): Promise<Measured> {
  const [row] = (await replayHere(folder, [])).rows;
  const interval = row?.uncertainty?.joules;
  if (!row || row.joules === null || !interval) throw new Error('no joules with an interval');
  return { joules: row.joules, low: interval[0], high: interval[1] };
}

async function withDelay(folder: string, delay: string, work: (folder: string) => Promise<Measured>): Promise<Measured> {
  const directory = await mkdtemp(join(tmpdir(), 'joulebook-truth-'));
  try {
    const manifest = await readFile(join(folder, 'recording.yaml'), 'utf8');
    const file = fileURLToPath(new URL(/file: (\S+),/.exec(manifest)?.[1] ?? '', `file://${folder}/`));
    await writeFile(join(directory, 'recording.yaml'), manifest.replace(/file: \S+,/, `file: ${file}, delay: ${delay},`));
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

const stamp = (milliseconds: number): string => new Date(Date.UTC(2023, 0, 1) + milliseconds).toISOString().replaceAll('-', '/').replace('T', ' ').replace('Z', '');

const holds = ({ joules, low, high }: Measured, truth: number): void => {
  expect(low).toBeLessThanOrEqual(truth);
  expect(high).toBeGreaterThanOrEqual(truth);
  expect(1 - low / joules).toBeLessThanOrEqual(WIDEST);
  expect(high / joules - 1).toBeLessThanOrEqual(WIDEST);
};

describe.skipIf(!present)(`nvidia-smi beside an external meter${present ? '' : ' (skipped: ../shared is not here)'}`, () => {
  it.each([
    ['pmd-a100-square', 1024.87, 1024.72, '17ms'],
    ['pmd-rtx3090-square', 2171.56, 2392.91, '600ms'],
    ['pmd-a100-steps', 1492.79, 1580.3, '17ms'],
  ])('%s: the raw integral, the interval around the meter, and the integral without the lag', async (name, raw, meter, delay) => {
    const folder = fileURLToPath(new URL(`recordings/${name}`, import.meta.url));
    const measured = await measure(folder);
    expect(Math.abs(measured.joules / raw - 1)).toBeLessThan(0.003);
    holds(measured, meter);
    const corrected = await withDelay(folder, delay, measure);
    holds(corrected, meter);
    process.stdout.write(`${name}: meter ${meter} J; raw ${measured.joules.toFixed(1)} [${measured.low.toFixed(1)}, ${measured.high.toFixed(1)}]; without ${delay} of lag ${corrected.joules.toFixed(1)} [${corrected.low.toFixed(1)}, ${corrected.high.toFixed(1)}]\n`);
  });

  it.each([
    ['a100', 'NVIDIA A100-PCIE-40GB'],
    ['a100-step', 'NVIDIA A100-PCIE-40GB'],
    ['rtx3090', 'NVIDIA GeForce RTX 3090'],
  ])('truth-%s: the interval holds the meter', async (name, gpu) => {
    const directory = await mkdtemp(join(tmpdir(), 'joulebook-truth-'));
    try {
      const rows = (kind: string): string[][] => readFileSync(fileURLToPath(new URL(`power-samples/truth-${name}-${kind}.csv`, shared)), 'utf8').trim().split('\n').slice(1).map((line) => line.split(','));
      const meter = rows('external-meter').map(([at, watts]) => [Number(at), Number(watts)] as const);
      const shown = rows('nvidia-smi').map(([at, watts]) => [Number(at), Number(watts)] as const);
      const from = Math.max(meter[0]?.[0] ?? 0, shown[0]?.[0] ?? 0);
      const to = Math.min(meter.at(-1)?.[0] ?? 0, shown.at(-1)?.[0] ?? 0);
      let truth = 0;
      for (const [index, [at, watts]] of meter.entries()) {
        const last = meter[index - 1];
        if (last && last[0] >= from && at <= to) truth += (((last[1] + watts) / 2) * (at - last[0])) / 1000;
      }
      await writeFile(join(directory, 'power.csv'), ['timestamp, power.draw [W]', ...shown.map(([at, watts]) => `${stamp(at)}, ${watts.toFixed(2)} W`)].join('\n'));
      await writeFile(join(directory, 'recording.yaml'), `window: { from: "${new Date(Date.UTC(2023, 0, 1) + from).toISOString()}", to: "${new Date(Date.UTC(2023, 0, 1) + to).toISOString()}" }\npower: [{ format: nvidia-smi-csv, file: power.csv, devices: [0], gpu: ${gpu} }]\n`);
      const measured = await measure(directory);
      holds(measured, truth);
      process.stdout.write(`truth-${name}: meter ${truth.toFixed(1)} J; raw ${measured.joules.toFixed(1)} [${measured.low.toFixed(1)}, ${measured.high.toFixed(1)}]\n`);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
