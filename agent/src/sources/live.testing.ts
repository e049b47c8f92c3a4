/** For the tests of live sources: a context, and what a source says until something has been seen. */
import { instant } from '@joulebook/shared/units.js';
import { NO_BILL } from './no-bill.testing.js';
import type { LiveContext, LivePower, PowerEvent } from './source.js';

export interface Observed {
  readonly events: readonly PowerEvent[];
  readonly logged: readonly string[];
}

/** Longer than any source needs, shorter than a test may take. */
const PATIENCE_MS = 15_000;

/** Reads until `until` is true of what was said so far, then aborts and waits for the end. */
export async function observe(source: LivePower, until: (events: readonly PowerEvent[]) => boolean | Promise<boolean>, given: Partial<LiveContext> = {}, patienceMs = PATIENCE_MS): Promise<Observed> {
  const stop = new AbortController();
  const late = setTimeout(() => stop.abort(), patienceMs);
  const logged: string[] = [];
  const log = { info: (message: string, fields?: object) => void logged.push(`info ${message} ${JSON.stringify(fields ?? {})}`), warn: (message: string, fields?: object) => void logged.push(`warn ${message} ${JSON.stringify(fields ?? {})}`) };
  const context: LiveContext = { now: () => instant(Date.now() / 1000), environment: {}, bill: NO_BILL, log, ...given, signal: stop.signal };
  const events: PowerEvent[] = [];
  try {
    for await (const event of source.events(context)) {
      if (stop.signal.aborted) continue;
      events.push(event);
      if (await until(events)) stop.abort();
    }
  } finally {
    clearTimeout(late);
  }
  return { events, logged };
}

type Reading = Extract<PowerEvent, { kind: 'reading' }>;
export const readingsOf = (events: readonly PowerEvent[]): Reading[] => events.filter((event) => event.kind === 'reading');
export const wattsOf = (events: readonly PowerEvent[], device?: string): number[] =>
  readingsOf(events).flatMap((event) => (event.measures === 'power' && (device === undefined || event.channel.device === device) ? [event.power] : []));
export const totalsOf = (events: readonly PowerEvent[], device?: string): bigint[] =>
  readingsOf(events).flatMap((event) => (event.measures === 'counter' && (device === undefined || event.channel.device === device) ? [event.total] : []));
export const flagsOf = (events: readonly PowerEvent[]) => events.filter((event) => event.kind === 'flagged');
