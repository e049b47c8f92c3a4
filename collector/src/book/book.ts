/** Reads a book and the files that it names; every fault of all of them at once, each with its place. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';
import { describeIssues } from '@joulebook/shared/settings.js';
import { parse as parseYaml } from 'yaml';
import { parseCalendar, type Parsed } from '../rates/calendar.js';
import { isZone } from '../rates/local-time.js';
import { always, overlay, type Over } from '../rates/pieces.js';
import type { ProviderEntry } from '../rates/provider.js';
import { undoubted, type Doubt, type Provided } from '../rates/provided.js';
import { parseSeries } from '../rates/series.js';
import { openShelf, type Shelf } from '../rates/shelf.js';
import type { Demand, SiteRates } from '../rates/site-rates.js';
import { ratesFolderOf, type CollectorSettings } from '../settings.js';
import { sinkBeside, type Alerting } from './alerting.js';
import { doubtsOf, entryOf } from './providing.js';
import { bookSchema, type BookText, type SeriesFile, type SiteText } from './schema.js';

export interface Book extends Pick<BookText, 'currency' | 'costs' | 'slo' | 'outcomes'>, Alerting {
  /** By the name of the site; `default` for what has no entry. */
  readonly sites: ReadonlyMap<string, SiteRates>;
  /** Who is to be asked for the intensities of grids. */
  readonly providers: readonly ProviderEntry[];
  /** As it was read: the files may be others by now. */
  readonly source: BookSource;
}
export interface BookSource {
  readonly text: string;
  /** Texts of series, by the names that the book has for them. */
  readonly series: ReadonlyMap<string, string>;
}
export const DEFAULT_SITE = 'default';

/** Nothing is said: energy alone, at PUE 1. */
export const EMPTY_BOOK: Book = { currency: 'USD', costs: [], slo: [], outcomes: [], budgets: [], targets: [], alerts: [], sinks: [], sites: new Map(), providers: [], source: { text: '', series: new Map() } };

interface Reading {
  readonly folder: string;
  /** What providers have told; undefined where there is no place for it. */
  readonly shelf: Shelf | undefined;
  /** Names that a series may have; undefined: any. */
  readonly beside: RegExp | undefined;
  readonly providers: ProviderEntry[];
  readonly series: Map<string, string>;
  readonly faults: string[];
}

const nothing: Over<null> = always(null);

function unwrap<T>(parsed: Parsed<T>, where: string, reading: Reading): T | undefined {
  if ('value' in parsed) return parsed.value;
  reading.faults.push(...parsed.faults.map((fault) => `${where}: ${fault}`));
  return undefined;
}

async function fileSeries({ file, column, zone }: SeriesFile, least: number, where: string, reading: Reading): Promise<Over<number | null>> {
  const path = resolve(reading.folder, file);
  if (!isZone(zone)) reading.faults.push(`${where}.zone: '${zone}' is no time zone that is known; write one like Europe/Berlin`);
  if (reading.beside?.test(file) === false) {
    reading.faults.push(`${where}: '${file}' is not beside the book; a bundle's book names nothing else`);
    return nothing;
  }
  try {
    const text = reading.series.get(file) ?? (await readFile(path, 'utf8'));
    reading.series.set(file, text);
    return unwrap(parseSeries(text, { zone: isZone(zone) ? zone : 'UTC', least, column }), `${where}: ${path}`, reading) ?? nothing;
  } catch (error) {
    reading.faults.push(`${where}: ${path} can't be read (${messageOf(error)})`);
    return nothing;
  }
}

async function tariffOf(text: SiteText['tariff'], currency: string, where: string, reading: Reading): Promise<Pick<SiteRates, 'period' | 'price' | 'demand'>> {
  if (!text) return { period: nothing, price: nothing, demand: null };
  if (text.currency !== undefined && text.currency !== currency) reading.faults.push(`${where}.currency: '${text.currency}' beside a book in ${currency}: there is one currency for all; convert the prices`);
  const zone = text.zone ?? 'UTC';
  if (!isZone(zone)) reading.faults.push(`${where}.zone: '${zone}' is no time zone that is known; write one like Europe/Berlin`);
  const demand: Demand | null = text.demand ? { pricePerKw: text.demand.pricePerKw, intervalSeconds: text.demand.interval, zone: isZone(zone) ? zone : 'UTC' } : null;
  if (text.demand && (text.demand.interval < 60 || 3600 % text.demand.interval !== 0)) reading.faults.push(`${where}.demand.interval: must divide an hour into whole minutes, e.g. 15m`);
  if (text.price !== undefined) return { period: always('flat'), price: always(text.price), demand };
  if (text.series) return { period: always('series'), price: await fileSeries(text.series, -Infinity, `${where}.series`, reading), demand };
  const periods = text.periods ?? [];
  const calendar = isZone(zone) ? unwrap(parseCalendar({ zone, holidays: text.holidays, periods }), where, reading) : undefined;
  const prices = new Map(periods.map(({ name, price }) => [name, price]));
  return { period: calendar ?? nothing, price: (span) => (calendar ?? nothing)(span).map((piece) => ({ ...piece, value: prices.get(piece.value ?? '') ?? null })), demand };
}

