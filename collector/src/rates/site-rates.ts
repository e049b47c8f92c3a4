/** What energy is worth at one site, at each moment: its price, the PUE that brings it there, and the carbon of the grid. */
import { joined, overlay, type Over, type Piece, type Span } from './pieces.js';
import { sameDoubt, type Doubt } from './provided.js';

/** Money for the highest mean power of a month, beside that for energy. */
export interface Demand {
  readonly pricePerKw: number;
  /** Over which power is averaged. */
  readonly intervalSeconds: number;
  /** Whose months are billed. */
  readonly zone: string;
}

export interface SiteRates {
  /** The name of the tariff's period. */
  readonly period: Over<string | null>;
  /** Per kWh at the meter, in the currency of the book; may be below 0. */
  readonly price: Over<number | null>;
  readonly pue: Over<number | null>;
  /** g CO2e per kWh of the grid, and of what is bought (contracts, certificates). */
  readonly location: Over<number | null>;
  readonly market: Over<number | null>;
  /** What holds at all times; null where nothing is said. */
  readonly steady: Readonly<Record<'price' | 'pue' | 'location' | 'market', number | null | 'changes'>>;
  /** How sure both are. */
  readonly doubt: Over<Doubt | null>;
  readonly demand: Demand | null;
  /** By whose calendar its months are; null where the book says none. */
  readonly zone: string | null;
}

/** Null: not known at that time. */
export interface Worth {
  readonly period: string | null;
  readonly price: number | null;
  readonly pue: number | null;
  readonly location: number | null;
  readonly market: number | null;
  readonly doubt: Doubt | null;
}

const same = (a: Worth, b: Worth): boolean => a.period === b.period && a.price === b.price && a.pue === b.pue && a.location === b.location && a.market === b.market && sameDoubt(a.doubt, b.doubt);

export function worthOver(rates: SiteRates, span: Span): Piece<Worth>[] {
  const priced = overlay(rates.period(span), rates.price(span), (period, price) => ({ period, price }));
  const facility = overlay(priced, rates.pue(span), (before, pue) => ({ ...before, pue }));
  const located = overlay(facility, rates.location(span), (before, location) => ({ ...before, location }));
  const both = overlay(located, rates.market(span), (before, market) => ({ ...before, market }));
  return joined(overlay(both, rates.doubt(span), (before, doubt) => ({ ...before, doubt })), same);
}
