/**
 * How much later the power shows what the evidence tells: the sensor's lag and the difference of two clocks, as one number.
 * It is the shift at which what was drawn goes best with what should have been drawn:
 *
 *   expected  ▁▁▇▇▁▁▃▃▃▃▁▁▇▇▁▁
 *   drawn       ▁▁▇▇▁▁▃▃▃▃▁▁▇▇▁▁          correlation at every shift from −4.75 s to 4.75 s; its peak is the offset
 */
import type { Instant } from '@joulebook/shared/units.js';

export interface Alignment {
  /** Time starts anew, maybe earlier; what is known stays. */
  rewind(): void;
  /** The sensor shows the mean over so long before; what is expected is blurred as it blurs. Known before anything is drawn. */
  blur(seconds: number): void;
  /** What evidence lets expect, in any unit; pieces in order. */
  expected(from: Instant, to: Instant, level: number): void;
  /** What was drawn; pieces in order. */
  drawn(from: Instant, to: Instant, watts: number): void;
  /** Seconds; undefined while nothing clear is known. */
  offset(): Offset | undefined;
}

export interface Offset {
  /** Beyond what the blur of the sensor makes late. */
  readonly seconds: number;
  /** Correlation at the peak, 0 to 1. */
  readonly correlation: number;
}

const BIN_SECONDS = 0.025;
const FARTHEST = 190;
const SHIFTS = 2 * FARTHEST + 1;
/** Bins to look at before a peak is believed: a minute. */
const ENOUGH_BINS = 60 / BIN_SECONDS;
/** After this much it is as well known as it gets; clocks that drift are followed by starting anew. */
const WINDOW_BINS = 20 * ENOUGH_BINS;
const LEAST_CORRELATION = 0.3;
/** The correlation far from the peak must be lower by this, or there is no peak. */
const LEAST_RISE = 0.03;

/** What was drawn waits so long for what was expected. */
const KEPT_BINS = 600 / BIN_SECONDS;

export function alignment(): Alignment {
  let levels = bins();
  let power = bins();
  let sums = emptySums();
  let next: number | undefined;
  let known: Offset | undefined;
  let width = 1;

  /** Takes in the bins of power for which the expectation is known on both sides. */
  function take(): void {
    const until = Math.min(power.end(), levels.end() - FARTHEST);
    const begin = Math.max(power.begin(), levels.begin() + FARTHEST + width);
    // Where nothing is expected there is nothing to compare with: what was drawn there is neither kept nor looked at.
    power.forget(power.end() - KEPT_BINS);
    if (Number.isFinite(begin)) next = Math.max(next ?? begin, begin);
    if (next === undefined) return;
    for (; next < until; next += 1) {
      const y = power.at(next);
      // Every shift is judged by the same bins: one that leaves out what nobody knows would be compared with others that don't.
      if (y === undefined || !levels.isWhole(next - FARTHEST - width, next + FARTHEST)) continue;
      sums.count += 1;
      for (let shift = 0; shift < SHIFTS; shift += 1) {
        const x = levels.meanBefore(next - (shift - FARTHEST), width);
        if (x === undefined) continue;
        const sum = sums.shifts[shift];
        if (!sum) continue;
        sum.n += 1;
        sum.x += x;
        sum.y += y;
        sum.xx += x * x;
        sum.yy += y * y;
        sum.xy += x * y;
      }
    }
    levels.forget(next - 2 * FARTHEST - width);
    power.forget(next);
    if (sums.count < WINDOW_BINS) return;
    known = peakOf(sums.shifts) ?? known;
    sums = emptySums();
  }

  const offset = (): Offset | undefined => (sums.count >= ENOUGH_BINS ? (peakOf(sums.shifts) ?? known) : known);

  return {
    rewind() {
      known = offset();
      levels = bins();
      power = bins();
      sums = emptySums();
      next = undefined;
    },
    blur(seconds) {
      width = Math.max(1, Math.round(seconds / BIN_SECONDS));
    },
    expected: (from, to, level) => levels.add(from, to, level),
    drawn(from, to, watts) {
      power.add(from, to, watts);
      take();
    },
    offset,
  };
}

interface Sums {
  n: number;
  x: number;
  y: number;
  xx: number;
  yy: number;
  xy: number;
}

