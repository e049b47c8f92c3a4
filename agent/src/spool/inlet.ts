/**
 * Facts on their way to the spool. Measuring never waits for a disk:
 *
 *     agent ── put ──▶ memory, oldest first ──▶ spool
 *                      one being written, the rest gzipped, 16 MiB of them
 *
 * A disk that is slow, full, read-only or not there only makes the memory fill: it is tried again every few seconds, and what
 * waited is written in order. Meanwhile what waits goes straight to the collector, past the disk, as far as that takes it: under
 * a stream made for it, and a batch whose answer was lost keeps its name also when it comes to the spool in the end. When the
 * memory is full the oldest in it are given up, and stand in the loss account as soon as that can be written. What waits here
 * does not outlive the process.
 */
import { randomBytes } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { hostFacts, type HostFacts } from '@joulebook/shared/batch.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { slice, type Slice } from '@joulebook/shared/slice.js';
import { z } from 'zod';
import type { LiveContext } from '../sources/source.js';
import { contentOf, type Content } from './content.js';
import type { LostBatch } from './losses.js';
import type { Spool } from './spool.js';

export const MEMORY_BYTES = 16 * 1024 * 1024;
const TRY_AGAIN_MS = 5000;

/** What a batch will say, before it has a number. */
export interface Facts {
  readonly host?: HostFacts | undefined;
  readonly slices: readonly Slice[];
}

export interface InletOptions {
  /** Called again, later, when it throws a TelemetryError `retry`. */
  readonly open: () => Promise<Spool>;
  readonly encode: (sequence: number, stream: string, facts: Facts) => Uint8Array;
  /** Straight to the collector. `unknown`: it may have it or not; `refused`: it will never take it. */
  readonly past?: (batch: Uint8Array) => Promise<'taken' | 'refused' | 'unknown'>;
  /** These are on disk, or the collector has them. */
  readonly spooled: (facts: Facts) => Promise<void>;
  /** Something nobody foresaw: the agent can't go on. */
  readonly failed: (error: unknown) => void;
  readonly log: LiveContext['log'];
  readonly maxBytes?: number;
  readonly tryAgainMs?: number;
}

interface Waiting {
  readonly content: Content;
  readonly facts?: Facts;
  readonly packed?: Buffer;
}

const factsSchema = z.object({ host: hostFacts.optional(), slices: z.array(slice) });
const wholeOf = ({ facts, packed }: Waiting): Facts => facts ?? factsSchema.parse(JSON.parse(gunzipSync(packed ?? '').toString()));
const pack = (facts: Facts): Buffer => gzipSync(JSON.stringify(facts), { level: 1 });

export class Inlet {
  readonly #options: InletOptions;
  readonly #queue: Waiting[] = [];
  #spool: Spool | undefined;
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;
  /** Given up while there was no spool to account for it. */
  #lost: LostBatch[] = [];
  #trouble: string | undefined;
  #passing = false;
  /** Of the next batch that goes past the disk; `tried`: the collector may have it. */
  #name = { stream: randomBytes(16).toString('hex'), sequence: 0, tried: false };

  constructor(options: InletOptions) {
    this.#options = options;
  }

