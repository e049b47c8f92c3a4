import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { encodeBatch } from '@joulebook/shared/batch.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { appendStream } from './batch-stream.js';

let store: Store;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
});
afterEach(() => store.close());

const line = (sequence: number, count = 1): string => encodeBatch(batchOf([tokensFact({ count })], { sequence }));
const read = (bytes: Buffer | string, chunk = 7, limit = 10_000): Promise<number> => {
  const whole = Buffer.from(bytes);
  const pieces = Array.from({ length: Math.ceil(whole.length / chunk) }, (_, index) => whole.subarray(index * chunk, (index + 1) * chunk));
  return appendStream(Readable.from(pieces), store, 'batches.ndjson', limit);
};

it('reads lines across chunks, gzip or not, with and without a last newline', async () => {
  expect(await read(`${line(0)}\n\n${line(1)}\n`)).toBe(2);
  expect(await read(gzipSync(`${line(2)}\n${line(3)}`), 1)).toBe(2);
  expect((await store.sum({ kind: 'tokens', by: [], where: [] }))[0]?.sums.count).toBe(4);
});

it('counts a repeated batch once', async () => {
  expect(await read(`${line(0)}\n${line(0)}\n`)).toBe(1);
});

it('names the line of what is wrong', async () => {
  await expect(read(`${line(0)}\n{"schema":9}\n`)).rejects.toThrow(/batches.ndjson, line 2: The batch has schema version 9/);
  await expect(read(`${line(5)}\n${line(5, 2)}\n`)).rejects.toThrow(/line 2: stream .* has other content under sequence 5/);
});

it('tells a torn last line from a bad one', async () => {
  await expect(read(`${line(0)}\n${line(1).slice(0, 40)}`)).rejects.toThrow(/line 2: .*the stream was cut short/);
  await expect(read(`${line(1).slice(0, 40)}\n${line(0)}\n`)).rejects.not.toThrow(/the stream was cut short/);
});

it('refuses gzip that is cut short, and a line without end', async () => {
  const whole = gzipSync(`${line(0)}\n`);
  await expect(read(whole.subarray(0, whole.length - 9))).rejects.toMatchObject({ code: 'BATCHES_UNREADABLE' });
  await expect(read('x'.repeat(2000), 100, 1000)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' });
});

it('finds nothing in nothing', async () => {
  expect(await read('')).toBe(0);
});
