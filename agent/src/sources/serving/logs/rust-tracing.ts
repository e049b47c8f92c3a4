/**
 * What the logs of Dynamo and TGI have in common: both are written by Rust's `tracing`.
 *
 *     2026-03-04T05:06:07.890123Z  INFO target: message        readable: the time first, then the level
 *     {"time"|"timestamp":"2026-03-04T05:06:07.890123Z",…}     JSON
 *
 * The time is UTC unless the writer was told to use its own zone. A collector's stamp has the same shape and is taken off
 * with the wrappers, so a line may come without one.
 */
import type { Stamp } from './dialect.js';

const TIME = String.raw`(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d(?:\.\d+)?)(Z|[+-]\d\d:?\d\d)?`;
const BEFORE_LEVEL = new RegExp(String.raw`${TIME}\s+(?:TRACE|DEBUG|INFO|WARN|ERROR)\b`);
const ALONE = new RegExp(`^${TIME}$`);

export const stampOfLine = (text: string): Stamp | undefined => stampFrom(BEFORE_LEVEL.exec(text));
export const stampOfValue = (value: unknown): Stamp | undefined => (typeof value === 'string' ? stampFrom(ALONE.exec(value)) : undefined);

function stampFrom(match: RegExpExecArray | null): Stamp | undefined {
  if (!match) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number);
  return { year, month, day, hour, minute, second, zone: zoneOf(match[7]) };
}

function zoneOf(text: string | undefined): Stamp['zone'] {
  if (text === undefined) return undefined;
  if (text === 'Z') return 'utc';
  const minutes = Number(text.slice(1, 3)) * 60 + Number(text.slice(-2));
  return text.startsWith('-') ? -minutes : minutes;
}

/** A JSON object in a line; undefined where the line is none, or was cut. */
export function jsonRecord(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text.slice(text.indexOf('{')));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);
