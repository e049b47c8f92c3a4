/**
 * The keys that only requests have, and how their values read.
 *
 *   band k of a count   2^k to 2^(k+1) − 1       inputBand 9 is "512–1023", concurrencyBand 0 is "1"
 */
import { bandOf } from '@joulebook/shared/slice.js';
import type { Dimension, Key } from '../store/store.js';

export const REQUEST_KEYS = ['request', 'inputBand', 'concurrencyBand', 'cached'] as const satisfies readonly Dimension[];
export type RequestKey = (typeof REQUEST_KEYS)[number];
export const isRequestKey = (key: Key): key is RequestKey => REQUEST_KEYS.some((known) => known === key);

/** Keys whose values are bands. */
export const isBandKey = (key: Key): key is 'inputBand' | 'concurrencyBand' => key === 'inputBand' || key === 'concurrencyBand';

/** What stands in the place of a request where energy belongs to none, in the order of rows. */
export const REST = ['(other requests)', '(active)', '(idle)', '(unknown)'] as const;
export type Rest = (typeof REST)[number];

const HIGHEST_BAND = 60;

/** A request of no input tokens is in band 0 with those of one; nobody runs beside fewer than one, itself. */
function bandLabel(key: RequestKey, band: string): string {
  if (key === 'concurrencyBand' && band === '0') return '1';
  const first = band === '0' ? 0n : 1n << BigInt(band);
  return `${first}–${(2n << BigInt(band)) - 1n}`;
}

/** A value of the key as a report shows it. */
export const shown = (key: Key, value: string | null): string | null => (isBandKey(key) && value !== null && /^\d+$/.test(value) ? bandLabel(key, value) : value);

/** `512–1023`, `512-1023`, or a count: the band that holds it. Undefined where that is no band. */
export function parseBand(key: RequestKey, text: string): string | undefined {
  const [, first, last] = /^(\d{1,19})(?:[-–](\d{1,19}))?$/.exec(text.trim()) ?? [];
  if (first === undefined) return undefined;
  const band = bandOf(Number(first));
  if (band > HIGHEST_BAND) return undefined;
  return last === undefined || bandLabel(key, String(band)) === `${BigInt(first)}–${BigInt(last)}` ? String(band) : undefined;
}

const natural = new Intl.Collator('en', { numeric: true });
/** Told ones as people count, then what belongs to none. */
export function compareRequestValues(a: string, b: string): number {
  const place = REST.findIndex((rest) => rest === a) - REST.findIndex((rest) => rest === b);
  return place !== 0 ? place : natural.compare(a, b);
}
