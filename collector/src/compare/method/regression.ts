/**
 * Quasi-Poisson regression with a log link: E[Nᵢ] = Dᵢ · exp(xᵢβ), Var ∝ mean (McCullagh and Nelder 1989, ch. 9; Wedderburn 1974).
 *
 * N is the numerator of a block and D its denominator, so that exp(xβ) is the figure. The score equations Σ xᵢ(Nᵢ − μᵢ) = 0 say
 * that each side's blocks together are met exactly: with a constant and the side as columns exp(β) is the ratio of the pooled
 * ratios of sums, and no block needs a ratio of its own: one with D = 0 counts with its N.
 * Solved by Newton's method, which is iteratively reweighted least squares for this link.
 */
import { CholeskyDecomposition, Matrix } from 'ml-matrix';

export interface Regressors {
  readonly numerators: Float64Array;
  readonly denominators: Float64Array;
  /** x₁₁ … x₁ₚ, x₂₁ … x₂ₚ, …: block by block, the constant first. */
  readonly rows: Float64Array;
  /** p */
  readonly size: number;
}

/** Of each item a number: several times as fast as Float64Array.from. */
export function float64<T>(items: readonly T[], of: (item: T) => number): Float64Array {
  const numbers = new Float64Array(items.length);
  items.forEach((item, index) => (numbers[index] = of(item)));
  return numbers;
}

/** @param columns beside the constant, each as long as there are blocks */
export function regressors(blocks: readonly { readonly numerator: number; readonly denominator: number }[], columns: readonly Float64Array[]): Regressors {
  const size = columns.length + 1;
  const rows = new Float64Array(blocks.length * size).fill(1);
  for (const [j, column] of columns.entries()) for (let i = 0; i < blocks.length; i += 1) rows[i * size + j + 1] = column[i] ?? 0;
  return { numerators: float64(blocks, ({ numerator }) => numerator), denominators: float64(blocks, ({ denominator }) => denominator), rows, size };
}

export interface Fit {
  readonly coefficients: readonly number[];
  readonly fitted: Float64Array;
}

/** Σ xᵢ(Nᵢ − μᵢ) and Σ μᵢxᵢxᵢᵀ of some of the blocks. */
export interface Moments {
  readonly score: Float64Array;
  readonly information: Matrix;
}

/** The error after a step is of the order of its square. */
const CONVERGED = 1e-6;
const MOST_ROUNDS = 50;
/** Of the logarithm: a step that goes further would leave where the model is near a quadratic. */
const LONGEST_STEP = 2;

/** Of each group of blocks. @param groupOf undefined: all are one group */
export function moments({ numerators, rows, size }: Regressors, fitted: Float64Array, groups: number, groupOf?: Int32Array): Moments[] {
  const scores = new Float64Array(groups * size);
  const informations = new Float64Array(groups * size * size);
  for (let i = 0; i < numerators.length; i += 1) {
    const group = groupOf?.[i] ?? 0;
    const mean = fitted[i] ?? 0;
    const residual = (numerators[i] ?? 0) - mean;
    for (let j = 0; j < size; j += 1) {
      const x = rows[i * size + j] ?? 0;
      const at = (group * size + j) * size;
      const weighed = mean * x;
      scores[group * size + j] = (scores[group * size + j] ?? 0) + x * residual;
      for (let k = 0; k <= j; k += 1) informations[at + k] = (informations[at + k] ?? 0) + weighed * (rows[i * size + k] ?? 0);
    }
  }
  return Array.from({ length: groups }, (_, group) => ({
    score: scores.subarray(group * size, (group + 1) * size), information: symmetric(informations.subarray(group * size * size, (group + 1) * size * size), size),
  }));
}

function symmetric(lower: Float64Array, size: number): Matrix {
  const matrix = new Matrix(size, size);
  for (let j = 0; j < size; j += 1) {
    for (let k = 0; k <= j; k += 1) {
      matrix.set(j, k, lower[j * size + k] ?? 0);
      matrix.set(k, j, lower[j * size + k] ?? 0);
    }
  }
  return matrix;
}

/** information⁻¹ · score; undefined where a column says nothing that the others do not. */
export function solved({ score, information }: Moments): readonly number[] | undefined {
  const decomposition = new CholeskyDecomposition(information);
  const whole = information.diagonal();
  // Of a column's information, as much of its square is its own: on the diagonal of L, whatever unit the column is told in.
  const isOwn = (left: number, index: number): boolean => left >= SINGULAR * Math.sqrt(whole[index] ?? Number.NaN);
  if (whole.length === 0 || !decomposition.isPositiveDefinite() || !decomposition.lowerTriangularMatrix.diagonal().every(isOwn)) return undefined;
  return decomposition.solve(Matrix.columnVector(score)).getColumn(0);
}
/** Of the part of a column that no other explains, as a share of its deviation. */
const SINGULAR = 1e-4;

function fittedBy({ denominators, rows, size }: Regressors, coefficients: readonly number[]): Float64Array {
  return denominators.map((denominator, i) => {
    let exponent = 0;
    for (let j = 0; j < size; j += 1) exponent += (coefficients[j] ?? 0) * (rows[i * size + j] ?? 0);
    return denominator * Math.exp(exponent);
  });
}

const total = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);

/** Undefined where a column says nothing that the others do not, or no maximum is found. */
export function regress(data: Regressors): Fit | undefined {
  const start = Math.log(total(data.numerators) / total(data.denominators));
  if (!Number.isFinite(start)) return undefined;
  let coefficients: readonly number[] = Array.from({ length: data.size }, (_, j) => (j === 0 ? start : 0));
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const fitted = fittedBy(data, coefficients);
    const [whole] = moments(data, fitted, 1);
    const step = whole && solved(whole);
    if (!step) return undefined;
    const length = Math.max(...step.map(Math.abs));
    const shorter = Math.min(1, LONGEST_STEP / length);
    coefficients = coefficients.map((coefficient, j) => coefficient + shorter * (step[j] ?? 0));
    if (length < CONVERGED) return { coefficients, fitted: fittedBy(data, coefficients) };
  }
  return undefined;
}
