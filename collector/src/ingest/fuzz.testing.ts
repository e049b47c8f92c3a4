/**
 * For the tests and the bench: bodies that nobody should send, sent to a real collector over HTTP, and a model of what must be in its store after:
 * whatever comes, the collector answers, its sums are those of the batches that it said it has accepted, and after them it still answers
 * reports, verifications and exports: what stops one stops it for good, so asking once after many bodies sees each of them.
 */
import { gzipSync } from 'node:zlib';
import { array, constant, constantFrom, integer, nat, oneof, option, record, string, tuple, type Arbitrary } from 'fast-check';
import { z } from 'zod';
import { runningCollector, type RunningCollector } from '../collector.testing.js';
import type { Store } from '../store/store.js';

/** Microseconds: yesterday, so that nothing of it is early. */
const PAST = 86_400e6;

export const HOSTILE: readonly string[] = [
  "'; DROP TABLE energy; --", '" OR 1=1 --', '$1', '%s%n', 'a,b=c d', 'a\\', 'line\nfeed', 'tab\tand\u0000nul', '\u202egnirts', '🜁🜂', 'é', 'e\u0301', '{{7*7}}', '/.*/', '=~ "x"', '<script>', '__proto__', 'constructor',
  'x'.repeat(512), '-0', 'null', '\u001b[2J', 'a"b', "select * from \"autogen\".\"energy\"; drop database x",
];
/** No text, though JSON can write it. */
const HALVES = ['\ud800', 'x\udfff', '\ude00\ud83d'];
const NUMBERS = ['1e999', '-1e999', '-1', '0.5', '9007199254740993', '1e308', '-0', '1e-400', '18446744073709551616', 'null', '"7"', 'true', '[]', '{}', 'NaN', 'Infinity', '0x10'];

const text = oneof({ weight: 10, arbitrary: constantFrom('chat', 'llama', 'a', 'b') }, { weight: 5, arbitrary: constantFrom(...HOSTILE) }, { weight: 1, arbitrary: string({ unit: 'binary', minLength: 1, maxLength: 20 }) });
/** The one name that is refused. */
const name = text.filter((each) => each !== '__proto__');
const labels = option(array(tuple(name, text), { maxLength: 4 }).map((pairs) => Object.fromEntries(pairs)), { nil: undefined });

/** Indices of a run's time: slices of different bodies never tell of the same device at the same time. */
const slice = record({ kind: constantFrom('energy', 'tokens', 'requests', 'gauge', 'flag'), amount: oneof(nat(1e6), integer({ min: 0, max: 9e15 })), deployment: text, model: text, labels, phase: constantFrom('prefill', 'decode', 'idle', 'active', 'unknown') });
type Drawn = typeof slice extends Arbitrary<infer T> ? T : never;

function sliceOf({ kind, amount, deployment, model, labels: named, phase }: Drawn, at: number): object {
  const shared = { from: at, to: at + 1e6, deployment, model, ...(named && { labels: named }) };
  const cases = amount % 1e6;
  switch (kind) {
    case 'energy':
      return { kind, ...shared, device: 'GPU-0', boundary: 'gpu', phase, microjoules: amount, modelledMicrojoules: 0, seconds: 1, askedSeconds: 1, source: model, method: 'power' };
    case 'tokens':
      return { kind, ...shared, token: 'output', count: cases };
    case 'requests':
      return { kind, ...shared, outcome: 'ok', requests: cases, inputTokens: 1, cachedInputTokens: 0, outputTokens: 2 };
    case 'gauge':
      return { kind, ...shared, gauge: deployment, valueSeconds: amount, seconds: 1, max: amount };
    case 'flag':
      return { kind, ...shared, code: 'FUZZ', detail: deployment, count: cases };
    default:
      return kind satisfies never;
  }
}

