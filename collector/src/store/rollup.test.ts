import { array, assert, asyncProperty, boolean, constantFrom, integer, oneof, option, record, subarray, uniqueArray, type Arbitrary } from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '@joulebook/shared/clock.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, instant, microjoules, seconds } from '@joulebook/shared/units.js';
import { openDuckdbFile } from './duckdb-file.js';
import { at, batchOf, energyFact, flagFact, requestsFact, tokensFact } from './sample-facts.js';
import { inBoundary, type FactKind, type Filter, type Key, type Store, type SumQuery, type Weights } from './store.js';
import type { EmbeddedStore } from './upkeep.js';
import { GROUPINGS, groupingOf, SERVING_PHASES } from './walls.js';

const DAY = 86_400;
const HOUR = 3_600;
/** Everything in these tests is over by then. */
let now = 3 * DAY;
const clock: Clock = { wall: () => instant(at(now) / 1e6), monotonic: () => seconds(0) };
const open = (): Promise<EmbeddedStore> => openDuckdbFile({ path: ':memory:', readOnly: false }, clock);

/** Near edges of minutes, hours and days, where mistakes would be. */
const begin = constantFrom(0, 10, 50, 60, HOUR - 10, HOUR - 4, HOUR, HOUR + 60, 5 * HOUR + 30, DAY - 1, DAY, DAY + 7, DAY + HOUR, 2 * DAY - 10);
const maybe = <T>(value: Arbitrary<T>) => option(value, { nil: undefined });
const place = { from: begin, site: maybe(constantFrom('s1', 's2')), deployment: maybe(constantFrom('chat', 'code')), model: maybe(constantFrom('m1', 'm2')), labels: maybe(constantFrom({ q: 'fp8' }, { q: 'fp16', e: 'x' })) };
const whole = integer({ min: 0, max: 1_000_000_000 });
const phase = constantFrom('prefill', 'decode', 'active', 'idle', 'unknown');
const observed = integer({ min: 0, max: 12_000 }).map((milliseconds) => seconds(milliseconds / 1000));

const energy = record({
  ...place, length: constantFrom(1, 3, 10), device: constantFrom('a', 'b', 'c'), boundary: constantFrom('gpu', 'server'), phase, microjoules: whole.map(microjoules), seconds: observed, askedSeconds: observed,
  ends: maybe(whole), division: maybe(whole), variance: maybe(integer({ min: 0, max: 1000 })), contains: maybe(constantFrom<string[]>(['n1', 'n2'])), method: constantFrom('counter', 'power'),
}).map(({ from, length, ends, division, variance, ...rest }): Slice =>
  energyFact({
    ...rest, from, to: from + length,
    ...(ends !== undefined && { lowMicrojoules: microjoules(ends), highMicrojoules: microjoules(ends * 2) }),
    ...(division !== undefined && { divisionMicrojoules: microjoules(division) }),
    ...(variance !== undefined && { samplingVariance: variance / 8 }),
  }));
const tokens = record({ ...place, tenant: maybe(constantFrom('t')), token: constantFrom('input', 'output'), count: integer({ min: -5, max: 1000 }) }).map((said): Slice => tokensFact(said));
const requests = record({
  ...place, outcome: constantFrom('ok', 'failed'), ttftBucket: maybe(integer({ min: 0, max: 2 })), requests: integer({ min: -1, max: 9 }), outputTokens: whole, inputBand: maybe(integer({ min: 0, max: 12 })),
  prefillMicrojoules: maybe(whole.map(microjoules)), decodeMicrojoules: maybe(whole.map(microjoules)),
}).map((said): Slice => requestsFact(said));
const flags = record({ ...place, detail: integer({ min: 0, max: 9 }).map(String), count: integer({ min: 0, max: 9 }), of: maybe(integer({ min: 1, max: 9 })), phase: maybe(phase) }).map((said): Slice => flagFact(said));
const gauges = record({ ...place, valueSeconds: integer({ min: -9000, max: 9000 }).map((value) => value / 8), seconds: observed, max: integer() }).map(({ from, ...said }): Slice => ({ kind: 'gauge', gauge: 'queue', ...said, from: at(from), to: at(from + 1) }));
const facts = array(energy, { maxLength: 25 }).chain((some) => array(oneof(tokens, requests, flags, gauges), { maxLength: 15 }).map((others) => [...some, ...others]));

