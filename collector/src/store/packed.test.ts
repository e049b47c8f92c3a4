/** What is sent is what stands in the tables, cell by cell; and the quick look at a batch's writers says what the thorough one does. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBValue } from '@duckdb/node-api';
import { array, assert, asyncProperty, boolean, constant, constantFrom, dictionary, double, integer, oneof, property, record, string, tuple, type Arbitrary } from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { OUTCOMES, PHASES, slice, TOKEN_KINDS, type Slice, type SliceKind } from '@joulebook/shared/slice.js';
import { openDuckdb } from './duckdb.js';
import { claimsOf, COLUMNS, pack } from './packed.js';
import { KINDS } from './rollup-schema.js';
import { batchOf, energyFact, tokensFact } from './sample-facts.js';
import { canonicalNodes } from './series.js';
import { Writers } from './writers.js';

const folder = mkdtempSync(join(tmpdir(), 'joulebook-packed-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** DuckDB keeps up to 12 bytes of a text in place and longer ones elsewhere. */
const text = oneof(constantFrom('a', 'twelve bytes', 'thirteen byte', 'a\0b', 'nothing\0in a longer one', 'é🔥"\\', '🔥🔥🔥🔥🔥'), string({ minLength: 1, maxLength: 40, unit: 'grapheme' }));
const whole = oneof(constantFrom(0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER), integer({ min: 0 }));
const signed = oneof(constantFrom(-1, -(2 ** 32), -(2 ** 32) - 1, -1e12, 1e12), integer());
const length = oneof(constantFrom(0, 0.1, 1e-9), double({ min: 0, max: 8e5, noNaN: true }));
const band = integer({ min: 0, max: 60 });

/** By kind: what every fact has, and what it may have. */
const FIELDS: Readonly<Record<SliceKind, readonly [Readonly<Record<string, Arbitrary<unknown>>>, Readonly<Record<string, Arbitrary<unknown>>>]>> = {
  energy: [
    { device: text, boundary: constantFrom('gpu', 'server'), phase: constantFrom(...PHASES), microjoules: whole, modelledMicrojoules: constant(0), seconds: length, askedSeconds: length, source: text, method: constantFrom('counter', 'power') },
    { lowMicrojoules: constantFrom(-5, -(2 ** 40), 0), highMicrojoules: whole, divisionMicrojoules: whole, samplingVariance: length, contains: array(text, { minLength: 1, maxLength: 3 }) },
  ],
  tokens: [{ token: constantFrom(...TOKEN_KINDS), count: signed }, { tenant: text }],
  requests: [
    { outcome: constantFrom(...OUTCOMES), requests: signed, inputTokens: signed, cachedInputTokens: signed, outputTokens: signed },
    { tenant: text, ttftBucket: integer({ min: -120, max: 120 }), tpotBucket: integer({ min: -120, max: 120 }), request: text, inputBand: band, concurrencyBand: band, prefillMicrojoules: whole, decodeMicrojoules: whole },
  ],
  gauge: [{ gauge: text, valueSeconds: double({ min: -1e24, max: 1e24, noNaN: true }), seconds: length, max: length }, { device: text }],
  flag: [{ code: constantFrom('GAP', 'LATE'), detail: text, count: integer({ min: 0 }) }, { device: text, phase: constantFrom(...PHASES), of: integer({ min: 0 }) }],
};
const SHARED = { site: text, deployment: text, model: text, labels: dictionary(text.filter((name) => name !== '__proto__'), text, { minKeys: 1, maxKeys: 3, noNullPrototype: true }) };

const facts = oneof(...KINDS.map((kind) => {
  const [needed, optional] = FIELDS[kind];
  return tuple(integer({ min: 0, max: 2 ** 51 }), record(needed), record({ ...SHARED, ...optional }, { requiredKeys: [] })).map(([from, has, may]) => slice.parse({ kind, from, to: from + 1, ...has, ...may }));
}));

/** Of a node with devices of its own: nothing is kept apart. */
const numbered = (slices: readonly Slice[], index: number) =>
  batchOf(slices.map((fact) => (fact.kind === 'energy' ? { ...fact, device: `${fact.device} ${index}` } : fact)), { stream: index.toString(16).padStart(32, '0'), node: `node-${index}` });

const wireName = (column: string): string => (column === 'of_count' ? 'of' : column.replace(/_us$/, '').replaceAll(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase()));
function valueOf(column: string, value: DuckDBValue): unknown {
  if (column === 'labels' || column === 'contains') return JSON.parse(String(value));
  return typeof value === 'bigint' ? Number(value) : value;
}

