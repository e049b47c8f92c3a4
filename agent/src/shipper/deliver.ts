/** Batches of a replay straight to a collector, in order, each until it is accepted. */
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { backoff } from './backoff.js';
import { transportTo, type Collectors } from './collectors.js';
import type { SendOutcome } from './transport.js';

export interface DeliverOptions {
  readonly collectors: Collectors;
  /** A person waits for it: how long one batch may be tried for. Sending it again later changes nothing twice. */
  readonly patience?: Seconds;
  readonly progress?: NodeJS.WritableStream | undefined;
}

export interface Delivered {
  readonly batches: number;
  /** Those of them that the collector said it had already. */
  readonly duplicates: number;
}

/** @throws TelemetryError when a batch is rejected or the collector stays away */
export async function deliver(batches: AsyncIterable<Batch>, { collectors, patience = seconds(60), progress }: DeliverOptions): Promise<Delivered> {
  const transport = transportTo(collectors);
  const waits = backoff();
  const never = new AbortController().signal;
  let [sent, duplicates] = [0, 0];
  try {
    for await (const batch of batches) {
      const bytes = Buffer.from(encodeBatch(batch));
      const began = performance.now();
      let outcome = await transport.send(bytes, never);
      for (; outcome.kind !== 'accepted'; outcome = await transport.send(bytes, never)) {
        const wait = outcome.kind === 'retry' ? (outcome.after ?? waits.next()) : seconds(Infinity);
        if ((performance.now() - began) / 1000 + wait > patience) {
          const reason = outcome.reason.replace(/\.$/, '');
          throw new TelemetryError(outcome.code, `Batch ${batch.sequence} did not reach the ${transport.description}: ${reason}. ${sent} batches did. ${remedyOf(outcome)}`, 'abort');
        }
        await sleep(wait * 1000);
      }
      waits.reset();
      sent += 1;
      if (outcome.duplicate === true) duplicates += 1;
      progress?.write(`\r${sent} batches sent`);
    }
    progress?.write('\n');
    return { batches: sent, duplicates };
  } finally {
    await transport.close();
  }
}

/** What the collector's retention has summed up is closed for good, also where it is told to keep more from now on. */
function remedyOf(outcome: Exclude<SendOutcome, { readonly kind: 'accepted' }>): string {
  if (outcome.kind === 'retry') return 'Run the same replay again to send the rest.';
  if (outcome.said !== 'FACTS_TOO_OLD') return 'It would be rejected again: mend what the reason names, then run the same replay again.';
  return "That collector will not take them: leave them out with --from, send all to one with a store of its own and 'retentionRaw: forever', or read the recording without one: joulebook-agent replay DIR | joulebook report -";
}
