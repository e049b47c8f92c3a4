/**
 * The books of one device at a boundary wider than a GPU (CPU, memory, server, meter): it has no phases of its own. Over
 * the interval of its own reading its energy takes the phases of the GPUs inside it; where none is measured, those of the
 * deployments on it over time.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import { pure, type Shares } from '../attribution/split.js';
import type { Stretch } from '../attribution/work.js';
import { energyBefore, type Span } from '../sampler/integrator.js';
import type { Channel } from '../sources/source.js';
import { bookParts, NOTHING, partOf, sumOf, type Device, type Drawn, type Owner, type TimedPart } from './book.js';
import type { GpuHistory, Part } from './gpu-history.js';
import type { Slicer } from './slicer.js';

interface PendingSpan {
  readonly span: Span;
  /** Whole µJ of it that are booked. */
  booked: number;
}

const NOBODY: readonly (Owner | undefined)[] = [undefined];

export interface WideBookParts {
  readonly channel: Channel;
  readonly owners: () => readonly Owner[];
  /** Phases over time of an owner's work where no GPU is measured. */
  readonly sharesOf: (owner: Owner, stretch: Stretch) => Shares;
  readonly slicer: Slicer;
  readonly history: GpuHistory<Owner>;
  readonly begin: Instant;
}

export function wideBook({ channel, owners, sharesOf, slicer, history, begin }: WideBookParts): Device {
  const ownersNow = (): readonly (Owner | undefined)[] => {
    const here = owners();
    return here.length > 0 ? here : NOBODY;
  };
  let spans: PendingSpan[] = [];
  /** Those before it are booked. */
  let head = 0;
  let frontier = begin;
  const lanes = new Map<string, Stretch[]>();
  /** Who had the last piece, for what belongs to the end of the window. */
  let lastParts: readonly Part<Owner>[] = [];

  const book = (at: Instant, askedSeconds: number, drawn: Drawn, parts: readonly Part<Owner>[]): void =>
    bookParts(slicer, channel, drawn, parts.map((part): TimedPart => ({ ...part, at, seconds: drawn.seconds * part.weight, askedSeconds: askedSeconds * part.weight })));

  /** Takes the energy drawn in [from, to) out of the pending spans. */
  function take(from: Instant, to: Instant): Drawn {
    let sum = NOTHING;
    for (let next = head; next < spans.length; next += 1) {
      const pending = spans[next];
      if (!pending || pending.span.from >= to) break;
      const { span } = pending;
      if (span.to <= from) continue;
      const upTo = span.to <= to ? span.microjoules : Math.round(energyBefore(span, to));
      sum = sumOf(sum, partOf(span, upTo - pending.booked, Math.min(span.to, to) - Math.max(span.from, from)));
      pending.booked = upTo;
    }
    return sum;
  }

  function partsOfGpus(at: Instant): readonly Part<Owner>[] | undefined {
    let next = head;
    while ((spans[next]?.span.to ?? Infinity) <= at) next += 1;
    const pending = spans[next];
    return pending && pending.span.from <= at ? history.over(pending.span.from, pending.span.to) : undefined;
  }

  function partsAt(at: Instant): readonly Part<Owner>[] {
    return partsOf(
      ownersNow().map((owner) => {
        const stretch = owner && lanes.get(owner.name)?.find((each) => each.to > at);
        return [owner, owner && stretch && stretch.from <= at ? sharesOf(owner, stretch) : pure('unknown')] as const;
      }),
    );
  }

  return {
    channel,
    span(span) {
      let booked = 0;
      if (span.from < frontier) {
        // Late: its time was swept as not seen. What it drew there is booked, but nothing tells its phase any more.
        const until = span.to < frontier ? span.to : frontier;
        booked = span.to <= frontier ? span.microjoules : Math.round(energyBefore(span, until));
        book(span.from, 0, partOf(span, booked, until - span.from), partsOf(ownersNow().map((owner) => [owner, pure('unknown')])));
      }
      if (span.to > frontier) spans.push({ span, booked });
    },
    sweep(to, stretchesOf) {
      for (const [owner, stretches] of stretchesOf) lanes.set(owner.name, [...(lanes.get(owner.name) ?? []), ...stretches]);
      if (to <= frontier) return;
      const edges = new Set<Instant>([...slicer.edgesWithin(frontier, to), to]);
      for (const owner of owners()) for (const stretch of lanes.get(owner.name) ?? []) if (stretch.to < to) edges.add(stretch.to);
      for (let next = head; next < spans.length && (spans[next]?.span.from ?? to) < to; next += 1) edges.add(spans[next]?.span.from ?? to).add(spans[next]?.span.to ?? to);
      for (const edge of [...edges].toSorted((a, b) => a - b)) {
        if (edge <= frontier || edge > to) continue;
        const parts = partsOfGpus(frontier) ?? partsAt(frontier);
        book(frontier, edge - frontier, take(frontier, edge), parts);
        lastParts = parts;
        frontier = edge;
        for (const stretches of lanes.values()) while (stretches[0] && stretches[0].to <= edge) stretches.shift();
      }
      while ((spans[head]?.span.to ?? Infinity) <= to) head += 1;
      if (head > spans.length / 2) {
        spans = spans.slice(head);
        head = 0;
      }
    },
    edge(at, { less, more }) {
      if (less + more > 0 && lastParts.length > 0) book(at, 0, { ...NOTHING, low: -less, high: more }, lastParts);
    },
    skip(to) {
      const rest = take(frontier, instant(Infinity));
      spans = [];
      head = 0;
      if (rest.seconds > 0) book(frontier, rest.seconds, rest, partsOf(ownersNow().map((owner) => [owner, pure('unknown')])));
      lanes.clear();
      frontier = to;
    },
    bookedUntil: () => frontier,
    pendingFrom: () => spans[head]?.span.from,
  };
}

/** A device of several deployments is divided evenly between them. */
const partsOf = (shares: readonly (readonly [Owner | undefined, Shares])[]): Part<Owner>[] =>
  shares.flatMap(([owner, { of, modelled }]) => [...of].map(([phase, share]) => ({ owner, phase, modelled, weight: share / shares.length, division: 0 })));