/** As its table holds it, with the stream it came in. */
async function rowsIn(path: string): Promise<unknown[]> {
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  const found: unknown[] = [];
  for (const kind of KINDS) {
    for (const row of (await connection.runAndReadAll(`SELECT * EXCLUDE (sequence, node) FROM ${kind}`)).getRowObjects()) {
      found.push({ kind, ...Object.fromEntries(Object.entries(row).flatMap(([column, value]) => (value === null ? [] : [[wireName(column), valueOf(column, value)]]))) });
    }
  }
  connection.closeSync();
  instance.closeSync();
  return found;
}

const inOrder = (rows: readonly unknown[]): string[] => rows.map((row) => JSON.stringify(row, (_name, value: unknown) => (typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))) : value))).toSorted();

it('every cell of every kind of fact stands in its table as it was sent, whatever stood there before', async () => {
  let files = 0;
  await assert(asyncProperty(array(array(facts, { maxLength: 40 }), { minLength: 1, maxLength: 4 }), array(facts, { maxLength: 10 }), boolean(), async (batches, later, many) => {
    const path = join(folder, `${(files += 1)}.duckdb`);
    const store = await openDuckdb(path);
    // More than a chunk holds.
    const sent = [...batches.map(numbered), ...(many ? [numbered(Array.from({ length: 2500 }, (_, index) => batches[0]?.[index % 7] ?? tokensFact({ count: index })), 100)] : [])];
    await Promise.all(sent.map((batch) => store.append(batch)));
    sent.push(numbered(later, 101));
    await store.append(numbered(later, 101));
    await store.close();
    const expected = sent.flatMap(({ stream, slices }) => slices.map((fact) => ({ ...fact, stream, ...('contains' in fact && fact.contains && { contains: canonicalNodes(fact.contains) }) })));
    expect(inOrder(await rowsIn(path))).toEqual(inOrder(expected));
  }), { numRuns: 12 });
}, 60_000);

it('rows are as wide as their tables', () => {
  for (const fact of [energyFact(), tokensFact()]) expect(pack(batchOf([fact, fact]), '').rows[fact.kind]).toHaveLength(2 * COLUMNS[fact.kind].length);
});

it('a number that does not fit stores nothing, and spoils nothing of what comes after', async () => {
  const store = await openDuckdb(':memory:');
  await expect(store.append(batchOf([tokensFact({ tenant: 'a' }), tokensFact({ count: 2 ** 63 })]))).rejects.toThrow(/BIGINT/);
  expect(await store.append(batchOf([tokensFact(), tokensFact({ tenant: 'b', count: -(2 ** 63) })]))).toBe('accepted');
  expect(await store.sum({ kind: 'tokens', by: ['tenant'], where: [] })).toMatchObject([{ values: ['b'], sums: { count: -(2 ** 63) } }, { values: [null], sums: { count: 10 } }]);
  await store.close();
});

/** Few devices, streams and moments, so that they meet. */
const meeting = array(
  record({ stream: integer({ min: 1, max: 3 }), node: integer({ min: 1, max: 2 }), about: array(record({ device: constantFrom('cpu0', 'GPU-1f3b9c4e-0a2d-4c5e-9f00-5a6b7c8d9e0f'), from: integer({ min: 0, max: 4 }), long: integer({ min: 0, max: 2 }), contains: boolean(), energy: boolean() }), { minLength: 1, maxLength: 6 }) }),
  { minLength: 1, maxLength: 8 },
);

it('nobody is a rival of the quick look who is none of the thorough one', () => {
  let [quick, apart] = [0, 0];
  assert(property(meeting, (all) => {
    const [one, other] = [new Writers(), new Writers()];
    for (const { stream, node, about } of all) {
      const slices = about.map(({ device, from, long, contains, energy }) => (energy ? energyFact({ device, from: from * 10, to: (from + long) * 10, ...(contains && { contains: ['n1', 'n2'] }) }) : tokensFact({ from: from * 10, to: (from + long) * 10 })));
      const batch = batchOf(slices, { stream: String(stream).repeat(32), node: `node-${node}` });
      const expected = one.judge(batch);
      const isClear = other.claimAll(batch, claimsOf(pack(batch, '')));
      expect(isClear ? { booked: slices, apart: [] } : other.judge(batch)).toEqual(expected);
      quick += isClear ? 1 : 0;
      apart += expected.apart.length;
    }
  }), { numRuns: 300 });
  expect([quick > 300, apart > 300]).toEqual([true, true]);
});
