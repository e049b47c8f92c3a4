import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pino } from 'pino';
import type { Clock } from '@joulebook/shared/clock.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { createMetrics, type Metrics } from '../ingest/metrics.js';
import { openDuckdbFile } from '../store/duckdb-file.js';
import { at, batchOf, tokensFact } from '../store/sample-facts.js';
import type { EmbeddedStore } from '../store/upkeep.js';
import { keepsItself, scheduleUpkeep, type UpkeepSchedule, type UpkeepSettings } from './schedule.js';

const DAY = 86_400;
const NOW = at(31 * DAY) / 1e6;
const clock: Clock = { wall: () => instant(NOW), monotonic: () => seconds(0) };
const NEVER = '0 0 1 1 *';
const settings: UpkeepSettings = { retentionRaw: 14 * DAY, retentionMinute: 20 * DAY, retentionHour: null, rollUpSchedule: NEVER, retainSchedule: NEVER };

describe('the upkeep of a store', () => {
  let store: EmbeddedStore;
  let metrics: Metrics;
  let upkeep: UpkeepSchedule | undefined;
  beforeEach(async () => {
    store = await openDuckdbFile({ path: ':memory:', readOnly: false }, clock);
    metrics = createMetrics();
    await store.append(batchOf([tokensFact(), tokensFact({ from: 29 * DAY })]));
  });
  afterEach(async () => {
    await upkeep?.stop();
    await store.close();
  });
  const audited: unknown[] = [];
  const begin = (said: Partial<UpkeepSettings> = {}, of: EmbeddedStore = store): UpkeepSchedule => beginBy({ ...settings, ...said }, of);
  const beginBy = (read: UpkeepSettings, of: EmbeddedStore): UpkeepSchedule =>
    (upkeep = scheduleUpkeep({ store: of, settings: read, metrics, clock, audit: { acted: (act, actor) => void audited.push({ ...act, ...actor }) }, log: pino({ level: 'silent' }) }, { rollUp: 0, retain: 0 }));
  const lines = async (): Promise<string[]> => (await metrics.expose()).text.split('\n').filter((line) => /^joulebook_(upkeep|rollup)/.test(line));

  it('is told by its metrics: nothing yet, then when it last ran and how it went', async () => {
    const job = begin();
    expect(await lines()).toEqual(['joulebook_upkeep_failures{job="rollUp"} 0', 'joulebook_upkeep_failures{job="retain"} 0', 'joulebook_rollup_cells_waiting 0']);
    await job.run('rollUp');
    expect(await store.resolution?.({ kind: 'tokens', by: [], where: [] })).toMatchObject({ read: [{ resolution: '1d' }] });
    await job.run('retain');
    expect(await lines()).toEqual([
      ...['last_run_seconds', 'last_success_seconds'].flatMap((name) => ['rollUp', 'retain'].map((each) => `joulebook_upkeep_${name}{job="${each}"} ${NOW}`)),
      'joulebook_upkeep_failures{job="rollUp"} 0', 'joulebook_upkeep_failures{job="retain"} 0', 'joulebook_rollup_cells_waiting 0',
    ]);
    expect(audited).toEqual([{ event: 'retained', by: 'the schedule', facts: 1, minutes: expect.any(Number) as unknown, hours: 0, factsSince: new Date(at(17 * DAY) / 1000).toISOString() }]);
    expect(await store.retain({ raw: 14 * DAY, minute: null, hour: null })).toMatchObject({ facts: 0, factsSince: at(17 * DAY) });
  });

  it('that fails is counted and told, and does not end the collector', async () => {
    const job = begin({}, { ...store, rollUp: () => Promise.reject(new Error('disk full')) });
    await job.run('rollUp');
    await job.run('rollUp');
    expect(await lines()).toEqual([`joulebook_upkeep_last_run_seconds{job="rollUp"} ${NOW}`, 'joulebook_upkeep_failures{job="rollUp"} 2', 'joulebook_upkeep_failures{job="retain"} 0', 'joulebook_rollup_cells_waiting 0']);
  });

  it('begins by its schedule', async () => {
    const summed = new Promise<void>((resolve) => {
      begin({ rollUpSchedule: '* * * * * *' }, { ...store, rollUp: (limit) => store.rollUp(limit).finally(resolve) });
    });
    await summed;
    expect(await store.resolution?.({ kind: 'tokens', by: [], where: [] })).toMatchObject({ read: [{ resolution: '1d' }] });
  });

  it('goes on by the schedule that its settings have when it is told to', async () => {
    const read = { ...settings };
    const summed = new Promise<void>((resolve) => {
      beginBy(read, { ...store, rollUp: (limit) => store.rollUp(limit).finally(resolve) });
    });
    read.rollUpSchedule = '* * * * * *';
    await upkeep?.reschedule();
    await summed;
    expect(await lines()).toContain('joulebook_upkeep_failures{job="rollUp"} 0');
  });

  it('is for stores that have one', () => {
    expect(keepsItself(store)).toBe(true);
    const { rollUp: _rollUp, retain: _retain, ...other } = store;
    expect(keepsItself(other)).toBe(false);
  });
});
