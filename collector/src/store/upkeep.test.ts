import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeBatch } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { epochMicros, instant, microjoules, seconds } from '@joulebook/shared/units.js';
import { appendStream } from '../ingest/batch-stream.js';
import { openDuckdbFile } from './duckdb-file.js';
import { at, batchOf, energyFact, flagFact, requestsFact, tokensFact } from './sample-facts.js';
import { inBoundary, type FactKind, type SumQuery } from './store.js';
import type { EmbeddedStore } from './upkeep.js';

const built = fileURLToPath(new URL('../../dist/store/duckdb-file.js', import.meta.url));
const DAY = 86_400;
const clock: Clock = { wall: () => instant(at(3 * DAY) / 1e6), monotonic: () => seconds(0) };
const open = (path: string, readOnly = false): Promise<EmbeddedStore> => openDuckdbFile({ path, readOnly }, clock);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-upkeep-'));
});
afterAll(() => rm(folder, { recursive: true }));

const TOKENS = { kind: 'tokens', by: [], where: [] } as const;
/** Steps finer than a minute are read from facts, whatever was summed. */
const fromFacts = async (store: EmbeddedStore): Promise<number> => (await store.sum({ ...TOKENS, step: epochMicros(10e6) })).reduce((sum, { sums }) => sum + sums.count, 0);
const tokens = async (store: EmbeddedStore): Promise<number> => (await store.sum(TOKENS))[0]?.sums.count ?? 0;

/** Appends one token after the other all over two days, tells each when it is stored, and sums all the while. */
const CHILD = `
  const { openDuckdbFile } = await import(process.argv[1]);
  const store = await openDuckdbFile({ path: process.argv[2], readOnly: false }, { wall: () => ${at(3 * DAY) / 1e6}, monotonic: () => 0 });
  void (async () => { for (;;) await store.rollUp(60); })();
  const from = ${at(0)};
  for (let n = Number(process.argv[3]); ; n += 1) {
    const begin = from + (n * 7919 % 2880) * 60e6;
    await store.append({ schema: 1, stream: '${'c'.repeat(32)}', sequence: n, node: 'n', slices: [{ kind: 'tokens', token: 'output', from: begin, to: begin + 1e6, count: 1 }] });
    process.stdout.write((n + 1) + '\\n');
  }`;

async function killedWhileSumming(path: string, first: number, afterTokens: number): Promise<number> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', CHILD, built, path, String(first)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let told = first;
  for await (const line of createInterface({ input: child.stdout })) {
    told = Number(line);
    if (told - first === afterTokens) child.kill('SIGKILL');
  }
  await exited;
  return told;
}

describe.skipIf(!existsSync(built))('a store whose process is killed while it sums (the built file)', () => {
  it('has every sum as its facts have it, and goes on', async () => {
    const path = join(folder, 'killed.duckdb');
    let first = 0;
    for (const afterTokens of [40, 90, 60]) {
      const told = await killedWhileSumming(path, first, afterTokens);
      const store = await open(path);
      const stored = await fromFacts(store);
      // The last one may be stored and not told.
      expect(stored === told || stored === told + 1, `${stored} stored, ${told} told`).toBe(true);
      expect(await tokens(store)).toBe(stored);
      await store.rollUp(60);
      expect([await tokens(store), await fromFacts(store)]).toEqual([stored, stored]);
      await store.close();
      first = stored;
    }
  }, 60_000);
});

const two = (sequence: number) => batchOf([tokensFact({ from: sequence * 60, count: 1 }), tokensFact({ from: sequence * 60 + 30, count: 1 })], { sequence });

describe('a backup', () => {
  it('made while batches come in is a store with whole batches, those before it and none that came after', async () => {
    const [path, copy] = [join(folder, 'busy.duckdb'), join(folder, 'busy copy\'s.duckdb')];
    const store = await open(path);
    let sent = 0;
    for (; sent < 100; sent += 1) await store.append(two(sent));
    await store.rollUp(60);
    const making = { done: false };
    const made = store.backup(copy).finally(() => {
      making.done = true;
    });
    const before = sent;
    while (!making.done) {
      expect(await store.append(two(sent))).toBe('accepted');
      sent += 1;
    }
    await made;
    expect(sent).toBeGreaterThan(before);
    expect(await tokens(store)).toBe(2 * sent);
    const restored = await open(copy);
    const kept = (await restored.nodes())[0]?.batches ?? 0;
    expect(kept).toBeGreaterThanOrEqual(before);
    expect(kept).toBeLessThanOrEqual(sent);
    expect([await tokens(restored), await fromFacts(restored)]).toEqual([2 * kept, 2 * kept]);
    // It goes on where it was: what it has is known, what came later is new.
    expect([await restored.append(two(0)), await restored.append(two(kept))]).toEqual(['duplicate', 'accepted']);
    await restored.rollUp(60);
    expect(await tokens(restored)).toBe(2 * kept + 2);
    await Promise.all([store.close(), restored.close()]);
  });

  it('of a store that may only be read is possible, and where it can not be written it says so and leaves nothing', async () => {
    const path = join(folder, 'only-read.duckdb');
    const owner = await open(path);
    await owner.append(batchOf([tokensFact()]));
    await owner.close();
    const reader = await open(path, true);
    await reader.backup(join(folder, 'of-reader.duckdb'));
    await expect(reader.backup(join(folder, 'none', 'x.duckdb'))).rejects.toMatchObject({ code: 'EXPORT_FAILED', remedy: 'abort' });
    await reader.close();
    const copy = await open(join(folder, 'of-reader.duckdb'));
    expect(await tokens(copy)).toBe(10);
    await copy.close();
  });
});

