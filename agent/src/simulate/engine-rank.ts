/** One copy of the model: its queue, its GPUs, its process on the CPU, and the loop that runs iteration after iteration. */
import { seconds } from '@joulebook/shared/units.js';
import type { Job } from './engine-job.js';
import { Scheduler } from './engine-scheduler.js';
import { Boards, type Drift } from './power-board.js';
import { decodeWork, demandOf, type Drafting, prefillWork, together } from './power-law.js';
import { WrittenTrace } from './power.js';
import { Random } from './random.js';
import type { Scenario } from './scenario.js';
import type { Hardware } from './scenario-hardware.js';
import type { Gpu, Iteration, Pool } from './trace.js';
import { contextOf, divide, type TruthBook } from './truth.js';

/** From arrival at an engine that has nothing to do until its first iteration: the request is read and tokenised. */
const WAKE_SECONDS = 0.002;
/** Power of the engine's process follows its work within a millisecond. */
const CPU_RESPONSE_SECONDS = 0.001;
/** Idle ranks are followed while others run, so that their power is known about as far as that of the others. */
const IDLE_LAG_SECONDS = 1;

export interface RankPlace {
  readonly pool: Pool;
  readonly rank: number;
  readonly gpus: readonly Gpu[];
}

export interface Step {
  readonly iteration: Iteration;
  readonly finished: readonly Job[];
  readonly handedOver: readonly Job[];
}

export class Rank {
  readonly place: RankPlace;
  readonly boards: Boards;
  readonly process: WrittenTrace;
  readonly #scenario: Scenario;
  readonly #hardware: Hardware;
  readonly #book: TruthBook;
  readonly #random: Random;
  readonly #scheduler: Scheduler;
  readonly #drafting: Drafting;
  /** When the next iteration may start. */
  #ready = 0;

  constructor(place: RankPlace, scenario: Scenario, hardware: Hardware, drift: Drift, book: TruthBook) {
    const { seed, engine } = scenario;
    const name = `${place.pool}/${place.rank}`;
    this.place = place;
    this.#scenario = scenario;
    this.#hardware = hardware;
    this.#book = book;
    this.#random = new Random(seed, `pace/${name}`);
    this.#scheduler = new Scheduler(engine, hardware.model.kvTokens, new Random(seed, `accepted/${name}`), place.pool === 'prefill');
    this.#drafting = engine.speculative ?? { tokens: 0, cost: 0 };
    this.boards = new Boards(hardware.board, place.gpus.map((gpu) => gpu.name), new Random(seed, `boards/${name}`), drift);
    this.process = new WrittenTrace(`process/${name}`, 0, CPU_RESPONSE_SECONDS);
  }

  get jobs(): number {
    return this.#scheduler.jobs;
  }

  /** Start of the next iteration; Infinity: nothing to do. */
  get startsAt(): number {
    return this.jobs > 0 ? this.#ready : Infinity;
  }

  add(job: Job, at: number): void {
    if (this.jobs === 0) this.#ready = Math.max(this.#ready, at + WAKE_SECONDS);
    this.#scheduler.add(job);
  }

  leave(at: number): Job[] {
    return this.#scheduler.leave(at);
  }

  /** Nobody runs until then. */
  idle(until: number): void {
    const lasts = until - this.boards.until;
    if (lasts <= 0) return;
    this.#book.idle(this.place.gpus[0]?.index ?? 0, this.boards.idle(until), lasts);
    this.process.draw(until, 0);
  }

  idleBehind(now: number): void {
    if (this.jobs === 0 && now - this.boards.until > IDLE_LAG_SECONDS) this.idle(now);
  }

  /** Runs the next iteration. */
  step(): Step {
    const from = this.#ready;
    this.idle(from);
    const { prefill, decode, running, waiting } = this.#scheduler.plan(from);
    const work = together(prefillWork(this.#hardware, prefill), decodeWork(this.#hardware, decode.length, contextOf(decode), this.#drafting));
    const demand = demandOf(this.#hardware, work);
    const division = divide(this.#hardware, this.boards, this.#drafting, prefill, decode);
    const to = from + this.boards.secondsFor(demand) * Math.exp(this.#scenario.engine.jitter * this.#random.normal());
    const drawn = this.boards.run(to, demand);
    this.process.draw(to, this.#scenario.server.cpuWattsPerRank);

    const { finished, handedOver, kvTokens } = this.#scheduler.finish(to);
    this.#ready = to + this.#scenario.engine.gapSeconds;
    // While requests run, the gap is this iteration's; else idle time begins.
    const waited = this.jobs > 0 ? this.boards.wait(this.#ready) : [];
    this.#book.iteration(this.place.gpus[0]?.index ?? 0, drawn.map((energy, index) => energy + (waited[index] ?? 0)), division, prefill, decode);
    const { pool, rank } = this.place;
    const ended = [...finished, ...handedOver].map(({ id }) => id);
    return { iteration: { from: seconds(from), to: seconds(to), rank, pool, prefill, decode, kvTokens, running, waiting, ended }, finished, handedOver };
  }
}
