/** One writer per device and moment: what every store promises of it, run against each implementation. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnergySlice } from '@joulebook/shared/slice.js';
import { seconds } from '@joulebook/shared/units.js';
import { batchOf, energyFact, requestsFact, tokensFact } from './sample-facts.js';
import { inBoundary, type GroupSum, type Store } from './store.js';

const FIRST = 'a'.repeat(32);
const SECOND = 'b'.repeat(32);
const THIRD = 'c'.repeat(32);
const SINCE_1970 = Date.UTC(2026, 0, 1) / 1000;
const GPU = 'GPU-1f3b9c4e-0a2d-4c5e-9f00-5a6b7c8d9e0f';
const tens = (count: number, said: Partial<EnergySlice> = {}, start = 0) => Array.from({ length: count }, (_, index) => energyFact({ device: GPU, seconds: seconds(10), ...said, from: start + index * 10, to: start + index * 10 + 10 }));

const recording = (labels: Record<string, string>) => [...tens(3, { labels }), tokensFact({ from: 5, labels }), tokensFact({ from: 25, labels }), requestsFact({ from: 25, labels })];
const sharing = (device: string) => [energyFact({ device: 'cpu0', boundary: 'cpu', joules: 30 }), energyFact({ device }), tokensFact()];
/** As replay writes it: from 1970 on. */
const untimedRun = (source: string) => energyFact({ device: 'gpu', source, from: -SINCE_1970 });

const feedFor = (contains: string[]) => batchOf([energyFact({ boundary: 'meter', device: '10.0.0.5 outlet 3', contains })]);

export const joulesIn = async (store: Store, boundary: 'gpu' | 'server' | 'cpu' | 'meter' = 'gpu'): Promise<number> => Number((await store.sum({ kind: 'energy', by: [], where: [inBoundary(boundary)] }))[0]?.sums.microjoules ?? 0n) / 1e6;
export const tokensIn = async (store: Store): Promise<number> => (await store.sum({ kind: 'tokens', by: [], where: [] }))[0]?.sums.count ?? 0;
export const duplicatesIn = async (store: Store): Promise<readonly GroupSum<'flag'>[]> => (await store.sum({ kind: 'flag', by: ['node', 'device'], where: [] })).filter(({ sums }) => sums.code === 'DUPLICATE_DEVICE');