/** What is done to a good body. Those of `NEVER` must be refused; of the rest the collector decides. */
export const MUTATIONS = [
  'none', 'gzip', 'truncated', 'gzip truncated', 'bytes', 'bomb', 'huge', 'deep', 'deep label', 'version', 'field', 'slice field', 'number', 'string', 'replayed', 'conflicting', 'half pair', 'future', 'ancient', 'many labels', 'long label', 'empty', 'not an object',
] as const;
export type Mutation = (typeof MUTATIONS)[number];
const NEVER: ReadonlySet<Mutation> = new Set(['truncated', 'gzip truncated', 'bomb', 'huge', 'deep', 'deep label', 'version', 'field', 'slice field', 'half pair', 'future', 'many labels', 'long label', 'empty', 'not an object']);
/** Most slices of a body. */
const SLICES = 4;
/** Costly ones are rare. */
const weights: Partial<Record<Mutation, number>> = { none: 30, gzip: 3, number: 20, string: 10, bytes: 10, bomb: 1, huge: 1, deep: 1, 'deep label': 1 };

export const attempt = record({
  mutation: oneof(...MUTATIONS.map((mutation) => ({ weight: weights[mutation] ?? 4, arbitrary: constant(mutation) }))),
  slices: array(slice, { maxLength: SLICES }),
  /** Where something is cut or changed, as a part of the whole. */
  place: integer({ min: 0, max: 999 }),
  value: constantFrom(...NUMBERS),
  hostile: oneof({ weight: 9, arbitrary: text }, { weight: 1, arbitrary: constantFrom(...HALVES) }),
  half: constantFrom(...HALVES),
  zipped: nat(7).map((eighth) => eighth === 0),
});
export type Attempt = typeof attempt extends Arbitrary<infer T> ? T : never;

/** Behind it stand the slices. What is before names the batch: changed, it would be another good one. */
const slicesIn = (body: string): number => body.indexOf('"slices":');

/** The place-th of what matches in the slices, replaced. */
function replaceOne(body: string, pattern: RegExp, place: number, by: string): string {
  const found = [...body.matchAll(pattern)].filter(({ index }) => index > slicesIn(body));
  const chosen = found[Math.floor((place / 1000) * found.length)];
  return chosen ? body.slice(0, chosen.index) + by + body.slice(chosen.index + chosen[0].length) : body;
}

const asMany = (length: number, of: (index: number) => [string, string]): Record<string, string> => Object.fromEntries(Array.from({ length }, (_, index) => of(index)));

