/**
 * Does the store take batches? The last one tells. Where it was not stored, and nobody sends any more because this collector said so, the
 * store is tried out while somebody asks: with what is no fact.
 */
import type { FastifyBaseLogger } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import { messageOf } from '@joulebook/shared/errors.js';
import { toIso, type Instant } from '@joulebook/shared/units.js';
import type { Store } from '../store/store.js';

const TRY_EVERY_SECONDS = 5;
const FULL = /no space left|disk (?:is )?full|ENOSPC|quota/i;

export class StoreHealth {
  readonly #store: Pick<Store, 'probe'>;
  readonly #clock: Clock;
  readonly #log: FastifyBaseLogger;
  #failing: { readonly since: Instant; readonly full: boolean } | undefined;
  #triedAt = -Infinity;
  #trying = false;

  constructor(store: Pick<Store, 'probe'>, clock: Clock, log: FastifyBaseLogger) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
  }

  stored(): void {
    if (this.#failing) this.#log.info('the store takes batches again');
    this.#failing = undefined;
  }

  failed(error: unknown): void {
    const full = FULL.test(messageOf(error));
    if (!this.#failing) this.#log.error({ error: messageOf(error) }, 'the store does not take batches; agents are told to retry');
    this.#failing = { since: this.#failing?.since ?? this.#clock.wall(), full };
  }

  /** In words that anybody may read, without waiting for the store; undefined where it takes batches. Asking tries it out. */
  trouble(): string | undefined {
    if (!this.#failing) return undefined;
    const { since, full } = this.#failing;
    if (!this.#trying && this.#clock.monotonic() - this.#triedAt >= TRY_EVERY_SECONDS) void this.#try();
    return `No batch could be stored since ${toIso(since)}${full ? ': its disk is full' : ''}. The log of the collector says more.`;
  }

  async #try(): Promise<void> {
    this.#trying = true;
    this.#triedAt = this.#clock.monotonic();
    try {
      await this.#store.probe();
      this.stored();
    } catch {
      // As before: what is wrong was told when it began.
    } finally {
      this.#trying = false;
    }
  }
}
