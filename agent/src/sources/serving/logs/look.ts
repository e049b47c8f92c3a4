/** What a person wants to know of a live log before it is relied on: is it there, is it written to, is it what it is taken for. */
import { seconds } from '@joulebook/shared/units.js';
import { deadline } from '../../../schedule/signals.js';
import type { Examination, LiveContext } from '../../source.js';
import { zone, type Zone } from '../../timestamps.js';
import { liveClock } from './clock.js';
import type { LogContext, LogDialect, LogParser } from './dialect.js';
import { hostZone, learnZone } from './live-zone.js';
import { peel } from './peel.js';
import type { LogPlace } from './places.js';
import { which } from './which.js';

export interface Looked {
  readonly dialect: Pick<LogDialect, 'name' | 'isOf' | 'isCut'>;
  readonly parserOf: (context: LogContext) => LogParser;
  /** Whose log it may be instead. */
  readonly among: readonly LogDialect[];
  readonly place: LogPlace;
  readonly tz: Zone | undefined;
}

/** So long is waited for the first lines that a program prints. */
const LONGEST_SECONDS = seconds(3);

/** @throws TelemetryError when the program that prints it can't be run */
export async function lookAtLog({ dialect, parserOf, among, place, tz }: Looked, context: LiveContext): Promise<Examination> {
  const missing = await place.missing?.();
  if (missing !== undefined) return { ok: false, notes: [missing] };
  const clock = liveClock({ zone: tz, host: hostZone(), utc: zone('UTC') });
  const texts: string[] = [];
  const notes: string[] = [];
  for await (const { lines, caughtUp, old } of place.batches({ ...context, signal: deadline(context.signal, LONGEST_SECONDS) })) {
    for (const line of lines) if (line !== undefined) texts.push(peel(line).text);
    if (old !== undefined) {
      learnZone(lines, old, clock, dialect, parserOf, place.name);
      notes.push(`last written to ${ago(context.now() - old)} ago`);
    }
    if (caughtUp && texts.length > 0) break;
  }
  if (texts.length === 0) return { ok: true, notes: [...notes, 'nothing is in it yet'] };
  const asked = which(among);
  for (const text of texts) asked.see(text);
  const found = asked.dialect?.name;
  const mine = texts.filter((text) => dialect.isOf(text)).length;
  const of = `the last ${texts.length} lines`;
  if (mine === 0 && found !== undefined) return { ok: false, notes: [...notes, `none of ${of} is of ${dialect.name}; they look like ${found}`] };
  if (mine === 0) return { ok: true, notes: [...notes, `none of ${of} tells of work; the server may still be starting, or log too little`] };
  return { ok: true, notes: [...notes, `${mine} of ${of} tell of work (${found ?? dialect.name})`, ...(clock.zone === undefined ? [] : [`its stamps are taken as ${clock.zone}`])] };
}

function ago(time: number): string {
  const units = [['d', 86_400], ['h', 3600], ['min', 60]] as const;
  const [unit, length] = units.find(([, each]) => time >= 2 * each) ?? (['s', 1] as const);
  return `${Math.max(0, Math.round(time / length))} ${unit}`;
}
