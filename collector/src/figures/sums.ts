/**
 * What every figure is made of: additive sums of one group. Null is "not measured" or "not known", never 0. Joules are at the
 * boundary of the report and before PUE; money and grams are after it, each joule at the price, PUE and intensity of its time.
 */
import type { Joules, Quantity, Seconds, Tokens } from '@joulebook/shared/units.js';

/** In the one currency of the book. */
export type Money = Quantity<'money'>;
export type Grams = Quantity<'g'>;
export type Requests = Quantity<'request'>;

export interface Sums {
  /** All that was drawn, and the part that the basis counts: ratios are over this one. */
  readonly joules: Joules | null;
  readonly counted: Joules | null;
  readonly prefill: Joules | null;
  readonly decode: Joules | null;
  /** s: wall time, and Σ over devices of what was observed and of what should have been. */
  readonly wall: Seconds | null;
  readonly observed: Seconds | null;
  readonly asked: Seconds | null;
  /** Σ over GPUs of what should have been observed, whatever the boundary. */
  readonly gpu: Seconds | null;

  /** J × PUE. */
  readonly facility: Joules | null;
  /** Σ J × PUE × price, of all joules and of the counted ones. */
  readonly energyCost: Money | null;
  readonly countedCost: Money | null;
  /** Σ J × PUE × intensity, by where the grid is and by what was bought. */
  readonly location: Grams | null;
  readonly market: Grams | null;
  /** Everything but energy: GPUs, machines, people. */
  readonly otherCost: Money | null;

  /** Those of the group whose energy is in it. Over which of them the plain ratios go: in a row of prefill computed prompt tokens, else output. */
  readonly over: Tokens | null;
  readonly output: Tokens | null;
  readonly computedInput: Tokens | null;
  readonly cachedInput: Tokens | null;
  /** All of the group, whether its energy is in it or not. */
  readonly cachedInputAll: Tokens | null;

  /** Output tokens of requests that were accepted inside their latency targets; and those requests. */
  readonly useful: Tokens | null;
  readonly usefulRequests: Requests | null;
  /** Every request that ended, whatever came of it, and its output tokens. */
  readonly requests: Requests | null;
  readonly requestOutput: Tokens | null;
}
