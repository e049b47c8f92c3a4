/**
 * The GPUs that run one copy of the model: each with a gain and a temperature of its own, all in step.
 * Power = loaded idle (or, after a while, idle) + leakage by temperature + dynamic power of the work × slow drift + what the
 * regulators lose of that, which grows with its square.
 */
import type { Demand } from './power-law.js';
import { WrittenTrace } from './power.js';
import type { Random } from './random.js';
import { type BoardKind, REFERENCE_CELSIUS } from './scenario-hardware.js';

/** How power falls with clocks when the limit is reached: dynamic power ~ clock^2.4. */
const CLOCK_EXPONENT = 2.4;
/** In idle time temperature and so power are followed in steps of this. */
const IDLE_STEP_SECONDS = 1;

interface Board {
  readonly trace: WrittenTrace;
  readonly idleFactor: number;
  readonly dynamicFactor: number;
  celsius: number;
}

/** Slow change of what the same work draws, as a factor around 1. */
export type Drift = (at: number) => number;

export class Boards {
  readonly #kind: BoardKind;
  readonly #drift: Drift;
  readonly #boards: readonly Board[];
  /** When the last iteration ended; clocks are down at the start. */
  #worked = -Infinity;

  constructor(kind: BoardKind, names: readonly string[], random: Random, drift: Drift) {
    this.#kind = kind;
    this.#drift = drift;
    this.#boards = names.map((name) => {
      const celsius = kind.ambientCelsius + kind.kelvinPerWatt * kind.idleWatts;
      const idleFactor = 1 + kind.spread * random.between(-1, 1);
      const dynamicFactor = 1 + kind.spread * random.between(-1, 1);
      return { trace: new WrittenTrace(name, kind.idleWatts * idleFactor + leakage(kind, celsius), kind.responseSeconds), idleFactor, dynamicFactor, celsius };
    });
  }

  get traces(): readonly WrittenTrace[] {
    return this.#boards.map(({ trace }) => trace);
  }

  get until(): number {
    return this.#boards[0]?.trace.until ?? 0;
  }

  /** How long this takes with the boards as they are now: the one that meets its limit first sets the pace of all. */
  secondsFor(demand: Demand): number {
    return demand.seconds * this.#stretch(demand);
  }

  /** Dynamic energy of all boards if this were an iteration by itself, now. */
  joulesAlone(demand: Demand): number {
    const lasts = this.secondsFor(demand);
    return this.#boards.reduce((sum, board) => sum + (this.#level(board, demand, lasts) - this.#loadedIdle(board)) * lasts, 0);
  }

  /** Runs an iteration until then, whatever its own pace would be (jitter). @returns energy per board */
  run(until: number, demand: Demand): number[] {
    const lasts = until - this.until;
    const levels = this.#boards.map((board) => this.#level(board, demand, lasts));
    this.#worked = until;
    return this.#draw(until, levels);
  }

  /** Waits for the next iteration while requests run. @returns energy per board */
  wait(until: number): number[] {
    return this.#draw(until, this.#boards.map((board) => this.#loadedIdle(board)));
  }

  /** Nobody runs. @returns energy per board */
  idle(until: number): number[] {
    const spent = this.#boards.map(() => 0);
    const down = this.#worked + this.#kind.idleAfterSeconds;
    while (this.until < until) {
      const now = this.until;
      const step = Math.min(until, now + IDLE_STEP_SECONDS, now < down ? down : Infinity);
      const levels = this.#boards.map((board) => (now < down ? this.#loadedIdle(board) : this.#kind.idleWatts * board.idleFactor + leakage(this.#kind, board.celsius)));
      for (const [index, energy] of this.#draw(step, levels).entries()) spent[index] = (spent[index] ?? 0) + energy;
    }
    return spent;
  }

  /** How much longer the work takes under the power limit: only its compute part waits for the clocks. */
  #stretch(demand: Demand): number {
    let longest = 1;
    for (const board of this.#boards) {
      const dynamic = this.#dynamic(board, demand, demand.seconds);
      const left = this.#kind.capWatts - this.#loadedIdle(board);
      if (dynamic <= left) continue;
      const clock = (left / dynamic) ** (1 / CLOCK_EXPONENT);
      longest = Math.max(longest, 1 - demand.computeShare + demand.computeShare / clock);
    }
    return longest;
  }

  #level(board: Board, demand: Demand, lasts: number): number {
    return Math.min(this.#kind.capWatts, this.#loadedIdle(board) + this.#dynamic(board, demand, lasts));
  }

  #dynamic(board: Board, demand: Demand, lasts: number): number {
    const needed = (demand.joules * board.dynamicFactor * this.#drift(this.until)) / lasts;
    return needed * (1 + (this.#kind.regulatorLoss * needed) / this.#kind.capWatts);
  }

  #loadedIdle(board: Board): number {
    return this.#kind.loadedIdleWatts * board.idleFactor + leakage(this.#kind, board.celsius);
  }

  #draw(until: number, levels: readonly number[]): number[] {
    const lasts = until - this.until;
    return this.#boards.map((board, index) => {
      const energy = board.trace.draw(until, levels[index] ?? 0);
      if (lasts > 0) {
        const settles = this.#kind.ambientCelsius + (this.#kind.kelvinPerWatt * energy) / lasts;
        board.celsius = settles + (board.celsius - settles) * Math.exp(-lasts / this.#kind.thermalSeconds);
      }
      return energy;
    });
  }
}

const leakage = (kind: BoardKind, celsius: number): number => kind.leakageWattsPerKelvin * (celsius - REFERENCE_CELSIUS);