const DIVIDERS: Readonly<Record<FactKind, readonly Key[]>> = {
  energy: ['site', 'node', 'device', 'deployment', 'model', 'phase', 'source', 'method', 'contains', { label: 'q' }],
  booked: ['site', 'deployment', 'phase', 'device'],
  asked: ['site', 'deployment', 'phase', 'device', { label: 'q' }],
  weighed: ['site', 'deployment', 'phase', 'device', { label: 'q' }],
  tokens: ['site', 'deployment', 'token', 'tenant', { label: 'e' }],
  requests: ['model', 'outcome', 'inputBand'],
  weighedRequests: ['site', 'outcome', 'inputBand'],
  gauge: ['gauge', 'model'],
  flag: ['deployment', 'phase'],
};
/** They change by the hour at one site, by the quarter at all others. */
const WEIGHTS: Weights = {
  grid: epochMicros(900e6), count: 1,
  sites: [{ site: 's1', pieces: [0, 1, 5, 24, 30].map((hour, index) => ({ from: at(hour * HOUR), factors: [index === 3 ? null : index] })) }, { site: null, pieces: [0, HOUR + 900].map((from, index) => ({ from: at(from), factors: [7 - index] })) }],
};
const filter: Arbitrary<Filter> = constantFrom<Filter>(
  { key: 'deployment', values: ['chat'] }, { key: 'deployment', values: ['chat', 'code'] }, { key: 'model', values: ['m1'], orMissing: true }, { key: 'site', values: ['s1'] }, { key: { label: 'q' }, values: ['fp8'] }, { key: 'node', values: ['node-1'] },
);
const ofPhase: Arbitrary<Filter> = constantFrom<Filter>({ key: 'phase', values: ['prefill', 'decode', 'active'] }, { key: 'phase', values: ['decode'] }, { key: 'phase', values: ['idle', 'unknown'] });
const edge = maybe(constantFrom(0, 60, HOUR, HOUR - 60, 5 * HOUR, DAY, DAY + HOUR, 2 * DAY, 17, HOUR + 33));

const query: Arbitrary<SumQuery<FactKind>> = constantFrom<FactKind>('energy', 'energy', 'booked', 'asked', 'weighed', 'tokens', 'requests', 'weighedRequests', 'gauge', 'flag').chain((kind) =>
  record({ by: subarray([...DIVIDERS[kind]], { maxLength: Math.min(3, DIVIDERS[kind].length) }), where: array(filter, { maxLength: 1 }), phases: array(ofPhase, { maxLength: 1 }), from: edge, to: edge, step: maybe(constantFrom(10, 60, 300, HOUR, DAY, 90)), allBoundaries: boolean() }).map(({ by, where, phases, from, to, step, allBoundaries }) => {
    const ofEnergy = kind === 'energy' || kind === 'booked' || kind === 'asked' || kind === 'weighed';
    return {
      kind, by: ofEnergy && allBoundaries ? ['boundary', ...by] : by, where: [...where, ...(ofEnergy || kind === 'flag' ? phases : []), ...(ofEnergy && !allBoundaries ? [inBoundary('gpu')] : [])],
      from: from === undefined ? undefined : at(from), to: to === undefined ? undefined : at(to), step: step === undefined ? undefined : epochMicros(step * 1e6),
      ...((kind === 'weighed' || kind === 'weighedRequests') && { weights: WEIGHTS }),
      ...(kind === 'asked' && { window: { from: at(from ?? 0), to: at(to ?? 3 * DAY) } }),
    };
  }));

const fill = async (stores: readonly Store[], slices: Slice[], sequence: number, node = 'node-1'): Promise<void> => {
  for (const store of stores) expect(await store.append(batchOf(slices, { sequence, node, stream: (node === 'node-1' ? 'a' : 'b').repeat(32) }))).toBe('accepted');
};

/** The first 10 s of each minute of some hours, of two devices. */
const hours = (from: number, count: number): Slice[] =>
  Array.from({ length: count * 60 }, (_, index) => from + index * 60).flatMap((begins) => [
    energyFact({ from: begins, to: begins + 10, device: 'a', phase: 'decode', seconds: seconds(6) }), energyFact({ from: begins, to: begins + 10, device: 'a', phase: 'prefill', seconds: seconds(4) }),
    energyFact({ from: begins, to: begins + 10, device: 'b', phase: 'decode', seconds: seconds(3) }), tokensFact({ from: begins }),
  ]);

