/** A hole in what a node numbered is told by every report of its time, until it is filled or accepted; then for ever. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { epochMicros, seconds } from '@joulebook/shared/units.js';
import type { Flag } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, iso } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { acceptLosses } from '../upkeep/losses.js';
import { buildReport } from './build.js';
import { parseRequest, type Said } from './request.js';

let store: Store;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
});
afterEach(() => store.close());

async function send(node: string, ...sequences: readonly number[]): Promise<void> {
  for (const sequence of sequences) await store.append(batchOf([energyFact({ from: sequence * 10, to: sequence * 10 + 10, device: `GPU of ${node}` })], { node, sequence }));
}
const flags = async (said: Said = {}): Promise<Flag[]> => (await buildReport(store, parseRequest(said, {}, ''), '')).flags.filter(({ code }) => code.startsWith('BATCHES_'));
const codes = async (said: Said = {}): Promise<string[]> => (await flags(said)).map(({ code, count }) => `${code} ${count}`);

describe('batches that are missing', () => {
  it('are flagged with their node, number and time, with and without a range', async () => {
    await send('gpu-01', 0, 1, 4, 6);
    await send('gpu-02', 0, 1, 2);
    const told = [{ code: 'BATCHES_MISSING', count: 3, detail: `3 batches of gpu-01, with facts of between ${iso(20)} and ${iso(60)}, are missing: on their way, in its agent's spool, or lost; what they measured is in no figure.` }];
    expect(await flags()).toEqual(told);
    expect(await flags({ from: [iso(0)], to: [iso(100)], by: ['node'] })).toEqual(told);
  });

  it('are no matter of a time or a node that they are not of', async () => {
    await send('gpu-01', 0, 1, 4);
    await send('gpu-02', 0, 1, 2, 3, 4, 5);
    expect(await codes({ from: [iso(0)], to: [iso(20)] })).toEqual([]);
    expect(await codes({ from: [iso(40)] })).toEqual([]);
    expect(await codes({ from: [iso(30)], to: [iso(31)] })).toEqual(['BATCHES_MISSING 2']);
    expect(await codes({ where: ['node=gpu-02'] })).toEqual([]);
    expect(await codes({ where: ['node=gpu-01', 'deployment=chat'] })).toEqual(['BATCHES_MISSING 2']);
  });

  it('of before all that is reported are none of it: a file may begin anywhere', async () => {
    await send('gpu-01', 5, 6);
    expect(await codes()).toEqual([]);
    await send('gpu-02', 0);
    expect(await flags()).toMatchObject([{ count: 5, detail: expect.stringContaining('5 batches of gpu-01, with facts of before 2026-01-01T00:00:50.000Z,') as unknown }]);
  });

  it('are flagged no more when they come', async () => {
    await send('gpu-01', 0, 2);
    await send('gpu-01', 1);
    expect(await codes()).toEqual([]);
  });

  it('are named of a few nodes, and counted of the rest', async () => {
    for (let node = 0; node < 7; node += 1) await send(`gpu-${node}`, 0, 2);
    expect((await flags()).map(({ detail }) => detail).at(-1)).toBe('and batches of 2 more nodes');
    expect(await flags()).toHaveLength(6);
  });

  it('that were accepted as lost are told as lost, and no more missing', async () => {
    await send('gpu-01', 0, 3);
    await send('gpu-02', 0, 2);
    await acceptLosses(store, 'gpu-01', epochMicros(Date.now() * 1000 + 1e9));
    expect(await codes()).toEqual(['BATCHES_MISSING 1', 'BATCHES_LOST 2']);
    expect((await flags())[1]?.detail).toMatch(/^2 batches of gpu-01, with facts of between 2026-01-01T00:00:10.000Z and 2026-01-01T00:00:30.000Z, are lost for good, as was said on 20\d\d-/);
    await send('gpu-01', 1, 2);
    expect(await codes()).toEqual(['BATCHES_MISSING 1']);
  });
});

it('tells a device that was seen for more than what was asked', async () => {
  await store.append(batchOf([energyFact({ seconds: seconds(10), askedSeconds: seconds(1), to: 10 })]));
  expect((await buildReport(store, parseRequest({}, {}, ''), '')).flags.map(({ code }) => code)).toContain('SEEN_LONGER_THAN_ASKED');
});
