/** Which store a place names: `http(s)://…` is a server that speaks the line protocol, anything else a file of the embedded store. */
import { systemClock } from '@joulebook/shared/clock.js';
import { openDuckdb } from './duckdb.js';
import { isServerAddress, serverOf, withoutQuery } from './influx/address.js';
import type { Store } from './store.js';

export { isServerAddress };

/** For logs: what kind of store a place names, and where it is, without anything secret. */
export function placeOf(place: string): { readonly kind: string; readonly file: string } | { readonly kind: string; readonly server: string; readonly bucket: string } {
  if (!isServerAddress(place)) return { kind: 'duckdb', file: place };
  const server = serverOf(place, undefined);
  return { kind: 'line protocol', server: withoutQuery(server), bucket: server.bucket };
}

/** @throws UsageError for an address that is none; TelemetryError when the store can't be opened */
export async function openStore(place: string, { readOnly = false, token }: { readOnly?: boolean; token?: string | undefined } = {}): Promise<Store> {
  if (!isServerAddress(place)) return openDuckdb(place, { readOnly });
  // Its client is loaded by those who use it.
  const { openInflux } = await import('./influx/influx.js');
  return openInflux(place, { readOnly, token, clock: systemClock });
}

/** Closes it again, however the work ends. */
export async function using<S extends Pick<Store, 'close'>, T>(store: S, work: (store: S) => Promise<T>): Promise<T> {
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}
