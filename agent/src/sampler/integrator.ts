/**
 * Readings → energy spans. Two neighbouring readings of a channel bound one span: a power gauge gives a
 * trapezoid, a counter its difference. Nothing is bridged: no span crosses a gap, a break or a counter reset.
 * Each span holds a whole number of microjoules; what rounding leaves over is carried into the next span,
 * so the sum over a recording is within half a microjoule of the exact integral.
 */
import { microjoules, watts, type Instant, type Microjoules, type Seconds, type Watts } from '@joulebook/shared/units.js';
import type { Channel, Flagged, Reading } from '../sources/source.js';

export interface Span {
  readonly channel: Channel;
  readonly from: Instant;
  readonly to: Instant;
  readonly microjoules: Microjoules;
  /** Power at both ends, linear between; absent for a counter, whose energy is even over the span. */
  readonly ramp?: { readonly start: Watts; readonly end: Watts };
}

export interface Gap {
  readonly channel: Channel;
  readonly from: Instant;
  readonly to: Instant;
}

export interface Window {
  readonly from: Instant;
  readonly to: Instant;
}

/** A pause longer than this between two readings is missing coverage. */
export const gapThreshold = (period: Seconds): number => Math.max(5 * period, 1);

/** The part of a span's energy drawn before `at`, in µJ (not rounded). */
export function energyBefore(span: Span, at: Instant): number {
  const length = span.to - span.from;
  const part = Math.min(1, Math.max(0, (at - span.from) / length));
  if (!span.ramp) return span.microjoules * part;
  const { start, end } = span.ramp;
  const mean = (start + end) / 2;
  // At zero mean power both ends are zero: any division of nothing will do.
  return mean === 0 ? 0 : span.microjoules * ((part * (start + ((end - start) * part) / 2)) / mean);
}

export interface Integrated {
  readonly span?: Span;
  readonly gap?: Gap;
  readonly flagged?: Flagged;
}

export interface Integrator {
  accept(reading: Reading): Integrated;
  /** Nothing may be integrated across the next reading's left side. */
  break(channel: Channel): void;
}

interface ChannelState {
  last: Reading | undefined;
  broken: boolean;
  carry: number;
}

/**
 * @param periodOf the longest normal time between two readings of a channel
 * @param window energy outside it is left out; spans across its edges are cut by interpolation
 */
export function integrator(periodOf: (channel: Channel) => Seconds, window?: Window): Integrator {
  const channels = new Map<string, ChannelState>();

  const stateOf = (channel: Channel): ChannelState => {
    let state = channels.get(channel.id);
    if (!state) channels.set(channel.id, (state = { last: undefined, broken: false, carry: 0 }));
    return state;
  };

  return {
    accept(reading) {
      const state = stateOf(reading.channel);
      const { last, broken } = state;
      if (last && reading.at === last.at) {
        state.last = reading;
        return {};
      }
      state.last = reading;
      state.broken = false;
      if (!last) return {};
      const { channel } = reading;
      if (reading.at < last.at) return { flagged: outOfOrder(channel, last.at, reading.at) };
      if (broken || reading.at - last.at > gapThreshold(periodOf(channel))) return { gap: { channel, from: last.at, to: reading.at } };
      const drawn = drawnBetween(last, reading);
      if (drawn === undefined) return { gap: { channel, from: last.at, to: reading.at }, flagged: counterReset(channel) };
      const cut = clip({ channel, from: last.at, to: reading.at, ...drawn }, window);
      if (!cut) return {};
      const exact = cut.energy + state.carry;
      const booked = microjoules(Math.round(exact));
      state.carry = exact - booked;
      return { span: { channel, from: cut.from, to: cut.to, microjoules: booked, ...(cut.ramp && { ramp: cut.ramp }) } };
    },
    break(channel) {
      stateOf(channel).broken = true;
    },
  };
}

interface Drawn {
  /** µJ, not rounded. */
  readonly energy: number;
  readonly ramp?: { readonly start: Watts; readonly end: Watts };
}

/** undefined: the counter began anew, so what was drawn between the two readings is not known. */
function drawnBetween(last: Reading, reading: Reading): Drawn | undefined {
  if (last.measures === 'counter' && reading.measures === 'counter') {
    const difference = reading.total - last.total;
    if (difference >= 0n) return { energy: Number(difference) };
    return reading.wrapsAt === undefined ? undefined : { energy: Number(difference + reading.wrapsAt) };
  }
  if (last.measures === 'power' && reading.measures === 'power') {
    return { energy: ((last.power + reading.power) / 2) * (reading.at - last.at) * 1e6, ramp: { start: last.power, end: reading.power } };
  }
  return undefined;
}

type Uncut = Drawn & { readonly channel: Channel; readonly from: Instant; readonly to: Instant };

function clip(span: Uncut, window: Window | undefined): Uncut | undefined {
  if (!window || (span.from >= window.from && span.to <= window.to)) return span;
  if (span.to <= window.from || span.from >= window.to) return undefined;
  const from = span.from < window.from ? window.from : span.from;
  const to = span.to > window.to ? window.to : span.to;
  const share = (to - from) / (span.to - span.from);
  if (!span.ramp) return { ...span, from, to, energy: span.energy * share };
  const { start, end } = span.ramp;
  const powerAt = (at: Instant): number => start + ((end - start) * (at - span.from)) / (span.to - span.from);
  const ramp = { start: watts(powerAt(from)), end: watts(powerAt(to)) };
  return { ...span, from, to, ramp, energy: ((ramp.start + ramp.end) / 2) * (to - from) * 1e6 };
}

const outOfOrder = (channel: Channel, last: Instant, at: Instant): Flagged => ({
  kind: 'flagged',
  code: 'TIME_WENT_BACK',
  detail: `${channel.id}: a reading is stamped ${(last - at).toFixed(3)} s before the one in front of it; nothing is integrated across the step`,
  count: 1,
  device: channel.device,
});

const counterReset = (channel: Channel): Flagged => ({
  kind: 'flagged',
  code: 'COUNTER_RESET',
  detail: `${channel.id}: the energy counter fell; what was drawn in between is missing coverage`,
  count: 1,
  device: channel.device,
});
