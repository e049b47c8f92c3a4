/** The books of one device at one boundary: energy spans in, energy facts out, divided over who had it and in which phase. */
import { instant, type Instant } from '@joulebook/shared/units.js';
import { energyBefore, type Edge, type Span } from '../sampler/integrator.js';
import type { Deployment } from '../sources/deployments.js';
import type { Channel } from '../sources/source.js';
import { coarseness } from './coarseness.js';
import type { GpuHistory, Part } from './gpu-history.js';
import type { Slicer, Subject } from './slicer.js';
import { divideWhole, pure, type Shares } from './split.js';
import type { Stretch } from './timeline.js';

/** A deployment and what its facts say of it. */
export interface Owner extends Deployment {
  readonly subject: () => Subject;
}

export interface Device {
  readonly channel: Channel;
  /** @param frontier what lies before it was swept already: energy there can only be booked as unknown */
  span(span: Span, frontier: Instant): void;
  sweep(from: Instant, to: Instant, stretchesOf: ReadonlyMap<Owner, readonly Stretch[]>): void;
  edge(at: Instant, edge: Edge): void;
  /** Books what is still pending as unknown: its time will not be swept. */
  flush(frontier: Instant): void;
  /** The start of the oldest energy that is not booked yet. */
  pendingFrom(): Instant | undefined;
}

/** What was measured in a piece of time, before it is divided. Energies in µJ, variance in J². */
interface Drawn {
  readonly microjoules: number;
  readonly seconds: number;
  readonly low: number;
  readonly high: number;
  readonly variance: number;
}

interface PendingSpan {
  readonly span: Span;
  /** Whole µJ of it that are booked. */
  booked: number;
}

const NOBODY: readonly (Owner | undefined)[] = [undefined];

