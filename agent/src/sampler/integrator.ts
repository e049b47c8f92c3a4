/**
 * Readings → energy spans. Two neighbouring readings of a channel bound one span: a power gauge gives a
 * trapezoid, a counter its difference. Nothing is bridged: no span crosses a gap, a break or a counter reset.
 * Each span holds a whole number of microjoules; what rounding leaves over is carried into the next span,
 * so the sum over a recording is within half a microjoule of the exact integral.
 */
import type { Boundary } from '@joulebook/shared/slice.js';
import { instant, microjoules, seconds, watts, type Instant, type Microjoules, type Seconds, type Watts } from '@joulebook/shared/units.js';
import type { Channel, FlaggedDuring, Reading } from '../sources/source.js';
import { frozenWatch, type FrozenWatch } from './frozen.js';

export interface Span {
  readonly channel: Channel;
  readonly from: Instant;
  readonly to: Instant;
  readonly microjoules: Microjoules;
  /** Power at both ends, linear between; absent for a counter, whose energy is even over the span. */
  readonly ramp?: { readonly start: Watts; readonly end: Watts };
  /** How the energy lies inside the span, told by a faster channel: pieces in order that fill the span. */
  readonly shape?: readonly Span[];
  /** Variance of the energy for what the sensor did not see between its looks, in J². */
  readonly variance: number;
}

/** How far the energy of a window may be off because the sensor shows late what lay at the window's ends, in µJ, not negative. */
export interface Edge {
  readonly less: number;
  readonly more: number;
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
  if (span.shape) return alongShape(span, span.shape, at);
  const part = Math.min(1, Math.max(0, (at - span.from) / length));
  if (!span.ramp) return span.microjoules * part;
  const { start, end } = span.ramp;
  const mean = (start + end) / 2;
  // At zero mean power both ends are zero: any division of nothing will do.
  return mean === 0 ? 0 : span.microjoules * ((part * (start + ((end - start) * part) / 2)) / mean);
}

/** The shape divides the energy; how much it is stays what the energy channel said. */
function alongShape(span: Span, shape: readonly Span[], at: Instant): number {
  const whole = shape.reduce((sum, piece) => sum + piece.microjoules, 0);
  if (whole === 0) return (span.microjoules * (Math.min(Math.max(at, span.from), span.to) - span.from)) / (span.to - span.from);
  const before = shape.reduce((sum, piece) => sum + (piece.to <= at ? piece.microjoules : energyBefore(piece, at)), 0);
  return span.microjoules * (before / whole);
}

/** The part of a span behind a moment; its whole µJ and those of the part in front of it add up to the span's. */
export function after(span: Span, at: Instant): Span | undefined {
  if (at <= span.from) return span;
  if (at >= span.to) return undefined;
  const left = microjoules(span.microjoules - Math.round(energyBefore(span, at)));
  const share = (span.to - at) / (span.to - span.from);
  const ramp = span.ramp && { start: watts(span.ramp.start + (span.ramp.end - span.ramp.start) * (1 - share)), end: span.ramp.end };
  const shape = span.shape?.flatMap((piece) => after(piece, at) ?? []);
  return { channel: span.channel, from: at, to: span.to, microjoules: left, variance: span.variance * share, ...(ramp && { ramp }), ...(shape && { shape }) };
}

/** The part of a span inside a window. Of windows that follow each other the parts' whole µJ add up to the span's. */
export function within(span: Span, window: { readonly from: Instant; readonly to?: Instant }): Span | undefined {
  const late = after(span, window.from);
  const { to } = window;
  if (!late || to === undefined || late.to <= to) return late;
  if (to <= late.from) return undefined;
  const behind = after(late, to);
  // Both ends are looked up in the whole span: where a window ends, the next one begins.
  const inside = microjoules(Math.round(energyBefore(span, to)) - Math.round(energyBefore(span, late.from)));
  const shape = late.shape?.flatMap((piece) => within(piece, { from: late.from, to }) ?? []);
  return { channel: span.channel, from: late.from, to, microjoules: inside, variance: late.variance - (behind?.variance ?? 0), ...(late.ramp && { ramp: { start: late.ramp.start, end: behind?.ramp?.start ?? late.ramp.end } }), ...(shape && { shape }) };
}

export interface Integrated {
  readonly span?: Span;
  readonly gap?: Gap;
  readonly flagged?: FlaggedDuring;
}

export interface Integrator {
  accept(reading: Reading): Integrated;
  /** Nothing may be integrated across the next reading's left side. */
  break(channel: Channel): void;
  /** What the ends of the window add to the error; of use once the readings behind its end were seen. */
  edge(channel: Channel): Edge;
}

interface ChannelState {
  last: Reading | undefined;
  broken: boolean;
  carry: number;
  readonly ends: readonly WindowEnd[];
  readonly frozen: FrozenWatch;
}

/**
 * @param periodOf the longest normal time between two readings of a channel
 * @param window at whose ends an error is asked for; spans go on outside of it, so that none depends on where a window ends
 */
