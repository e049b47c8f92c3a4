/** What is missing can be listed and accepted as lost, of a running collector (as an admin, in its audit) and of a store that nobody holds. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { streamsShown } from '../api/losses.js';
import { runningCollector } from '../collector.testing.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact } from '../store/sample-facts.js';
import { said } from './program.testing.js';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-losses-'));
  path = join(folder, 'store.duckdb');
});
afterEach(() => rm(folder, { recursive: true }));

const numbered = (sequence: number): Batch => batchOf([energyFact({ from: sequence * 10, to: sequence * 10 + 10, seconds: seconds(10) })], { sequence });

it('of a store that nobody holds: verify does not close, and does once they are accepted', async () => {
  const store = await openDuckdb(path);
  for (const sequence of [0, 1, 4]) await store.append(numbered(sequence));
  await store.close();
  expect(await said(['verify', '--store', path])).toMatchObject({ code: 3, out: expect.stringContaining('SEQUENCES_MISSING') as unknown });
  expect(await said(['losses', 'list', '--store', path])).toMatchObject({ code: 0, out: expect.stringMatching(/node-1 +│ 2 +│ 0123456789abcdef0123456789abcdef │ 2–3 +│ 2026-01-01T00:00:20.000Z │ 2026-01-01T00:00:40.000Z │ missing since 20/) as unknown });
  expect(await said(['losses', 'accept', 'node-2', '--store', path])).toMatchObject({ code: 1, err: "joulebook: No batch of 'node-2' is missing.\n" });
  expect(await said(['losses', 'accept', 'node-1', '--store', path])).toMatchObject({ code: 0, err: '2 batches of node-1 are lost for good from now on. Reports of their time say so.\n' });
  expect(await said(['losses', 'list', '--store', path])).toMatchObject({ out: expect.stringContaining('lost, as was said 20') as unknown });
  expect(await said(['verify', '--store', path])).toMatchObject({ code: 0, out: expect.stringContaining('KNOWN_LOSS  2 batches of node-1') as unknown });
  expect(await said(['report', '--store', path])).toMatchObject({ code: 0, out: expect.stringContaining('BATCHES_LOST') as unknown });
  expect(await said(['losses', 'accept', 'node-1', '--store', path])).toMatchObject({ code: 1, err: expect.stringContaining('No batch') as unknown });
});

it('of a running collector, which gives what came out of order a minute', async () => {
  let passed = 0;
  const clock: Clock = { wall: () => instant(Date.now() / 1000 + passed), monotonic: () => seconds(performance.now() / 1000) };
  const collector = await runningCollector({}, clock);
  try {
    for (const sequence of [0, 2]) await fetch(`${collector.address}/v1/batches`, { method: 'POST', body: encodeBatch(numbered(sequence)), headers: { 'content-type': 'application/json' } });
    const accept = ['losses', 'accept', 'node-1', '--collector', collector.address];
    expect(await said(['verify', '--collector', collector.address])).toMatchObject({ code: 0, out: expect.stringContaining('NOT_JUDGED_YET  1 batches of node-1') as unknown });
    expect(await said(accept)).toMatchObject({ code: 1, err: expect.stringContaining('may still be on its way') as unknown });
    passed = 61;
    expect(await said(accept)).toMatchObject({ code: 0, err: expect.stringContaining('1 batches of node-1 are lost') as unknown });
    const { out } = await said(['losses', 'list', '--collector', collector.address, '--json']);
    expect(streamsShown.parse(JSON.parse(out))).toMatchObject({ streams: [{ node: 'node-1', missing: [], lost: [{ first: 1, last: 1, count: 1 }] }] });
    expect(await said(['verify', '--collector', collector.address])).toMatchObject({ code: 0, out: expect.stringContaining('KNOWN_LOSS') as unknown });
    expect((await fetch(`${collector.address}/v1/losses`, { method: 'POST' })).status).toBe(400);
  } finally {
    await collector.close();
  }
});

it('says what can not be: no store, two places', async () => {
  expect(await said(['losses', 'accept', 'node-1', '--store', path])).toMatchObject({ code: 1, err: expect.stringContaining('There is no store') as unknown });
  expect(await said(['losses', 'list', '--store', path, '--collector', 'http://127.0.0.1:1'])).toMatchObject({ code: 2, err: 'joulebook: --store and --collector: say one\n' });
});
