/**
 * When requests come and how long they are. Open streams (Poisson, gamma, on/off, ramp) come whatever the engine does; users of
 * a closed stream ask again only after they have been answered, so the engine says when a request has ended.
 */
import { drawRequest, type Drawn } from './arrivals-lengths.js';
import { Random } from './random.js';
import type { ArrivalKind, Scenario, Stream } from './scenario.js';

export interface Arrival extends Drawn {
  readonly at: number;
  readonly stream: number;
}

/** Gives the time of the next arrival after this one. */
type Clock = (after: number) => number;

/** Thinning (Lewis and Shedler 1979): a Poisson stream at the highest rate, each arrival kept by the rate at its moment. */
function rampClock(points: readonly { readonly at: number; readonly perSecond: number }[], random: Random): Clock {
  const period = points.at(-1)?.at ?? 1;
  const highest = Math.max(...points.map(({ perSecond }) => perSecond));
  const rateAt = (at: number): number => {
    const phase = at % period;
    const after = points.findIndex((point) => point.at > phase);
    const right = points[after];
    const left = points[after - 1];
    return left && right ? left.perSecond + ((right.perSecond - left.perSecond) * (phase - left.at)) / (right.at - left.at) : 0;
  };
  return (after) => {
    let at = after;
    do at += random.exponential(1 / highest);
    while (!random.chance(rateAt(at) / highest));
    return at;
  };
}

function onOffClock({ perSecond, on, off }: Extract<ArrivalKind, { kind: 'onOff' }>, random: Random): Clock {
  let burstEnds = random.exponential(on);
  return (after) => {
    let at = after + random.exponential(1 / perSecond);
    while (at > burstEnds) {
      // What is left of the wait begins again with the next burst: an exponential wait has no memory.
      const begins = burstEnds + random.exponential(off);
      burstEnds = begins + random.exponential(on);
      at = begins + random.exponential(1 / perSecond);
    }
    return at;
  };
}

function gammaClock({ perSecond, cv }: Extract<ArrivalKind, { kind: 'gamma' }>, random: Random): Clock {
  const shape = 1 / cv ** 2;
  return (after) => after + random.gamma(shape, 1 / (perSecond * shape));
}

function clockOf(kind: Exclude<ArrivalKind, { kind: 'closed' }>, random: Random): Clock {
  if (kind.kind === 'gamma') return gammaClock(kind, random);
  if (kind.kind === 'onOff') return onOffClock(kind, random);
  if (kind.kind === 'ramp') return rampClock(kind.points, random);
  return (after) => after + random.exponential(1 / kind.perSecond);
}

/** The next moment at which a stream gives a request. */
interface Due {
  readonly at: number;
  readonly stream: number;
}

export class Arrivals {
  readonly #streams: readonly { readonly stream: Stream; readonly times: Random; readonly lengths: Random; readonly clock: Clock | undefined }[];
  readonly #pauses: Scenario['pauses'];
  readonly #until: number;
  /** Latest first, so that the next one is taken from the end. */
  readonly #due: Due[] = [];

  constructor({ seed, traffic, pauses, duration }: Scenario) {
    this.#pauses = pauses.toSorted((a, b) => a.from - b.from);
    this.#until = duration;
    this.#streams = traffic.map((stream, index) => {
      const times = new Random(seed, `arrivals/${index}`);
      return { stream, times, lengths: new Random(seed, `lengths/${index}`), clock: stream.arrivals.kind === 'closed' ? undefined : clockOf(stream.arrivals, times) };
    });
    for (const [index, { stream, times }] of this.#streams.entries()) {
      if (stream.arrivals.kind !== 'closed') this.#follow(index, 0);
      else for (let user = 0; user < stream.arrivals.users; user += 1) this.#add({ at: this.#afterPause(times.exponential(stream.arrivals.think)), stream: index });
    }
  }

  /** When the next request comes; Infinity: none is to come, unless an ended one brings its user back. */
  get next(): number {
    return this.#due.at(-1)?.at ?? Infinity;
  }

  take(): Arrival | undefined {
    const due = this.#due.pop();
    const from = due && this.#streams[due.stream];
    if (!from) return undefined;
    if (from.clock) this.#follow(due.stream, due.at);
    return { ...due, ...drawRequest(from.stream, from.lengths) };
  }

  /** A request of this stream was answered or given up. */
  ended(stream: number, at: number): void {
    const of = this.#streams[stream];
    if (of?.stream.arrivals.kind === 'closed') this.#add({ at: this.#afterPause(at + of.times.exponential(of.stream.arrivals.think)), stream });
  }

  /** Requests that would come in a pause do not come. */
  #follow(stream: number, after: number): void {
    const clock = this.#streams[stream]?.clock;
    if (!clock) return;
    let at = clock(after);
    while (at < this.#until && this.#afterPause(at) !== at) at = clock(at);
    this.#add({ at, stream });
  }

  /** Users of a closed stream wait until a pause is over. */
  #afterPause(at: number): number {
    return this.#pauses.reduce((time, { from, to }) => (time >= from && time < to ? to : time), at);
  }

  /** Keeps the order; what comes at the same moment is taken in the order in which it was added. */
  #add(due: Due): void {
    if (due.at >= this.#until) return;
    let low = 0;
    let high = this.#due.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#due[middle]?.at ?? 0) > due.at) low = middle + 1;
      else high = middle;
    }
    this.#due.splice(low, 0, due);
  }
}
