/** Batches of a replay straight to a collector, in order, each until it is accepted. */
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { backoff } from './backoff.js';
import { httpTransport } from './http.js';

export interface DeliverOptions {
  readonly url: string;
  readonly token?: string | undefined;
  /** A person waits for it: how long one batch may be tried for. Sending it again later changes nothing twice. */
  readonly patience?: Seconds;
  readonly progress?: NodeJS.WritableStream | undefined;
}

/**
 * @returns how many batches were sent
 * @throws TelemetryError when a batch is rejected or the collector stays away
 */
export async function deliver(batches: AsyncIterable<Batch>, { patience = seconds(60), progress, ...collector }: DeliverOptions): Promise<number> {
  const transport = httpTransport(collector);
  const waits = backoff();
  const never = new AbortController().signal;
  let sent = 0;
  try {
    for await (const batch of batches) {
      const bytes = Buffer.from(encodeBatch(batch));
      const began = performance.now();
      for (let outcome = await transport.send(bytes, never); outcome.kind !== 'accepted'; outcome = await transport.send(bytes, never)) {
        const wait = outcome.kind === 'retry' ? (outcome.after ?? waits.next()) : seconds(Infinity);
        if ((performance.now() - began) / 1000 + wait > patience) {
          throw new TelemetryError(outcome.code, `Batch ${batch.sequence} did not reach the ${transport.description}: ${outcome.reason}. ${sent} batches did; run the same replay again to send the rest.`, 'abort');
        }
        await sleep(wait * 1000);
      }
      waits.reset();
      sent += 1;
      progress?.write(`\r${sent} batches sent`);
    }
    progress?.write('\n');
    return sent;
  } finally {
    await transport.close();
  }
}
