import { afterEach, beforeEach, expect, it } from 'vitest';
import { seconds } from '@joulebook/shared/units.js';
import type { Report } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { buildReport } from './build.js';
import { parseRequest } from './request.js';

let store: Store;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
});
afterEach(() => store.close());

const asked = (options: Record<string, string> = {}): Promise<Report> =>
  buildReport(store, parseRequest(Object.fromEntries(Object.entries(options).map(([name, value]) => [name, [value]])), {}, '--'), '--');
const figures = ({ rows }: Report) => rows.map(({ group, joulesPerPromptToken, joulesPerOutputToken, joulesSavedByCache }) => [...Object.values(group), joulesPerPromptToken, joulesPerOutputToken, joulesSavedByCache]);
const phases = (deployment: string, active = 0) => [
  energyFact({ deployment, phase: 'prefill', joules: 30, seconds: seconds(0.3) }), energyFact({ deployment, joules: 50, seconds: seconds(0.5) }), energyFact({ deployment, phase: 'idle', joules: 15 }), energyFact({ deployment, phase: 'active', joules: active }),
  tokensFact({ deployment, token: 'input', count: 600 }), tokensFact({ deployment, token: 'cachedInput', count: 400 }), tokensFact({ deployment, count: 100 }),
];

it('has the price of a prompt token, of an output token, and what the cache saved, in every row that holds the phases', async () => {
  await store.append(batchOf(phases('chat')));
  expect(figures(await asked())).toEqual([[0.05, 0.5, 20]]);
  expect((await asked()).total).toMatchObject({ joulesPerPromptToken: 0.05, joulesSavedByCache: 20, flags: [] });
  expect(figures(await asked({ by: 'deployment', basis: 'serving', step: '1m' }))).toEqual([['chat', 0.05, 0.5, 20]]);
});

it('has in a row of one phase that phase only', async () => {
  await store.append(batchOf(phases('chat')));
  expect(figures(await asked({ by: 'phase' }))).toEqual([['prefill', 0.05, null, 20], ['decode', null, 0.5, null], ['active', null, null, null], ['idle', null, null, null]]);
  expect(figures(await asked({ where: 'phase=decode' }))).toEqual([[null, 0.5, null]]);
});

it('keeps groups apart, and knows nothing where phases or tokens are not known', async () => {
  await store.append(batchOf([...phases('chat'), energyFact({ deployment: 'blind', phase: 'active' }), tokensFact({ deployment: 'blind' }), energyFact({ deployment: 'mute', phase: 'prefill' })]));
  expect(figures(await asked({ by: 'deployment' }))).toEqual([['blind', null, null, null], ['chat', 0.05, 0.5, 20], ['mute', null, null, null]]);
  expect(figures(await asked({ by: 'device' }))).toEqual([['GPU-0', null, null, null]]);
});

it('says when much of what requests drew is in no phase', async () => {
  await store.append(batchOf([...phases('little', 4), ...phases('much', 20)]));
  const [little, much] = (await asked({ by: 'deployment' })).rows;
  expect([little?.flags, much?.flags]).toEqual([[], [{ code: 'PHASES_PARTLY_KNOWN', detail: expect.stringContaining('20.0 % is not told apart by phase') as unknown }]]);
  expect(much?.joulesPerPromptToken).toBe(0.05);
});
