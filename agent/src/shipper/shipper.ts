/**
 * Spool → collector: oldest first, one at a time, acknowledged to the spool only when the collector has it.
 * A batch that will never be taken is kept in `rejected/` and counted; it does not hold up those behind it.
 * A change of state (collector lost, refused, back) is logged once; the rest is counted.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import type { LiveContext } from '../sources/source.js';
import type { Spool, SpoolRecord } from '../spool/spool.js';
import { backoff, type Backoff } from './backoff.js';
import { keepRejected } from './rejected.js';
import type { SendOutcome, Transport } from './transport.js';

export interface ShipperOptions {
  readonly spool: Spool;
  readonly transport: Transport;
  readonly log: LiveContext['log'];
  /** Where rejected batches are kept; default: `rejected` beside the spool. */
  readonly rejectedDirectory?: string;
  readonly backoff?: Backoff;
}

export interface ShipperCounts {
  readonly accepted: number;
  readonly rejected: number;
  /** Sendings that have to be repeated. */
  readonly retried: number;
}

export const shipper = (options: ShipperOptions): Shipper => new Shipper(options);

export class Shipper {
  readonly #spool: Spool;
  readonly #transport: Transport;
  readonly #log: LiveContext['log'];
  readonly #rejectedDirectory: string;
  readonly #backoff: Backoff;
  readonly #counts = { accepted: 0, rejected: 0, retried: 0 };
  /** The code of what is wrong now; undefined while all is well. */
  #trouble: string | undefined;
  #rejecting = false;
  /** Batches from here on carry the stream that was begun after the last conflict. */
  #renewedAt = 0;

  constructor({ spool, transport, log, rejectedDirectory = join(spool.directory, '..', 'rejected'), backoff: waits = backoff() }: ShipperOptions) {
    this.#spool = spool;
    this.#transport = transport;
    this.#log = log;
    this.#rejectedDirectory = rejectedDirectory;
    this.#backoff = waits;
  }

  get counts(): ShipperCounts {
    return { ...this.#counts };
  }

  /** Ships until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const end = this.#spool.nextPosition;
      const wait = await this.#shipNext(signal);
      if (wait === 'nothing to ship') await this.#spool.appended(end, signal);
      else if (wait > 0) await sleep(wait * 1000, undefined, { signal }).catch(() => undefined);
    }
  }

  /** The last try before the agent ends; only after `run` has ended. What does not go out within the limit stays in the spool. */
  async flushOnce(limit: Seconds): Promise<{ readonly pending: number }> {
    const signal = AbortSignal.timeout(limit * 1000);
    for (;;) {
      const wait = await this.#shipNext(signal);
      if (wait !== 0 || signal.aborted) return { pending: this.#spool.pending.records };
    }
  }

  /** @returns how long to wait before the next one */
  async #shipNext(signal: AbortSignal): Promise<Seconds | 'nothing to ship'> {
    try {
      const record = await this.#spool.next();
      if (!record) return 'nothing to ship';
      const outcome = await this.#transport.send(record.payload, signal);
      return await this.#settle(record, outcome, signal);
    } catch (error) {
      // The disk refuses: the batch is where it was, or was accepted and will be sent once more.
      this.#say('SPOOL', 'The spool can not be read or written; shipping goes on when it can.', { reason: messageOf(error) });
      return this.#backoff.next();
    }
  }

  async #settle(record: SpoolRecord, outcome: SendOutcome, signal: AbortSignal): Promise<Seconds> {
    if (outcome.kind === 'retry') {
      if (signal.aborted) return seconds(0);
      this.#counts.retried += 1;
      this.#say(outcome.code, `${this.#transport.description} does not take batches; they are kept in the spool.`, { reason: outcome.reason, pending: this.#spool.pending.records });
      // The jitter comes on top of what was asked for: all agents were told the same.
      return seconds((outcome.after ?? 0) + this.#backoff.next());
    }
    if (outcome.kind === 'rejected') await this.#putAside(record, outcome);
    await this.#spool.acknowledge(record.position);
    this.#backoff.reset();
    this.#counts[outcome.kind] += 1;
    if (this.#trouble !== undefined) this.#log.info(`${this.#transport.description} takes batches again.`, { pending: this.#spool.pending.records });
    this.#trouble = undefined;
    if (outcome.kind === 'accepted') this.#rejecting = false;
    return seconds(0);
  }

  async #putAside(record: SpoolRecord, { code, reason }: { code: string; reason: string }): Promise<void> {
    const name = `${this.#spool.stream}-${record.position}`;
    const deleted = await keepRejected(this.#rejectedDirectory, name, record.payload, `${code}: ${reason}`);
    if (!this.#rejecting) this.#log.warn(`${this.#transport.description} rejects batches; they are kept in ${this.#rejectedDirectory}.`, { code, reason, first: name });
    if (deleted > 0) this.#log.warn(`${this.#rejectedDirectory} is full: the oldest rejected batches were deleted.`, { deleted });
    this.#rejecting = true;
    if (code === 'STREAM_CONFLICT' && record.position >= this.#renewedAt) {
      const stream = await this.#spool.renewStream();
      this.#renewedAt = this.#spool.nextPosition;
      this.#log.warn('The collector holds other content under the same stream and sequence (was a spool restored from a copy?); a new stream was begun.', { stream });
    }
  }

  #say(code: string, message: string, fields: object): void {
    if (this.#trouble !== code) this.#log.warn(message, { code, ...fields });
    this.#trouble = code;
  }
}
