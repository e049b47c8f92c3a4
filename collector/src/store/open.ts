/** Which store a place names: `http(s)://…` is a server that speaks the line protocol, anything else a file of the embedded store. */
import { systemClock } from '@joulebook/shared/clock.js';
import { openDuckdb } from './duckdb.js';
import { isServerAddress } from './influx/address.js';
import type { Store } from './store.js';

export { isServerAddress };

/** @throws UsageError for an address that is none; TelemetryError when the store can't be opened */
export async function openStore(place: string, { readOnly = false, token }: { readOnly?: boolean; token?: string | undefined } = {}): Promise<Store> {
  if (!isServerAddress(place)) return openDuckdb(place, { readOnly });
  // Its client is loaded by those who use it.
  const { openInflux } = await import('./influx/influx.js');
  return openInflux(place, { readOnly, token, clock: systemClock });
}
