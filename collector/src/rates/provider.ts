/**
 * Who tells the intensity of a grid: a company that measures or models it, asked over HTTP. Each kind is one file that knows its
 * addresses and fields (electricity-maps.ts, watttime.ts); all else is the same for every kind.
 */
import type { Seconds } from '@joulebook/shared/units.js';
import type { Span } from './pieces.js';

/** What was told of a time. */
export interface Reported extends Span {
  /** g CO2e per kWh, from 0 to MOST_GRAMS. */
  readonly grams: number;
  /** By a model of theirs, until they measure it. */
  readonly estimated: boolean;
}

export interface Failed {
  readonly kind: 'failed';
  /** Stable and greppable, e.g. `PROVIDER_REFUSES_TOKEN`. */
  readonly code: string;
  /** For a person, without a secret, so without any word of an answer that a secret may be: a server that is not theirs may answer with what it was sent. */
  readonly reason: string;
  /** How long they want to be left alone. */
  readonly after?: Seconds;
}
export interface Told {
  readonly kind: 'told';
  readonly reported: readonly Reported[];
  /** Values that no grid has, and which are in no piece. */
  readonly refused: number;
}

export interface Provider {
  /** The longest span of one question, µs. */
  readonly longest: number;
  /** What is known of the span; it may begin a little earlier. What they do not know is in no piece. Never throws. */
  fetch(zone: string, span: Span, signal: AbortSignal): Promise<Told | Failed>;
  close(): Promise<void>;
}

/** An entry of the book, its files by their whole paths. */
export type ProviderEntry =
  | { readonly provider: 'electricitymaps'; readonly zone: string; readonly url: string; readonly tokenFile: string; readonly lastGoodFor: number; readonly backfill: number }
  | { readonly provider: 'watttime'; readonly zone: string; readonly url: string; readonly user: string; readonly passwordFile: string; readonly signal: string; readonly lastGoodFor: number; readonly backfill: number };

export const nameOf = ({ provider, zone }: ProviderEntry): string => `${provider} ${zone}`;

/** g CO2e per kWh. No grid is far above 1,500 (old lignite); what tells more has another unit, or is broken. */
export const MOST_GRAMS = 5000;

/** Values that can be used, of times that begin before the end of what was asked. */
export function told(reported: readonly Reported[], { to }: Span): Told {
  const usable = reported.filter(({ grams }) => grams >= 0 && grams <= MOST_GRAMS);
  return { kind: 'told', reported: usable.filter(({ from }) => from < to), refused: reported.length - usable.length };
}
