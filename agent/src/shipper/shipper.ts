/**
 * Spool → collector, in two lanes with one sending under way in each:
 *
 *     spool   │ 0 … backlog … 611 │ 612 … live … │
 *               ▲ oldest first      ▲ as they are made
 *
 * - live: what is made from now on. After a failure the newest goes first, then what was made since; what was made before
 *   becomes backlog: a live batch is late by one wait, however much there is to catch up with.
 * - backlog: what is older, at no more than a set pace and resting as long as each sending took, so that it leaves the
 *   collector room for live data, its own and others'. One that fails is passed over until the others were tried.
 *
 * A batch is acknowledged to the spool only when the collector has it. One that will never be taken is kept in `rejected/` and
 * put into the loss account. One whose number the collector knows with other content goes out under another name.
 * A change of state (collector lost, refused, back) is logged once; the rest is counted.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import type { LiveContext } from '../sources/source.js';
import type { Loss } from '../spool/losses.js';
import type { Spool, SpoolRecord } from '../spool/spool.js';
import { backoff, type Backoff } from './backoff.js';
import { keepRejected } from './rejected.js';
import { underName } from './rename.js';
import type { SendOutcome, Transport } from './transport.js';

export interface ShipperOptions {
  readonly spool: Spool;
  readonly transport: Transport;
  readonly log: LiveContext['log'];
  /** The batch that tells the collector of losses. */
  readonly lossBatch: (sequence: number, stream: string, losses: readonly Loss[]) => Uint8Array;
  /** Where rejected batches are kept; default: `rejected` beside the spool. */
  readonly rejectedDirectory?: string;
  /** Backlog batches per second at most. */
  readonly catchUpRate?: number;
  /** Called for each lane. */
  readonly backoff?: () => Backoff;
}

export interface ShipperCounts {
  readonly accepted: number;
  readonly rejected: number;
  /** Sendings that have to be repeated. */
  readonly retried: number;
}

type Lane = 'live' | 'backlog';
/** What became of one look into the spool: how long to wait before the next, and where the batch stood if it is to be sent again. */
interface Shipped {
  readonly wait: Seconds;
  readonly failedAt?: number;
}

const CATCH_UP_RATE = 100;
/** A conflict under a new random name is a fault of the collector. */
const MOST_NAMES = 3;
const AT_ONCE: Shipped = { wait: seconds(0) };

export const shipper = (options: ShipperOptions): Shipper => new Shipper(options);

export class Shipper {
  readonly #spool: Spool;
  readonly #transport: Transport;
  readonly #log: LiveContext['log'];
  readonly #lossBatch: ShipperOptions['lossBatch'];
  readonly #rejectedDirectory: string;
  readonly #leastPause: number;
  readonly #waits: Readonly<Record<Lane, Backoff>>;
  readonly #counts = { accepted: 0, rejected: 0, retried: 0 };
  /** What is wrong now, by lane; empty while all is well. */
  readonly #trouble = new Map<Lane, string>();
  readonly #names = new Map<number, number>();
  /** From here on it is live. */
  #liveFrom: number;
  #rejecting = false;
  /** Batches from here on carry the stream that was begun after the last conflict. */
  #renewedAt = 0;
  #wake: (() => void)[] = [];

  constructor({ spool, transport, log, lossBatch, rejectedDirectory = join(spool.directory, '..', 'rejected'), catchUpRate = CATCH_UP_RATE, backoff: waits = backoff }: ShipperOptions) {
    this.#spool = spool;
    this.#transport = transport;
    this.#log = log;
    this.#lossBatch = lossBatch;
    this.#rejectedDirectory = rejectedDirectory;
    this.#leastPause = 1 / catchUpRate;
    this.#waits = { live: waits(), backlog: waits() };
    this.#liveFrom = spool.nextPosition;
  }

