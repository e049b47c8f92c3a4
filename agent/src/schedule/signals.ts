/**
 * Signals of signals. AbortSignal.any and AbortSignal.timeout are not used for what lives long: on Node 20 what they return
 * may be collected before it fires, since nothing refers to it but the one who waits.
 */
import type { Seconds } from '@joulebook/shared/units.js';

/** Aborts with the first of several. */
export function either(...signals: readonly AbortSignal[]): AbortSignal {
  const controller = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) controller.abort();
    else signal.addEventListener('abort', () => controller.abort(), { once: true });
  }
  return controller.signal;
}

/** Aborts with a signal, or after a time if that is first. */
export function deadline(signal: AbortSignal, time: Seconds): AbortSignal {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), time * 1000);
  const first = either(signal, late.signal);
  first.addEventListener('abort', () => clearTimeout(timer), { once: true });
  return first;
}
