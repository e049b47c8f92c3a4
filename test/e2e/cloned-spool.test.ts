/** A spool that exists twice, as a machine image cloned with it or a backup restored over it makes: what each machine measured is stored once. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { httpTransport } from '@joulebook/agent/shipper/http.js';
import { Shipper } from '@joulebook/agent/shipper/shipper.js';
import { openSpool, type Spool } from '@joulebook/agent/spool/spool.js';
import { runningCollector, type RunningCollector } from '@joulebook/collector/collector.testing.js';
import { encodeBatch, SCHEMA_VERSION } from '@joulebook/shared/batch.js';
import { epochMicros, microjoules, seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, expect, it } from 'vitest';

const BEGIN = Date.UTC(2026, 0, 1) * 1000;
const log = { info: () => undefined, warn: () => undefined };

let folder: string;
let collector: RunningCollector;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-clone-'));
  collector = await runningCollector();
});
afterEach(async () => {
  await collector.close();
  await rm(folder, { recursive: true });
});

/** Ten seconds of one GPU; the name of the machine is in the batch, as in an agent. */
function batch(node: string, cell: number, sequence: number, stream: string): Uint8Array {
  const from = epochMicros(BEGIN + cell * 10e6);
  const slices = [{
    kind: 'energy', from, to: epochMicros(from + 10e6), device: `GPU of ${node}`, boundary: 'gpu', phase: 'decode', microjoules: microjoules(1000), modelledMicrojoules: microjoules(0), seconds: seconds(10), askedSeconds: seconds(10), source: 'test', method: 'power',
  } as const];
  return gzipSync(encodeBatch({ schema: SCHEMA_VERSION, stream, sequence, node, slices }));
}

const measure = async (spool: Spool, node: string, cells: readonly number[]): Promise<void> => {
  for (const cell of cells) await spool.append((sequence, stream) => batch(node, cell, sequence, stream));
};

async function shipAll(spool: Spool): Promise<void> {
  const shipper = new Shipper({ spool, transport: httpTransport({ url: collector.address }), log, lossBatch: () => new Uint8Array() });
  expect(await shipper.flushOnce(seconds(10))).toEqual({ pending: 0 });
  expect(shipper.counts.rejected).toBe(0);
}

const booked = async (): Promise<Record<string, bigint>> =>
  Object.fromEntries((await collector.store.sum({ kind: 'booked', by: ['node'], where: [{ key: 'boundary', values: ['gpu'] }] })).map(({ values: [node], sums }) => [node ?? '', sums.microjoules]));
const keptApart = async (): Promise<number> => (await collector.store.sum({ kind: 'flag', by: [], where: [] })).length;

it('of a cloned machine: both go on under the same name and numbers, and all of both is stored', async () => {
  const original = await openSpool(join(folder, 'original'));
  await measure(original, 'one', [0, 1, 2]);
  await shipAll(original);
  await measure(original, 'one', [3]);
  await original.close();
  await cp(join(folder, 'original'), join(folder, 'clone'), { recursive: true });

  const [first, second] = [await openSpool(join(folder, 'original')), await openSpool(join(folder, 'clone'))];
  await measure(first, 'one', [4, 5, 6]);
  await measure(second, 'two', [4, 5, 6, 7]);
  await shipAll(first);
  await shipAll(second);
  await measure(second, 'two', [8]);
  await measure(first, 'one', [7]);
  await shipAll(second);
  await shipAll(first);
  expect(await booked()).toEqual({ one: 8000n, two: 5000n });
  expect(await keptApart()).toBe(0);
  expect((await collector.store.streams()).flatMap(({ missing }) => missing)).toEqual([]);
  await first.close();
  await second.close();
});

it('of a restored backup: what it knew is known, and what is measured since goes by another name', async () => {
  const before = await openSpool(join(folder, 'machine'));
  await measure(before, 'one', [0, 1]);
  await before.close();
  await cp(join(folder, 'machine'), join(folder, 'backup'), { recursive: true });
  const lost = await openSpool(join(folder, 'machine'));
  await measure(lost, 'one', [2, 3, 4]);
  await shipAll(lost);
  await lost.close();

  const restored = await openSpool(join(folder, 'backup'));
  await measure(restored, 'one', [10, 11]);
  await shipAll(restored);
  await measure(restored, 'one', [12]);
  await shipAll(restored);
  expect(await booked()).toEqual({ one: 8000n });
  expect((await collector.store.streams()).flatMap(({ missing }) => missing)).toEqual([]);
  await restored.close();
});

it('that was lost: the next one begins a stream of its own', async () => {
  for (const cells of [[0, 1], [2, 3]]) {
    const spool = await openSpool(join(folder, `life-${cells[0]}`));
    await measure(spool, 'one', cells);
    await shipAll(spool);
    await spool.close();
  }
  expect(await booked()).toEqual({ one: 4000n });
  expect(await collector.store.streams()).toHaveLength(2);
});
