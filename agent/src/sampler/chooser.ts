/**
 * Which of the channels that measure one thing is booked. Exactly one energy series per (device, boundary):
 *
 *   nvml counter       ├────1────┼────2────┤  (silent)            ├────7───┤     best: counter
 *   nvml instant       ├──┼──┼──┼──┼──┼──┼─┤                      ├─┼──┼──┤     gives the counter its shape
 *   nvidia-smi average ├──┼──┼──┼──┼──┼──┼─┼──3──┼──4──┼──5──┼──6─┼──┼──┼──┤     stands by, and fills in from the moment
 *   booked             1         2         3     4     5     6    7             the better ones fell silent
 *
 * Spans of a channel that stands by are kept until it is clear that they are not needed. Every other reading of the same
 * thing is a cross-check: over each minute its energy is held against what was booked.
 */
import { instant, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Channel, FlaggedDuring } from '../sources/source.js';
import { crossCheck, type Check, type CrossCheck } from './cross-check.js';
import { after, gapThreshold, within, type Span } from './integrator.js';

export interface Chosen {
  /** To be booked, in order, not overlapping anything booked before for the device. */
  readonly spans: readonly Span[];
  readonly flagged: readonly FlaggedDuring[];
  readonly checks: readonly Check[];
}

export interface Chooser {
  offer(span: Span): Chosen;
  /** Whether it is this channel that its device is booked from. */
  booked(channel: Channel): boolean;
  /** Nothing before this moment is still held back. */
  settled(): Instant;
  /** What is held back, to be booked now: there will be no more. */
  finish(): readonly Span[];
}

interface Candidate {
  readonly channel: Channel;
  readonly rank: number;
  readonly spans: Span[];
  reached: Instant;
}

interface Device {
  readonly candidates: Map<string, Candidate>;
  readonly check: CrossCheck;
  active: Candidate | undefined;
  bookedUntil: Instant;
  /** A counter's span that waits for the faster channel that shapes it. */
  waiting: Span | undefined;
}

/** Times of different channels are equal within this. */
const LEAST_SECONDS = 1e-9;

/** A shape channel that is this much behind the counter is waited for; one further behind has nothing to say. */
const SHAPE_WAIT_SECONDS = 2;

/**
 * @param preference names of sources, the most direct first; what is not in it comes last
 * @param periodOf the longest normal time between two readings of a channel
 */
export function chooser(preference: readonly string[], periodOf: (channel: Channel) => Seconds): Chooser {
  const devices = new Map<string, Device>();

  const deviceOf = (channel: Channel): Device => {
    const key = `${channel.boundary}\u0000${channel.device}`;
    let device = devices.get(key);
    if (!device) devices.set(key, (device = { candidates: new Map(), check: crossCheck(channel.device), active: undefined, bookedUntil: instant(-Infinity), waiting: undefined }));
    return device;
  };

  function book(device: Device, span: Span): Span[] {
    const fresh = after(span, device.bookedUntil);
    // What rounding of times leaves over is no piece of energy.
    if (!fresh || fresh.to - fresh.from < LEAST_SECONDS) return [];
    device.bookedUntil = fresh.to;
    device.check.booked(fresh);
    for (const { spans } of device.candidates.values()) while (spans[0] && spans[0].to <= device.bookedUntil) spans.shift();
    return [fresh];
  }

  /** The waiting span goes out with whatever shape there is now. */
  function release(device: Device): Span[] {
    const { waiting } = device;
    device.waiting = undefined;
    return waiting ? book(device, shaped(waiting, shapeOf(device, waiting))) : [];
  }

  return {
    offer(span) {
      const { channel } = span;
      const device = deviceOf(channel);
      const candidate = device.candidates.get(channel.id) ?? { channel, rank: rankOf(channel, preference), spans: [], reached: span.from };
      device.candidates.set(channel.id, candidate);
      candidate.reached = span.to;
      const { checks, flagged: disagreeing } = device.check.seen(span);
      if (channel.use !== 'check') candidate.spans.push(span);
      const out: Span[] = [];
      const flagged: FlaggedDuring[] = [...disagreeing];

      const best = bestOf(device, span.to, periodOf);
      if (best !== device.active && best) {
        out.push(...release(device));
        if (device.active) flagged.push(changed(device.active, best, span.to));
        device.active = best;
      }
      if (device.waiting && (channel.id === device.active?.channel.id || shapeReaches(device, device.waiting))) out.push(...release(device));
      if (best === candidate && channel.use !== 'check') {
        for (const ready of candidate.spans.splice(0)) {
          if (ready.ramp || !shapeToCome(device, ready)) out.push(...book(device, ready.ramp ? ready : shaped(ready, shapeOf(device, ready))));
          else {
            out.push(...release(device));
            device.waiting = ready;
          }
        }
      }
      return { spans: out, flagged, checks };
    },
    booked(channel) {
      const { active } = deviceOf(channel);
      return active === undefined || active.channel.id === channel.id;
    },
    settled: () => instant(Math.min(Infinity, ...[...devices.values()].map(({ waiting }) => waiting?.from ?? Infinity))),
    finish: () => [...devices.values()].flatMap((device) => [...release(device), ...(device.active?.spans.splice(0).flatMap((span) => book(device, span)) ?? [])]),
  };
}

