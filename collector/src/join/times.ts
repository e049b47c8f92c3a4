/** Times as people and scripts write them ⇄ integer microseconds. */
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';

const EPOCH = /^(\d{1,10})(?:\.(\d+))?$/;
const ISO = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?(Z|[+-]\d\d:?\d\d)$/;

/** Digits after the decimal point of a second → microseconds, the rest cut off. */
const fractionMicros = (digits: string | undefined): number => Number((digits ?? '').slice(0, 6).padEnd(6, '0'));

/** ISO 8601 with a zone, or epoch seconds; undefined if it is neither. */
export function parseTime(text: string): EpochMicros | undefined {
  const trimmed = text.trim();
  const epoch = EPOCH.exec(trimmed);
  if (epoch) return epochMicros(Number(epoch[1]) * 1e6 + fractionMicros(epoch[2]));
  const iso = ISO.exec(trimmed);
  if (!iso) return undefined;
  const [, date, clock, fraction, zone = 'Z'] = iso;
  const offset = zone === 'Z' ? zone : `${zone.slice(0, 3)}:${zone.slice(-2)}`;
  const milliseconds = Date.parse(`${date}T${clock}${offset}`);
  return Number.isNaN(milliseconds) || milliseconds < 0 ? undefined : epochMicros(milliseconds * 1e3 + fractionMicros(fraction));
}

/** `2026-01-01T00:00:00.250Z`, with microseconds where there are any. */
export function formatTime(at: EpochMicros): string {
  const micros = at % 1e3;
  const iso = new Date((at - micros) / 1e3).toISOString();
  return micros === 0 ? iso : `${iso.slice(0, -1)}${String(micros).padStart(3, '0')}Z`;
}