export function writersContract(name: string, open: () => Promise<Store>): void {
  describe(`${name} books each device once`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    it('keeps apart what another node says of the same device for the same time, naming both', async () => {
      expect(await store.append(batchOf([...tens(3), tokensFact()], { stream: FIRST }))).toBe('accepted');
      expect(await store.append(batchOf([...tens(4), tokensFact({ deployment: 'theirs' })], { stream: SECOND, node: 'node-2' }))).toBe('accepted');
      expect(await joulesIn(store)).toBe(400);
      expect(await tokensIn(store)).toBe(20);
      const [flag] = await duplicatesIn(store);
      expect(flag).toMatchObject({ values: ['node-2', GPU], sums: { count: 3 } });
      for (const named of ['node-1', 'node-2', FIRST, SECOND, GPU]) expect(flag?.sums.detail).toContain(named);
    });

    it('answers a batch that it keeps apart once, like any other', async () => {
      await store.append(batchOf(tens(1), { stream: FIRST }));
      const second = batchOf(tens(1), { stream: SECOND });
      expect(await store.append(second)).toBe('accepted');
      expect(await store.append(second)).toBe('duplicate');
      expect(await duplicatesIn(store)).toMatchObject([{ sums: { count: 1 } }]);
    });

    it('adds nothing when a recording is imported again with other options', async () => {
      await store.append(batchOf(recording({ q: 'fp8' }), { stream: FIRST }));
      await store.append(batchOf(recording({ q: 'fp16' }).slice(0, 4), { stream: SECOND }));
      await store.append(batchOf(recording({ q: 'fp16' }).slice(4), { stream: SECOND, sequence: 1 }));
      expect([await joulesIn(store), await tokensIn(store)]).toEqual([300, 20]);
      expect((await store.sum({ kind: 'requests', by: [], where: [] }))[0]?.sums.requests).toBe(1);
      expect(await duplicatesIn(store)).toMatchObject([{ values: ['node-1', GPU], sums: { count: 3 } }, { values: ['node-1', null], sums: { count: 3 } }]);
    });

    it('keeps the tokens of an agent that measures devices of its own beside a shared one', async () => {
      await store.append(batchOf(sharing('GPU-0'), { stream: FIRST }));
      await store.append(batchOf(sharing('GPU-1'), { stream: SECOND }));
      expect([await joulesIn(store), await joulesIn(store, 'cpu'), await tokensIn(store)]).toEqual([200, 30, 20]);
    });

    it('takes streams of one node that follow each other, and late facts of the first', async () => {
      await store.append(batchOf(tens(2), { stream: FIRST }));
      await store.append(batchOf(tens(2, {}, 40), { stream: SECOND }));
      await store.append(batchOf(tens(1, {}, 20), { stream: FIRST, sequence: 1 }));
      await store.append(batchOf([energyFact({ device: GPU, from: 30, to: 33.5 })], { stream: FIRST, sequence: 2 }));
      await store.append(batchOf([energyFact({ device: GPU, from: 33.5, to: 40 })], { stream: SECOND, sequence: 1 }));
      expect(await joulesIn(store)).toBe(700);
      expect(await duplicatesIn(store)).toEqual([]);
    });

    it('takes devices that have only a name in common: every host has a cpu0 and a GPU 0', async () => {
      const host = [energyFact({ device: 'cpu0', boundary: 'cpu' }), energyFact({ device: 'gpu0' }), energyFact({ device: '00000000:4B:00.0' }), energyFact({ device: 'server', boundary: 'server' })];
      await store.append(batchOf(host, { stream: FIRST }));
      await store.append(batchOf(host, { stream: SECOND, node: 'node-2' }));
      expect([await joulesIn(store), await joulesIn(store, 'cpu'), await joulesIn(store, 'server')]).toEqual([400, 200, 200]);
      expect(await duplicatesIn(store)).toEqual([]);
    });

    it('knows a meter without a serial by the nodes it reads for', async () => {
      await store.append({ ...feedFor(['node-1', 'node-2']), stream: FIRST });
      await store.append({ ...feedFor(['node-2', 'node-1']), stream: SECOND, node: 'node-2' });
      expect(await joulesIn(store, 'meter')).toBe(100);
      await store.append({ ...feedFor(['node-3']), stream: THIRD, node: 'node-3' });
      expect(await joulesIn(store, 'meter')).toBe(200);
    });

    it('takes one device at several boundaries, and several phases of one moment', async () => {
      await store.append(batchOf([energyFact({ device: GPU, phase: 'prefill' }), energyFact({ device: GPU, phase: 'decode' }), energyFact({ device: GPU, boundary: 'server' })], { stream: FIRST }));
      await store.append(batchOf([energyFact({ device: GPU, boundary: 'meter' })], { stream: SECOND }));
      expect([await joulesIn(store), await joulesIn(store, 'server'), await joulesIn(store, 'meter')]).toEqual([200, 100, 100]);
    });

    it('tells tables of runs without times apart by their file', async () => {
      await store.append(batchOf([untimedRun('fp16.csv')], { stream: FIRST }));
      await store.append(batchOf([untimedRun('fp8.csv')], { stream: SECOND }));
      expect(await joulesIn(store)).toBe(200);
      await store.append(batchOf([untimedRun('fp8.csv')], { stream: THIRD }));
      expect(await joulesIn(store)).toBe(200);
    });

    it('books one of two streams that arrive in the same moment', async () => {
      const sent = [FIRST, SECOND, THIRD].map((stream) => store.append(batchOf(tens(5), { stream, node: `node-${stream[0]}` })));
      expect(await Promise.all(sent)).toEqual(['accepted', 'accepted', 'accepted']);
      expect(await joulesIn(store)).toBe(500);
      expect((await duplicatesIn(store)).reduce((sum, { sums }) => sum + sums.count, 0)).toBe(10);
    });
  });
}
