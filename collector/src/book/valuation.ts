/**
 * What a joule is worth at its place and time, from the book or as a question says. Where that is one worth for all of a
 * question's time and sites, sums are multiplied by it; where it changes, the store weighs them.
 */
import { epochMicros, fromEpochMicros, toIso } from '@joulebook/shared/units.js';
import type { Piece, Span } from '../rates/pieces.js';
import { sameDoubt } from '../rates/provided.js';
import { worthOver, type SiteRates, type Worth } from '../rates/site-rates.js';
import { UNTIMED_BEFORE_MICROS } from '../store/series.js';
import type { Weights } from '../store/store.js';
import { DEFAULT_SITE, type Book } from './book.js';

/** Said for all sites and times, in place of what the book says. */
export interface Overrides {
  readonly price: number | null;
  readonly pue: number | null;
  readonly carbon: number | null;
}

/** What a report has to say of the worth of its energy, a sentence each. */
export interface Doubts {
  /** Providers whose last value stands in, and how old it is. */
  readonly last: readonly string[];
  /** Providers that have told nothing of some of the time. */
  readonly untold: readonly string[];
  /** Some of the time was made up, and what changes over time is not known for it. */
  readonly untimed: boolean;
}
const NO_DOUBTS: Doubts = { last: [], untold: [], untimed: false };

export type Valuation = { readonly doubts: Doubts } & ({ readonly constant: Worth } | { readonly weights: Weights });

const PLAIN: Worth = { period: null, price: null, pue: 1, location: null, market: null, doubt: null };

const overridden = (worth: Worth, { price, pue, carbon }: Overrides): Worth => ({ ...worth, price: price ?? worth.price, pue: pue ?? worth.pue, location: carbon ?? worth.location, market: carbon === null ? worth.market : null, doubt: carbon === null ? worth.doubt : null });

const same = (a: Worth, b: Worth): boolean => a.price === b.price && a.pue === b.pue && a.location === b.location && a.market === b.market && sameDoubt(a.doubt, b.doubt);

/** In this order: J at the meter, money, g by location and by market, each per J; and 1 where the intensity is the last one, and where it is estimated. */
export function factorsOf({ price, pue, location, market, doubt }: Worth): readonly (number | null)[] {
  const perKwh = (value: number | null): number | null => (pue === null || value === null ? null : pue * value);
  return [pue, perKwh(price), perKwh(location), perKwh(market), doubt?.kind === 'last' ? 1 : 0, doubt?.kind === 'estimated' ? 1 : 0];
}
const FACTORS = 6;
/** Without those of doubts, where there are none. */
const SURE_FACTORS = 4;

/** Coarsest first. */
const GRIDS = [86_400e6, 3600e6, 900e6, 300e6, 60e6, 10e6, 1e6] as const;
export const gridOf = (changes: readonly number[]): number => GRIDS.find((grid) => changes.every((time) => time % grid === 0)) ?? 1;

const STEADY = ['price', 'pue', 'location', 'market'] as const;

/** Of time that was made up: what holds at all times. A price by the hour is not known where nobody knows the hour. */
function untimedWorth({ steady }: SiteRates, overrides: Overrides): { readonly worth: Worth; readonly isLess: boolean } {
  const known = (key: (typeof STEADY)[number]): number | null => (steady[key] === 'changes' ? null : steady[key]);
  const worth = overridden({ period: null, price: known('price'), pue: known('pue'), location: known('location'), market: known('market'), doubt: null }, overrides);
  const said = { price: overrides.price, pue: overrides.pue, location: overrides.carbon, market: overrides.carbon };
  return { worth, isLess: STEADY.some((key) => steady[key] === 'changes' && said[key] === null) };
}

interface SiteWorth {
  readonly site: string | null;
  /** Of the time that is no made-up one, if there is any. */
  readonly pieces: readonly Piece<Worth>[];
  readonly untimed: Worth | undefined;
  readonly isLess: boolean;
}

function siteWorth(site: string, rates: SiteRates, { from, to }: Span, isUntimed: boolean, overrides: Overrides): SiteWorth {
  const begin = epochMicros(Math.max(from, UNTIMED_BEFORE_MICROS));
  const pieces = begin < to ? worthOver(rates, { from: begin, to }).map((piece): Piece<Worth> => ({ ...piece, value: overridden(piece.value, overrides) })) : [];
  const { worth, isLess } = untimedWorth(rates, overrides);
  return { site: site === DEFAULT_SITE ? null : site, pieces, untimed: isUntimed ? worth : undefined, isLess: isUntimed && isLess };
}

function ageText(micros: number): string {
  const minutes = Math.max(1, Math.round(micros / 60e6));
  return minutes < 90 ? `${minutes} min` : `${Number((minutes / 60).toFixed(1))} h`;
}

function doubtsOf(pieces: readonly Piece<Worth>[], untimed: boolean): Doubts {
  const last = new Map<string, { readonly since: number; readonly age: number }>();
  const untold = new Set<string>();
  for (const { to, value: { doubt } } of pieces) {
    if (doubt?.kind === 'untold') untold.add(doubt.of);
    if (doubt?.kind === 'last' && to - doubt.since > (last.get(doubt.of)?.age ?? 0)) last.set(doubt.of, { since: doubt.since, age: to - doubt.since });
  }
  return { last: [...last].map(([of, { since, age }]) => `${of} has told it until ${toIso(fromEpochMicros(epochMicros(since)))}, ${ageText(age)} before the end of what it stands in for`), untold: [...untold], untimed };
}

/**
 * @param span of the question; undefined where there are no facts
 * @param isUntimed whether there are facts of made-up time too, which may be long before the span
 */
export function valuationOf({ sites }: Pick<Book, 'sites'>, overrides: Overrides, span: Span | undefined, isUntimed = span !== undefined && span.from < UNTIMED_BEFORE_MICROS): Valuation {
  const plain = overridden(PLAIN, overrides);
  if (span === undefined || span.to <= span.from || sites.size === 0) return { constant: plain, doubts: NO_DOUBTS };
  const bySite = [...sites].map(([site, rates]) => siteWorth(site, rates, span, isUntimed, overrides));
  if (!sites.has(DEFAULT_SITE)) bySite.push({ site: null, pieces: [{ ...span, value: plain }], untimed: plain, isLess: false });
  const doubts = doubtsOf(bySite.flatMap(({ pieces }) => pieces), bySite.some(({ isLess }) => isLess));
  const worths = bySite.flatMap(({ pieces, untimed }) => [...(untimed ? [untimed] : []), ...pieces.map(({ value }) => value)]);
  const [first = plain] = worths;
  if (worths.every((worth) => same(worth, first))) return { constant: { ...first, period: null }, doubts };
  const changes = bySite.flatMap(({ pieces }) => pieces.slice(1).map(({ from }) => from));
  // What began before the span but lies in its first cell is weighed as the cell.
  const grid = gridOf(changes);
  return {
    doubts,
    weights: {
      grid: epochMicros(grid), count: worths.some(({ doubt }) => doubt !== null) ? FACTORS : SURE_FACTORS,
      sites: bySite.map(({ site, pieces, untimed }) => ({
        site,
        pieces: [...(untimed ? [{ from: epochMicros(0), factors: factorsOf(untimed) }] : []), ...pieces.map(({ from, value }) => ({ from: epochMicros(Math.floor(from / grid) * grid), factors: factorsOf(value) }))],
      })),
    },
  };
}
