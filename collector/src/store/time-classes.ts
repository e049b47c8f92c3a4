/**
 * Facts by a class of their time: the period of a tariff, a band of load. Stores know time and no classes, so they are asked by
 * steps in which the class does not change, and steps of one class are added up:
 *
 *     asked     by deployment, site; step 1 h     chat 00:00 │ chat 01:00 │ … │ chat 08:00 │ …
 *     answered  by deployment, tariffPeriod       chat off-peak ──────────┘   │ chat peak ─┴─ …
 */
import { epochMicros, seconds, type EpochMicros } from '@joulebook/shared/units.js';
import { commonStep } from './levels.js';
import { divides, type EnergySums, type FactKind, type FactSums, type GroupSum, type Key, type MeteredRequests, type RequestCounts, type Store, type SumQuery, type Weighed } from './store.js';

export const TIME_KEYS = ['tariffPeriod', 'loadBand'] as const;
export type TimeKey = (typeof TIME_KEYS)[number];
export const isTimeKey = (key: Key): key is TimeKey => TIME_KEYS.some((known) => known === key);

export interface TimeClasses {
  readonly key: TimeKey;
  /** Classes change on this grid only. */
  readonly grid: EpochMicros;
  /** @param site null where the facts carry none */
  readonly classOf: (at: EpochMicros, site: string | null) => string | null;
}

const counts = (a: RequestCounts, b: RequestCounts): RequestCounts => ({
  requests: a.requests + b.requests, inputTokens: a.inputTokens + b.inputTokens, cachedInputTokens: a.cachedInputTokens + b.cachedInputTokens, outputTokens: a.outputTokens + b.outputTokens,
});
const metered = (a: MeteredRequests | null, b: MeteredRequests | null): MeteredRequests | null =>
  a && b ? { ...counts(a, b), prefillMicrojoules: a.prefillMicrojoules + b.prefillMicrojoules, decodeMicrojoules: a.decodeMicrojoules + b.decodeMicrojoules } : (a ?? b);

const stated = (a: EnergySums, b: EnergySums): EnergySums['stated'] =>
  a.stated && b.stated
    ? { lowMicrojoules: a.stated.lowMicrojoules + b.stated.lowMicrojoules, highMicrojoules: a.stated.highMicrojoules + b.stated.highMicrojoules, samplingVariance: a.stated.samplingVariance + b.stated.samplingVariance }
    : null;

/** @param sign −1 to take the second from the first */
export const addWeighed = (a: readonly Weighed[], b: readonly Weighed[], sign: 1 | -1 = 1): Weighed[] => a.map(({ sum, unknown }, index) => ({ sum: sum + sign * (b[index]?.sum ?? 0), unknown: unknown + BigInt(sign) * (b[index]?.unknown ?? 0n) }));

/** How sums of two spans of time become those of both. `devices` are the most at a time. */
export const ADDED: { readonly [K in FactKind]: (a: FactSums[K], b: FactSums[K]) => FactSums[K] } = {
  booked: (a, b) => ({ microjoules: a.microjoules + b.microjoules, seconds: seconds(a.seconds + b.seconds), askedSeconds: seconds(a.askedSeconds + b.askedSeconds) }),
  energy: (a, b) => ({
    microjoules: a.microjoules + b.microjoules, seconds: seconds(a.seconds + b.seconds), askedSeconds: seconds(a.askedSeconds + b.askedSeconds), modelledMicrojoules: a.modelledMicrojoules + b.modelledMicrojoules,
    divisionMicrojoules: a.divisionMicrojoules + b.divisionMicrojoules, wallSeconds: seconds(a.wallSeconds + b.wallSeconds), devices: Math.max(a.devices, b.devices), stated: stated(a, b),
  }),
  asked: (a, b) => ({ askedOfWindow: seconds(a.askedOfWindow + b.askedOfWindow) }),
  weighed: (a, b) => ({ weighed: addWeighed(a.weighed, b.weighed) }),
  tokens: (a, b) => ({ count: a.count + b.count }),
  requests: (a, b) => ({ ...counts(a, b), metered: metered(a.metered, b.metered) }),
  weighedRequests: (a, b) => ({ prefill: addWeighed(a.prefill, b.prefill), decode: addWeighed(a.decode, b.decode) }),
  gauge: (a, b) => ({ valueSeconds: a.valueSeconds + b.valueSeconds, seconds: seconds(a.seconds + b.seconds), max: Math.max(a.max, b.max) }),
  flag: (a, b) => ({ ...a, details: Math.max(a.details, b.details), count: a.count + b.count, countOf: a.countOf + b.countOf, of: a.of + b.of }),
};

const codeOf = (sums: object): string => ('code' in sums && 'detail' in sums ? `${String(sums.code)} ${String(sums.detail)}` : '');

async function summed<K extends FactKind>(store: Store, query: SumQuery<K>, classes: readonly TimeClasses[]): Promise<readonly GroupSum<K>[]> {
  const plain = query.by.filter((key) => !isTimeKey(key));
  const asked: readonly Key[] = [...plain, 'site'];
  const step = epochMicros(classes.map(({ grid }) => grid).reduce<number>(commonStep, query.step ?? 0));
  const kept = query.where.filter(({ key }) => isTimeKey(key));
  const found = await store.sum({ ...query, by: asked, step, where: query.where.filter(({ key }) => !isTimeKey(key)) });
  const groups = new Map<string, GroupSum<K>>();
  for (const sum of found) {
    const site = sum.values[plain.length] ?? null;
    const classOf = (key: Key): string | null => classes.find((each) => each.key === key)?.classOf(sum.step, site) ?? null;
    if (!kept.every(({ key, values }) => values.includes(classOf(key) ?? ''))) continue;
    const values = query.by.map((key) => (isTimeKey(key) ? classOf(key) : (sum.values[plain.indexOf(key)] ?? null)));
    const begins = query.step === undefined ? epochMicros(0) : epochMicros(Math.floor(sum.step / query.step) * query.step);
    const key = JSON.stringify([begins, values, codeOf(sum.sums)]);
    const known = groups.get(key);
    groups.set(key, known ? { ...known, from: known.from < sum.from ? known.from : sum.from, to: known.to > sum.to ? known.to : sum.to, sums: ADDED[query.kind](known.sums, sum.sums) } : { ...sum, values, step: begins });
  }
  return [...groups.values()];
}

/** The store, dividing by classes of time as well. @throws RangeError for a class that is not given */
export function withTimeClasses(store: Store, classes: readonly TimeClasses[]): Store {
  return {
    ...store,
    async sum<K extends FactKind>(query: SumQuery<K>) {
      const named = [...query.by, ...query.where.map(({ key }) => key)].filter(isTimeKey);
      if (named.length === 0) return store.sum(query);
      const foreign = named.find((key) => !classes.some((each) => each.key === key));
      if (foreign !== undefined || !divides(query.kind, 'site')) throw new RangeError(`nothing says what ${foreign} a time is in`);
      return summed(store, query, classes.filter(({ key }) => named.includes(key)));
    },
  };
}
