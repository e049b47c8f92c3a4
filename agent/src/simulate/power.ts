/**
 * True power over time, written once from left to right and asked at any moment.
 *
 *   W │      ┌──────┐                 A level is reached over the board's own response time (milliseconds) and then held:
 *     │     ╱        ╲____╱──         straight lines between knots, so every integral is exact.
 *     │____╱
 *     └────●─●──────●──●──●─●── s
 */
import { joules, type Joules, seconds, type Seconds, type Watts, watts } from '@joulebook/shared/units.js';
import type { PowerTrace } from './trace.js';

const FIRST_CAPACITY = 1024;

/** A trace that a board writes. */
export class WrittenTrace implements PowerTrace {
  readonly device: string;
  readonly #response: number;
  /** Of each knot: when, how much, and the energy since second 0. */
  #at = new Float64Array(FIRST_CAPACITY);
  #watts = new Float64Array(FIRST_CAPACITY);
  #joules = new Float64Array(FIRST_CAPACITY);
  #count = 1;
  /** Where the last answer was found: questions mostly go forward. */
  #near = 0;

  /** @param response how long a change of level takes */
  constructor(device: string, startWatts: number, response: number) {
    this.device = device;
    this.#response = response;
    this.#watts[0] = startWatts;
  }

  get start(): Seconds {
    return seconds(this.#at[0] ?? 0);
  }

  get until(): Seconds {
    return seconds(this.#at[this.#count - 1] ?? 0);
  }

  /** Goes to `level` and holds it. @returns the energy drawn from the last knot until then */
  draw(until: number, level: number): number {
    const from = this.until;
    const before = this.#watts[this.#count - 1] ?? 0;
    const lasts = until - from;
    if (lasts <= 0) return 0;
    if (lasts <= this.#response) {
      const reached = before + ((level - before) * lasts) / this.#response;
      return this.#knot(until, reached, ((before + reached) / 2) * lasts);
    }
    const ramp = before === level ? 0 : this.#response;
    const rising = ramp === 0 ? 0 : this.#knot(from + ramp, level, ((before + level) / 2) * ramp);
    return rising + this.#knot(until, level, level * (until - this.until));
  }

  wattsAt(at: Seconds): Watts {
    const index = this.#find(at);
    const from = this.#at[index] ?? 0;
    const to = this.#at[index + 1];
    const low = this.#watts[index] ?? 0;
    return watts(to === undefined || index + 1 >= this.#count ? low : low + (((this.#watts[index + 1] ?? 0) - low) * (at - from)) / (to - from));
  }

  joulesUntil(at: Seconds): Joules {
    const index = this.#find(at);
    return joules((this.#joules[index] ?? 0) + (((this.#watts[index] ?? 0) + this.wattsAt(at)) / 2) * (at - (this.#at[index] ?? 0)));
  }

  forget(before: Seconds): void {
    if (before <= this.start) return;
    const first = this.#find(seconds(Math.min(before, this.until)));
    for (const column of [this.#at, this.#watts, this.#joules]) column.copyWithin(0, first, this.#count);
    this.#count -= first;
    this.#near = 0;
  }

  #knot(at: number, level: number, energy: number): number {
    if (this.#count === this.#at.length) {
      this.#at = twice(this.#at);
      this.#watts = twice(this.#watts);
      this.#joules = twice(this.#joules);
    }
    this.#at[this.#count] = at;
    this.#watts[this.#count] = level;
    this.#joules[this.#count] = (this.#joules[this.#count - 1] ?? 0) + energy;
    this.#count += 1;
    return energy;
  }

  /** Index of the last knot at or before this moment. */
  #find(at: number): number {
    if (at < this.start || at > this.until || Number.isNaN(at)) throw new RangeError(`${this.device}: power is known from ${this.start} s to ${this.until} s, not at ${at} s`);
    let low = 0;
    let high = this.#count - 1;
    if ((this.#at[this.#near] ?? Infinity) <= at) {
      low = this.#near;
      let step = 1;
      while (low + step < high && (this.#at[low + step] ?? Infinity) <= at) {
        low += step;
        step *= 2;
      }
      high = Math.min(high, low + step);
    }
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#at[middle] ?? Infinity) <= at) low = middle;
      else high = middle - 1;
    }
    this.#near = low;
    return low;
  }
}

function twice(values: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(values.length * 2);
  larger.set(values);
  return larger;
}

/** A constant and other traces, each times a factor: a server is what its parts draw, divided by its supply's efficiency. */
export function sumOf(device: string, constantWatts: number, parts: readonly { readonly trace: PowerTrace; readonly factor: number }[]): PowerTrace {
  const total = (start: number, of: (trace: PowerTrace) => number): number => parts.reduce((sum, { trace, factor }) => sum + factor * of(trace), start);
  return {
    device,
    get start() {
      return seconds(Math.max(...parts.map(({ trace }) => trace.start)));
    },
    get until() {
      return seconds(Math.min(...parts.map(({ trace }) => trace.until)));
    },
    wattsAt: (at) => watts(total(constantWatts, (trace) => trace.wattsAt(at))),
    joulesUntil: (at) => joules(total(constantWatts * at, (trace) => trace.joulesUntil(at))),
    forget(before) {
      for (const { trace } of parts) trace.forget(before);
    },
  };
}
