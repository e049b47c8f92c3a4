import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openSpool } from '../spool/spool.js';
import { examineSpool, type SpoolLimits } from './spool.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'doctor-'));
});
afterEach(() => rm(directory, { recursive: true }));

const LIMITS: SpoolLimits = { spoolMaxBytes: 100e6, spoolMinFreeBytes: 0 };
const fill = async (batches: number, maxBytes: number): Promise<void> => {
  const spool = await openSpool(join(directory, 'spool'), { maxBytes });
  for (let count = 0; count < batches; count += 1) await spool.append(() => Buffer.alloc(1000, 'x'));
  await spool.close();
};

it('says how full the spool is, while an agent may be using it', async () => {
  await fill(3, Infinity);
  const spool = await openSpool(join(directory, 'spool'));
  expect(await examineSpool(directory, LIMITS)).toMatchObject([{ check: 'spool', ok: true }]);
  const [full] = await examineSpool(directory, { ...LIMITS, spoolMaxBytes: 3500 });
  expect(full?.ok).toBe(false);
  expect(full?.detail).toContain('nearly full');
  const [tight] = await examineSpool(directory, { ...LIMITS, spoolMinFreeBytes: Number.MAX_SAFE_INTEGER });
  expect(tight?.ok).toBe(false);
  expect(tight?.detail).toContain('does not grow');
  await spool.close();
});

it('tells what was lost and is not known to the collector yet', async () => {
  await fill(40, 16_000);
  const losses = (await examineSpool(directory, LIMITS)).find(({ check }) => check === 'losses');
  expect(losses?.ok).toBe(false);
  expect(losses?.detail).toMatch(/^\d+ batches are lost: the spool was full/);
  await writeFile(join(directory, 'spool', 'losses'), '{"accounted":"5","batches":6,"losses":[]}');
  expect(await examineSpool(directory, LIMITS)).toContainEqual({ check: 'losses', ok: true, detail: '6 batches were lost over the life of this spool; the collector knows of them and reports flag their time' });
  await writeFile(join(directory, 'spool', 'losses'), 'torn');
  expect((await examineSpool(directory, LIMITS)).find(({ check }) => check === 'losses')?.ok).toBe(false);
});

it('says what to do where it can not be written', async () => {
  await writeFile(join(directory, 'spool'), '');
  const [found] = await examineSpool(directory, LIMITS);
  expect(found?.ok).toBe(false);
  expect(found?.detail).toMatch(/can't be written: .*Choose another dataDir/);
});
