/** For tests and benches: a collector that listens on loopback, and its store. */
import { pino } from 'pino';
import type { Clock } from '@joulebook/shared/clock.js';
import { loadSettings } from '@joulebook/shared/settings.js';
import { startCollector } from './collector.js';
import { SETTINGS } from './settings.js';
import { openDuckdb } from './store/duckdb.js';
import type { Store } from './store/store.js';

export interface RunningCollector {
  readonly address: string;
  readonly store: Store;
  close(): Promise<void>;
}

/** @param change what the collector is to meet instead of a store in memory */
export async function runningCollector(flags: Readonly<Record<string, unknown>> = {}, clock?: Clock, change: (store: Store) => Store = (store) => store): Promise<RunningCollector> {
  const store = change(await openDuckdb(':memory:'));
  const settings = await loadSettings(SETTINGS, { flags: { store: ':memory:', listen: '127.0.0.1:0', ...flags } });
  const collector = await startCollector(settings, { log: pino({ level: 'silent' }), store, ...(clock && { clock }) });
  return { address: collector.address, store, close: () => collector.close() };
}
