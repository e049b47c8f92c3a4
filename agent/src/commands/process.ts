import { pino } from 'pino';
import type { LiveContext } from '../sources/source.js';

/** Aborts at the first SIGINT or SIGTERM. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  // `on`, not `once`: the helper that ends child processes kills this process when it finds itself the only listener.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort());
  return stop.signal;
}

/** JSON lines on stderr. */
export function logTo(level: string): LiveContext['log'] {
  const logger = pino({ level }, pino.destination({ fd: 2, sync: true }));
  return { info: (message, fields) => logger.info(fields ?? {}, message), warn: (message, fields) => logger.warn(fields ?? {}, message) };
}

/** Resolves, to nothing, when the signal aborts: what is still starting is not waited for. */
export const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