  get counts(): ShipperCounts {
    return { ...this.#counts };
  }

  /** Ships until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#shipLive(signal), this.#shipBacklog(signal)]);
  }

  /** The last try before the agent ends; only after `run` has ended. What does not go out within the limit stays in the spool. */
  async flushOnce(limit: Seconds): Promise<{ readonly pending: number }> {
    const signal = AbortSignal.timeout(limit * 1000);
    for (;;) {
      const shipped = (await this.#shipOne('live', { from: this.#liveFrom }, signal)) ?? (await this.#shipOne('backlog', {}, signal));
      if (!shipped || shipped.failedAt !== undefined || shipped.wait > 0 || signal.aborted) return { pending: this.#spool.pending.records };
    }
  }

  async #shipLive(signal: AbortSignal): Promise<void> {
    let newestFirst = false;
    while (!signal.aborted) {
      const end = this.#spool.nextPosition;
      const shipped = await this.#shipOne('live', { from: newestFirst ? Math.max(this.#liveFrom, end - 1) : this.#liveFrom }, signal);
      newestFirst = shipped !== undefined && shipped.wait > 0;
      if (!shipped) await this.#spool.appended(end, signal);
      else if (newestFirst) {
        await pause(shipped.wait, signal);
        // What was made since the failure may have been made when the collector was back.
        this.#liveFrom = Math.max(this.#liveFrom, Math.min(end, this.#spool.nextPosition - 1));
      }
      for (const wake of this.#wake.splice(0)) wake();
    }
  }

  async #shipBacklog(signal: AbortSignal): Promise<void> {
    let from = 0;
    while (!signal.aborted) {
      const began = performance.now();
      const shipped = this.#trouble.has('live') ? undefined : await this.#shipOne('backlog', { from, below: this.#liveFrom }, signal);
      if (!shipped && from > 0) from = 0;
      else if (!shipped) await this.#liveMoved(signal);
      else {
        from = shipped.failedAt === undefined ? from : shipped.failedAt + 1;
        const took = (performance.now() - began) / 1000;
        await pause(Math.max(shipped.wait, took, this.#leastPause - took), signal);
      }
    }
  }

  /** @returns undefined when there is nothing to ship */
  async #shipOne(lane: Lane, range: { readonly from?: number; readonly below?: number }, signal: AbortSignal): Promise<Shipped | undefined> {
    let record: SpoolRecord | undefined;
    try {
      record = await this.#spool.take(range);
      if (!record) return undefined;
      const payload = record.renamed ? await underName(record.payload, record.renamed) : record.payload;
      return await this.#settle(lane, record, await this.#transport.send(payload, signal), signal);
    } catch (error) {
      // The disk refuses: the batch is where it was, or was accepted and will be sent once more.
      this.#say(lane, 'SPOOL', 'The spool can not be read or written; shipping goes on when it can.', { reason: messageOf(error) });
      return { wait: this.#waits[lane].next(), ...(record && { failedAt: record.position }) };
    } finally {
      if (record) this.#spool.release(record.position);
    }
  }

  async #settle(lane: Lane, record: SpoolRecord, outcome: SendOutcome, signal: AbortSignal): Promise<Shipped> {
    if (outcome.kind === 'retry') {
      if (signal.aborted) return AT_ONCE;
      this.#counts.retried += 1;
      this.#say(lane, outcome.code, `${this.#transport.description} does not take batches; they are kept in the spool.`, { reason: outcome.reason, pending: this.#spool.pending.records });
      // The jitter comes on top of what was asked for: all agents were told the same.
      return { wait: seconds((outcome.after ?? 0) + this.#waits[lane].next()), failedAt: record.position };
    }
    if (outcome.kind === 'rejected') {
      if (outcome.code === 'STREAM_CONFLICT' && (await this.#givenAnotherName(record.position))) return AT_ONCE;
      await this.#putAside(record, outcome);
    } else await this.#spool.acknowledge(record.position);
    this.#names.delete(record.position);
    this.#counts[outcome.kind] += 1;
    this.#works(lane);
    if (outcome.kind === 'accepted') {
      this.#rejecting = false;
      await this.#spool.tellLosses(this.#lossBatch);
    }
    return AT_ONCE;
  }

  /** The collector holds other content under its number; this is stored nowhere yet. */
  async #givenAnotherName(position: number): Promise<boolean> {
    if (position >= this.#renewedAt) {
      const stream = await this.#spool.renewStream();
      this.#renewedAt = this.#spool.nextPosition;
      this.#log.warn('The collector holds other content under the same stream and sequence (was a spool restored from a copy, or the machine cloned?); a new stream was begun.', { stream });
    }
    const names = (this.#names.get(position) ?? 0) + 1;
    if (names > MOST_NAMES) return false;
    this.#names.set(position, names);
    await this.#spool.rename(position);
    return true;
  }

  async #putAside({ position, payload }: SpoolRecord, { code, reason }: { code: string; reason: string }): Promise<void> {
    const name = `${this.#spool.stream}-${position}`;
    const deleted = await keepRejected(this.#rejectedDirectory, name, payload, `${code}: ${reason}`);
    await this.#spool.refuse(position, payload);
    if (!this.#rejecting) this.#log.warn(`${this.#transport.description} rejects batches; they are kept in ${this.#rejectedDirectory}.`, { code, reason, first: name });
    if (deleted > 0) this.#log.warn(`${this.#rejectedDirectory} is full: the oldest rejected batches were deleted.`, { deleted });
    this.#rejecting = true;
  }

  #works(lane: Lane): void {
    this.#waits[lane].reset();
    if (this.#trouble.delete(lane) && this.#trouble.size === 0) this.#log.info(`${this.#transport.description} takes batches again.`, { pending: this.#spool.pending.records });
  }

  #say(lane: Lane, code: string, message: string, fields: object): void {
    const known = [...this.#trouble.values()].includes(code);
    this.#trouble.set(lane, code);
    if (!known) this.#log.warn(message, { code, ...fields });
  }

  /** Resolves when the live lane has done something, or when the signal aborts. */
  #liveMoved(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = (): void => {
        signal.removeEventListener('abort', done);
        resolve();
      };
      signal.addEventListener('abort', done, { once: true });
      this.#wake.push(done);
    });
  }
}

const pause = (time: number, signal: AbortSignal): Promise<void> => sleep(time * 1000, undefined, { signal }).catch(() => undefined);
