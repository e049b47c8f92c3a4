/** Robust statistics by their usual names, of plain numbers. Each of an empty sample is NaN. */

const ascending = (values: readonly number[]): Float64Array => Float64Array.from(values).toSorted();

/** Half of the sample may be anything before it is led astray. */
export function medianOf(values: readonly number[]): number {
  const sorted = ascending(values);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[half] ?? Number.NaN) : ((sorted[half - 1] ?? Number.NaN) + (sorted[half] ?? Number.NaN)) / 2;
}

/** Makes the median absolute deviation of a normal distribution its standard deviation. */
const NORMAL = 1.4826;
/** 1.4826 × median |x − centre| (MAD): a standard deviation that outliers don't widen. */
export const spreadOf = (values: readonly number[], centre: number = medianOf(values)): number => NORMAL * medianOf(values.map((value) => Math.abs(value - centre)));

function sharesOf(counts: readonly number[]): number[] {
  const all = counts.reduce((sum, count) => sum + count + 0.5, 0);
  return counts.map((count) => (count + 0.5) / all);
}

/**
 * Population stability index of two histograms over the same bands: Σ (p − q) ln(p / q). Below 0.1 is taken for no shift, above 0.25 for
 * a large one. Half a case is added to each band, so that an empty one is no infinity.
 */
export function stabilityIndex(before: readonly number[], now: readonly number[]): number {
  const [p, q] = [sharesOf(now), sharesOf(before)];
  return p.reduce((sum, share, band) => sum + (share - (q[band] ?? share)) * Math.log(share / (q[band] ?? share)), 0);
}

/** Kolmogorov–Smirnov: the largest distance between the shares of two samples that lie below a value. */
export function largestDistance(first: readonly number[], second: readonly number[]): number {
  const [a, b] = [ascending(first), ascending(second)];
  let distance = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const value = Math.min(a[i] ?? Infinity, b[j] ?? Infinity);
    while (i < a.length && a[i] === value) i += 1;
    while (j < b.length && b[j] === value) j += 1;
    distance = Math.max(distance, Math.abs(i / a.length - j / b.length));
  }
  return distance;
}

/** What that distance exceeds by chance with probability `chance`, of independent samples: √(−½ ln(chance / 2)) × √((n + m) / nm). */
export const distanceByChance = (n: number, m: number, chance: number): number => Math.sqrt(-0.5 * Math.log(chance / 2)) * Math.sqrt((n + m) / (n * m));
