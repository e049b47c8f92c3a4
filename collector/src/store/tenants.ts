/**
 * Energy by tenant. A GPU draws for all whose requests run on it at once, so no meter tells tenants apart: what a deployment drew
 * is shared over those whose tokens it made, in the same time (of a step, else of the whole question):
 *
 *     prefill                  by computed prompt tokens
 *     all else, idle included  by output tokens
 *
 * Microjoules stay whole and add up to what was measured (largest remainder). What a deployment without tokens drew, and what
 * no deployment did, belongs to nobody (null).
 */
import { seconds } from '@joulebook/shared/units.js';
import { ADDED } from './time-classes.js';
import type { BookedSums, EnergySums, FactKind, FactSums, GroupSum, Key, Store, SumQuery, WeighedSums } from './store.js';

type Shared = 'energy' | 'booked' | 'weighed' | 'asked';
const isShared = (kind: FactKind): kind is Shared => kind === 'energy' || kind === 'booked' || kind === 'weighed' || kind === 'asked';

type Shares = ReadonlyMap<string | null, number>;
const NOBODY: Shares = new Map([[null, 1]]);

function sharesOf(counts: ReadonlyMap<string | null, number>): Shares | undefined {
  const all = [...counts.values()].reduce((sum, count) => sum + Math.max(0, count), 0);
  return all > 0 ? new Map([...counts].filter(([, count]) => count > 0).map(([tenant, count]) => [tenant, count / all])) : undefined;
}

/** Whole parts that add up to the whole: each its share rounded down, what is left to those with the largest remainders. */
export function wholeParts(whole: bigint, shares: readonly number[]): bigint[] {
  const exact = shares.map((share) => Number(whole) * share);
  const parts = exact.map((part) => BigInt(Math.floor(part)));
  let left = whole - parts.reduce((sum, part) => sum + part, 0n);
  const order = exact.map((part, index) => [part - Math.floor(part), index] as const).toSorted((a, b) => b[0] - a[0]);
  for (let turn = 0; left !== 0n && order.length > 0; turn += 1) {
    const [, index = 0] = order[turn % order.length] ?? [];
    const by = left > 0n ? 1n : -1n;
    parts[index] = (parts[index] ?? 0n) + by;
    left -= by;
  }
  return parts;
}

const booked = (sums: BookedSums, share: number, microjoules: bigint): BookedSums => ({ microjoules, seconds: seconds(sums.seconds * share), askedSeconds: seconds(sums.askedSeconds * share) });

/** Wall time is that of the whole: a tenant's watts are its joules over all of it. */
function energy(sums: EnergySums, share: number, part: (whole: bigint) => bigint): EnergySums {
  const { stated } = sums;
  return {
    ...booked(sums, share, part(sums.microjoules)), modelledMicrojoules: part(sums.modelledMicrojoules), divisionMicrojoules: part(sums.divisionMicrojoules), wallSeconds: sums.wallSeconds, devices: sums.devices,
    stated: stated && { lowMicrojoules: part(stated.lowMicrojoules), highMicrojoules: part(stated.highMicrojoules), samplingVariance: stated.samplingVariance * share * share },
  };
}

const weighed = (sums: WeighedSums, share: number, part: (whole: bigint) => bigint): WeighedSums => ({ weighed: sums.weighed.map(({ sum, unknown }) => ({ sum: sum * share, unknown: part(unknown) })) });

const PART: { readonly [K in Shared]: (sums: FactSums[K], share: number, part: (whole: bigint) => bigint) => FactSums[K] } = {
  energy,
  booked: (sums, share, part) => booked(sums, share, part(sums.microjoules)),
  weighed,
  asked: ({ askedOfWindow }, share) => ({ askedOfWindow: seconds(askedOfWindow * share) }),
};

const added: { readonly [K in Shared]: (a: FactSums[K], b: FactSums[K]) => FactSums[K] } = {
  ...ADDED,
  // Deployments ran side by side: their wall times are not one after the other.
  energy: (a, b) => ({ ...ADDED.energy(a, b), wallSeconds: a.wallSeconds > b.wallSeconds ? a.wallSeconds : b.wallSeconds }),
};

const keyOf = (at: number, deployment: string | null, token: string | null): string => JSON.stringify([at, deployment, token]);

/** By step and deployment: who has which share of its prefill, and of all else. */
async function tokenShares(store: Store, { from, to, within, step }: SumQuery<FactKind>): Promise<(step: number, deployment: string | null, phase: string | null) => Shares> {
  const made = await store.sum({ kind: 'tokens', by: ['deployment', 'tenant', 'token'], where: [{ key: 'token', values: ['input', 'output'] }], from, to, within, step });
  const counts = new Map<string, Map<string | null, number>>();
  for (const { step: at, values: [deployment = null, tenant = null, token = null], sums: { count } } of made) {
    const key = keyOf(at, deployment, token);
    counts.set(key, (counts.get(key) ?? new Map<string | null, number>()).set(tenant, count));
  }
  return (at, deployment, phase) => {
    const of = (token: string): Shares | undefined => sharesOf(counts.get(keyOf(at, deployment, token)) ?? new Map());
    const [input, output] = [of('input'), of('output')];
    return (phase === 'prefill' ? (input ?? output) : (output ?? input)) ?? NOBODY;
  };
}

async function shared<K extends Shared>(store: Store, query: SumQuery<K>): Promise<readonly GroupSum<K>[]> {
  const plain = query.by.filter((key) => key !== 'tenant');
  const asked: readonly Key[] = [...plain, 'deployment', 'phase'];
  const found = await store.sum({ ...query, by: asked, where: query.where.filter(({ key }) => key !== 'tenant') });
  const sharesAt = await tokenShares(store, query);
  const kept = query.where.filter(({ key }) => key === 'tenant');
  const groups = new Map<string, GroupSum<K>>();
  for (const sum of found) {
    const shares = [...sharesAt(sum.step, sum.values[plain.length] ?? null, sum.values[plain.length + 1] ?? null)];
    const partsOf = new Map<bigint, bigint[]>();
    const part = (index: number) => (whole: bigint): bigint => {
      const parts = partsOf.get(whole) ?? wholeParts(whole, shares.map(([, share]) => share));
      partsOf.set(whole, parts);
      return parts[index] ?? 0n;
    };
    for (const [index, [tenant, share]] of shares.entries()) {
      if (!kept.every(({ values, orMissing }) => (tenant === null ? orMissing === true : values.includes(tenant)))) continue;
      const values = query.by.map((key) => (key === 'tenant' ? tenant : (sum.values[plain.indexOf(key)] ?? null)));
      const key = JSON.stringify([sum.step, values]);
      const known = groups.get(key);
      const sums = PART[query.kind](sum.sums, share, part(index));
      groups.set(key, known ? { ...known, from: known.from < sum.from ? known.from : sum.from, to: known.to > sum.to ? known.to : sum.to, sums: added[query.kind](known.sums, sums) } : { ...sum, values, sums });
    }
  }
  return [...groups.values()];
}

/** The store, dividing energy by tenant as well. */
export function withTenants(store: Store): Store {
  return {
    ...store,
    async sum<K extends FactKind>(query: SumQuery<K>) {
      const { kind } = query;
      const named = [...query.by, ...query.where.map(({ key }) => key)].includes('tenant');
      if (!named || !isShared(kind)) return store.sum(query);
      return shared(store, { ...query, kind });
    },
  };
}