describe('an export', () => {
  const everything = [
    batchOf([
      energyFact({ labels: { 'a "b"': `c, 'd'\n` }, contains: ['n2', 'n1'], boundary: 'meter', lowMicrojoules: microjoules(1), highMicrojoules: microjoules(9_007_199_254_740_991), samplingVariance: 0.1, seconds: seconds(0.1) }),
      energyFact({ divisionMicrojoules: microjoules(5), from: 61 }), tokensFact({ tenant: 't', from: 7200 }),
    ]),
    batchOf([
      requestsFact({ ttftBucket: -3, tpotBucket: 2, inputTokens: 5, request: 'r', inputBand: 2, concurrencyBand: 0, prefillMicrojoules: microjoules(7) }), flagFact({ count: 1, of: 3, phase: 'idle' }),
      { kind: 'gauge', gauge: 'queue', from: at(5), to: at(6), valueSeconds: 1 / 3, seconds: seconds(1), max: -2.5 },
    ], { sequence: 7, node: 'node-2', stream: 'f'.repeat(32) }),
  ];
  const questions: readonly SumQuery<FactKind>[] = [
    { kind: 'energy', by: ['boundary', 'node', 'contains', 'phase', { label: 'a "b"' }], where: [] }, { kind: 'tokens', by: ['tenant', 'node'], where: [] }, { kind: 'gauge', by: ['gauge'], where: [] },
    { kind: 'requests', by: ['request', 'inputBand', 'outcome'], where: [] }, { kind: 'flag', by: ['phase'], where: [] },
  ];
  let store: EmbeddedStore;
  beforeAll(async () => {
    store = await open(':memory:');
    for (const batch of everything) await store.append(batch);
    await store.rollUp(60);
  });
  afterAll(() => store.close());
  const whole = { from: undefined, to: undefined };

  it('as ndjson is read back as the batches it was, with the same sums', async () => {
    const path = join(folder, 'all.ndjson');
    expect(await store.export({ format: 'ndjson', kind: undefined, ...whole }, path)).toEqual({ rows: 6 });
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => decodeBatch(line)).map(({ stream, sequence, node, slices }) => [stream, sequence, node, slices.length])).toEqual(everything.map(({ stream, sequence, node, slices }) => [stream, sequence, node, slices.length]));
    const again = await open(':memory:');
    await appendStream(createReadStream(path), again, path, 1e6);
    for (const question of questions) expect(await again.sum(question)).toEqual(await store.sum(question));
    await again.close();
  });

  it('of a range or a kind has the facts that begin in it', async () => {
    const path = join(folder, 'some.ndjson');
    expect(await store.export({ format: 'ndjson', kind: 'energy', from: at(60), to: undefined }, path)).toEqual({ rows: 1 });
    expect(decodeBatch(await readFile(path, 'utf8')).slices).toMatchObject([{ kind: 'energy', divisionMicrojoules: 5, from: at(61) }]);
    expect(await store.export({ format: 'ndjson', kind: undefined, from: at(9e6), to: undefined }, path)).toEqual({ rows: 0 });
    expect((await stat(path)).size).toBe(0);
  });

  it('as CSV has a head, and as parquet the columns and rows of the kind, of facts as of sums', async () => {
    const [csv, parquet] = [join(folder, 'tokens.csv'), join(folder, 'energy.parquet')];
    await store.export({ format: 'csv', kind: 'tokens', resolution: '1h', ...whole }, csv);
    const [head, row] = (await readFile(csv, 'utf8')).trimEnd().split('\n');
    expect(head).toBe('node,from_us,to_us,site,deployment,model,labels,tenant,token,count');
    expect(row).toBe(`node-1,${at(7200)},${at(7201)},,chat,llama,,t,output,10`);
    await store.export({ format: 'parquet', kind: 'energy', resolution: 'facts', ...whole }, parquet);
    const { DuckDBInstance } = await import('@duckdb/node-api');
    const reader = await (await DuckDBInstance.create(':memory:')).connect();
    expect((await reader.runAndReadAll(`SELECT count(*), sum(microjoules), max(high_microjoules) FROM '${parquet}'`)).getRows()).toEqual([[2n, 200_000_000n, 9_007_199_254_740_991n]]);
    reader.closeSync();
  });

  it('that can not be written says so', async () => {
    await writeFile(join(folder, 'plain'), '');
    await expect(store.export({ format: 'csv', kind: 'tokens', resolution: 'facts', ...whole }, join(folder, 'plain', 'x.csv'))).rejects.toMatchObject({ code: 'EXPORT_FAILED', remedy: 'abort' });
    await expect(store.export({ format: 'ndjson', kind: 'tokens', ...whole }, join(folder, 'plain', 'x.ndjson'))).rejects.toMatchObject({ code: 'EXPORT_FAILED', remedy: 'abort' });
  });
});

it('closes in the middle of a roll-up, which is undone', async () => {
  const path = join(folder, 'closed.duckdb');
  const store = await open(path);
  await store.append(batchOf([...Array.from({ length: 500 }, (_, index) => tokensFact({ from: index * 60 })), energyFact()]));
  const summing = store.rollUp(60).catch(() => undefined);
  await store.close();
  await summing;
  const again = await open(path);
  expect(await tokens(again)).toBe(5000);
  expect((await again.sum({ kind: 'energy', by: [], where: [inBoundary('gpu')] }))[0]?.sums.microjoules).toBe(100_000_000n);
  await again.close();
});
