/** A JSON answer of a device: paths into it, and numbers out of it. Faults name the path and never quote the text. */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { readNumber, type Read } from '../cells.js';

/** @throws TelemetryError NOT_JSON (`retry`: devices send half pages while they start) */
export function parseJson(text: string, where: string): unknown {
  try {
    const document: unknown = JSON.parse(text);
    return document;
  } catch {
    throw new TelemetryError('NOT_JSON', `${where} did not answer with JSON; check the address and the profile.`, 'retry');
  }
}

export const fieldsOf = (value: unknown): ReadonlyMap<string, unknown> => (typeof value === 'object' && value !== null && !Array.isArray(value) ? new Map<string, unknown>(Object.entries(value)) : new Map());
export const itemsOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

const STEP = /\[(\d+)\]|\["([^"]*)"\]|([^.[\]]+)/g;

/** `a.b[0].c`; a name with dots is written `["a.b"]`. */
export function valueAt(document: unknown, path: string): unknown {
  let value = document;
  for (const [, index, quoted, plain] of path.matchAll(STEP)) value = index === undefined ? fieldsOf(value).get(quoted ?? plain ?? '') : itemsOf(value)[Number(index)];
  return value;
}

/** A number, or text that is one; null and "nan" say nothing. */
export function numberOf(value: unknown): Read<number> {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'number' || typeof value === 'string' ? readNumber(value) : { fault: 'is no number' };
}
export const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
