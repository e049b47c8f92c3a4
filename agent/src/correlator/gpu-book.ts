/**
 * The books of one GPU. Energy and evidence are brought to one time axis (what a sensor shows late is looked up late), and
 * booked in groups: as much energy as one reading, or one window of counts, can't be told apart any further by measuring.
 *
 *   spans      ├──┼──┼──┼──┼──┼──┤        stretches  ├p┤├d┤├d┤├p+d┤├d┤        windows  ├───────────┤
 *   groups     ├──┼──┼──┼──┼──┼──┤        one span each; several of a sensor that averages; all of a window
 *
 * Inside a group the model says where the energy was drawn and in which phase; how much it was is what was measured.
 */
import type { Phase } from '@joulebook/shared/slice.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { Attribution, Division, Lane as AttributionLane } from '../attribution/attribution.js';
import { pure } from '../attribution/split.js';
import type { RequestRef, Stretch } from '../attribution/work.js';
import { energyBefore, type Span } from '../sampler/integrator.js';
import type { Channel } from '../sources/source.js';
import { bookParts, NOTHING, partOf, sumOf, type Device, type Drawn, type Owner, type RequestBook, type TimedPart } from './book.js';
import { coarseness } from './coarseness.js';
import type { GpuHistory } from './gpu-history.js';
import type { Slicer } from './slicer.js';

/** Readings of a power gauge are divided together, so many averaging times and at least so long. */
const GROUP_OF_AVERAGES = 4;
const LOOKING_SECONDS = 1;
/** What does not go together is told again after so long. */
const TELL_AGAIN_SECONDS = 3_600;
/** Times are equal within this. */
const SAME_SECONDS = 1e-6;

interface Lane {
  readonly owner: Owner | undefined;
  readonly attribution: AttributionLane | undefined;
  /** On the time axis of the energy. */
  stretches: Stretch[];
}

/** A piece of a group in which neither stretch nor reading changes. */
interface Piece {
  readonly from: Instant;
  readonly to: Instant;
  readonly stretch: Stretch;
  /** µJ, not rounded. */
  readonly energy: number;
}

export interface GpuBookParts {
  readonly channel: Channel;
  /** Who runs on it now. */
  readonly owners: () => readonly Owner[];
  readonly attributionOf: (owner: Owner) => Attribution;
  readonly slicer: Slicer;
  readonly history: GpuHistory<Owner>;
  readonly begin: Instant;
  readonly requestBook?: RequestBook | undefined;
}

