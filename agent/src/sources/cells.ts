/**
 * A cell of a table → a number, a count or a time. Each result is the value, undefined where nothing was said, or a fault
 * in words. Words never quote text: a shifted row may hold a prompt where a number should be.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { Cell } from './table.js';
import { fromEpoch, parseInstant, type Zone } from './timestamps.js';

export interface Fault {
  readonly fault: string;
}
export type Read<T> = T | undefined | Fault;
export const isFault = <T>(read: Read<T>): read is Fault => typeof read === 'object' && read !== null && 'fault' in read;

/** What programs write for "no value". */
const ABSENT = /^(?:nan|null|none|n\/?a|\[n\/a\]|undefined|-)$/i;
const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
/** Made of digits and what stands in times: can be no prompt. */
const HARMLESS = /^[\d\s.,:+\-TZeE/]{1,40}$/;

export const isAbsent = (cell: Cell): boolean => cell === undefined || (typeof cell === 'string' && ABSENT.test(cell)) || (typeof cell === 'number' && Number.isNaN(cell));
const quote = (cell: Cell): string => (typeof cell === 'number' || (typeof cell === 'string' && HARMLESS.test(cell)) ? ` (${cell})` : '');

export function readNumber(cell: Cell): Read<number> {
  if (isAbsent(cell)) return undefined;
  const value = typeof cell === 'number' ? cell : typeof cell === 'string' && DECIMAL.test(cell) ? Number(cell) : Number.NaN;
  return Number.isFinite(value) ? value : { fault: `is not a number${quote(cell)}` };
}

/** Seconds, joules: can't be negative. */
export function readQuantity(cell: Cell): Read<number> {
  const value = readNumber(cell);
  return typeof value === 'number' && value < 0 ? { fault: `is negative${quote(cell)}` } : value;
}

/** Tokens, requests: `128` or `128.0`. */
export function readCount(cell: Cell): Read<number> {
  const value = readQuantity(cell);
  return typeof value === 'number' && !Number.isSafeInteger(value) ? { fault: `is not a whole number${quote(cell)}` } : value;
}

export function readInstant(cell: Cell, local: Zone, notBefore?: Instant): Read<Instant> {
  if (isAbsent(cell)) return undefined;
  const at = typeof cell === 'number' ? fromEpoch(cell) : typeof cell === 'string' ? parseInstant(cell, local, notBefore) : undefined;
  return at === undefined ? { fault: `is not a time${quote(cell)}` } : instant(at);
}

export const cellText = (cell: Cell): string | undefined => (isAbsent(cell) || typeof cell === 'object' ? undefined : String(cell));
