/**
 * How many different series a node may begin in a day. A label with a value of its own for every request (an id, a time, a
 * prompt's hash) makes each fact a series: stores and reports drown in them. Such batches are refused, and the error names
 * the label. Counted from the first batch of a day (UTC) that this process sees.
 *
 * What is counted are 32-bit hashes with a seed of this process: a collision counts one series too few.
 */
import { randomInt } from 'node:crypto';
import type { Slice } from '@joulebook/shared/slice.js';

/** Over all nodes; beyond, those that were not heard for longest are counted anew. Some 40 bytes each. */
const MOST_HASHES = 4_000_000;
const SEED = randomInt(2 ** 31);
const SPREAD = 0x9e3779b1;
/** Apart from the dimensions: a label may be named like one. */
const LABEL = 'label ';
const labelKey = (name: string): string => LABEL + name;

interface Seen {
  readonly series: Set<number>;
  readonly values: Map<string, Set<number>>;
}

function hashOf(text: string, seed: number): number {
  let hash = seed ^ 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 12)) >>> 0;
}

/** Names and values that make a fact one of a series. Buckets, bands and single requests of recordings are cells in it. */
function traitsOf(slice: Slice): readonly (readonly [string, string | undefined])[] {
  const shared = [['kind', slice.kind], ['site', slice.site], ['deployment', slice.deployment], ['model', slice.model]] as const;
  switch (slice.kind) {
    case 'energy':
      return [...shared, ['device', slice.device], ['boundary', slice.boundary], ['phase', slice.phase], ['source', slice.source], ['method', slice.method]];
    case 'tokens':
      return [...shared, ['tenant', slice.tenant], ['token', slice.token]];
    case 'requests':
      return [...shared, ['tenant', slice.tenant], ['outcome', slice.outcome]];
    case 'gauge':
      return [...shared, ['device', slice.device], ['gauge', slice.gauge]];
    case 'flag':
      return [...shared, ['device', slice.device], ['phase', slice.phase], ['code', slice.code]];
    default:
      return slice satisfies never;
  }
}

const NO_LABELS: Readonly<Record<string, string>> = {};

/** Names are few: each is hashed once. */
const nameHashes = new Map<string, number>();
const MOST_NAMES = 10_000;
function hashOfName(name: string): number {
  const known = nameHashes.get(name);
  if (known !== undefined) return known;
  if (nameHashes.size >= MOST_NAMES) nameHashes.clear();
  const hash = hashOf(name, SEED);
  nameHashes.set(name, hash);
  return hash;
}

/** A sum over names and values: labels make the same series in any order. */
function seriesHash(slice: Slice): number {
  let sum = 0;
  for (const [name, value] of traitsOf(slice)) if (value !== undefined) sum = (sum + Math.imul(hashOf(value, hashOfName(name)), SPREAD)) >>> 0;
  const labels = slice.labels ?? NO_LABELS;
  for (const name in labels) sum = (sum + Math.imul(hashOf(labels[name] ?? '', hashOfName(labelKey(name))), SPREAD)) >>> 0;
  return sum;
}

const sizeOf = ({ series, values }: Seen): number => [...values.values()].reduce((sum, { size }) => sum + size, series.size);

export class SeriesLimit {
  readonly #nodes = new Map<string, Seen>();
  #day = 0;
  #hashes = 0;
  /** @param limit read at each batch */
  constructor(readonly limit: { readonly maxSeries: number }) {}

  /**
   * @param day whole days since 1970
   * @returns why not; then nothing of the batch counts
   */
  admit(node: string, slices: readonly Slice[], day: number): string | undefined {
    if (day !== this.#day) {
      this.#nodes.clear();
      this.#hashes = 0;
      this.#day = day;
    }
    const known = this.#nodes.get(node) ?? { series: new Set<number>(), values: new Map<string, Set<number>>() };
    const begun: Seen = { series: new Set(), values: new Map() };
    for (const slice of slices) this.#look(slice, known, begun);
    if (known.series.size + begun.series.size > this.limit.maxSeries) return this.#tooMany(node, known, begun);
    this.#nodes.delete(node);
    this.#nodes.set(node, known);
    if (begun.series.size === 0) return undefined;
    for (const hash of begun.series) known.series.add(hash);
    for (const [name, values] of begun.values) {
      const all = known.values.get(name) ?? new Set();
      known.values.set(name, all);
      for (const hash of values) all.add(hash);
    }
    this.#hashes += sizeOf(begun);
    this.#makeRoom();
    return undefined;
  }

  #look(slice: Slice, known: Seen, begun: Seen): void {
    const series = seriesHash(slice);
    if (known.series.has(series) || begun.series.has(series)) return;
    begun.series.add(series);
    const labels = Object.entries(slice.labels ?? NO_LABELS).map(([name, value]) => [labelKey(name), value] as const);
    for (const [name, value] of [...traitsOf(slice), ...labels]) {
      const hash = value === undefined ? undefined : hashOf(value, SEED);
      if (hash === undefined || known.values.get(name)?.has(hash) === true) continue;
      const values = begun.values.get(name) ?? new Set();
      begun.values.set(name, values.add(hash));
    }
  }

  #makeRoom(): void {
    for (const [node, seen] of this.#nodes) {
      if (this.#hashes <= MOST_HASHES || this.#nodes.size === 1) return;
      this.#nodes.delete(node);
      this.#hashes -= sizeOf(seen);
    }
  }

  #tooMany(node: string, known: Seen, begun: Seen): string {
    const counts = [...new Set([...known.values.keys(), ...begun.values.keys()])].map((name) => [name, (known.values.get(name)?.size ?? 0) + (begun.values.get(name)?.size ?? 0)] as const);
    const [name, count] = counts.reduce((most, each) => (each[1] > most[1] ? each : most), ['', 0]);
    const what = name.startsWith(LABEL) ? `Label '${name.slice(LABEL.length)}'` : `'${name}'`;
    return `Node '${node}' would have more than ${this.limit.maxSeries} series today. ${what} has most values: ${count}. Leave out what differs from request to request, or raise maxSeries.`;
  }
}
