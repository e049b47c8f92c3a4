/** For tests of live power sources: runs one until it has said enough, with a real clock and a log that is kept. */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { instant } from '@joulebook/shared/units.js';
import { NO_BILL } from '../no-bill.testing.js';
import type { LivePower, PowerEvent, Reading } from '../source.js';

export interface Watched {
  readonly events: readonly PowerEvent[];
  /** Every line of the log, and every word of an error. */
  readonly logged: readonly string[];
  /** The error that ended the source: `CODE (remedy): sentence`. */
  readonly ended?: string;
}

const LONGEST_MS = 15_000;

/** @param until told all events so far; may act on the sensor and answer later */
export async function watch(source: LivePower, until: (events: readonly PowerEvent[]) => boolean | Promise<boolean>, environment: NodeJS.ProcessEnv = { PATH: process.env['PATH'] }, stop = new AbortController()): Promise<Watched> {
  const timer = setTimeout(() => stop.abort(), LONGEST_MS);
  const logged: string[] = [];
  const keep = (message: string, fields?: object): void => void logged.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const events: PowerEvent[] = [];
  let ended: string | undefined;
  try {
    for await (const event of source.events({ now: () => instant(Date.now() / 1000), environment, bill: NO_BILL, signal: stop.signal, log: { info: keep, warn: keep } })) {
      if (stop.signal.aborted) continue;
      events.push(event);
      if (await until(events)) stop.abort();
    }
  } catch (error) {
    if (!(error instanceof TelemetryError)) throw error;
    ended = `${error.code} (${error.remedy}): ${error.message}`;
  } finally {
    clearTimeout(timer);
  }
  return { events, logged, ...(ended !== undefined && { ended }) };
}

export const readingsOf = (events: readonly PowerEvent[], id?: string): Reading[] => events.filter((event) => event.kind === 'reading').filter(({ channel }) => id === undefined || channel.id === id);
/** Watts or µJ of each reading. */
export const valuesOf = (events: readonly PowerEvent[], id?: string): (number | bigint)[] => readingsOf(events, id).map((reading) => (reading.measures === 'power' ? reading.power : reading.total));
export const codesOf = (events: readonly PowerEvent[]): string[] => events.flatMap((event) => (event.kind === 'flagged' ? [event.code] : []));
/** The channels of the readings, by id. */
export const channelsOf = (events: readonly PowerEvent[]) => Object.fromEntries(readingsOf(events).map(({ channel }) => [channel.id, channel]));
