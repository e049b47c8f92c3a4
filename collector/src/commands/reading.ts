/** Where a command reads facts from: a file or pipe of batches, a store that nobody holds, or a running collector. */
import { createReadStream } from 'node:fs';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { appendStream } from '../ingest/batch-stream.js';
import type { Said } from '../report/request.js';
import type { CollectorSettings } from '../settings.js';
import { openDuckdb } from '../store/duckdb.js';
import { isServerAddress, openStore, using } from '../store/open.js';
import type { Store } from '../store/store.js';
import { faultsOfAddress } from './ask.js';
import type { Surroundings } from './surroundings.js';

/** A pipe of batches is trusted more than the network, but not with all memory. */
const MAX_LINE_BYTES = 256 * 1024 * 1024;

export type Flags = Readonly<Record<string, unknown>>;

export type Source = { readonly kind: 'stream'; readonly file: string } | { readonly kind: 'collector'; readonly url: string } | { readonly kind: 'store' };

/** @param name of the file, as it is said on the command line */
export function sourceOf(file: string | undefined, name: string, flags: Flags, faults: string[]): Source {
  const said = [file === undefined ? [] : [name], flags['store'] === undefined ? [] : ['--store'], flags['collector'] === undefined ? [] : ['--collector']].flat();
  if (said.length > 1) faults.push(`${said.join(' and ')}: say one place to read from`);
  const collector = flags['collector'];
  if (typeof collector === 'string') {
    faults.push(...faultsOfAddress('--collector', collector));
    return { kind: 'collector', url: collector };
  }
  return file === undefined ? { kind: 'store' } : { kind: 'stream', file };
}

export function checkStore(path: string, faults: string[]): void {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path) && !isServerAddress(path)) faults.push(`--store: '${path.split('://')[0]}' stores are not available; name a file, or http(s)://… of a server`);
}

const noFacts = (where: string): TelemetryError => new TelemetryError('NO_FACTS', `There are no facts in ${where}: no batch with a slice in it.`, 'abort');

/** @throws TelemetryError NO_FACTS where there is nothing to tell of */
export async function reading<T>(source: Exclude<Source, { kind: 'collector' }>, { store: path, storeToken }: CollectorSettings, { stdin }: Surroundings, work: (store: Store) => Promise<T>): Promise<T> {
  if (source.kind === 'store') {
    return using(await openStore(path, { readOnly: true, token: storeToken }), async (store) => {
      if ((await store.extent()) === null) throw noFacts(`the store ${path}`);
      return work(store);
    });
  }
  const { file } = source;
  const name = file === '-' ? 'stdin' : file;
  return using(await openDuckdb(':memory:'), async (store) => {
    const slices = await appendStream(file === '-' ? stdin : createReadStream(file), store, name, MAX_LINE_BYTES);
    if (slices === 0) throw noFacts(name);
    return work(store);
  });
}

export const several = (text: string, before: readonly string[] | undefined): string[] => [...(before ?? []), text];

export const textsOf = (value: unknown): string[] => (typeof value === 'string' ? [value] : Array.isArray(value) ? value.map(String) : []);

/** Only what was said here: the collector has its own. */
export const pricesOf = ({ price, pue, carbon }: CollectorSettings): Said =>
  Object.fromEntries(Object.entries({ price, pue, carbon }).flatMap(([name, value]) => (value === undefined ? [] : [[name, [String(value)]]])));

/** The format that is asked for, `table` where none is. */
export function formatOf<F extends string>(formats: readonly [F, ...F[]], flags: Flags, faults: string[]): F {
  const said = textsOf(flags['format'])[0];
  const format = said === undefined ? formats[0] : formats.find((known) => known === said);
  if (format === undefined) faults.push(`--format: '${said}' is no format; write one of ${formats.join(', ')}`);
  return format ?? formats[0];
}
