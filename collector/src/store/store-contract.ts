/** What every store promises, run against each implementation. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { array, assert, asyncProperty, constantFrom, integer, record } from 'fast-check';
import { epochMicros, microjoules, seconds } from '@joulebook/shared/units.js';
import { at, batchOf, energyFact, flagFact, requestsFact, tokensFact } from './sample-facts.js';
import { inBoundary, type Store } from './store.js';

const GPU = { kind: 'energy', by: [], where: [inBoundary('gpu')] } as const;
const TOKENS = { kind: 'tokens', by: [], where: [] } as const;

const statedFact = (device: string, low: number, high: number) => energyFact({ device, lowMicrojoules: microjoules(low), highMicrojoules: microjoules(high), samplingVariance: 0.1 });

/** @param runs of the test with random facts; fewer where each append waits for a server */
export function storeContract(name: string, open: () => Promise<Store>, runs = 30): void {
  describe(`${name} keeps the contract of a store`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    it('accepts a batch once, however often it is sent', async () => {
      const batch = batchOf([energyFact(), tokensFact()]);
      expect(await store.append(batch)).toBe('accepted');
      expect(await store.append(batch)).toBe('duplicate');
      expect(await store.append(structuredClone(batch))).toBe('duplicate');
      expect((await store.sum(TOKENS))[0]?.sums.count).toBe(10);
    });

    it('accepts one of many copies that arrive at the same time', async () => {
      const batch = batchOf([tokensFact()]);
      const answers = await Promise.all(Array.from({ length: 8 }, () => store.append(batch)));
      expect(answers.filter((answer) => answer === 'accepted')).toHaveLength(1);
      expect((await store.sum(TOKENS))[0]?.sums.count).toBe(10);
    });

    it('refuses the same key with other content and keeps the first', async () => {
      await store.append(batchOf([tokensFact({ count: 1 })]));
      expect(await store.append(batchOf([tokensFact({ count: 2 })]))).toBe('conflict');
      expect((await store.sum(TOKENS))[0]?.sums.count).toBe(1);
    });

    it('takes the same content under another sequence as new facts', async () => {
      await store.append(batchOf([tokensFact()]));
      expect(await store.append(batchOf([tokensFact()], { sequence: 1 }))).toBe('accepted');
      expect((await store.sum(TOKENS))[0]?.sums.count).toBe(20);
    });

    it('weighs the energy of devices and of requests by factors of their time', async () => {
      const metered = { requests: 1, outputTokens: 1, request: 'r', prefillMicrojoules: microjoules(3e6), decodeMicrojoules: microjoules(7e6) };
      await store.append(batchOf([energyFact({ joules: 100 }), energyFact({ from: 3600, joules: 50 }), requestsFact(metered), requestsFact({ ...metered, from: 3600 }), requestsFact({ outputTokens: 5 })]));
      const weights = { grid: epochMicros(3600e6), count: 1, sites: [{ site: null, pieces: [{ from: at(0), factors: [2] }, { from: at(3600), factors: [null] }] }] };
      expect((await store.sum({ ...GPU, kind: 'weighed', weights })).map(({ sums }) => sums.weighed)).toEqual([[{ sum: 200e6, unknown: 50_000_000n }]]);
      expect((await store.sum({ kind: 'weighedRequests', by: [], where: [], weights })).map(({ sums: { prefill, decode } }) => [prefill, decode])).toEqual([[[{ sum: 6e6, unknown: 3_000_000n }], [{ sum: 14e6, unknown: 7_000_000n }]]]);
    });

    it('adds microjoules exactly, far beyond what a double holds', async () => {
      const whole = integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
      let batches = 0;
      await assert(
        asyncProperty(array(record({ value: whole, device: constantFrom('a', 'b') }), { minLength: 1, maxLength: 40 }), async (facts) => {
          const deployment = `run-${(batches += 1)}`;
          await store.append(batchOf(facts.map(({ value, device }, index) => energyFact({ from: index, device, deployment, microjoules: microjoules(value) })), { sequence: batches }));
          const query = { ...GPU, where: [...GPU.where, { key: 'deployment', values: [deployment] }] } as const;
          const expected = facts.reduce((sum, { value }) => sum + BigInt(value), 0n);
          expect((await store.sum(query))[0]?.sums.microjoules).toBe(expected);
          const perDevice = await store.sum({ ...query, by: ['device'] });
          expect(perDevice.reduce((sum, { sums }) => sum + sums.microjoules, 0n)).toBe(expected);
        }),
        { numRuns: runs },
      );
    });

    it('never adds energy of overlapping boundaries', async () => {
      await store.append(batchOf([energyFact({ joules: 100 }), energyFact({ boundary: 'server', device: 'bmc', joules: 170 })]));
      await expect(store.sum({ ...GPU, where: [] })).rejects.toThrow(/overlap/);
      const each = await store.sum({ ...GPU, by: ['boundary'], where: [] });
      expect(each.map(({ values, sums }) => [values[0], sums.microjoules])).toEqual([['gpu', 100_000_000n], ['server', 170_000_000n]]);
    });

    it('refuses to divide a kind by what it does not carry', async () => {
      await expect(store.sum({ ...TOKENS, by: ['device'] })).rejects.toThrow(/device/);
      await expect(store.sum({ ...GPU, by: ['tenant'] })).rejects.toThrow(/tenant/);
    });

    it('groups by dimensions and labels of any name, and tells facts without them apart', async () => {
      const odd = `a/b~"c'$`;
      await store.append(batchOf([
        tokensFact({ labels: { [odd]: `x'; DROP TABLE tokens; --` } }), tokensFact({ labels: { b: '2', [odd]: 'y' } }), tokensFact({ deployment: undefined }),
      ]));
      const groups = await store.sum({ ...TOKENS, by: ['deployment', { label: odd }] });
      expect(groups.map(({ values }) => values)).toEqual([['chat', `x'; DROP TABLE tokens; --`], ['chat', 'y'], [null, null]]);
      expect(await store.labels()).toEqual([odd, 'b'].toSorted());
    });

    it('keeps facts by value, by any of several values, or without the key where asked', async () => {
      await store.append(batchOf([flagFact({ deployment: 'a' }), flagFact({ deployment: 'b' }), flagFact({ deployment: 'c' }), flagFact({})]));
      const count = async (values: string[], orMissing: boolean) =>
        (await store.sum({ kind: 'flag', by: [], where: [{ key: 'deployment', values, orMissing }] })).reduce((sum, { sums }) => sum + sums.count, 0);
      expect(await count(['a'], false)).toBe(1);
      expect(await count(['a', 'b'], false)).toBe(2);
      expect(await count(['a'], true)).toBe(2);
      expect(await count([], false)).toBe(0);
    });

    it('puts a slice into the range that holds its beginning', async () => {
      await store.append(batchOf([0, 1, 2, 3].map((from) => tokensFact({ from, count: 10 ** from }))));
      expect((await store.sum({ ...TOKENS, from: at(1), to: at(3) }))[0]).toMatchObject({ sums: { count: 110 }, from: at(1), to: at(3) });
      expect(await store.sum({ ...TOKENS, from: at(100) })).toEqual([]);
    });

    it('groups by time step aligned to the epoch', async () => {
      await store.append(batchOf([58, 59, 60, 119, 120].map((from) => tokensFact({ from, count: 1 }))));
      const steps = await store.sum({ ...TOKENS, step: epochMicros(60_000_000) });
      expect(steps.map(({ step, sums }) => [step, sums.count])).toEqual([[at(0), 2], [at(60), 2], [at(120), 1]]);
    });

    it('takes as wall time the longest seen device of each slice', async () => {
      await store.append(batchOf([
        energyFact({ from: 0, device: 'a', seconds: seconds(1) }), energyFact({ from: 0, device: 'b', seconds: seconds(0.5), phase: 'idle' }), energyFact({ from: 0, device: 'b', seconds: seconds(0.25) }),
        energyFact({ from: 1, device: 'b', seconds: seconds(0.5) }),
      ]));
      expect((await store.sum(GPU))[0]?.sums).toMatchObject({ seconds: 2.25, wallSeconds: 1.5, devices: 2 });
    });

    it('does not count a second twice when agents cut their first slices differently', async () => {
      await store.append(batchOf([energyFact({ from: 3, to: 10, seconds: seconds(7) })]));
      await store.append(batchOf([energyFact({ from: 0, to: 10, seconds: seconds(10) })], { node: 'node-2', sequence: 1 }));
      expect((await store.sum(GPU))[0]?.sums).toMatchObject({ seconds: 17, wallSeconds: 10, devices: 2 });
    });

    it('adds tenths of seconds without drift', async () => {
      await store.append(batchOf(Array.from({ length: 30 }, (_, index) => energyFact({ from: index, seconds: seconds(0.1) }))));
      expect((await store.sum(GPU))[0]?.sums.seconds).toBe(3);
    });

    it('adds up the stated ends of energy, and its variance', async () => {
      const far = Number.MAX_SAFE_INTEGER;
      await store.append(batchOf([statedFact('a', 95, far), statedFact('b', 90, far), statedFact('b', 5, far)]));
      expect((await store.sum(GPU))[0]?.sums.stated).toEqual({ lowMicrojoules: 190n, highMicrojoules: 3n * BigInt(far), samplingVariance: expect.closeTo(0.3, 12) as unknown });
      expect((await store.sum({ ...GPU, by: ['device'] })).map(({ sums }) => sums.stated?.lowMicrojoules)).toEqual([95n, 95n]);
    });

    it('states no error where one fact with energy does not, but a gap needs none', async () => {
      const ends = { lowMicrojoules: microjoules(95), highMicrojoules: microjoules(105) };
      const gap = energyFact({ joules: 0, seconds: seconds(0), askedSeconds: seconds(1) });
      await store.append(batchOf([energyFact({ device: 'a', ...ends }), gap, energyFact({ device: 'b', ...ends }), energyFact({ device: 'b', lowMicrojoules: microjoules(1) })]));
      const [a, b] = await store.sum({ ...GPU, by: ['device'], where: [...GPU.where, { key: 'device', values: ['a', 'b'] }] });
      expect([a?.sums.stated, b?.sums.stated]).toEqual([{ lowMicrojoules: 95n, highMicrojoules: 105n, samplingVariance: 0 }, null]);
      expect((await store.sum({ ...GPU, where: [...GPU.where, { key: 'device', values: ['a', 'GPU-0'] }] }))[0]?.sums.stated?.lowMicrojoules).toBe(95n);
      expect((await store.sum(GPU))[0]?.sums.stated).toBeNull();
    });

    it('tells sensors that read for several nodes from those that read for their own, in whatever order the nodes are named', async () => {
      await store.append(batchOf([energyFact({ boundary: 'meter', contains: ['n2', 'n1'] }), energyFact({ boundary: 'meter', contains: ['n1', 'n2'] }), energyFact({ boundary: 'meter' })]));
      const groups = await store.sum({ kind: 'energy', by: ['contains', 'source', 'method'], where: [inBoundary('meter')] });
      expect(groups.map(({ values, sums }) => [values, sums.microjoules])).toEqual([[['["n1","n2"]', 'nvml', 'counter'], 200_000_000n], [[null, 'nvml', 'counter'], 100_000_000n]]);
    });

    it('sums times to the microsecond, the same in whatever order facts come', async () => {
      const facts = Array.from({ length: 300 }, (_, index) => energyFact({ from: index, device: `d${index % 7}`, seconds: seconds((index + 1) / 301), samplingVariance: 1 / (index + 3), lowMicrojoules: microjoules(1), highMicrojoules: microjoules(2) }));
      await store.append(batchOf(facts.map((fact) => ({ ...fact, deployment: 'a' }))));
      await store.append(batchOf(facts.toReversed().map((fact) => ({ ...fact, device: `${fact.device}b`, deployment: 'b' })), { sequence: 1 }));
      const [a, b] = await store.sum({ ...GPU, by: ['deployment'] });
      expect(a?.sums).toEqual(b?.sums);
      expect([a?.sums.seconds, a?.sums.wallSeconds]).toEqual([150, 150]);
      expect((await store.sum({ ...GPU, where: [...GPU.where, { key: 'device', values: ['d0'] }], to: at(1) }))[0]?.sums).toMatchObject({ seconds: 0.003322, wallSeconds: 0.003322 });
    });

    it('sums energy without wall time, of one boundary at a time', async () => {
      await store.append(batchOf([energyFact({ joules: 100 }), energyFact({ joules: 50, device: 'b', askedSeconds: seconds(2) })]));
      expect((await store.sum({ ...GPU, kind: 'booked' }))[0]?.sums).toEqual({ microjoules: 150_000_000n, seconds: 2, askedSeconds: 3 });
      await expect(store.sum({ kind: 'booked', by: [], where: [] })).rejects.toThrow(/overlap/);
    });

    it('sums requests and token kinds apart', async () => {
      await store.append(batchOf([requestsFact({ requests: 3, outputTokens: 7 }), requestsFact({ requests: -1, outputTokens: -2 }), tokensFact({ token: 'input', count: 5 }), tokensFact()]));
      expect((await store.sum({ kind: 'requests', by: ['outcome'], where: [] })).map(({ values, sums }) => [values[0], sums.requests, sums.outputTokens])).toEqual([['ok', 2, 5]]);
      expect((await store.sum({ ...TOKENS, by: ['token'] })).map(({ values, sums }) => [values[0], sums.count])).toEqual([['input', 5], ['output', 10]]);
    });

    it('adds up by how much the division between phases may be off, where facts say so', async () => {
      await store.append(batchOf([energyFact({ phase: 'prefill', divisionMicrojoules: microjoules(3) }), energyFact({ phase: 'prefill', divisionMicrojoules: microjoules(4) }), energyFact({ phase: 'decode' })]));
      expect((await store.sum({ ...GPU, by: ['phase'] })).map(({ values, sums }) => [values[0], sums.divisionMicrojoules])).toEqual([['decode', 0n], ['prefill', 7n]]);
    });

    it('sums what requests drew exactly, and tells those that do not say it apart', async () => {
      const far = microjoules(Number.MAX_SAFE_INTEGER);
      await store.append(batchOf([
        requestsFact({ inputTokens: 5, outputTokens: 1, prefillMicrojoules: far, decodeMicrojoules: microjoules(1) }),
        // Ended before its first token: no decode.
        requestsFact({ requests: 2, inputTokens: 6, cachedInputTokens: 4, prefillMicrojoules: far }),
        requestsFact({ requests: 3, inputTokens: 7, outputTokens: 8 }), requestsFact({ outcome: 'failed' }),
      ]));
      expect((await store.sum({ kind: 'requests', by: ['outcome'], where: [] })).map(({ sums }) => sums)).toEqual([
        { requests: 1, inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, metered: null },
        { requests: 6, inputTokens: 18, cachedInputTokens: 4, outputTokens: 9, metered: { prefillMicrojoules: 2n * BigInt(far), decodeMicrojoules: 1n, requests: 3, inputTokens: 11, cachedInputTokens: 4, outputTokens: 1 } },
      ]);
    });

    it('divides requests by request and by band, and keeps those of a band', async () => {
      await store.append(batchOf([
        requestsFact({ request: 'a', inputBand: 9, concurrencyBand: 0 }), requestsFact({ request: 'b', inputBand: 10, concurrencyBand: 0 }), requestsFact({ request: 'c', inputBand: 10, concurrencyBand: 2 }), requestsFact(),
      ]));
      const by = async (key: 'request' | 'inputBand' | 'concurrencyBand', values?: string[]) =>
        (await store.sum({ kind: 'requests', by: [key], where: values ? [{ key, values }] : [] })).map((group) => [group.values[0], group.sums.requests]);
      expect(await by('request')).toEqual([['a', 1], ['b', 1], ['c', 1], [null, 1]]);
      expect(await by('inputBand')).toEqual([['10', 2], ['9', 1], [null, 1]]);
      expect(await by('concurrencyBand', ['2', '3'])).toEqual([['2', 1]]);
      await expect(store.sum({ ...TOKENS, by: ['request'] })).rejects.toThrow(/request/);
    });

    it('tells the first few details of a flag and folds the rest', async () => {
      await store.append(batchOf(Array.from({ length: 20 }, (_, index) => flagFact({ from: index, detail: `gap ${index}`, count: 2 }))));
      const flags = await store.sum({ kind: 'flag', by: [], where: [] });
      expect(flags).toHaveLength(6);
      expect(flags.reduce((sum, { sums }) => sum + sums.count, 0)).toBe(40);
      expect(flags.find(({ sums }) => sums.detail === null)?.sums).toMatchObject({ code: 'GAP', details: 15, count: 30 });
    });

    it('keeps counts "of how many" apart from plain counts', async () => {
      await store.append(batchOf([flagFact({ count: 3, of: 10 }), flagFact({ count: 4, of: 10 }), flagFact({ count: 5 })]));
      expect((await store.sum({ kind: 'flag', by: [], where: [] }))[0]?.sums).toMatchObject({ count: 5, countOf: 7, of: 20 });
    });

    it('knows its nodes, with the newest host facts', async () => {
      const host = { hostname: 'h', os: 'linux', kernel: '6', cpu: { model: 'x', sockets: 1, cores: 8 }, memoryBytes: 1, gpus: [], agentVersion: '0.1.0' };
      await store.append(batchOf([tokensFact()], { host }));
      await store.append(batchOf([tokensFact(), tokensFact()], { sequence: 1, host: { ...host, agentVersion: '0.2.0' } }));
      await store.append(batchOf([], { sequence: 2, node: 'node-2' }));
      const nodes = await store.nodes();
      expect(nodes).toMatchObject([{ node: 'node-1', batches: 2, slices: 3, host: { agentVersion: '0.2.0' } }, { node: 'node-2', batches: 1, slices: 0, host: null }]);
      expect(nodes[0]?.lastSeen).toBeGreaterThan(Date.UTC(2025, 0) * 1000);
    });

    it('knows the time its facts span, and that there are none', async () => {
      expect(await store.extent()).toBeNull();
      await store.append(batchOf([tokensFact({ from: 5 }), energyFact({ from: 2 })]));
      expect(await store.extent()).toEqual({ from: at(2), to: at(6) });
      expect([await store.extent(at(5)), await store.extent(at(2))]).toEqual([{ from: at(2), to: at(3) }, null]);
    });
  });
}
