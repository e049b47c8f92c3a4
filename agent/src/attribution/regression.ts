/**
 * Least squares with coefficients that can't be negative, fed one observation after another.
 *
 * Only the sums XᵀWX and XᵀWy are kept, so that memory does not grow with time; old observations fade. An observation
 * far from what is known by now weighs less (Huber), so that a few odd ones do not move the rest. With the handful of
 * coefficients here every set of non-zero ones is tried: that is exact, and takes microseconds.
 */

export interface Solution {
  readonly coefficients: readonly number[];
  /** Standard error of a weighted sum of the coefficients, e.g. of one of them: [0, 1, 0]. */
  errorOf(weights: readonly number[]): number;
  /** The same, if those at the bound of 0 are known no better than the others. */
  widestErrorOf(weights: readonly number[]): number;
  /** Of the variance of y about its mean, what the fit leaves (adjusted for its size): about 1 where y has nothing to do with x. */
  readonly unexplained: number;
  /** Standard deviations of y from its mean and from the fit. */
  readonly spread: number;
  readonly scatter: number;
}

export interface Regression {
  /** `y` should be Σ xᵢ·bᵢ. @param weight how much it counts, e.g. its seconds */
  add(x: readonly number[], y: number, weight: number): void;
  /** What was seen before counts this much from now on, 0 to 1. */
  fade(factor: number): void;
  /** Undefined while nothing was added. */
  solution(): Solution | undefined;
  /** Sum of the weights of what was added and has not faded. */
  weight(): number;
}

/** Beyond so many typical residuals an observation counts less, in proportion (Huber 1964: 95 % efficient for normal errors). */
const HUBER = 1.345;
/** Residuals are compared once there are this many. */
const ENOUGH_TO_COMPARE = 8;
/** Solving after each observation would be waste: after this share of new weight it is done again. */
const RESOLVE_AFTER = 0.05;
/** Keeps what the observations do not tell at all near 0 instead of anywhere. */
const RIDGE = 1e-6;
/** How fast the typical residual follows. */
const SCALE_MEMORY = 0.02;

export function regression(size: number): Regression {
  const gram = Array.from({ length: size }, () => zeros(size));
  const moment = zeros(size);
  let squares = 0;
  let sum = 0;
  let total = 0;
  let count = 0;
  let typical = 0;
  let known: Solution | undefined;
  let unsolved = 0;

  const solve = (): Solution | undefined => {
    if (total === 0) return undefined;
    if (known && unsolved <= RESOLVE_AFTER * total) return known;
    unsolved = 0;
    known = solutionOf(gram, moment, { squares, sum, weight: total, count });
    return known;
  };

  return {
    add(x, y, weight) {
      if (!(weight > 0) || !Number.isFinite(y)) return;
      const residual = Math.abs(y - dot(x, solve()?.coefficients ?? []));
      const trust = count < ENOUGH_TO_COMPARE || residual <= HUBER * typical * 1.4826 ? 1 : (HUBER * typical * 1.4826) / residual;
      if (count >= ENOUGH_TO_COMPARE / 2) typical = typical === 0 ? residual : typical + SCALE_MEMORY * Math.sign(residual - typical) * Math.max(typical, 1e-12) * 2;
      const counted = weight * trust;
      for (let row = 0; row < size; row += 1) {
        const cells = gram[row];
        const left = (x[row] ?? 0) * counted;
        if (!cells || left === 0) continue;
        moment[row] = (moment[row] ?? 0) + left * y;
        for (let column = 0; column < size; column += 1) cells[column] = (cells[column] ?? 0) + left * (x[column] ?? 0);
      }
      squares += counted * y * y;
      sum += counted * y;
      total += counted;
      unsolved += counted;
      count += 1;
    },
    fade(factor) {
      for (const cells of gram) for (const [column, value] of cells.entries()) cells[column] = value * factor;
      for (const [row, value] of moment.entries()) moment[row] = value * factor;
      squares *= factor;
      sum *= factor;
      total *= factor;
      count *= factor;
    },
    solution: solve,
    weight: () => total,
  };
}

const zeros = (size: number): number[] => Array.from({ length: size }, () => 0);

