/** Sums of ranges that are apart, against asking for each of them and adding up. */
import { describe, expect, it } from 'vitest';
import { epochMicros, instant, seconds } from '@joulebook/shared/units.js';
import { openDuckdbFile } from './duckdb-file.js';
import { at, batchOf, energyFact, tokensFact } from './sample-facts.js';
import { inBoundary, type Extent, type FactKind, type GroupSum, type Key, type SumQuery } from './store.js';
import { withTenants } from './tenants.js';
import { ADDED } from './time-classes.js';

const HOUR = 3600;
const clock = { wall: () => instant(at(80 * HOUR) / 1e6), monotonic: () => seconds(0) };
/** Every 40 s for three hours, of two devices, on edges of minutes and hours as well. */
const facts = Array.from({ length: (3 * HOUR) / 40 }, (_, index) => {
  const span = { from: index * 40, to: index * 40 + 10 };
  return [energyFact({ ...span, device: index % 3 === 0 ? 'a' : 'b', joules: index + 1, seconds: seconds(8), askedSeconds: seconds(10) }), tokensFact({ ...span, count: 2 * index + 1 })];
}).flat();

const range = (from: number, to: number): Extent => ({ from: at(from), to: at(to) });
/** More than are held against every row one by one. */
const MANY = Array.from({ length: 14 }, (_, index) => range(60 + index * 720, 60 + index * 720 + 60 * (1 + (index % 3))));
/** In order and apart, some next to each other. */
const RANGES = [range(0, 60), range(60, 420), range(900, 930), range(HOUR - 120, HOUR), range(HOUR, 2 * HOUR), range(2 * HOUR + 60, 3 * HOUR + 600)];

function identity<K extends FactKind>({ values, step }: GroupSum<K>): string {
  return JSON.stringify([values, step]);
}

describe('sums of ranges that are apart', () => {
  it('are those of each range, added up, from facts and from their sums by minute and hour', async () => {
    const store = await openDuckdbFile({ path: ':memory:', readOnly: false }, clock);
    await store.append(batchOf(facts));
    const added = async <K extends 'booked' | 'tokens' | 'energy'>(query: SumQuery<K>, within: readonly Extent[]): Promise<Map<string, GroupSum<K>['sums']>> => {
      const sums = new Map<string, GroupSum<K>['sums']>();
      for (const { from, to } of within) for (const sum of await store.sum({ ...query, from, to })) {
        const known = sums.get(identity(sum));
        sums.set(identity(sum), known ? ADDED[query.kind](known, sum.sums) : sum.sums);
      }
      return sums;
    };
    const minute = epochMicros(60e6);
    const questions: readonly { readonly within: readonly Extent[]; readonly by: readonly Key[]; readonly step?: typeof minute }[] = [
      { within: RANGES, by: [] }, { within: MANY, by: ['device'] }, { within: RANGES.slice(1, 4), by: ['device'] }, { within: [...RANGES.slice(0, 1), ...RANGES.slice(4)], by: [], step: minute }, { within: RANGES.slice(3), by: ['device'], step: epochMicros(HOUR * 1e6) },
    ];
    const check = async (): Promise<void> => {
      for (const { within, by, step } of questions) {
        const energy = { kind: 'energy', by, step, where: [inBoundary('gpu')] } as const;
        const tokens = { kind: 'tokens', by: [], step, where: [] } as const;
        const found = new Map((await store.sum({ ...energy, within })).map((sum) => [identity(sum), [sum.sums.microjoules, sum.sums.seconds, sum.sums.wallSeconds]]));
        expect(found).toEqual(new Map([...(await added<'energy'>(energy, within))].map(([key, sums]) => [key, [sums.microjoules, sums.seconds, sums.wallSeconds]])));
        expect(new Map((await store.sum({ ...tokens, within })).map((sum) => [identity(sum), sum.sums]))).toEqual(await added<'tokens'>(tokens, within));
      }
    };
    await check();
    expect((await store.rollUp(60)).left).toBe(0);
    await check();
    expect((await store.resolution?.({ kind: 'tokens', by: [], where: [], within: RANGES }))?.read.map(({ resolution }) => resolution)).toEqual(['facts', '1m', '1h']);
    await store.close();
  });

  it('are of no facts where there is no range, or where the ranges are outside of what is asked', async () => {
    const store = await openDuckdbFile({ path: ':memory:', readOnly: false }, clock);
    await store.append(batchOf(facts));
    expect(await store.sum({ kind: 'tokens', by: [], where: [], within: [] })).toEqual([]);
    expect(await store.sum({ kind: 'tokens', by: [], where: [], within: [range(0, 60)], from: at(60) })).toEqual([]);
    expect((await store.sum({ kind: 'tokens', by: [], where: [], within: [range(0, 60)], from: at(20), to: at(60) }))[0]?.sums.count).toBe(3);
    await store.close();
  });

  it('are shared over those whose tokens were made in them', async () => {
    const store = withTenants(await openDuckdbFile({ path: ':memory:', readOnly: false }, clock));
    await store.append(batchOf(['a', 'b'].flatMap((tenant, index) => [energyFact({ from: index * 60, to: index * 60 + 10, joules: 10 }), tokensFact({ from: index * 60, to: index * 60 + 10, tenant })])));
    const query = { kind: 'booked', by: ['tenant'], where: [inBoundary('gpu')] } as const;
    const joulesOf = async (within?: readonly Extent[]): Promise<unknown[][]> => (await store.sum({ ...query, within })).map(({ values: [tenant], sums }) => [tenant, sums.microjoules]);
    expect(await joulesOf()).toEqual([['a', 10_000_000n], ['b', 10_000_000n]]);
    expect(await joulesOf([range(0, 60)])).toEqual([['a', 10_000_000n]]);
    await store.close();
  });

  it('ask of time only what lies in them', async () => {
    const store = await openDuckdbFile({ path: ':memory:', readOnly: false }, clock);
    // Of each minute one device is asked for 10 s, another for nothing.
    await store.append(batchOf(Array.from({ length: 60 }, (_, index) => energyFact({ from: index * 60, to: index * 60 + 10, seconds: seconds(10) }))));
    const within = [range(0, 120), range(1800, 1860)];
    const query = { kind: 'asked', by: [], where: [inBoundary('gpu')], from: at(0), to: at(HOUR), within, window: range(0, HOUR) } as const;
    expect((await store.sum(query)).map(({ sums }) => sums.askedOfWindow)).toEqual([180]);
    expect((await store.sum({ ...query, from: at(60), window: range(60, HOUR) })).map(({ sums }) => sums.askedOfWindow)).toEqual([120]);
    expect((await store.sum({ ...query, step: epochMicros(60e6) })).map(({ step, sums }) => [step, sums.askedOfWindow])).toEqual([[at(0), 60], [at(60), 60], [at(1800), 60]]);
    await store.close();
  });
});
