/** What the books of a device have in common: what was drawn, and how it gets into facts. */
import type { Phase } from '@joulebook/shared/slice.js';
import type { Instant } from '@joulebook/shared/units.js';
import { divideWhole } from '../attribution/split.js';
import type { RequestRef, Stretch } from '../attribution/work.js';
import type { Edge, Span } from '../sampler/integrator.js';
import type { Deployment } from '../sources/deployments.js';
import type { Channel } from '../sources/source.js';
import type { Part } from './gpu-history.js';
import type { Slicer, Subject } from './slicer.js';

/** A deployment and what its facts say of it. */
export interface Owner extends Deployment {
  readonly subject: () => Subject;
}

export interface Device {
  readonly channel: Channel;
  /** Energy of time that was booked already can only be booked as unknown. */
  span(span: Span): void;
  /**
   * Books what lies before `to`, as far as it is known; `stretchesOf` continues where the last call's ended.
   * @param last nothing will follow: what would be waited for is booked as it is
   */
  sweep(to: Instant, stretchesOf: ReadonlyMap<Owner, readonly Stretch[]>, last: boolean): void;
  edge(at: Instant, edge: Edge): void;
  /** Books what is still pending as unknown, and goes on at `to`: its time will not be swept. */
  skip(to: Instant): void;
  /** Everything before it is booked. */
  bookedUntil(): Instant;
  /** The start of the oldest energy that is not booked yet. */
  pendingFrom(): Instant | undefined;
}

/** What was measured in a piece of time, before it is divided. Energies in µJ, variance in J². */
export interface Drawn {
  readonly microjoules: number;
  readonly seconds: number;
  readonly low: number;
  readonly high: number;
  readonly variance: number;
}

export const NOTHING: Drawn = { microjoules: 0, seconds: 0, low: 0, high: 0, variance: 0 };

export function partOf(span: Span, microjoules: number, time: number): Drawn {
  const { gain } = span.channel.sensor;
  return { microjoules, seconds: time, low: microjoules * (1 + gain.low), high: microjoules * (1 + gain.high), variance: (span.variance * time) / (span.to - span.from) };
}

export const sumOf = (one: Drawn, other: Drawn): Drawn => ({
  microjoules: one.microjoules + other.microjoules,
  seconds: one.seconds + other.seconds,
  low: one.low + other.low,
  high: one.high + other.high,
  variance: one.variance + other.variance,
});

/** A part of what was drawn, and when. */
export interface TimedPart extends Part<Owner> {
  /** Within the cell of the grid that it is booked in. */
  readonly at: Instant;
  readonly seconds: number;
  readonly askedSeconds: number;
  /** Whose it was, with weights that need not add up to 1. */
  readonly requests?: Map<RequestRef, number>;
}

/** What single requests drew, in µJ. */
export interface RequestBook {
  drew(request: RequestRef, phase: Phase, microjoules: number): void;
}

/** Divides whole µJ over the parts exactly, and books them. Weights are of energy and need not add up to 1. */
export function bookParts(slicer: Slicer, channel: Channel, drawn: Drawn, parts: readonly TimedPart[], requestBook?: RequestBook): void {
  const sum = parts.reduce((total, { weight }) => total + weight, 0);
  const weights = sum > 0 ? parts.map(({ weight }) => weight) : parts.map(() => 1);
  const whole = divideWhole(drawn.microjoules, weights);
  const low = divideWhole(Math.round(drawn.low), weights);
  const high = divideWhole(Math.round(drawn.high), weights);
  const all = weights.reduce((total, weight) => total + weight, 0);
  for (const [index, { owner, phase, modelled, division, at, seconds, askedSeconds, requests }] of parts.entries()) {
    const share = whole[index] ?? 0;
    if (requestBook && requests && share > 0 && [...requests.values()].some((weight) => weight > 0)) {
      const shares = divideWhole(share, [...requests.values()]);
      for (const [place, request] of [...requests.keys()].entries()) requestBook.drew(request, phase, shares[place] ?? 0);
    }
    const subject = owner?.subject();
    slicer.energy(at, {
      deployment: subject?.deployment,
      model: subject?.model,
      device: channel.device,
      boundary: channel.boundary,
      source: channel.source,
      method: channel.measures,
      contains: channel.contains,
      phase,
      microjoules: share,
      modelledMicrojoules: modelled ? share : 0,
      divisionMicrojoules: sum > 0 ? Math.round((drawn.microjoules * division) / sum) : 0,
      seconds,
      askedSeconds,
      lowMicrojoules: low[index] ?? 0,
      highMicrojoules: high[index] ?? 0,
      samplingVariance: (drawn.variance * (weights[index] ?? 0)) / all,
    });
  }
}