/** Of what was observed: Σ wy², Σ wy, Σ w, and how many there were. */
interface Totals {
  readonly squares: number;
  readonly sum: number;
  readonly weight: number;
  readonly count: number;
}

/** Minimises bᵀGb/2 − hᵀb over b ≥ 0 by trying every set of non-zero coefficients. */
function solutionOf(gram: readonly (readonly number[])[], moment: readonly number[], { squares, sum, weight, count }: Totals): Solution {
  const size = moment.length;
  let best: { value: number; support: readonly number[]; parts: readonly number[]; inverse: readonly (readonly number[])[] } = { value: 0, support: [], parts: [], inverse: [] };
  for (let set = 1; set < 2 ** size; set += 1) {
    const support = moment.flatMap((_, index) => ((set >> index) & 1 ? [index] : []));
    const matrix = support.map((row) => support.map((column) => (gram[row]?.[column] ?? 0) + (row === column ? RIDGE * (gram[row]?.[row] ?? 0) + 1e-30 : 0)));
    const inverse = invert(matrix);
    if (!inverse) continue;
    const right = support.map((row) => moment[row] ?? 0);
    const parts = inverse.map((row) => dot(row, right));
    if (parts.some((part) => !(part >= 0))) continue;
    const value = -dot(parts, right) / 2;
    if (value < best.value) best = { value, support, parts, inverse };
  }
  const coefficients = zeros(size);
  for (const [place, index] of best.support.entries()) coefficients[index] = best.parts[place] ?? 0;
  const misfit = Math.max(0, squares + 2 * best.value);
  const spread = squares - sum ** 2 / weight;
  const variance = misfit / Math.max(1, count - best.support.length);
  const whole = invert(gram.map((row, at) => row.map((value, column) => value + (at === column ? RIDGE * value + 1e-30 : 0))));
  const error = (weights: readonly number[], inverse: readonly (readonly number[])[]): number => Math.sqrt(Math.max(0, variance * dot(weights, inverse.map((row) => dot(row, weights)))));
  return {
    coefficients,
    spread: Math.sqrt(Math.max(0, spread) / weight),
    scatter: Math.sqrt(misfit / weight),
    unexplained: spread > 0 ? (misfit / spread) * ((count - 1) / Math.max(1, count - best.support.length - 1)) : 1,
    errorOf: (weights) => error(best.support.map((index) => weights[index] ?? 0), best.inverse),
    widestErrorOf: (weights) => (whole ? error(weights, whole) : Infinity),
  };
}

/** Gauss–Jordan with scaling; undefined for a matrix that has no inverse. */
function invert(matrix: readonly (readonly number[])[]): number[][] | undefined {
  const size = matrix.length;
  const scales = matrix.map((row, index) => 1 / Math.sqrt(row[index] ?? 0));
  if (scales.some((scale) => !Number.isFinite(scale))) return undefined;
  const work = matrix.map((row, at) => [...row.map((value, column) => value * (scales[at] ?? 0) * (scales[column] ?? 0)), ...matrix.map((_, column) => (column === at ? 1 : 0))]);
  for (let pivot = 0; pivot < size; pivot += 1) {
    const lead = work.slice(pivot).reduce((least, row, offset) => (Math.abs(row[pivot] ?? 0) > Math.abs(work[least]?.[pivot] ?? 0) ? pivot + offset : least), pivot);
    const [top, other] = [work[pivot], work[lead]];
    if (!top || !other || Math.abs(other[pivot] ?? 0) < 1e-12) return undefined;
    work[pivot] = other;
    work[lead] = top;
    const by = other[pivot] ?? 1;
    for (const [column, value] of other.entries()) other[column] = value / by;
    for (const [at, row] of work.entries()) {
      const factor = row[pivot] ?? 0;
      if (at === pivot || factor === 0) continue;
      for (const [column, value] of row.entries()) row[column] = value - factor * (other[column] ?? 0);
    }
  }
  return work.map((row, at) => row.slice(size).map((value, column) => value * (scales[at] ?? 0) * (scales[column] ?? 0)));
}

export const dot = (a: readonly number[], b: readonly number[]): number => {
  let sum = 0;
  for (let index = 0; index < a.length && index < b.length; index += 1) sum += (a[index] ?? 0) * (b[index] ?? 0);
  return sum;
};
