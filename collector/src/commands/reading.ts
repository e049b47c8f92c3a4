/** Where a command that reads gets its facts from: a file or pipe of batches, a store, or a running collector that is asked instead. */
import { createReadStream } from 'node:fs';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { appendStream } from '../ingest/batch-stream.js';
import type { Said } from '../report/request.js';
import type { CollectorSettings } from '../settings.js';
import { openDuckdb } from '../store/duckdb.js';
import { MEMORY } from '../store/duckdb-file.js';
import { isServerAddress, openStore, using } from '../store/open.js';
import type { Store } from '../store/store.js';
import { faultsOfAddress } from './ask.js';
import type { Surroundings } from './surroundings.js';

/** A pipe of batches is trusted more than the network, but not with all memory. */
const MAX_LINE_BYTES = 256 * 1024 * 1024;

export type Flags = Readonly<Record<string, unknown>>;

/** For options that may be said again. */
export const several = (text: string, before: readonly string[] | undefined): string[] => [...(before ?? []), text];

export const textsOf = (value: unknown): string[] => (typeof value === 'string' ? [value] : Array.isArray(value) ? value.map(String) : []);

/** What was said of the question itself. */
export const questionIn = (flags: Flags, names: readonly string[]): Said => Object.fromEntries(names.map((name) => [name, textsOf(flags[name])] as const).filter(([, texts]) => texts.length > 0));

/** Only what was said here: a collector has its own. */
export const pricesOf = ({ price, pue, carbon }: CollectorSettings): Said =>
  Object.fromEntries(Object.entries({ price, pue, carbon }).flatMap(([name, value]) => (value === undefined ? [] : [[name, [String(value)]]])));

export type Place = { readonly kind: 'stream'; readonly file: string } | { readonly kind: 'store' };
export type Source = Place | { readonly kind: 'collector'; readonly url: string };

/** @param name of the file, as it is said on the command line */
export function sourceOf(file: string | undefined, flags: Flags, faults: string[], name = 'FILE'): Source {
  const said = [file === undefined ? [] : [name], flags['store'] === undefined ? [] : ['--store'], flags['collector'] === undefined ? [] : ['--collector']].flat();
  if (said.length > 1) faults.push(`${said.join(' and ')}: say one place to read from`);
  const collector = flags['collector'];
  if (typeof collector === 'string') {
    faults.push(...faultsOfAddress('--collector', collector));
    if (flags['book'] !== undefined) faults.push('--book: a collector has its own; start it with one');
    return { kind: 'collector', url: collector };
  }
  return file === undefined ? { kind: 'store' } : { kind: 'stream', file };
}

export function checkStore(path: string, faults: string[]): void {
  if (path === MEMORY) faults.push(`--store: ${MEMORY} is of one collector while it runs and nobody else can read it; name a file, or ask that collector with --collector`);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path) && !isServerAddress(path)) faults.push(`--store: '${path.split('://')[0]}' stores are not available; name a file, or http(s)://… of a server`);
}

const noFacts = (where: string): TelemetryError => new TelemetryError('NO_FACTS', `There are no facts in ${where}: no batch with a slice in it.`, 'abort');

/** @throws TelemetryError (`abort`) where there are no facts */
export async function readFrom<T>(place: Place, settings: CollectorSettings, { stdin }: Surroundings, work: (store: Store) => Promise<T>): Promise<T> {
  if (place.kind === 'stream') {
    const { file } = place;
    const name = file === '-' ? 'stdin' : file;
    return using(await openDuckdb(':memory:'), async (store) => {
      const slices = await appendStream(file === '-' ? stdin : createReadStream(file), store, name, MAX_LINE_BYTES);
      if (slices === 0) throw noFacts(name);
      return work(store);
    });
  }
  return using(await openStore(settings.store, { readOnly: true, token: settings.storeToken }), async (store) => {
    if ((await store.extent()) === null) throw noFacts(`the store ${settings.store}`);
    return work(store);
  });
}

/** The format that is asked for, the first where none is. */
export function formatOf<F extends string>(formats: readonly [F, ...F[]], flags: Flags, faults: string[]): F {
  const [said = formats[0]] = textsOf(flags['format']);
  const format = formats.find((known) => known === said);
  if (format === undefined) faults.push(`--format: '${said}' is no format; write one of ${formats.join(', ')}`);
  return format ?? formats[0];
}