export function deviceBook(channel: Channel, deployments: () => readonly Owner[], slicer: Slicer, gpus: GpuHistory<Owner>): Device {
  const ownersNow = (): readonly (Owner | undefined)[] => {
    const owners = deployments();
    return owners.length > 0 ? owners : NOBODY;
  };
  let spans: PendingSpan[] = [];
  /** Those before it are booked. */
  let head = 0;
  const readings = coarseness();
  const isGpu = channel.boundary === 'gpu';
  /** Who had the last piece, for what belongs to the end of the window. */
  let last: readonly Part<Owner>[] = [];

  function book(at: Instant, askedSeconds: number, drawn: Drawn, parts: readonly Part<Owner>[]): void {
    const weights = parts.map((part) => part.weight);
    const whole = divideWhole(drawn.microjoules, weights);
    const low = divideWhole(Math.round(drawn.low), weights);
    const high = divideWhole(Math.round(drawn.high), weights);
    for (const [index, { owner, phase, modelled, weight }] of parts.entries()) {
      const share = whole[index] ?? 0;
      slicer.energy(at, {
        ...owner?.subject(),
        device: channel.device,
        boundary: channel.boundary,
        source: channel.source,
        method: channel.measures,
        contains: channel.contains,
        phase,
        microjoules: share,
        modelledMicrojoules: modelled ? share : 0,
        seconds: drawn.seconds * weight,
        askedSeconds: askedSeconds * weight,
        lowMicrojoules: low[index] ?? 0,
        highMicrojoules: high[index] ?? 0,
        samplingVariance: drawn.variance * weight,
      });
    }
  }

  /** Takes the energy drawn in [from, to) out of the pending spans. */
  function take(from: Instant, to: Instant): Drawn {
    const sum = { microjoules: 0, seconds: 0, low: 0, high: 0, variance: 0 };
    for (let next = head; next < spans.length; next += 1) {
      const pending = spans[next];
      if (!pending || pending.span.from >= to) break;
      const { span } = pending;
      if (span.to <= from) continue;
      const upTo = span.to <= to ? span.microjoules : Math.round(energyBefore(span, to));
      add(sum, partOf(span, upTo - pending.booked, Math.min(span.to, to) - Math.max(span.from, from)));
      pending.booked = upTo;
    }
    return sum;
  }

  /** A wider boundary takes the phases of the GPUs over the interval of its own reading. */
  function partsOfGpus(at: Instant): readonly Part<Owner>[] | undefined {
    if (isGpu) return undefined;
    let next = head;
    while ((spans[next]?.span.to ?? Infinity) <= at) next += 1;
    const pending = spans[next];
    return pending && pending.span.from <= at ? gpus.over(pending.span.from, pending.span.to) : undefined;
  }

  return {
    channel,
    span(span, frontier) {
      readings.reading(span.from);
      readings.reading(span.to);
      let booked = 0;
      if (span.from < frontier) {
        // Late: its time was swept as not seen. What it drew there is booked, but nothing tells its phase any more.
        const until = span.to < frontier ? span.to : frontier;
        booked = span.to <= frontier ? span.microjoules : Math.round(energyBefore(span, until));
        book(span.from, 0, partOf(span, booked, until - span.from), partsOf(ownersNow().map((owner) => [owner, pure('unknown')])));
      }
      if (span.to > frontier) spans.push({ span, booked });
    },
    sweep(from, to, stretchesOf) {
      const cursors = ownersNow().map((owner) => ({ owner, stretches: (owner && stretchesOf.get(owner)) ?? [], next: 0 }));
      const edges = new Set<Instant>([...slicer.edgesWithin(from, to), to]);
      for (const { stretches } of cursors) for (const stretch of stretches) edges.add(stretch.to);
      if (!isGpu) for (let next = head; next < spans.length && (spans[next]?.span.from ?? to) < to; next += 1) edges.add(spans[next]?.span.from ?? to).add(spans[next]?.span.to ?? to);
      let at = from;
      for (const edge of [...edges].toSorted((a, b) => a - b)) {
        if (edge <= at || edge > to) continue;
        const shares = cursors.map((cursor) => {
          let stretch = cursor.stretches[cursor.next];
          while (stretch && stretch.to <= at) stretch = cursor.stretches[++cursor.next];
          return [cursor.owner, stretch?.shares ?? pure('unknown')] as const;
        });
        const parts = partsOfGpus(at) ?? partsOf(shares);
        const drawn = take(at, edge);
        book(at, edge - at, drawn, parts);
        if (isGpu) gpus.record({ from: at, to: edge, energy: drawn.microjoules, seconds: drawn.seconds, parts });
        last = parts;
        at = edge;
      }
      while ((spans[head]?.span.to ?? Infinity) <= to) head += 1;
      if (head > spans.length / 2) {
        spans = spans.slice(head);
        head = 0;
      }
      for (const { owner, stretches } of cursors) {
        for (const { phase, coarse, at: ended } of owner ? readings.follow(owner.name, stretches) : []) {
          slicer.flag(ended, { ...owner?.subject(), code: 'COARSE', phase, detail: `${phase}: stretches with fewer than two power readings in them`, count: coarse ? 1 : 0, of: 1, device: channel.device });
        }
      }
      readings.forget(to);
    },
    edge(at, { less, more }) {
      if (less + more > 0 && last.length > 0) book(at, 0, { microjoules: 0, seconds: 0, low: -less, high: more, variance: 0 }, last);
    },
    flush(frontier) {
      const rest = take(frontier, instant(Infinity));
      spans = [];
      head = 0;
      if (rest.seconds > 0) book(frontier, rest.seconds, rest, partsOf(ownersNow().map((owner) => [owner, pure('unknown')])));
    },
    pendingFrom: () => spans[head]?.span.from,
  };
}

/** A device of several deployments is divided evenly between them. */
const partsOf = (shares: readonly (readonly [Owner | undefined, Shares])[]): Part<Owner>[] =>
  shares.flatMap(([owner, { of, modelled }]) => [...of].map(([phase, share]) => ({ owner, phase, modelled, weight: share / shares.length })));

function partOf(span: Span, microjoules: number, time: number): Drawn {
  const { gain } = span.channel.sensor;
  return { microjoules, seconds: time, low: microjoules * (1 + gain.low), high: microjoules * (1 + gain.high), variance: (span.variance * time) / (span.to - span.from) };
}

function add(sum: { -readonly [K in keyof Drawn]: number }, part: Drawn): void {
  sum.microjoules += part.microjoules;
  sum.seconds += part.seconds;
  sum.low += part.low;
  sum.high += part.high;
  sum.variance += part.variance;
}
