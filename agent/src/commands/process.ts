import { pino } from 'pino';
import { unlessAborted } from '../schedule/signals.js';
import type { LiveContext } from '../sources/source.js';

/** Aborts at the first SIGINT or SIGTERM. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  // `on`, not `once`: the helper that ends child processes kills this process when it finds itself the only listener.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort());
  return stop.signal;
}

/** Each time that a signal asks for the settings to be read again; what came while nobody waited counts once. */
export interface Hangups {
  /** False when the signal aborts. */
  next(signal: AbortSignal): Promise<boolean>;
}

/** SIGHUP ends no agent from here on. */
export function hangups(): Hangups {
  let pending = false;
  let wake: (() => void) | undefined;
  process.on('SIGHUP', () => {
    pending = true;
    wake?.();
  });
  return {
    async next(signal) {
      if (!pending && !signal.aborted) await unlessAborted(new Promise<void>((resolve) => (wake = resolve)), signal);
      const asked = pending && !signal.aborted;
      if (asked) pending = false;
      return asked;
    },
  };
}

export interface Log {
  readonly log: LiveContext['log'];
  readonly setLevel: (level: string) => void;
}

/** JSON lines on stderr. */
export function logTo(level: string): LiveContext['log'] {
  return openLog(level).log;
}

export function openLog(level: string): Log {
  const logger = pino({ level }, pino.destination({ fd: 2, sync: true }));
  return {
    log: { info: (message, fields) => logger.info(fields ?? {}, message), warn: (message, fields) => logger.warn(fields ?? {}, message) },
    setLevel(next) {
      logger.level = next;
    },
  };
}