function mutated(good: object, slices: readonly object[], { mutation, place, value, hostile, half }: Attempt): string | Buffer {
  const body = JSON.stringify({ ...good, slices });
  const withSlices = (change: object): string => JSON.stringify({ ...good, slices: [...slices, { kind: 'tokens', from: 0, to: 1, token: 'output', count: 1, ...change }] });
  switch (mutation) {
    case 'truncated':
      return body.slice(0, Math.floor((place / 1000) * body.length));
    case 'gzip truncated':
      return gzipSync(body).subarray(0, 12 + Math.floor((place / 1000) * 20));
    case 'bytes': {
      const bytes = Buffer.from(body);
      const begin = slicesIn(body);
      bytes[begin + Math.floor((place / 1000) * (bytes.length - begin))] = place % 256;
      return bytes;
    }
    case 'bomb':
      return BOMB;
    case 'huge':
      return `${' '.repeat(1_200_000)}${body}`;
    case 'deep':
      return `${'[{"a":'.repeat(5000)}1${'}]'.repeat(5000)}`;
    case 'deep label':
      return withSlices({ labels: 0 }).replace('"labels":0', `"labels":{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`);
    case 'version':
      return JSON.stringify({ ...good, schema: [2, 0, '1', null, [1], 1.5][place % 6], slices });
    case 'field':
      return JSON.stringify({ ...good, [`x-${hostile}`]: 1, slices });
    case 'slice field':
      return withSlices({ [`x-${hostile}`]: 1 });
    case 'number':
      return replaceOne(body, /(?<=":)-?\d+(?:\.\d+)?/g, place, value);
    case 'string':
      return replaceOne(body, /(?<=":)"(?:[^"\\]|\\.)*"/g, place, JSON.stringify(hostile));
    case 'half pair':
      return withSlices([{ deployment: half }, { tenant: half }, { labels: { q: half } }, { labels: { [half]: 'q' } }][place % 4] ?? {});
    case 'future':
      return withSlices({ from: Date.now() * 1000 + 400e6, to: Date.now() * 1000 + 401e6 });
    case 'ancient':
      return withSlices({ from: 0, to: 1 });
    case 'many labels':
      return withSlices({ labels: asMany(33 + place, (index) => [`l${index}`, 'x']) });
    case 'long label':
      return withSlices({ labels: { [hostile]: 'x'.repeat(1025 + place) } });
    case 'empty':
      return '';
    case 'not an object':
      return ['[]', 'null', '1', '"x"', 'true', '\ufeff{}'][place % 6] ?? '';
    case 'none':
    case 'gzip':
    case 'replayed':
    case 'conflicting':
      return body;
    default:
      return mutation satisfies never;
  }
}

const BOMB = gzipSync(`{"schema":1,"x":"${'0'.repeat(30_000_000)}"}`);
/** Sent at a time. */
const TOGETHER = 50;

interface Answer {
  readonly status: number;
  readonly accepted: boolean;
  readonly duplicate: boolean;
  readonly message: string;
}

async function post(address: string, body: string | Buffer): Promise<Answer> {
  const response = await fetch(`${address}/v1/batches`, { method: 'POST', body: typeof body === 'string' ? body : new Uint8Array(body), headers: { 'content-type': 'application/json' } });
  const answer: unknown = await response.json();
  const said = new Map(Object.entries(answer ?? {}));
  return { status: response.status, accepted: said.get('accepted') === true, duplicate: said.get('duplicate') === true, message: String(said.get('message') ?? '') };
}

/** By deployment, so that a name which is stored as another shows. */
interface Sums {
  readonly microjoules: Map<string, bigint>;
  readonly tokens: Map<string, bigint>;
  readonly requests: Map<string, bigint>;
}
const AMOUNTS = { energy: ['microjoules', 'microjoules'], tokens: ['tokens', 'count'], requests: ['requests', 'requests'] } as const;

const slicesOf = z.object({ slices: z.array(z.record(z.string(), z.unknown())) });

/** Adds what a body says, read as any JSON is. */
function addBody(sums: Sums, body: string | Buffer): void {
  const read: unknown = JSON.parse(body.toString());
  for (const each of slicesOf.parse(read).slices) {
    const fact = new Map(Object.entries(each));
    for (const [kind, [sum, field]] of Object.entries(AMOUNTS)) {
      if (fact.get('kind') !== kind) continue;
      const deployment = typeof fact.get('deployment') === 'string' ? Buffer.from(String(fact.get('deployment'))).toString() : '';
      sums[sum].set(deployment, (sums[sum].get(deployment) ?? 0n) + BigInt(String(fact.get(field))));
    }
  }
}

const sorted = (sums: Map<string, bigint>): [string, string][] => [...sums].filter(([, sum]) => sum !== 0n).map(([key, sum]): [string, string] => [key, String(sum)]).toSorted(([a], [b]) => (a < b ? -1 : 1));

const read = <G extends { readonly values: readonly (string | null)[] }>(groups: readonly G[], of: (group: G) => bigint): [string, string][] => sorted(new Map(groups.map((group) => [group.values[0] ?? '', of(group)])));

/** What any one fact can stop for good. */
async function asks(address: string, from: number, to: number): Promise<void> {
  const range = `from=${from / 1e6}&to=${to / 1e6}`;
  for (const path of [`report?by=deployment&${range}`, `verify?${range}`, `export?format=ndjson&${range}`]) {
    const response = await fetch(`${address}/v1/${path}`);
    const answer = await response.text();
    if (response.status !== 200) throw new Error(`after these bodies ${path} is answered ${response.status}: ${answer.slice(0, 300)}`);
  }
}

async function sumsIn(store: Store, node: string): Promise<Record<keyof Sums, [string, string][]>> {
  const scope = { by: ['deployment'] as const, where: [{ key: 'node', values: [node] }] as const };
  const energy = await store.sum({ kind: 'booked', ...scope, where: [...scope.where, { key: 'boundary', values: ['gpu'] }] });
  return {
    microjoules: read(energy, ({ sums }) => sums.microjoules),
    tokens: read(await store.sum({ kind: 'tokens', ...scope }), ({ sums }) => BigInt(sums.count)),
    requests: read(await store.sum({ kind: 'requests', ...scope }), ({ sums }) => BigInt(sums.requests)),
  };
}

/** Small limits, so that reaching them is cheap. */
const LIMITS = { maxBodyBytes: 256 * 1024, maxInflatedBytes: 1024 * 1024, batchesPerMinute: 100_000_000 };

export class Fuzz {
  /** How many were answered so, by what was done to them and the status. */
  readonly answers = new Map<string, number>();
  #runs = 0;

  private constructor(readonly collector: RunningCollector) {}

  static async begin(): Promise<Fuzz> {
    return new Fuzz(await runningCollector(LIMITS));
  }

  /** Facts whose times were changed stand outside of what a run asks about. */
  async close(): Promise<void> {
    try {
      await asks(this.collector.address, 0, Date.now() * 1000 + PAST);
    } finally {
      await this.collector.close();
    }
  }

  /** Sends all of them, some at the same time and in any order; throws where an answer or a sum is wrong. */
  async run(attempts: readonly Attempt[]): Promise<void> {
    this.#runs += 1;
    const node = `fuzz-${this.#runs}`;
    const stream = this.#runs.toString(16).padStart(32, '0');
    const sums: Sums = { microjoules: new Map(), tokens: new Map(), requests: new Map() };
    // Each run has a time of its own, so that what it asks about does not grow.
    const length = attempts.length * SLICES * 1e6;
    const begun = Math.floor((Date.now() * 1000 - PAST) / 1e6) * 1e6 - this.#runs * length;
    const earlier: (string | Buffer)[] = [];
    const sendOne = async (each: Attempt, sequence: number): Promise<void> => {
      const good = { schema: 1, stream, sequence, node };
      const slices = each.slices.map((drawn, index) => sliceOf(drawn, begun + (sequence * SLICES + index) * 1e6));
      const before = earlier.at(each.place % Math.max(1, earlier.length));
      const repeated = before !== undefined && (each.mutation === 'replayed' || each.mutation === 'conflicting');
      const body = repeated ? (each.mutation === 'replayed' ? before : before.toString().replace(`"node":"${node}"`, `"node":"${node}-clone"`)) : mutated(good, slices, each);
      const answer = await post(this.collector.address, each.mutation === 'gzip' || (each.zipped && typeof body === 'string' && body !== '') ? gzipSync(body, { level: 1 }) : body);
      this.#count(each, answer);
      if (each.mutation === 'replayed' && repeated && !answer.duplicate) throw new Error(`a replayed batch was answered ${answer.status}: ${answer.message}`);
      if (each.mutation === 'conflicting' && repeated && answer.status !== 409) throw new Error(`other content under a number of before was answered ${answer.status}`);
      if ((each.mutation === 'none' || each.mutation === 'gzip') && !answer.accepted) throw new Error(`a good batch was answered ${answer.status}: ${answer.message}`);
      if (!answer.accepted || answer.duplicate) return;
      addBody(sums, body);
      earlier.push(body);
    };
    for (let next = 0; next < attempts.length; next += TOGETHER) await Promise.all(attempts.slice(next, next + TOGETHER).map((each, index) => sendOne(each, next + index)));
    const found = JSON.stringify(await sumsIn(this.collector.store, node));
    const expected = JSON.stringify({ microjoules: sorted(sums.microjoules), tokens: sorted(sums.tokens), requests: sorted(sums.requests) });
    if (found !== expected) throw new Error(`sums of ${node}: found ${found}, expected ${expected}`);
    await asks(this.collector.address, begun, begun + length);
  }

  #count({ mutation }: Attempt, { status, accepted, message }: Answer): void {
    this.answers.set(`${mutation} ${status}`, (this.answers.get(`${mutation} ${status}`) ?? 0) + 1);
    if (status >= 500 || (accepted && NEVER.has(mutation)) || message.length > 2000) throw new Error(`${mutation}: answered ${status} ${message.slice(0, 300)}`);
  }
}