/** Lower is better: a counter; then a reading whose averaging leaves nothing unseen; then one that looks only part of the time. */
function rankOf({ measures, sensor, source }: Channel, preference: readonly string[]): number {
  const blind = (sensor.averagedOver ?? 0) < (sensor.refresh ?? 0);
  const kind = measures === 'counter' ? 0 : blind ? 2 : 1;
  const place = preference.indexOf(source);
  return kind * 1000 + (place === -1 ? 999 : place);
}

/** The best that has not fallen silent. */
function bestOf(device: Device, now: Instant, periodOf: (channel: Channel) => Seconds): Candidate | undefined {
  let best: Candidate | undefined;
  for (const candidate of device.candidates.values()) {
    if (candidate.channel.use === 'check' || now - candidate.reached > gapThreshold(periodOf(candidate.channel))) continue;
    if (!best || candidate.rank < best.rank) best = candidate;
  }
  return best;
}

/** The power channel that blurs least; among equals the first. */
function shapeChannel(device: Device): Candidate | undefined {
  let best: Candidate | undefined;
  for (const candidate of device.candidates.values()) {
    if (candidate.channel.measures !== 'power' || candidate.channel.use === 'check') continue;
    if (!best || (candidate.channel.sensor.averagedOver ?? Infinity) < (best.channel.sensor.averagedOver ?? Infinity)) best = candidate;
  }
  return best;
}

const shapeReaches = (device: Device, span: Span): boolean => (shapeChannel(device)?.reached ?? -Infinity) >= span.to;

const shapeToCome = (device: Device, span: Span): boolean => {
  const channel = shapeChannel(device);
  return channel !== undefined && channel.reached < span.to && span.to - channel.reached < SHAPE_WAIT_SECONDS;
};

function shapeOf(device: Device, span: Span): readonly Span[] {
  return (shapeChannel(device)?.spans ?? []).filter((piece) => piece.to > span.from && piece.from < span.to);
}

/** A shape must fill the span; what a shape does not cover would get no energy. */
function shaped(span: Span, pieces: readonly Span[]): Span {
  const shape = pieces.flatMap((piece) => within(piece, span) ?? []);
  const covered = shape.reduce((sum, piece) => sum + piece.to - piece.from, 0);
  return covered < (span.to - span.from) * 0.999 ? span : { ...span, shape };
}

function changed(from: Candidate, to: Candidate, at: Instant): FlaggedDuring {
  const { device } = to.channel;
  const detail = to.rank > from.rank ? `${device}: ${from.channel.source} fell silent; its energy is taken from ${to.channel.id}` : `${device}: its energy is taken from ${to.channel.id} again`;
  return { kind: 'flagged', code: 'SENSOR_CHANGED', detail, count: 1, device, during: { from: at, to: at } };
}