type IntensityText = NonNullable<NonNullable<SiteText['carbon']>['location']>;

async function intensityOf(text: IntensityText | undefined, where: string, reading: Reading): Promise<Provided> {
  if (text === undefined || text === 'untold') return undoubted(nothing);
  if (typeof text === 'number') return undoubted(always(text));
  if (!('provider' in text)) return undoubted(await fileSeries(text, 0, where, reading));
  const entry = entryOf(text, reading.folder);
  reading.providers.push(entry);
  if (reading.shelf) return reading.shelf.provided(entry);
  reading.faults.push(`${where}: what a provider tells is kept beside a store that is a file; name a folder with the setting ratesFolder`);
  return undoubted(nothing);
}

const steadyOf = (said: unknown): number | null | 'changes' => (typeof said === 'number' ? said : said === undefined ? null : 'changes');

/** What is doubted of either. */
const eitherDoubt = (location: Provided, market: Provided): Over<Doubt | null> => (span) => overlay(location.doubt(span), market.doubt(span), (one, other) => one ?? other);

async function siteOf(name: string, text: SiteText, currency: string, reading: Reading): Promise<SiteRates> {
  const where = `sites.${name}`;
  const { pue = 1, carbon, zone = text.tariff?.zone ?? null } = text;
  if (text.zone !== undefined && !isZone(text.zone)) reading.faults.push(`${where}.zone: '${text.zone}' is no time zone that is known; write one like Europe/Berlin`);
  const location = await intensityOf(carbon?.location, `${where}.carbon.location`, reading);
  const market = await intensityOf(carbon?.market, `${where}.carbon.market`, reading);
  return {
    zone,
    ...(await tariffOf(text.tariff, currency, `${where}.tariff`, reading)),
    pue: typeof pue === 'number' ? always(pue) : await fileSeries(pue, 1, `${where}.pue`, reading),
    location: location.value,
    market: market.value,
    doubt: carbon?.doubts ? doubtsOf(carbon.doubts) : eitherDoubt(location, market),
    steady: { price: text.tariff ? (text.tariff.price ?? 'changes') : null, pue: steadyOf(pue), location: steadyOf(carbon?.location), market: steadyOf(carbon?.market) },
  };
}

/**
 * @param beside names that its series may have, where nothing else may be opened
 * @throws UsageError with every fault, each naming its file and entry
 */
export async function readBook(file: string, shelf?: Shelf, beside?: RegExp): Promise<Book> {
  let text: string;
  let parsed: unknown;
  try {
    text = await readFile(file, 'utf8');
    parsed = parseYaml(text);
  } catch (error) {
    throw new UsageError([`${file}: ${messageOf(error)}`]);
  }
  const result = bookSchema.safeParse(parsed ?? {});
  if (!result.success) throw new UsageError(describeIssues(result.error, file));
  const { sites, ...rest } = result.data;
  const reading: Reading = { folder: dirname(resolve(file)), shelf, beside, providers: [], series: new Map(), faults: [] };
  const read = new Map<string, SiteRates>();
  for (const [name, site] of Object.entries(sites)) read.set(name, await siteOf(name, site, rest.currency, reading));
  if (reading.faults.length > 0) throw new UsageError(reading.faults.map((fault) => `${file}: ${fault}`));
  return { ...rest, sinks: rest.sinks.map((sink) => sinkBeside(sink, reading.folder)), sites: read, providers: reading.providers, source: { text, series: reading.series } };
}

/** The one that a setting names. @throws UsageError */
export async function bookOf(settings: Pick<CollectorSettings, 'book' | 'store' | 'ratesFolder'>, shelf?: Shelf): Promise<Book> {
  const folder = ratesFolderOf(settings);
  return settings.book === undefined ? EMPTY_BOOK : readBook(settings.book, shelf ?? (folder === undefined ? undefined : openShelf(folder)));
}