const gpu = { kind: 'energy', by: [], where: [inBoundary('gpu')] } as const;

const pick = <T>(values: readonly T[], index: number): T | undefined => values[index % values.length];

describe('roll-ups', () => {
  let store: EmbeddedStore;
  /** Has the same facts and never sums them. */
  let plain: EmbeddedStore;
  beforeEach(async () => {
    now = 3 * DAY;
    [store, plain] = [await open(), await open()];
  });
  afterEach(async () => {
    await store.close();
    await plain.close();
  });

  it('answer any question as the facts would, whatever was summed, and whatever came late', async () => {
    let runs = 0;
    await assert(
      asyncProperty(array(facts, { minLength: 1, maxLength: 3 }), uniqueArray(query, { minLength: 6, maxLength: 10, selector: (each) => JSON.stringify(each) }), async (batches, queries) => {
        await Promise.all([store.close(), plain.close()]);
        [store, plain] = [await open(), await open()];
        runs += 1;
        let left = 0;
        for (const [index, slices] of batches.entries()) {
          await fill([store, plain], slices, index * 2);
          await fill([store, plain], slices.slice(0, 4), index * 2 + 1, 'node-2');
          // The last may stay unsummed.
          if (index < 2) left += (await store.rollUp(60)).left;
        }
        expect(left).toBe(0);
        for (const each of queries) expect(await store.sum(each), JSON.stringify(each)).toEqual(await plain.sum(each));
        expect([await store.extent(), await store.labels(), await store.extent(at(HOUR))]).toEqual([await plain.extent(), await plain.labels(), await plain.extent(at(HOUR))]);
      }),
      { numRuns: 6 },
    );
    expect(runs).toBeGreaterThanOrEqual(6);
  }, 60_000);

  const read = async (question: Partial<SumQuery<FactKind>>) => (await store.resolution?.({ ...gpu, ...question }))?.read.map(({ resolution, seconds: length }) => [resolution, length]);

  it('have the wall time of every grouping that is kept, by keys and by filters', async () => {
    const mixed = Array.from({ length: 240 }, (_, index) => energyFact({
      from: Math.floor(index / 4) * 40, to: Math.floor(index / 4) * 40 + 10, device: `d${index % 3}`, site: pick(['s1', undefined], index >> 1), deployment: pick(['a', 'b', 'c'], index >> 2), model: pick(['m', undefined], index >> 3),
      phase: pick(['prefill', 'decode', 'unknown'], index * 7 >> 2) ?? 'unknown', seconds: seconds(((index * 37) % 100) / 10),
    }));
    await fill([store, plain], mixed, 0);
    await fill([store, plain], mixed.slice(0, 130), 1, 'node-2');
    await store.rollUp(60);
    for (const { keys, phases } of GROUPINGS) {
      const ofPhases: Filter[] = phases === 'serving' ? [{ key: 'phase', values: SERVING_PHASES }] : [];
      const byKeys = { ...gpu, by: [...keys, ...(phases === 'phase' ? ['phase' as const] : [])], where: [...gpu.where, ...ofPhases] };
      const byFilters = { ...gpu, where: [...byKeys.where, { key: keys[0] ?? 'node', values: [{ site: 's1', node: 'node-2', deployment: 'b', model: 'm' }[keys[0] ?? 'node']] }, ...(phases === 'phase' ? [{ key: 'phase', values: ['decode'] } as const] : [])] };
      for (const each of keys.length === 1 ? [byKeys, byFilters] : [byKeys]) {
        expect(groupingOf(each), JSON.stringify(each)).toBeDefined();
        expect(await store.sum(each), JSON.stringify(each)).toEqual(await plain.sum(each));
      }
    }
    expect((await store.resolution?.(gpu))?.read).toMatchObject([{ resolution: '1d' }]);
  }, 60_000);

  it('reads the coarsest that answers exactly, and facts only at edges and where something is new', async () => {
    await fill([store], hours(0, 26), 0);
    expect(await read({})).toEqual([['facts', 26 * HOUR - 50]]);
    await store.rollUp(60);
    expect(await read({})).toEqual([['1d', 26 * HOUR - 50]]);
    expect(await read({ from: at(HOUR - 90), to: at(DAY) })).toEqual([['facts', 30], ['1m', 60], ['1h', 23 * HOUR]]);
    expect(await read({ step: epochMicros(HOUR * 1e6) })).toEqual([['1h', 26 * HOUR - 50]]);
    expect(await read({ step: epochMicros(90e6) })).toEqual([['facts', 26 * HOUR - 50]]);
    await fill([store], [tokensFact({ from: 2 * HOUR })], 1);
    expect(await read({ to: at(DAY) })).toEqual([['facts', 60], ['1m', HOUR - 60], ['1h', 23 * HOUR]]);
    expect((await store.sum({ kind: 'tokens', by: [], where: [] }))[0]?.sums.count).toBe(10 * 26 * 60 + 10);
  });

  it('spare a look at facts where wall time may be about, and where all are seen throughout it is exact', async () => {
    await fill([store, plain], hours(0, 26), 0);
    await store.rollUp(60);
    const byNode = { ...gpu, by: ['node', 'contains'], wallByCell: true } as const;
    const [about] = await store.sum(byNode);
    const [exact] = await plain.sum(byNode);
    expect(about).toEqual(exact);
    expect(about?.sums.wallSeconds).toBe(26 * 600);
    // One is seen first, then the other: by day that is the longer of the two, as long as facts are not asked.
    await fill([store, plain], [energyFact({ from: 2 * HOUR + 30, to: 2 * HOUR + 40, device: 'b', seconds: seconds(10) })], 1);
    await store.rollUp(60);
    expect([(await store.sum(byNode))[0]?.sums.wallSeconds, (await plain.sum(byNode))[0]?.sums.wallSeconds]).toEqual([26 * 600, 26 * 600 + 10]);
  });

  it('keep requests that tell what they drew apart from those that do not', async () => {
    await fill([store, plain], [requestsFact({ prefillMicrojoules: microjoules(5), inputTokens: 7 }), requestsFact({ requests: 3, inputTokens: 11 }), requestsFact({ decodeMicrojoules: microjoules(2) })], 0);
    await store.rollUp(60);
    const asked = { kind: 'requests', by: [], where: [] } as const;
    expect((await store.sum(asked))[0]?.sums).toMatchObject({ requests: 5, inputTokens: 18, metered: { requests: 2, inputTokens: 7, prefillMicrojoules: 5n, decodeMicrojoules: 2n } });
    expect(await store.sum(asked)).toEqual(await plain.sum(asked));
  });

  it('leaves what is still being filled, and counts what it left for lack of time', async () => {
    await fill([store], hours(0, 2), 0);
    now = HOUR + 90;
    expect(await store.rollUp(60)).toEqual({ cells: 62, left: 0, faults: [] });
    expect(await read({})).toEqual([['facts', HOUR - 110], ['1m', 60], ['1h', HOUR]]);
    now = 3 * DAY;
    expect(await store.rollUp(0)).toMatchObject({ cells: 0, left: 59 });
  });

  it('are the same however often they are made', async () => {
    const all = { ...gpu, by: ['device', 'phase'] } as const;
    await fill([store, plain], hours(0, 2), 0);
    for (const sequence of [1, 2, 3]) {
      await store.rollUp(60);
      await fill([store, plain], [energyFact({ from: 17, joules: sequence })], sequence);
      expect(await store.sum(all)).toEqual(await plain.sum(all));
    }
    await store.rollUp(60);
    expect(await store.rollUp(60)).toEqual({ cells: 0, left: 0, faults: [] });
    expect(await store.sum(all)).toEqual(await plain.sum(all));
  });

  it('leave a minute whose sums exceed 64 bits as facts, say so, and sum the others', async () => {
    const far = Array.from({ length: 1100 }, () => energyFact({ microjoules: microjoules(Number.MAX_SAFE_INTEGER) }));
    await fill([store], [...far, ...hours(HOUR, 1)], 0);
    const { faults, left } = await store.rollUp(60);
    expect([faults, left]).toEqual([[expect.stringContaining('The minute of 2026-01-01T00:00:00.000Z')], 1]);
    expect((await store.sum({ ...gpu, to: at(60) }))[0]?.sums.microjoules).toBe(1100n * BigInt(Number.MAX_SAFE_INTEGER));
    expect(await read({})).toEqual([['facts', 60], ['1m', HOUR - 60], ['1h', HOUR - 50]]);
  });

  describe('with retention', () => {
    const policy = { raw: DAY, minute: 2 * DAY, hour: null };

    it('answer as before on the grid of what is left, wall time of the groupings that are kept included', async () => {
      await fill([store, plain], [...hours(0, 30), flagFact({ from: 5 })], 0);
      expect(await store.retain(policy)).toMatchObject({ faults: [], minutes: 24 * 60 * 3 + 24 * 60 + 1, factsSince: at(2 * DAY) });
      for (const each of [gpu, { ...gpu, by: ['phase'] }, { ...gpu, by: ['deployment'], step: epochMicros(HOUR * 1e6), from: at(HOUR) }, { kind: 'flag', by: [], where: [] }, { kind: 'tokens', by: ['token'], where: [], to: at(7 * HOUR) }] as const satisfies readonly SumQuery<FactKind>[]) {
        expect(await store.sum(each)).toEqual(await plain.sum(each));
        expect(await store.resolution?.(each)).toMatchObject({ rounded: false, wallTimeByCell: false });
      }
      expect([await store.extent(), await store.labels()]).toEqual([await plain.extent(), await plain.labels()]);
    });

    it('say where ends, steps or wall time are coarser than asked', async () => {
      await fill([store], hours(0, 30), 0);
      await store.retain(policy);
      const late = { ...gpu, from: at(DAY + 90), to: at(DAY + 2 * HOUR) };
      expect([await store.resolution?.(late), (await store.sum(late))[0]?.sums.microjoules]).toEqual([{ read: [['1m', HOUR - 60], ['1h', HOUR]].map(([resolution, length]) => ({ resolution, seconds: length })), rounded: true, moved: { from: at(DAY + 60) }, wallTimeByCell: true }, 3n * 119n * 100_000_000n]);
      const parts = await Promise.all([[DAY, DAY + 95], [DAY + 95, DAY + HOUR]].map(async ([from = 0, to = 0]) => (await store.sum({ ...gpu, from: at(from), to: at(to) }))[0]?.sums.microjoules ?? 0n));
      expect(parts.reduce((sum, part) => sum + part)).toBe(3n * 60n * 100_000_000n);
      expect(await store.resolution?.({ ...gpu, by: ['device'] })).toMatchObject({ rounded: false, wallTimeByCell: true });
      expect((await store.sum({ ...gpu, by: ['device'] })).map(({ sums }) => sums.wallSeconds)).toEqual([30 * 600, 30 * 60 * 3]);
      expect(await store.resolution?.({ ...gpu, step: epochMicros(10e6) })).toMatchObject({ rounded: true });
    });

    it('delete nothing that is young, and nothing that could not be summed', async () => {
      const far = Array.from({ length: 1100 }, () => energyFact({ from: 5 * HOUR, microjoules: microjoules(Number.MAX_SAFE_INTEGER) }));
      await fill([store], [...hours(0, 2), ...far, ...hours(2 * DAY + HOUR, 1)], 0);
      const { facts: deleted, factsSince, faults } = await store.retain(policy);
      expect([deleted, factsSince, faults.length]).toEqual([2 * 240, at(5 * HOUR), 1]);
      expect(await read({ from: at(5 * HOUR) })).toContainEqual(['facts', 60]);
      expect(await store.retain({ ...policy, raw: null })).toMatchObject({ facts: 0, factsSince: at(5 * HOUR) });
    });

    it('refuse facts of time that is closed, for good, and take younger ones beside them', async () => {
      await fill([store], hours(0, 1), 0);
      expect(await store.retain({ raw: null, minute: null, hour: null })).toMatchObject({ facts: 0, factsSince: null });
      await store.retain(policy);
      const sent = [batchOf([tokensFact({ from: DAY })], { stream: 'a'.repeat(32), sequence: 1 }), batchOf([tokensFact({ from: 2 * DAY })], { stream: 'a'.repeat(32), sequence: 2 })];
      const [old, young] = await Promise.allSettled(sent.map((batch) => store.append(batch)));
      expect(old).toMatchObject({ status: 'rejected', reason: { code: 'FACTS_TOO_OLD', remedy: 'discard' } });
      expect(young).toEqual({ status: 'fulfilled', value: 'accepted' });
      expect((await store.sum({ kind: 'tokens', by: [], where: [] }))[0]?.sums.count).toBe(610);
    });
  });
});
