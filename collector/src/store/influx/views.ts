/** The last view that was read, as long as it holds the time that is asked about. */
import type { Clock } from '@joulebook/shared/clock.js';
import type { Store } from '../store.js';
import type { Engine } from './engine.js';
import { isWithin, View, type Stretch } from './view.js';

/** A report asks several times within this; what other collectors took in meanwhile is seen by the next. */
const FRESH_SECONDS = 2;

export class Views {
  readonly #engine: Engine;
  readonly #clock: Clock;
  #view: View | undefined;
  #lookedAt = -Infinity;
  #outdated = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  /** This collector has stored something: who asks from now on is told of it. */
  outdate(): void {
    this.#outdated = true;
  }

  /** One at a time: a view takes as much memory as its facts. */
  use<T>(stretch: Stretch, work: (store: Store) => Promise<T>): Promise<T> {
    const mine = this.#turn.then(async () => work((await this.#viewOf(stretch)).store));
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#drop();
  }

  async #drop(): Promise<void> {
    const view = this.#view;
    this.#view = undefined;
    await view?.close();
  }

  async #viewOf(stretch: Stretch): Promise<View> {
    const now = this.#clock.monotonic();
    const view = this.#view;
    if (view && isWithin(stretch, view.stretch)) {
      if (!this.#outdated && now - this.#lookedAt < FRESH_SECONDS) return view;
      this.#outdated = false;
      // What fails half way would be half in it.
      const upToDate = await view.refresh().catch((error: unknown) => this.#drop().then(() => Promise.reject(error)));
      this.#lookedAt = now;
      if (upToDate) return view;
    }
    await this.#drop();
    this.#outdated = false;
    this.#view = await View.open(this.#engine, this.#clock, stretch);
    this.#lookedAt = now;
    return this.#view;
  }
}
