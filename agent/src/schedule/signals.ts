/**
 * Signals of signals. AbortSignal.any and AbortSignal.timeout are not used for what lives long: on Node 20 what they return
 * may be collected before it fires, since nothing refers to it but the one who waits.
 */
import type { Seconds } from '@joulebook/shared/units.js';

/** Aborts with the first of several; then the others, which may live for as long as the process, are not listened to any more. */
export function either(...signals: readonly AbortSignal[]): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => {
    for (const signal of signals) signal.removeEventListener('abort', abort);
    controller.abort();
  };
  for (const signal of signals) signal.addEventListener('abort', abort, { once: true });
  if (signals.some(({ aborted }) => aborted)) abort();
  return controller.signal;
}

/** What the work gives, or nothing where the signal aborts first: what is still under way is not waited for. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(undefined);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** Aborts with a signal, or after a time if that is first. */
export function deadline(signal: AbortSignal, time: Seconds): AbortSignal {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), time * 1000);
  const first = either(signal, late.signal);
  first.addEventListener('abort', () => clearTimeout(timer), { once: true });
  return first;
}
