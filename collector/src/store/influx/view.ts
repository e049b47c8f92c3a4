/**
 * Facts of a stretch of time, read from the server and put into an embedded store in memory: sums, flags, wall time and
 * the question who wrote a device first are answered by the very code that answers them for the embedded store. Batches
 * go in as they were committed, so every collector judges them alike, whoever took them in.
 *
 * A view is kept up to date by reading what was committed since: by the clocks of those who committed it, which may be up
 * to `SKEW` apart. It is read anew after `LONGEST_LIFE`, and where a commit turns up that is older than what is in it by more
 * than a batch takes to be stored, so that an order that was seen otherwise does not stay.
 */
import type { Batch } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { MEMORY } from '../duckdb-file.js';
import { openDuckdb } from '../duckdb.js';
import type { Store } from '../store.js';
import { keyOf, readCommits, type BatchKey, type Commit } from './commits.js';
import type { Engine, Reading } from './engine.js';
import { SKEW_MILLIS } from './entries.js';
import { CELL_MILLIS, FACT_KINDS, cellOf, factOf, type StoredFact } from './points.js';

/** Some 200 bytes each while they are read. */
const MOST_FACTS = 5_000_000;
const LONGEST_LIFE_SECONDS = 600;
/** By which commits may be out of order within a view. */
const MOST_DISORDER_MICROS = 10_000_000;

/** Milliseconds since 1970, whole cells; undefined: open. */
export interface Stretch {
  readonly from: number | undefined;
  readonly to: number | undefined;
}

/** A cell more on both sides: facts that overlap the first one decide who wrote it first. */
export const stretchOf = (from: number | undefined, to: number | undefined): Stretch => ({
  from: from === undefined ? undefined : Math.max(0, cellOf(from) - CELL_MILLIS),
  to: to === undefined ? undefined : cellOf(to) + 2 * CELL_MILLIS,
});

export const isWithin = (inner: Stretch, outer: Stretch): boolean =>
  (outer.from === undefined || (inner.from !== undefined && outer.from <= inner.from)) && (outer.to === undefined || (inner.to !== undefined && outer.to >= inner.to));

async function readFacts(engine: Engine, reading: Pick<Reading, 'from' | 'to' | 'where'>, most: number): Promise<StoredFact[]> {
  const facts: StoredFact[] = [];
  for (const measurement of FACT_KINDS) {
    for (const row of await engine.read({ measurement, ...reading }, most - facts.length)) {
      const fact = factOf(measurement, row);
      if (fact) facts.push(fact);
    }
  }
  return facts;
}

function slicesByBatch(facts: readonly StoredFact[]): Map<string, Slice[]> {
  const slices = new Map<string, Slice[]>();
  for (const fact of facts) {
    const all = slices.get(keyOf(fact)) ?? [];
    if (all.length === 0) slices.set(keyOf(fact), all);
    all.push(fact.slice);
  }
  return slices;
}

const least = (values: readonly number[]): number => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity);

export class View {
  readonly stretch: Stretch;
  readonly store: Store;
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #bornAt: number;
  readonly #known = new Set<string>();
  /** Batches are numbered anew: a stretch has holes in its numbers that mean nothing. */
  readonly #counts = new Map<string, number>();
  /** Of each stream, the node that was first: others may be in what was stored by earlier releases, and are streams of their own here. */
  readonly #owners = new Map<string, string>();
  #facts = 0;
  #newest = 0;
  /** Milliseconds since 1970: commits of then and before were looked at. */
  #seenUntil: number;

  private constructor(engine: Engine, clock: Clock, stretch: Stretch, store: Store) {
    this.stretch = stretch;
    this.store = store;
    this.#engine = engine;
    this.#clock = clock;
    this.#bornAt = clock.monotonic();
    this.#seenUntil = clock.wall() * 1000;
  }

  /** @throws TelemetryError TOO_MANY_FACTS where the stretch has more than is read at once */
  static async open(engine: Engine, clock: Clock, stretch: Stretch): Promise<View> {
    const view = new View(engine, clock, stretch, await openDuckdb(MEMORY));
    try {
      await engine.visible();
      const facts = await readFacts(engine, stretch, MOST_FACTS);
      const keys = new Map<string, BatchKey>(facts.map(({ stream, sequence }) => [keyOf({ stream, sequence }), { stream, sequence }]));
      const whole = await readCommits(engine, { keys: [...keys.values()] });
      // What was committed while facts were being read may have been read in part.
      const settled = (view.#seenUntil - SKEW_MILLIS) * 1000;
      await view.#add(whole.filter(({ at }) => at < settled), facts);
      await view.#load(whole.filter(({ at }) => at >= settled));
      return view;
    } catch (error) {
      await view.close();
      throw error;
    }
  }

  /** @returns false where it has to be read anew */
  async refresh(): Promise<boolean> {
    if (this.#clock.monotonic() - this.#bornAt > LONGEST_LIFE_SECONDS) return false;
    const now = this.#clock.wall() * 1000;
    await this.#engine.visible();
    const fresh = (await readCommits(this.#engine, { since: cellOf((this.#seenUntil - SKEW_MILLIS) * 1000) })).filter((commit) => !this.#known.has(keyOf(commit)) && this.#concerns(commit));
    this.#seenUntil = now;
    if (fresh.some(({ at }) => at < this.#newest - MOST_DISORDER_MICROS) || this.#facts > MOST_FACTS) return false;
    await this.#load(fresh);
    return true;
  }

  close(): Promise<void> {
    return this.store.close();
  }

  /** What is committed is there to be read, all of it. */
  async #load(fresh: readonly Commit[]): Promise<void> {
    if (fresh.length === 0) return;
    const stream = [...new Set(fresh.map((commit) => commit.stream))];
    const from = Math.max(this.stretch.from ?? 0, cellOf(least(fresh.map((commit) => commit.from ?? Infinity))));
    const to = Math.min(this.stretch.to ?? Infinity, cellOf(most(fresh.map((commit) => commit.to ?? 0))) + CELL_MILLIS);
    await this.#add(fresh, await readFacts(this.#engine, { from, to, where: { stream } }, MOST_FACTS));
  }

  #concerns({ from, to }: Commit): boolean {
    if (from === undefined || to === undefined) return false;
    return cellOf(from) < (this.stretch.to ?? Infinity) && cellOf(to) >= (this.stretch.from ?? 0);
  }

  async #add(whole: readonly Commit[], facts: readonly StoredFact[]): Promise<void> {
    const slices = slicesByBatch(facts);
    const batches = whole.map((commit): Batch => {
      const owner = this.#owners.get(commit.stream) ?? commit.node;
      this.#owners.set(commit.stream, owner);
      const stream = owner === commit.node ? commit.stream : `${commit.stream} of ${commit.node}`;
      const sequence = this.#counts.get(stream) ?? 0;
      this.#counts.set(stream, sequence + 1);
      this.#known.add(keyOf(commit));
      this.#newest = Math.max(this.#newest, commit.at);
      return { schema: 1, stream, sequence, node: commit.node, slices: slices.get(keyOf(commit)) ?? [] };
    });
    this.#facts += batches.reduce((sum, batch) => sum + batch.slices.length, 0);
    const answers = await Promise.all(batches.map((batch) => this.store.append(batch)));
    if (answers.some((answer) => answer !== 'accepted')) throw new TelemetryError('STORE_FAILED', `A batch of ${this.#engine.description} was read twice.`, 'retry');
  }
}
