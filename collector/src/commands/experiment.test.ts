/** Experiments and sweeps by command: of a running collector, as an admin and in its audit, and of a store that nobody holds. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { stretchesOf } from '../compare/facts.testing.js';
import { experimentShown, experimentsShown } from '../experiments/shown.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, iso } from '../store/sample-facts.js';
import { sweepAnswer } from '../sweep/answer.js';
import { said, serve, type Serving } from './program.testing.js';

const HOUR = 3600;
const ON = 2 * HOUR;
const OFF = 4 * HOUR;
const batches: readonly Batch[] = [
  batchOf([...stretchesOf({ count: 120, joulesPerToken: 2, gauges: { 'gpu.power.limit': 400 } }), ...stretchesOf({ from: ON, count: 120, joulesPerToken: 1.6, seed: 2, gauges: { 'gpu.power.limit': 300 } })]),
  batchOf(stretchesOf({ count: 20, joulesPerToken: 2, seed: 3 }), { node: 'node-2' }),
];
const START = ['experiment', 'start', 'power-300', '--label', 'powerLimit=300W', '--nodes', 'node-1', '--at', iso(ON), '--guardrail', 'failedShare<=1%', '--before', '6h'];

let folder: string;
let path: string;
let serving: Serving;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-experiment-'));
  path = join(folder, 'store.duckdb');
  const store = await openDuckdb(path);
  for (const batch of batches) await store.append(batch);
  await store.close();
  serving = await serve(['--store', join(folder, 'served.duckdb'), '--log-level', 'info', '--retention-raw', 'forever', '--token', 'secret']);
  for (const batch of batches) await fetch(`${serving.address}/v1/batches`, { method: 'POST', body: encodeBatch(batch), headers: { 'content-type': 'application/json', authorization: 'Bearer secret' } });
});
afterAll(async () => {
  await serving.stop();
  await rm(folder, { recursive: true });
});

/** Both places say the same. */
async function both(argv: readonly string[], code = 0): Promise<string> {
  const here = await said([...argv, '--store', path]);
  const there = await said([...argv, '--collector', serving.address, '--token', 'secret']);
  expect([here.err, here.code, there.code]).toEqual(['', code, code]);
  expect(there.out).toBe(here.out);
  return there.out;
}

it('starts, shows, stops and lists, in a collector and in a store alike', async () => {
  expect(await both(['experiment', 'list'])).toBe('There are no experiments.\n');
  expect(await both(START)).toBe(`power-300 is on since ${iso(ON)} on node-1.\n`);
  expect(await both(['experiment', 'stop', 'power-300', '--at', iso(OFF)])).toBe(`power-300 is off since ${iso(OFF)} on node-1.\n`);
  expect(experimentsShown.parse(JSON.parse(await both(['experiment', 'list', '--json'])))).toMatchObject({ experiments: [{ name: 'power-300', running: false, labels: { powerLimit: '300W' }, turns: [{ from: iso(ON), to: iso(OFF) }] }] });
  const shown = experimentShown.parse(JSON.parse(await both(['experiment', 'show', 'power-300', '--json'])));
  expect(shown).toMatchObject({ comparison: { verdict: 'b-better', sequential: true }, guardrails: [{ status: 'ok' }], settling: [{ from: iso(ON), to: iso(ON + 600) }], progress: { a: 2 * HOUR, b: 2 * HOUR - 600 } });
  const { out: text } = await said(['experiment', 'show', 'power-300', '--store', path]);
  for (const line of [`│ A        │ ${iso(0)} │ ${iso(ON)} │`, `│ settling │ ${iso(ON)} │ ${iso(ON + 600)} │`, `│ B        │ ${iso(ON + 600)} │ ${iso(OFF)} │`]) expect(text).toContain(line);
  expect(text).toContain('failedShare<=1% is kept: 0 in B, 0 in A.');
  expect(serving.said()).toMatch(/"event":"experiment-started","name":"power-300","nodes":1/);
  // What is marked is no fact: the books close as before, and a backup has it.
  expect((await said(['verify', '--collector', serving.address, '--token', 'secret'])).code).toBe(0);
  const copy = join(folder, 'copy.duckdb');
  expect((await said(['backup', '--store', path, '--out', copy])).code).toBe(0);
  expect((await said(['experiment', 'list', '--store', copy])).out).toContain('power-300');
});

it('sweeps alike', async () => {
  const found = sweepAnswer.parse(JSON.parse(await both(['sweep', '--over', 'gpu.power.limit', '--where', 'node=node-1', '--json'])));
  expect(found).toMatchObject({ axis: { title: 'power limit', unit: 'W' }, best: { runnerUp: expect.any(String) as unknown, toldApart: true } });
  expect(await said(['sweep', '--over', 'gpu.fan', '--store', path])).toMatchObject({ code: 2, err: expect.stringMatching(/^joulebook: --over: no gauge 'gpu.fan' is known/) as unknown });
});

it('says what can not be: who may not, what is not there, what was said wrong', async () => {
  const at = ['--collector', serving.address, '--token', 'secret'];
  expect(await said(['experiment', 'stop', 'power-30', ...at])).toMatchObject({ code: 1, err: expect.stringContaining("answered 404: There is no experiment 'power-30'; did you mean 'power-300'?") as unknown });
  expect(await said(['experiment', 'stop', 'power-300', ...at])).toMatchObject({ code: 1, err: expect.stringContaining("answered 409: 'power-300' does not run") as unknown });
  expect(await said(['experiment', 'start', 'other', '--label', 'x=y', '--nodes', 'node-3', ...at])).toMatchObject({ code: 2, err: "joulebook: --nodes: no node is called 'node-3'; did you mean 'node-1'?\n" });
  expect(await said(['experiment', 'start', 'other', '--at', '2099-01-01T00:00:00Z', '--label', 'x=y', ...at])).toMatchObject({ code: 2, err: expect.stringContaining('is still to come') as unknown });
  expect(await said(['experiment', 'show', 'power-300', '--store', path, ...at])).toMatchObject({ code: 2, err: 'joulebook: --store and --collector: say one\n' });
  for (const command of [['experiment', 'list'], ['sweep', '--over', 'load']]) expect(await said([...command, '--store', ':memory:'])).toMatchObject({ code: 2, err: expect.stringMatching(/^joulebook: --store: :memory: is of one collector/) as unknown });
  expect(await said(['experiment', 'list', '--store', join(folder, 'none.duckdb')])).toMatchObject({ code: 1, err: expect.stringContaining('There is no store') as unknown });
  const reader = (await said(['token', 'create', '--scope', 'read', '--store', join(folder, 'served.duckdb')])).out.trim();
  expect((await said(['experiment', 'list', '--collector', serving.address, '--token', reader])).code).toBe(0);
  expect(await said(['experiment', 'stop', 'power-300', '--collector', serving.address, '--token', reader])).toMatchObject({ code: 1, err: expect.stringContaining('answered 403') as unknown });
});