export function gpuBook({ channel, owners, attributionOf, slicer, history, begin, requestBook }: GpuBookParts): Device {
  const readings = coarseness();
  const blur = channel.measures === 'power' ? (channel.sensor.averagedOver ?? 0) : 0;
  const stated = channel.sensor.delay ?? 0;
  /** Shorter pieces of energy are not told apart by a gauge that blurs, or that looks only now and then. */
  const group = channel.measures === 'power' ? Math.max(LOOKING_SECONDS, GROUP_OF_AVERAGES * blur) : 0;
  let spans: Span[] = [];
  /** µJ of the first span that are booked. */
  let bookedOfFirst = 0;
  let frontier = begin;
  const lanes = new Map<string, Lane>();
  let lastParts: readonly TimedPart[] = [];
  const toldUnrelated = new Map<string, Instant>();

  /** Evidence of somebody else's work is worse than none. */
  function tellIfUnrelated(owner: Owner): void {
    const told = toldUnrelated.get(owner.name);
    if (!attributionOf(owner).unrelated() || (told !== undefined && frontier - told < TELL_AGAIN_SECONDS)) return;
    toldUnrelated.set(owner.name, frontier);
    slicer.flag(frontier, { ...owner.subject(), code: 'POWER_UNRELATED', detail: `what ${channel.device} drew does not go with what ${owner.name} says it did, so no model divides it: see whether the deployment runs on this GPU (devices), whether both clocks are right (tz, time synchronisation), and whether the sensor stands still`, count: 1, device: channel.device });
  }

  function extend(stretchesOf: ReadonlyMap<Owner, readonly Stretch[]>): void {
    const here = owners();
    for (const owner of here.length > 0 ? here : [undefined]) {
      const name = owner?.name ?? '';
      const lane = lanes.get(name) ?? { owner, attribution: owner && attributionOf(owner).lane(blur, stated), stretches: [] };
      lanes.set(name, lane);
      let reached = lane.stretches.at(-1)?.to;
      const shift = blur / 2 + (owner ? attributionOf(owner).lag(stated) : stated);
      for (const stretch of (owner && stretchesOf.get(owner)) ?? []) {
        // They follow each other; an offset that was found meanwhile makes no hole and no overlap.
        const from = reached ?? instant(stretch.from + shift);
        const to = instant(stretch.to + shift);
        if (to <= from) continue;
        lane.stretches.push({ ...stretch, from, to, ...(stretch.groupEnd !== undefined && { groupEnd: instant(stretch.groupEnd + shift) }) });
        reached = to;
      }
    }
    const names = new Set(here.length > 0 ? here.map(({ name }) => name) : ['']);
    for (const name of lanes.keys()) if (!names.has(name)) lanes.delete(name);
  }

  const stretchAt = ({ stretches }: Lane, at: Instant): Stretch | undefined => stretches.find((stretch) => stretch.to > at);

  /** How far stretches go on of which nothing tells when which ran; better evidence in between ends it. */
  function windowEnd(lane: Lane): number {
    const until = stretchAt(lane, frontier)?.groupEnd;
    if (until === undefined) return 0;
    let end: number = frontier;
    for (const stretch of lane.stretches) {
      if (stretch.to <= frontier) continue;
      if (stretch.groupEnd === undefined || end >= until) return end;
      end = stretch.to;
    }
    return Math.max(end, until);
  }

  /** The end of the readings that make a group of so long; a pause between readings ends it. */
  function together(length: number): number {
    let end: number = frontier;
    for (const span of spans) {
      if (end >= frontier + length || span.from > Math.max(end, frontier) + SAME_SECONDS) break;
      end = span.to;
    }
    return end;
  }

  /** Where the group that begins at the frontier ends; undefined: not known yet. */
  function groupEnd(limit: Instant, last: boolean): Instant | undefined {
    const [first] = spans;
    if (!first || first.from > frontier) {
      const until = first && first.from < limit ? first.from : limit;
      return until > frontier ? until : undefined;
    }
    const window = Math.max(0, ...[...lanes.values()].map((lane) => windowEnd(lane)));
    let end: number = first.to;
    if (window > frontier) end = window;
    else if (group > 0 && [...lanes.values()].every(({ owner }) => owner && attributionOf(owner).ready())) {
      end = together(group);
      if (end < frontier + group && end >= limit && !last) return undefined;
    }
    if (end <= limit) return instant(end);
    return last && limit > frontier ? limit : undefined;
  }

  /** The readings of a group, cut where stretches, cells and finer readings change. */
  function piecesOf(lane: Lane, to: Instant): Piece[] {
    const edges = new Set<number>([to, ...slicer.edgesWithin(frontier, to)]);
    for (const { stretches } of lanes.values()) {
      for (const { from, to: end } of stretches) {
        if (from >= to) break;
        edges.add(end).add(from);
      }
    }
    for (const span of spans) {
      if (span.from >= to) break;
      edges.add(span.from).add(span.to);
      for (const piece of span.shape ?? []) edges.add(piece.to);
    }
    const pieces: Piece[] = [];
    let at: number = frontier;
    let nextSpan = 0;
    let nextStretch = 0;
    for (const edge of [...edges].filter((each) => each > frontier && each <= to).toSorted((a, b) => a - b)) {
      let span = spans[nextSpan];
      while (span && span.to <= at) span = spans[++nextSpan];
      let stretch = lane.stretches[nextStretch];
      while (stretch && stretch.to <= at) stretch = lane.stretches[++nextStretch];
      const covered = span !== undefined && span.from <= at;
      const known = stretch !== undefined && stretch.from <= at ? stretch : { from: instant(at), to: instant(edge), state: 'unknown' as const, work: [], doubt: 0 };
      pieces.push({ from: instant(at), to: instant(edge), stretch: known, energy: covered && span ? (energyBefore(span, instant(edge)) - energyBefore(span, instant(at))) * shareOf(lane, instant(at)) : 0 });
      at = edge;
    }
    return pieces;
  }

  /** Of several deployments on the device those that rest draw nothing while another runs; what is left is even. */
  function shareOf(lane: Lane, at: Instant): number {
    if (lanes.size === 1) return 1;
    const rests = (each: Lane): boolean => stretchAt(each, at)?.state === 'idle';
    const running = [...lanes.values()].filter((each) => !rests(each)).length;
    return running === 0 ? 1 / lanes.size : rests(lane) ? 0 : 1 / running;
  }

  /** Takes what was drawn before `to` out of the pending spans. */
  function take(to: Instant): Drawn {
    let sum = NOTHING;
    while (spans[0] && spans[0].from < to) {
      const [span] = spans;
      const upTo = span.to <= to ? span.microjoules : Math.round(energyBefore(span, to));
      sum = sumOf(sum, partOf(span, upTo - bookedOfFirst, Math.min(span.to, to) - Math.max(span.from, frontier)));
      bookedOfFirst = upTo;
      if (span.to > to) break;
      spans.shift();
      bookedOfFirst = 0;
    }
    return sum;
  }

  function bookGroup(to: Instant): void {
    const parts = new Map<string, TimedPart>();
    const count = lanes.size;
    for (const lane of lanes.values()) {
      const { owner } = lane;
      const pieces = piecesOf(lane, to);
      const divided = lane.attribution ? lane.attribution.divide(pieces) : pieces.map((piece) => ({ shares: pure(piece.stretch.state === 'work' ? 'unknown' : piece.stretch.state), weight: piece.energy }));
      const whole = pieces.reduce((sum, { energy }) => sum + energy, 0);
      const weights = divided.reduce((sum, { weight }) => sum + weight, 0);
      const phases = new Set(divided.flatMap(({ shares }) => [...shares.of.keys()]));
      if (owner) tellIfUnrelated(owner);
      const doubtOf = doubtIn(pieces, divided, { learnt: owner && attributionOf(owner).ready() ? attributionOf(owner).error() : 0, pool: owner?.role !== undefined, unrelated: owner !== undefined && attributionOf(owner).unrelated() });
      if (owner && phases.has('active') && pieces.some(({ stretch: { work } }) => work.length > 0)) slicer.flag(frontier, { ...owner.subject(), code: 'UNDIVIDED', phase: 'active', detail: `prefill and decode ran at once, and too little of each was seen to divide what they drew: it is active`, count: 1, device: channel.device });
      for (const [index, { shares, weight }] of divided.entries()) {
        const piece = pieces[index];
        if (!piece) continue;
        const asked = piece.to - piece.from;
        const seen = spans.some((span) => span.from <= piece.from && span.to > piece.from) ? asked : 0;
        for (const [phase, share] of shares.of) addPart(parts, slicer, { ...whose(piece.stretch, phase, weight * share), owner, phase, modelled: count > 1 || shares.modelled || (phases.size > 1 && weights !== whole), at: piece.from, weight: weights > 0 ? (weight * share * whole) / weights : 0, division: weights > 0 ? (doubtOf(phase) * weight * share * whole) / weights : 0, seconds: (seen * share) / count, askedSeconds: (asked * share) / count });
      }
    }
    for (const { stretches } of lanes.values()) while (stretches[0] && stretches[0].to <= to) stretches.shift();
    const drawn = take(to);
    const list = [...parts.values()];
    bookParts(slicer, channel, drawn, list, requestBook);
    const sum = list.reduce((total, { weight }) => total + weight, 0);
    history.record({ from: frontier, to, energy: drawn.microjoules, seconds: drawn.seconds, parts: list.map((part) => ({ ...part, weight: sum > 0 ? part.weight / sum : 1 / list.length, division: sum > 0 ? part.division / sum : 0 })) });
    lastParts = list;
    frontier = to;
  }

  function followCoarseness(stretchesOf: ReadonlyMap<Owner, readonly Stretch[]>): void {
    for (const owner of owners()) {
      // Where a model divides, the error of a phase is stated; where nothing does, this is the reservation.
      if (attributionOf(owner).ready()) continue;
      for (const { phase, coarse, at } of readings.follow(owner.name, stretchesOf.get(owner) ?? [])) {
        slicer.flag(at, { ...owner.subject(), code: 'COARSE', phase, detail: `${phase}: stretches with fewer than two power readings in them`, count: coarse ? 1 : 0, of: 1, device: channel.device });
      }
    }
  }

  const unknown = (at: Instant, seconds: number, asked: number): TimedPart[] => {
    const here = owners();
    return (here.length > 0 ? here : [undefined]).map((owner) => ({ owner, phase: 'unknown', modelled: false, weight: 1, division: 0, at, seconds: seconds / Math.max(1, here.length), askedSeconds: asked / Math.max(1, here.length) }));
  };

  return {
    channel,
    span(span) {
      readings.reading(span.from);
      readings.reading(span.to);
      if (span.to <= frontier) return bookParts(slicer, channel, partOf(span, span.microjoules, span.to - span.from), unknown(span.from, span.to - span.from, 0));
      spans.push(span);
      // What several drew together teaches nothing about one of them.
      if (lanes.size === 1) for (const { attribution } of lanes.values()) attribution?.drawn(span.from, span.to, span.microjoules / 1e6);
      if (span.from >= frontier) return undefined;
      // Late: its first part was booked as not seen. What it drew there is booked, but nothing tells its phase any more.
      const late = Math.round(energyBefore(span, frontier));
      if (spans.length === 1) bookedOfFirst = late;
      return bookParts(slicer, channel, partOf(span, late, frontier - span.from), unknown(span.from, frontier - span.from, 0));
    },
    sweep(to, stretchesOf, last) {
      extend(stretchesOf);
      followCoarseness(stretchesOf);
      const known = Math.min(...[...lanes.values()].map(({ owner, stretches }) => (owner ? (stretches.at(-1)?.to ?? frontier) : to)));
      const limit = instant(last ? Math.max(frontier, to) : Math.min(to, known));
      for (let end = groupEnd(limit, last); end !== undefined && end > frontier; end = groupEnd(limit, last)) bookGroup(end);
      readings.forget(frontier);
    },
    edge(at, { less, more }) {
      if (less + more === 0 || lastParts.length === 0) return;
      bookParts(slicer, channel, { ...NOTHING, low: -less, high: more }, lastParts.map((part) => ({ ...part, at, seconds: 0, askedSeconds: 0 })));
    },
    skip(to) {
      const rest = take(instant(Infinity));
      if (rest.seconds > 0) bookParts(slicer, channel, rest, unknown(frontier, rest.seconds, rest.seconds));
      for (const lane of lanes.values()) lane.stretches = [];
      frontier = to;
    },
    bookedUntil: () => frontier,
    pendingFrom: () => (spans[0] && spans[0].from < frontier ? frontier : spans[0]?.from),
  };
}