const emptySums = (): { count: number; shifts: Sums[] } => ({ count: 0, shifts: Array.from({ length: SHIFTS }, () => ({ n: 0, x: 0, y: 0, xx: 0, yy: 0, xy: 0 })) });

function correlationOf({ n, x, y, xx, yy, xy }: Sums): number {
  const spread = (n * xx - x * x) * (n * yy - y * y);
  return spread > 0 ? (n * xy - x * y) / Math.sqrt(spread) : 0;
}

/** The highest point, refined by the parabola through it and its neighbours. */
function peakOf(shifts: readonly Sums[]): Offset | undefined {
  const correlations = shifts.map(correlationOf);
  const top = correlations.reduce((best, value, index) => (value > (correlations[best] ?? 0) ? index : best), 0);
  const [before = 0, peak = 0, behind = 0] = [correlations[top - 1], correlations[top], correlations[top + 1]];
  if (peak < LEAST_CORRELATION || top === 0 || top === SHIFTS - 1) return undefined;
  const least = Math.min(...correlations);
  if (peak - least < LEAST_RISE) return undefined;
  const curve = before - 2 * peak + behind;
  const refined = curve < 0 ? (before - behind) / (2 * curve) : 0;
  return { seconds: (top - FARTHEST + refined) * BIN_SECONDS, correlation: peak };
}

interface Bins {
  add(from: number, to: number, value: number): void;
  at(bin: number): number | undefined;
  /** Mean of so many bins, this one the last. */
  meanBefore(bin: number, width: number): number | undefined;
  /** Every bin has a value. */
  isWhole(from: number, to: number): boolean;
  begin(): number;
  /** Behind the last bin that is full. */
  end(): number;
  forget(before: number): void;
}

/** Means of a piecewise constant quantity over a grid. */
function bins(): Bins {
  let values: (number | undefined)[] = [];
  /** Running sums of the values up to each bin, and of how many there were. */
  let sums: { value: number; count: number }[] = [];
  let first = 0;
  let open = { bin: Number.NaN, filled: 0, sum: 0 };
  const close = (): void => {
    if (Number.isNaN(open.bin)) return;
    if (values.length === 0) first = open.bin;
    const mean = open.filled > BIN_SECONDS / 2 ? open.sum / open.filled : undefined;
    const before = sums.at(-1) ?? { value: 0, count: 0 };
    values.push(mean);
    sums.push({ value: before.value + (mean ?? 0), count: before.count + (mean === undefined ? 0 : 1) });
  };
  return {
    add(from, to, value) {
      let at = from;
      if (Number.isNaN(open.bin)) open = { bin: Math.floor(from / BIN_SECONDS), filled: 0, sum: 0 };
      // A far jump would be spelled out bin by bin.
      if (from / BIN_SECONDS - open.bin > 1e5) {
        values = [];
        sums = [];
        open = { bin: Math.floor(from / BIN_SECONDS), filled: 0, sum: 0 };
      }
      while (at < to) {
        const bin = Math.floor(at / BIN_SECONDS + 1e-9);
        while (open.bin < bin) {
          close();
          open = { bin: open.bin + 1, filled: 0, sum: 0 };
        }
        const until = Math.min(to, (bin + 1) * BIN_SECONDS);
        open.filled += until - at;
        open.sum += value * (until - at);
        at = Math.max(until, at + 1e-9);
      }
    },
    at: (bin) => values[bin - first],
    meanBefore(bin, width) {
      if (width === 1) return values[bin - first];
      const [low, high] = [sums[bin - first - width], sums[bin - first]];
      return low && high && high.count > low.count ? (high.value - low.value) / (high.count - low.count) : undefined;
    },
    isWhole(from, to) {
      const [low, high] = [sums[from - first - 1], sums[to - first]];
      return high !== undefined && high.count - (low?.count ?? 0) === to - from + 1;
    },
    begin: () => (values.length > 0 ? first : Infinity),
    end: () => (values.length > 0 ? first + values.length : -Infinity),
    forget(before) {
      // Cutting the list costs its length: it is done when half of it is gone.
      const gone = Math.min(values.length, before - first);
      if (gone <= values.length / 2) return;
      values = values.slice(gone);
      sums = sums.slice(gone);
      first += gone;
    },
  };
}
