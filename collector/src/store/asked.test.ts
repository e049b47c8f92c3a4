/** Time asked of a window, against adding it up device by device. */
import { array, assert, asyncProperty, constantFrom, integer, option, record, subarray } from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { epochMicros, seconds } from '@joulebook/shared/units.js';
import { openDuckdb } from './duckdb.js';
import { at, batchOf, energyFact } from './sample-facts.js';
import { inBoundary, type Extent, type Filter, type GroupSum, type Key, type Store } from './store.js';

interface Asked {
  readonly by: readonly Key[];
  readonly where: readonly Filter[];
  readonly from?: ReturnType<typeof at>;
  readonly to?: ReturnType<typeof at>;
  readonly step?: ReturnType<typeof epochMicros> | undefined;
  readonly window: Extent;
}
const identity = ({ step, values }: Pick<GroupSum<'booked'>, 'step' | 'values'>): string => JSON.stringify([step, values]);

/** A row for every group, step and device: right, and far too much for a fleet. */
async function oneByOne(store: Store, { by, where, step, window, ...range }: Asked): Promise<Map<string, number>> {
  const all = await store.sum({ kind: 'booked', by: ['node', 'device'], where: [inBoundary('gpu')], step, ...range });
  const ofDevice = new Map(all.map((device) => [identity(device), device.sums.askedSeconds]));
  const asked = new Map<string, number>();
  for (const { values, step: begins, sums: { askedSeconds } } of await store.sum({ kind: 'booked', by: [...by, 'node', 'device'], where: [...where, inBoundary('gpu')], step, ...range })) {
    if (askedSeconds <= 0) continue;
    const whole = ofDevice.get(identity({ step: begins, values: values.slice(-2) })) ?? Number.NaN;
    const length = ((step === undefined ? window.to : Math.min(window.to, begins + step)) - (step === undefined ? window.from : Math.max(window.from, begins))) / 1e6;
    const group = identity({ step: begins, values: values.slice(0, -2) });
    asked.set(group, (asked.get(group) ?? 0) + askedSeconds + Math.max(0, length - whole) * (askedSeconds / whole));
  }
  return asked;
}

const HOUR = 3600;
const maybe = <T>(value: Parameters<typeof option<T>>[0]) => option(value, { nil: undefined });
const energy = record({
  from: constantFrom(0, 10, 50, 3590, HOUR, 2 * HOUR - 10, 2 * HOUR), device: constantFrom('a', 'b'), boundary: constantFrom('gpu' as const, 'gpu' as const, 'server' as const), phase: constantFrom('prefill' as const, 'decode' as const, 'idle' as const),
  site: maybe(constantFrom('s1', 's2')), deployment: maybe(constantFrom('chat', 'code')), labels: maybe(constantFrom({ q: 'fp8' }, { q: 'fp16' })), askedSeconds: integer({ min: 0, max: 12_000 }).map((milliseconds) => seconds(milliseconds / 1000)),
}).map((said) => energyFact({ ...said, to: said.from + 10, seconds: seconds(0) }));
const question = record({
  by: subarray<Key>(['site', 'deployment', 'phase', 'device', 'node', { label: 'q' }], { maxLength: 3 }),
  where: array(constantFrom<Filter>({ key: 'deployment', values: ['chat'] }, { key: 'phase', values: ['decode', 'idle'] }, { key: { label: 'q' }, values: ['fp8'] }, { key: 'site', values: [] }), { maxLength: 2 }),
  step: maybe(constantFrom(10, 60, HOUR, 90).map((length) => epochMicros(length * 1e6))),
  // Facts of before the window are not asked about; its end may lie in the middle of them.
  window: constantFrom([0, 3 * HOUR], [0, HOUR], [20, HOUR + 5], [HOUR, 2 * HOUR], [10, 15]),
}).map(({ window: [from = 0, to = 0], ...rest }): Asked => ({ ...rest, from: at(from), to: at(to), window: { from: at(from), to: at(to) } }));

describe('time asked of a window', () => {
  let store: Store;
  beforeEach(async () => {
    store = await openDuckdb(':memory:');
  });
  afterEach(() => store.close());

  it('is what adding up device by device gives, for any facts and any question', async () => {
    let groups = 0;
    await assert(asyncProperty(array(energy, { minLength: 1, maxLength: 30 }), array(energy, { maxLength: 10 }), array(question, { minLength: 8, maxLength: 8 }), async (facts, elsewhere, questions) => {
      await store.close();
      store = await openDuckdb(':memory:');
      await store.append(batchOf(facts, { stream: 'a'.repeat(32) }));
      await store.append(batchOf(elsewhere, { stream: 'b'.repeat(32), node: 'node-2' }));
      for (const each of questions) {
        const expected = await oneByOne(store, each);
        const found = await store.sum({ kind: 'asked', ...each, where: [...each.where, inBoundary('gpu')] });
        groups += found.length;
        expect(found.map(identity).toSorted()).toEqual([...expected.keys()].toSorted());
        for (const group of found) expect(group.sums.askedOfWindow, JSON.stringify(each)).toBeCloseTo(expected.get(identity(group)) ?? Number.NaN, 4);
      }
    }), { numRuns: 10 });
    expect(groups).toBeGreaterThan(15);
  }, 60_000);

  it('divides what nobody asked about as what was asked is divided', async () => {
    await store.append(batchOf([energyFact({ phase: 'prefill', to: 10, seconds: seconds(2) }), energyFact({ phase: 'decode', to: 10, seconds: seconds(6) }), energyFact({ device: 'b', phase: 'decode', to: 10, seconds: seconds(10) })]));
    const window = { from: at(0), to: at(20) };
    const asked = async (by: Key[], more: Filter[] = []) => (await store.sum({ kind: 'asked', by, where: [inBoundary('gpu'), ...more], ...window, window })).map(({ values, sums }) => [...values, sums.askedOfWindow]);
    expect(await asked([])).toEqual([[40]]);
    expect(await asked(['phase'])).toEqual([['decode', 35], ['prefill', 5]]);
    expect(await asked([], [{ key: 'phase', values: ['prefill'] }])).toEqual([[5]]);
    expect(await asked(['device'])).toEqual([['GPU-0', 20], ['b', 20]]);
  });

  it('asks for a window, and for one boundary', async () => {
    await expect(store.sum({ kind: 'asked', by: [], where: [inBoundary('gpu')] })).rejects.toThrow(/window/);
    await expect(store.sum({ kind: 'asked', by: [], where: [], window: { from: at(0), to: at(1) } })).rejects.toThrow(/overlap/);
  });
});
