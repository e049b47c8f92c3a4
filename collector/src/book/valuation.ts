/**
 * What a joule is worth at its place and time, from the book or as a question says. Where that is one worth for all of a
 * question's time and sites, sums are multiplied by it; where it changes, the store weighs them.
 */
import { epochMicros } from '@joulebook/shared/units.js';
import type { Piece, Span } from '../rates/pieces.js';
import { worthOver, type Worth } from '../rates/site-rates.js';
import type { Weights } from '../store/store.js';
import { DEFAULT_SITE, type Book } from './book.js';

/** Said for all sites and times, in place of what the book says. */
export interface Overrides {
  readonly price: number | null;
  readonly pue: number | null;
  readonly carbon: number | null;
}

export type Valuation = { readonly constant: Worth } | { readonly weights: Weights };

const PLAIN: Worth = { period: null, price: null, pue: 1, location: null, market: null };

const overridden = (worth: Worth, { price, pue, carbon }: Overrides): Worth => ({ ...worth, price: price ?? worth.price, pue: pue ?? worth.pue, location: carbon ?? worth.location, market: carbon === null ? worth.market : null });

const same = (a: Worth, b: Worth): boolean => a.price === b.price && a.pue === b.pue && a.location === b.location && a.market === b.market;

/** In this order: J at the meter, money, g by location and by market, each per J. */
export function factorsOf({ price, pue, location, market }: Worth): readonly (number | null)[] {
  const perKwh = (value: number | null): number | null => (pue === null || value === null ? null : pue * value);
  return [pue, perKwh(price), perKwh(location), perKwh(market)];
}
export const FACTORS = 4;

/** Coarsest first. */
const GRIDS = [86_400e6, 3600e6, 900e6, 300e6, 60e6, 10e6, 1e6] as const;
export const gridOf = (changes: readonly number[]): number => GRIDS.find((grid) => changes.every((time) => time % grid === 0)) ?? 1;

/** @param span of the question; undefined where there are no facts */
export function valuationOf({ sites }: Pick<Book, 'sites'>, overrides: Overrides, span: Span | undefined): Valuation {
  const plain = overridden(PLAIN, overrides);
  if (span === undefined || span.to <= span.from || sites.size === 0) return { constant: plain };
  const bySite = [...sites].map(([site, rates]) => ({ site: site === DEFAULT_SITE ? null : site, pieces: worthOver(rates, span).map((piece): Piece<Worth> => ({ ...piece, value: overridden(piece.value, overrides) })) }));
  if (!sites.has(DEFAULT_SITE)) bySite.push({ site: null, pieces: [{ ...span, value: plain }] });
  const worths = bySite.flatMap(({ pieces }) => pieces.map(({ value }) => value));
  const [first = plain] = worths;
  if (worths.every((worth) => same(worth, first))) return { constant: { ...first, period: null } };
  const changes = bySite.flatMap(({ pieces }) => pieces.slice(1).map(({ from }) => from));
  // What began before the span but lies in its first cell is weighed as the cell.
  const grid = gridOf(changes);
  return {
    weights: {
      grid: epochMicros(grid), count: FACTORS,
      sites: bySite.map(({ site, pieces }) => ({ site, pieces: pieces.map(({ from, value }, index) => ({ from: index === 0 ? epochMicros(Math.floor(from / grid) * grid) : from, factors: factorsOf(value) })) })),
    },
  };
}

