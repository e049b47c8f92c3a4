/**
 * Makes an evidence bundle in an empty folder. Figures are made of the facts as they were exported, read back; that those are all facts of the
 * range is held against the store's own sums first.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '@joulebook/shared/clock.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { SliceKind } from '@joulebook/shared/slice.js';
import { toIso } from '@joulebook/shared/units.js';
import { EMPTY_BOOK, readBook, type Book } from '../book/book.js';
import { SETTINGS, type CollectorSettings } from '../settings.js';
import { placeOf, using } from '../store/open.js';
import type { Store } from '../store/store.js';
import type { EmbeddedStore } from '../store/upkeep.js';
import { VERSION } from '../version.js';
import { copyBook } from './book-copy.js';
import { factsPath, figuresOf, filesOf, openBundle, spanOf, streams, STREAMS } from './figures.js';
import type { Manifest } from './manifest.js';
import { seal } from './seal.js';
import type { Span } from '../rates/pieces.js';

export interface EvidenceParts {
  readonly store: EmbeddedStore;
  readonly settings: CollectorSettings;
  /** That the settings name, as it was read. */
  readonly book: Book;
  readonly clock: Clock;
}

/** Secrets are left out by their declaration; a store's address may hold some. */
export const shownSettings = (settings: CollectorSettings): Readonly<Record<string, unknown>> =>
  ({ ...Object.fromEntries(Object.entries(settings).filter(([name, value]) => value !== undefined && !Object.entries(SETTINGS).some(([known, { secret }]) => known === name && secret === true))), store: placeOf(settings.store) });

/** Integers that add up whatever they are read from. */
async function totals(store: Store, { from, to }: Span): Promise<string> {
  const scope = { where: [], from, to };
  const energy = await store.sum({ kind: 'booked', by: ['boundary', 'node', 'device', 'phase'], ...scope });
  const tokens = await store.sum({ kind: 'tokens', by: ['node', 'deployment', 'token'], ...scope });
  const requests = await store.sum({ kind: 'requests', by: ['node', 'deployment', 'outcome'], ...scope });
  return JSON.stringify([energy.map(({ values, sums }) => [values, String(sums.microjoules)]), tokens.map(({ values, sums }) => [values, sums.count]), requests.map(({ values, sums }) => [values, sums.requests, sums.outputTokens])]);
}

const notAll = (from: string): TelemetryError =>
  new TelemetryError('FACTS_NOT_KEPT', `The store's facts since ${from} are not all that it has summed: older ones were deleted by retention, or batches came while the bundle was made. Begin later with --from, keep facts longer (retentionRaw), or try again.`, 'abort');

/**
 * @param folder empty
 * @throws TelemetryError (`abort`) where there are no facts of the range, or not all of them are kept
 */
export async function makeEvidence({ store, settings, book, clock }: EvidenceParts, question: Manifest['question'], folder: string, key: KeyObject | undefined): Promise<Manifest> {
  const span = spanOf(question);
  await mkdir(join(folder, 'facts'), { recursive: true });
  await mkdir(join(folder, 'figures'), { recursive: true });
  const exported = async (kind: SliceKind): Promise<number> => (await store.export({ format: 'parquet', kind, resolution: 'facts', ...span }, join(folder, factsPath(kind)))).rows;
  const rows: Manifest['rows'] = { energy: await exported('energy'), tokens: await exported('tokens'), requests: await exported('requests'), gauge: await exported('gauge'), flag: await exported('flag') };
  const json = (name: string, value: unknown): Promise<void> => writeFile(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
  const seen = await store.streams();
  await json(STREAMS, seen);
  await json('settings.json', shownSettings(settings));
  const notes = settings.book === undefined ? [] : await copyBook(book, span, join(folder, 'book'));
  const bookPath = settings.book === undefined ? null : 'book/book.yaml';
  const figures = await using(await openBundle(folder, streams.parse(JSON.parse(JSON.stringify(seen)))), async (loaded) => {
    if ((await totals(loaded, span)) !== (await totals(store, span))) throw notAll(question.from);
    return figuresOf(loaded, bookPath === null ? EMPTY_BOOK : await readBook(join(folder, bookPath)), question);
  });
  for (const [path, text] of filesOf(figures)) await writeFile(join(folder, path), text);
  return seal(folder, { bundle: 'joulebook evidence', schema: 1, program: { name: 'joulebook', version: VERSION }, made: toIso(clock.wall()), question, book: bookPath, notes: [...notes], rows }, key);
}
