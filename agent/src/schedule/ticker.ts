/**
 * Ticks on a fixed grid of monotonic time: the n-th tick is due at start + n × period, however late the others were.
 * (setInterval drifts by close to a second in twenty under load.) A tick that is missed altogether is skipped, not caught up.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Seconds } from '@joulebook/shared/units.js';

export interface Tick {
  /** Ticks that were due since the last one and did not happen. */
  readonly missed: number;
}

export async function* ticks(period: Seconds, options: { readonly monotonic: () => Seconds; readonly signal: AbortSignal }): AsyncGenerator<Tick> {
  const start = options.monotonic();
  let done = 0;
  while (!options.signal.aborted) {
    const due = start + (done + 1) * period;
    try {
      await sleep(Math.max(0, (due - options.monotonic()) * 1000), undefined, { signal: options.signal });
    } catch {
      return;
    }
    const passed = Math.max(done + 1, Math.floor((options.monotonic() - start) / period));
    yield { missed: passed - done - 1 };
    done = passed;
  }
}
