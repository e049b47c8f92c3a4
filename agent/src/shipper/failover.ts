/**
 * Several collectors as one. They must share a store: a batch is acknowledged by one of them and told to no other.
 *
 * The one that works is kept to. Where it can't be reached or fails, the batch goes to the next in the list at once. After a
 * while the first is tried again, with a batch. Being asked to slow down (429) is no reason to go elsewhere.
 */
import { systemClock, type Clock } from '@joulebook/shared/clock.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import type { SendOutcome, Transport } from './transport.js';

export interface FailoverOptions {
  /** How long another is kept to before the first is tried again. */
  readonly backAfter?: Seconds;
  readonly clock?: Pick<Clock, 'monotonic'>;
  readonly switched?: (to: Transport) => void;
}

export function failover(collectors: readonly Transport[], { backAfter = seconds(300), clock = systemClock, switched }: FailoverOptions = {}): Transport {
  const [only] = collectors;
  if (!only) throw new RangeError('at least one collector is needed');
  if (collectors.length === 1) return only;
  let current: Transport = only;
  let leftAt = clock.monotonic();

  const order = (): Transport[] => {
    const goBack = current !== only && clock.monotonic() - leftAt >= backAfter;
    if (goBack) leftAt = clock.monotonic();
    return [...new Set([...(goBack ? [only] : []), current, ...collectors])];
  };
  const keepTo = (collector: Transport): void => {
    if (collector === current) return;
    if (current === only) leftAt = clock.monotonic();
    current = collector;
    switched?.(collector);
  };

  return {
    description: collectors.map(({ description }) => description).join(', '),
    async send(batch, signal) {
      const failed: { readonly collector: Transport; readonly outcome: SendOutcome & { kind: 'retry' } }[] = [];
      for (const collector of order()) {
        const outcome = await collector.send(batch, signal);
        if (outcome.kind !== 'retry') {
          keepTo(collector);
          return outcome;
        }
        if (outcome.code === 'COLLECTOR_LIMITS' || signal.aborted) return outcome;
        failed.push({ collector, outcome });
      }
      const [first] = failed;
      const waits = failed.map(({ outcome }) => outcome.after ?? 0);
      return { kind: 'retry', code: first?.outcome.code ?? 'COLLECTOR_UNREACHABLE', reason: failed.map(({ collector, outcome }) => `${collector.description}: ${outcome.reason}`).join('; '), after: seconds(Math.min(...waits)) };
    },
    async close() {
      await Promise.all(collectors.map((collector) => collector.close()));
    },
  };
}