export function integrator(periodOf: (channel: Channel) => Seconds, window?: Window): Integrator {
  const channels = new Map<string, ChannelState>();

  const stateOf = (channel: Channel): ChannelState => {
    let state = channels.get(channel.id);
    if (!state) channels.set(channel.id, (state = { last: undefined, broken: false, carry: 0, frozen: frozenWatch(), ends: window ? [windowEnd(window.from), windowEnd(window.to)] : [] }));
    return state;
  };

  return {
    accept(reading) {
      const state = stateOf(reading.channel);
      const { last, broken } = state;
      // What lies at or before the last reading's time was integrated already; a second account of it would count it twice.
      if (last && reading.at < last.at) return { flagged: outOfOrder(reading, last.at) };
      for (const end of state.ends) end.see(reading);
      const stuck = state.frozen.see(reading);
      if (stuck !== 'alive') {
        state.broken = true;
        state.last = reading;
        return stuck === 'just froze' ? { flagged: froze(reading) } : {};
      }
      if (last && reading.at === last.at) {
        state.last = reading;
        return {};
      }
      state.last = reading;
      state.broken = false;
      if (!last) return {};
      const { channel } = reading;
      const gap: Gap = { channel, from: last.at, to: reading.at };
      if (broken || reading.at - last.at > gapThreshold(periodOf(channel))) return { gap };
      const drawn = drawnBetween(last, reading);
      if (drawn && isAbsurd(drawn, channel, reading.at - last.at)) return { gap, flagged: absurdEnergy(gap) };
      if (drawn === undefined) return { gap, flagged: counterReset(gap) };
      const exact = drawn.energy + state.carry;
      const booked = microjoules(Math.round(exact));
      state.carry = exact - booked;
      return { span: { channel, from: last.at, to: reading.at, microjoules: booked, variance: unseenVariance(last, reading), ...(drawn.ramp && { ramp: drawn.ramp }) } };
    },
    break(channel) {
      stateOf(channel).broken = true;
    },
    edge(channel) {
      const sums = stateOf(channel).ends.map((end) => end.edge(lagOf(channel)));
      return { less: sums.reduce((sum, { less }) => sum + less, 0), more: sums.reduce((sum, { more }) => sum + more, 0) };
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

/** No device of a boundary draws more than this, in watts: what says so is a glitch of a counter, not energy. */
const MOST_WATTS: Readonly<Record<Boundary, number>> = { gpu: 5_000, module: 20_000, cpu: 5_000, dram: 5_000, server: 100_000, meter: 10_000_000 };

const isAbsurd = ({ energy }: Drawn, { boundary }: Channel, time: number): boolean => energy > MOST_WATTS[boundary] * time * 1e6 || !Number.isSafeInteger(Math.round(energy));

const absurdEnergy = ({ channel, from, to }: Gap): FlaggedDuring => ({
  kind: 'flagged',
  during: { from, to },
  code: 'ABSURD_ENERGY',
  detail: `${channel.id}: more energy than a ${channel.boundary} can draw lies between two readings; it is not believed and is missing coverage`,
  count: 1,
  device: channel.device,
});

const outOfOrder = ({ channel, at }: Reading, last: Instant): FlaggedDuring => ({
  kind: 'flagged',
  during: { from: at, to: last },
  code: 'TIME_WENT_BACK',
  detail: `${channel.id}: readings are stamped before ones that came in front of them; they are left out, since that time is integrated already`,
  count: 1,
  device: channel.device,
});

const froze = ({ channel, at }: Reading): FlaggedDuring => ({
  kind: 'flagged',
  // Nothing is known here of when it moves again.
  during: { from: at, to: instant(Infinity) },
  code: 'FROZEN',
  detail: `${channel.id}: shows the same value for longer than a working sensor does; it is not believed until it moves`,
  count: 1,
  device: channel.device,
});

const counterReset = ({ channel, from, to }: Gap): FlaggedDuring => ({
  kind: 'flagged',
  during: { from, to },
  code: 'COUNTER_RESET',
  detail: `${channel.id}: the energy counter fell; what was drawn in between is missing coverage`,
  count: 1,
  device: channel.device,
});

/**
 * Variance of the energy between two power readings of a sensor that looks only for W of every T (SC 2024, part-time
 * measurement): the mean power of the unseen part is taken as anywhere between the two readings.
 */
function unseenVariance(last: Reading, reading: Reading): number {
  if (last.measures !== 'power' || reading.measures !== 'power') return 0;
  const { averagedOver = seconds(0), refresh = seconds(0) } = reading.channel.sensor;
  const between = Math.max(refresh, reading.at - last.at);
  const unseen = Math.max(0, 1 - averagedOver / between);
  return ((reading.power - last.power) ** 2 / 12) * (between * unseen) ** 2;
}

interface WindowEnd {
  see(reading: Reading): void;
  edge(lag: number): Edge;
}

/** How long after it happened a change of power is halfway shown: the sensor's delay and half of what it averages over. */
const lagOf = ({ sensor }: Channel): number => (sensor.delay ?? 0) + (sensor.averagedOver ?? 0) / 2;

/** Follows the power for two lags behind an end of the window: what it rises or falls there may have happened before it. */
function windowEnd(at: Instant): WindowEnd {
  let first: number | undefined;
  let least = 0;
  let most = 0;
  return {
    see(reading) {
      if (reading.measures !== 'power' || reading.at < at || reading.at > at + 2 * lagOf(reading.channel)) return;
      first ??= reading.power;
      least = Math.min(least, reading.power - first);
      most = Math.max(most, reading.power - first);
    },
    edge: (lag) => ({ less: Math.round(-least * lag * 1e6), more: Math.round(most * lag * 1e6) }),
  };
}
