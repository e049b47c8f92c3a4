/** Exactly once by (stream, sequence), and what is missing: what every store promises of its ledger, run against each implementation. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { array, assert, asyncProperty, integer, uniqueArray } from 'fast-check';
import { at, batchOf, tokensFact } from './sample-facts.js';
import type { Store } from './store.js';
import { tokensIn } from './writers-contract.js';

const FIRST = 'a'.repeat(32);
const SECOND = 'b'.repeat(32);
/** Each its own content, that adds up to a sum which tells which of them are there. */
const numbered = (sequence: number, stream = FIRST) => batchOf([tokensFact({ from: sequence * 10, count: 2 ** (sequence % 30) })], { stream, sequence });

/** @param most runs of the test with random orders; fewer where each append waits for a server */
export function ledgerContract(name: string, open: () => Promise<Store>, most = 20): void {
  describe(`${name} knows what it has`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    const append = async (...sequences: number[]): Promise<void> => {
      for (const sequence of sequences) expect(await store.append(numbered(sequence))).toBe('accepted');
    };
    const missing = async (): Promise<number[][]> => (await store.streams()).flatMap((stream) => stream.missing.map(({ first, last }) => [first, last]));

    it('tells where a stream stands and that nothing is missing', async () => {
      await append(0, 1, 2);
      await store.append(batchOf([], { stream: SECOND, node: 'node-0' }));
      expect(await store.streams()).toMatchObject([{ stream: SECOND, node: 'node-0', lowWater: 1, highest: 0, missing: [] }, { stream: FIRST, node: 'node-1', lowWater: 3, highest: 2, missing: [] }]);
    });

    it('tells which sequences are missing, and since when, until they come', async () => {
      const begun = Date.now() * 1000 - 1;
      await append(2, 3, 7);
      expect(await missing()).toEqual([[0, 1], [4, 6]]);
      const [stream] = await store.streams();
      expect(stream).toMatchObject({ lowWater: 0, highest: 7 });
      for (const { since } of stream?.missing ?? []) expect(since).toBeGreaterThan(begun);
      await append(0, 5, 1);
      expect(await missing()).toEqual([[4, 4], [6, 6]]);
      await append(4, 6);
      expect(await store.streams()).toMatchObject([{ lowWater: 8, missing: [] }]);
    });

    it('tells what it has seen without storing it', async () => {
      expect(await store.seen(numbered(0))).toBeNull();
      await append(0);
      expect([await store.seen(numbered(0)), await store.seen({ ...numbered(0), node: 'another' }), await store.seen(numbered(1))]).toEqual(['duplicate', 'conflict', null]);
      expect(await store.streams()).toMatchObject([{ lowWater: 1 }]);
    });

    it("gives a stream to the node that began it: another node's batches are conflicts, and change nothing", async () => {
      await append(0, 1);
      const intruder = { ...numbered(2), node: 'node-2' };
      expect([await store.append(intruder), await store.append({ ...numbered(1), node: 'node-2' }), await store.seen(intruder)]).toEqual(['conflict', 'conflict', null]);
      expect(await store.streams()).toMatchObject([{ node: 'node-1', lowWater: 2, missing: [] }]);
      await append(2);
      // Two that begin one at once: what comes while the first is being stored goes into one group.
      const begun = await Promise.all([store.append(numbered(3)), store.append(numbered(0, SECOND)), store.append({ ...numbered(1, SECOND), node: 'node-2' })]);
      expect(begun).toEqual(['accepted', 'accepted', 'conflict']);
      expect(await store.append({ ...numbered(2, SECOND), node: 'node-2' })).toBe('conflict');
      expect((await store.streams()).map(({ node }) => node)).toEqual(['node-1', 'node-1']);
      expect(await tokensIn(store)).toBe(1 + 2 + 4 + 8 + 1);
    });

    it('tells when the facts of missing batches were, by their neighbours', async () => {
      await append(1, 2);
      await store.append(batchOf([], { stream: FIRST, sequence: 3 }));
      await append(6);
      expect((await store.streams()).flatMap((stream) => stream.missing.map(({ from, to }) => [from, to]))).toEqual([[undefined, at(10)], [at(21), at(60)]]);
    });

    it('misses no more what is marked as lost, tells it, and takes what comes after all', async () => {
      await append(0, 5, 7);
      await store.markLost([{ stream: FIRST, node: 'node-1', first: 2, last: 4, from: at(1), to: at(50) }]);
      expect(await missing()).toEqual([[1, 1], [6, 6]]);
      const begun = Date.now() * 1000 - 60e6;
      const [stream] = await store.streams();
      expect(stream).toMatchObject({ lowWater: 1, lost: [{ first: 2, last: 4, from: at(1), to: at(50) }] });
      expect(stream?.lost[0]?.at).toBeGreaterThan(begun);
      await append(3, 1);
      expect(await store.streams()).toMatchObject([{ lowWater: 6, lost: [{ first: 2, last: 2 }, { first: 4, last: 4 }], missing: [{ first: 6, last: 6 }] }]);
    });

    it('keeps what is said of experiments, in order and beside all facts', async () => {
      await append(0);
      const before = [await store.streams(), await store.nodes(), await store.extent(), await store.labels(), await store.sum({ kind: 'tokens', by: [], where: [] })];
      expect(await store.experimentMarks()).toEqual([]);
      const marks = [{ at: at(30), text: '{"name":"a, b=c \\"quoted\\" 50%"}' }, { at: at(10), text: '{}' }, { at: at(20.000001), text: '{"name":"ÄÖ\\n"}' }];
      for (const mark of marks) await store.markExperiment(mark);
      expect(await store.experimentMarks()).toEqual(marks.toSorted((a, b) => a.at - b.at));
      expect([await store.streams(), await store.nodes(), await store.extent(), await store.labels(), await store.sum({ kind: 'tokens', by: [], where: [] })]).toEqual(before);
    });

    it('can be asked whether it would take a batch, which is in no answer', async () => {
      await append(0);
      const before = [await store.streams(), await store.nodes(), await store.extent(), await store.labels()];
      await store.probe();
      expect([await store.streams(), await store.nodes(), await store.extent(), await store.labels()]).toEqual(before);
    });

    it('sums each batch once, in whatever order and however often it comes', async () => {
      let runs = 0;
      await assert(
        asyncProperty(uniqueArray(integer({ min: 0, max: 29 }), { minLength: 1, maxLength: 20 }), array(integer({ min: 0, max: 29 }), { maxLength: 10 }), async (order, again) => {
          const stream = String((runs += 1)).padStart(32, '0');
          const before = await tokensIn(store);
          for (const sequence of order) expect(await store.append(numbered(sequence, stream))).toBe('accepted');
          for (const sequence of again.filter((each) => order.includes(each))) expect(await store.append(numbered(sequence, stream))).toBe('duplicate');
          expect((await tokensIn(store)) - before).toBe(order.reduce((sum, sequence) => sum + 2 ** sequence, 0));
          const seen = (await store.streams()).find((each) => each.stream === stream);
          const absent = Array.from({ length: Math.max(...order) }, (_, sequence) => sequence).filter((sequence) => !order.includes(sequence));
          expect(seen?.missing.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, index) => first + index))).toEqual(absent);
          expect(seen?.lowWater).toBe(absent[0] ?? Math.max(...order) + 1);
        }),
        { numRuns: most },
      );
    });
  });
}