/** Shares of a phase's weight between the requests that it was for. */
function whose({ who }: Stretch, phase: Phase, weight: number): { requests?: Map<RequestRef, number> } {
  if (!who || (phase !== 'prefill' && phase !== 'decode')) return {};
  const sum = who[phase].reduce((total, part) => total + part.weight, 0);
  return { requests: new Map(sum > 0 ? who[phase].map((part) => [part.request, (weight * part.weight) / sum]) : []) };
}

/**
 * Relative error of what a group gives to each phase: where the ratio of what a model tells apart is off by the factor 1 + d,
 * a part with share s of it is off by d·(1 − s). Idle is among it where nothing but the model tells it from a phase, as in a pool.
 */
function doubtIn(pieces: readonly Piece[], divided: readonly Division[], { learnt, pool, unrelated }: { readonly learnt: number; readonly pool: boolean; readonly unrelated: boolean }): (phase: Phase) => number {
  // What the evidence says is then no better than a guess, of whatever kind it is.
  if (unrelated) return (phase) => (phase === 'unknown' ? 0 : 1);
  const sums = new Map<Phase, number>();
  let idle = 0;
  for (const { shares, weight } of divided) {
    idle += weight * (shares.of.get('idle') ?? 0);
    for (const [phase, share] of shares.of) if (phase === 'prefill' || phase === 'decode' || (phase === 'idle' && (pool || share < 1))) sums.set(phase, (sums.get(phase) ?? 0) + weight * share);
  }
  const all = [...sums.values()].reduce((sum, each) => sum + each, 0);
  const doubt = Math.hypot(pieces.reduce((most, { stretch }, index) => Math.max(most, divided[index]?.doubt ?? stretch.doubt), 0), learnt);
  // Where the counts of a window were laid out in time, what is wrong with their time is wrong with the rest of the window too.
  const laidOut = idle > 0 && pieces.some(({ stretch }) => stretch.groupEnd !== undefined && stretch.window === undefined);
  const inRatio = (phase: Phase): number => (all > 0 && sums.has(phase) ? doubt * (1 - (sums.get(phase) ?? 0) / all) : 0);
  return laidOut && !sums.has('idle') ? (phase) => (phase === 'idle' ? (doubt * all) / idle : inRatio(phase)) : inRatio;
}

/** Parts of one cell, owner and phase are one fact. */
function addPart(parts: Map<string, TimedPart>, slicer: Slicer, part: TimedPart): void {
  const key = `${slicer.cellAt(part.at)}\u0000${part.owner?.name ?? ''}\u0000${part.phase satisfies Phase}\u0000${String(part.modelled)}`;
  const known = parts.get(key);
  for (const [request, weight] of part.requests ?? []) known?.requests?.set(request, (known.requests.get(request) ?? 0) + weight);
  parts.set(key, known ? { ...known, weight: known.weight + part.weight, division: known.division + part.division, seconds: known.seconds + part.seconds, askedSeconds: known.askedSeconds + part.askedSeconds } : part);
}