  /** What waits for the disk, and why. */
  get waiting(): { readonly batches: number; readonly bytes: number; readonly trouble: string | undefined } {
    return { batches: this.#queue.length, bytes: this.#bytes, trouble: this.#trouble };
  }

  /** Never waits and never fails. */
  put(facts: Facts): void {
    const content = contentOf(facts.slices);
    const packed = this.#queue.length > 0 ? pack(facts) : undefined;
    this.#queue.push(packed ? { content, packed } : { content, facts });
    this.#bytes += packed?.length ?? 0;
    this.#giveUpOldest();
    if (!this.#timer) void this.#write();
  }

  /** The last try: what the disk does not take now is lost, and said. */
  async finish(): Promise<void> {
    await this.#write();
    clearTimeout(this.#timer);
    if (this.#queue.length > 0) this.#options.log.warn(`${this.#queue.length} batches could not be written to the spool and are lost`, { reason: this.#trouble });
  }

  /** One at a time; resolves when all is written or the disk refuses. */
  #write(): Promise<void> {
    this.#writing ??= this.#writeAll()
      .catch((error: unknown) => this.#options.failed(error))
      .finally(() => (this.#writing = undefined));
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      for (let [next] = this.#queue; next; [next] = this.#queue) {
        await this.#writeOne(next);
        this.#shift();
      }
      if (this.#trouble !== undefined) this.#options.log.info('the spool can be written again');
      this.#trouble = undefined;
      this.#passing = false;
    } catch (error) {
      if (!(error instanceof TelemetryError) || error.remedy !== 'retry') throw error;
      if (this.#trouble === undefined) this.#options.log.warn(`${error.message} Measuring goes on; up to ${Math.round((this.#options.maxBytes ?? MEMORY_BYTES) / 1e6)} MB of batches wait in memory.`, { code: error.code });
      this.#trouble = messageOf(error);
      this.#packOldest();
      await this.#sendPast();
      this.#timer = setTimeout(() => void this.#write(), this.#options.tryAgainMs ?? TRY_AGAIN_MS).unref();
    }
  }

  #shift(): void {
    const gone = this.#queue.shift();
    this.#bytes -= gone?.packed?.length ?? 0;
  }

  /** In order, until the collector does not answer. */
  async #sendPast(): Promise<void> {
    const { past, encode, spooled, log } = this.#options;
    if (!past) return;
    let sent = 0;
    for (let [next] = this.#queue; next; [next] = this.#queue) {
      const whole = wholeOf(next);
      this.#name.tried = true;
      const outcome = await past(encode(this.#name.sequence, this.#name.stream, whole));
      if (outcome === 'unknown') break;
      this.#shift();
      this.#named();
      sent += 1;
      if (outcome === 'taken') await spooled(whole);
      else if (this.#spool) await this.#spool.lost([{ reason: 'rejected', content: next.content }]);
      else this.#lost.push({ reason: 'rejected', content: next.content });
    }
    if (sent > 0 && !this.#passing) log.info('the spool can not be written: batches go from memory to the collector');
    this.#passing ||= sent > 0;
  }

  /** The name is used up. */
  #named(): void {
    this.#name = { ...this.#name, sequence: this.#name.sequence + 1, tried: false };
  }

  async #writeOne(waiting: Waiting): Promise<void> {
    this.#spool ??= await this.#options.open();
    const spool = this.#spool;
    if (this.#lost.length > 0) await spool.lost(this.#lost.splice(0));
    const { content } = waiting;
    const whole = wholeOf(waiting);
    const { stream: its, sequence: number, tried } = this.#name;
    try {
      if (tried) await spool.appendNamed(this.#options.encode(number, its, whole));
      else await spool.append((sequence, stream) => this.#options.encode(sequence, stream, whole));
      if (tried) this.#named();
      await this.#options.spooled(whole);
    } catch (error) {
      if (!(error instanceof TelemetryError) || error.remedy !== 'discard') throw error;
      this.#options.log.warn(`a batch is lost: ${error.message}`, { code: error.code });
      await spool.lost([{ reason: 'memory', content }]);
    }
  }

  #packOldest(): void {
    const [oldest] = this.#queue;
    if (!oldest?.facts) return;
    const packed = pack(oldest.facts);
    this.#queue[0] = { content: oldest.content, packed };
    this.#bytes += packed.length;
  }

  /** The one that is being written stays. */
  #giveUpOldest(): void {
    const first = this.#writing ? 1 : 0;
    const given: LostBatch[] = [];
    while (this.#bytes > (this.#options.maxBytes ?? MEMORY_BYTES) && this.#queue.length > first) {
      const [gone] = this.#queue.splice(first, 1);
      if (!gone) break;
      if (first === 0 && this.#name.tried) this.#named();
      this.#bytes -= gone.packed?.length ?? 0;
      given.push({ reason: 'memory', content: gone.content });
    }
    if (given.length === 0) return;
    if (this.#spool) void this.#spool.lost(given).catch((error: unknown) => this.#options.failed(error));
    else this.#lost.push(...given);
  }
}
