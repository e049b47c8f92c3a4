/**
 * The standard error of a coefficient, from pieces of time that are left out one after the other:
 *
 *   leave g out:   β₍₋g₎ ≈ β̂ − δg,  δg = (M − Mg)⁻¹ sg             one step of Newton's method; s score, M information
 *   variance:      V = Σ over strata (G−1)/G · Σ (δg − δ̄)²          the jackknife, CR3 (MacKinnon, Nielsen and Webb 2023,
 *                                                                    J. Appl. Econometrics 38:671), by stratum (Rao and Wu 1985, JASA 80:620)
 *   memory:        V · (1 + ρ)/(1 − ρ)                              neighbouring pieces are still alike by ρ: that many more are worth
 *                                                                    one (Bayley and Hammersley 1946, JRSS Suppl. 8:184, of AR(1))
 *   ρ:             (G·r + 1)/(G − 4)                                r of few pieces is too small by (1 + 4ρ)/G (Marriott and Pope
 *                                                                    1954, Biometrika 41:390; Kendall 1954, 41:403)
 *   freedom:       G·(1 − ρ)/(1 + ρ) − 1 of each stratum, together by Welch 1947 and Satterthwaite 1946
 *
 * Of two sides of equal blocks without conditions this is Welch's t-test on the delta method's variance of a ratio of sums.
 */
import { Matrix } from 'ml-matrix';
import type { Memory, Stratum } from './pieces.js';
import { solved, type Moments } from './regression.js';

export interface ErrorOf {
  readonly variance: number;
  readonly degreesOfFreedom: number;
  /** Of the stratum with the fewest: pieces that independent ones would be worth. */
  readonly effective: number;
  /** Of neighbouring pieces, without the bias of few. */
  readonly correlation: number;
}

/** One side's drift from end to end would ask for more; what it says then is that nothing can be told. */
const MOST_CORRELATED = 0.95;
/** Fewer can't tell a correlation. */
const FEW = 6;


/** δg of each piece; undefined where the rest without it can't tell the coefficient. */
export function influences(pieces: readonly Moments[], coefficient: number): readonly number[] | undefined {
  const [first, ...rest] = pieces;
  if (!first) return undefined;
  const whole = rest.reduce((sum, { information }) => Matrix.add(sum, information), first.information);
  const found: number[] = [];
  for (const { score, information } of pieces) {
    const step = solved({ score, information: Matrix.sub(whole, information) });
    if (step?.[coefficient] === undefined) return undefined;
    found.push(step[coefficient]);
  }
  return found;
}

const centred = (values: readonly number[]): number[] => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
};
const squares = (values: readonly number[]): number => values.reduce((sum, value) => sum + value * value, 0);

/** Of a stratum's deviations, in order of time; unbiased to 1/G. */
function correlationOf(deviations: readonly number[]): number {
  const count = deviations.length;
  const whole = squares(deviations);
  if (count < FEW || whole === 0) return 0;
  const next = deviations.reduce((sum, value, index) => (index === 0 ? 0 : sum + value * (deviations[index - 1] ?? 0)), 0);
  return (count * (next / whole) + 1) / (count - 4);
}

/** The word of few pieces may not make an error much smaller: 1/2 of the variance at most, and for stretches nothing. */
const LEAST_CORRELATED: Readonly<Record<Memory, number>> = { none: 0, drift: 0, turns: -1 / 3 };

export function errorOf(influence: readonly number[], strata: readonly Stratum[], memory: Memory): ErrorOf {
  const deviations = strata.map(({ first, count }) => centred(influence.slice(first, first + count)));
  const counted = strata.reduce((sum, { count }) => sum + count, 0);
  const mean = deviations.reduce((sum, each) => sum + (each.length / counted) * correlationOf(each), 0);
  const correlation = memory === 'none' ? 0 : Math.min(MOST_CORRELATED, Math.max(LEAST_CORRELATED[memory], mean));
  const alike = (1 + correlation) / (1 - correlation);
  const parts = deviations.map((each) => ({ variance: ((each.length - 1) / each.length) * squares(each) * alike, effective: each.length / alike }));
  const variance = parts.reduce((sum, part) => sum + part.variance, 0);
  const spread = parts.reduce((sum, part) => sum + part.variance ** 2 / Math.max(1, part.effective - 1), 0);
  return { variance, degreesOfFreedom: spread > 0 ? variance ** 2 / spread : 1, effective: Math.min(...parts.map(({ effective }) => effective)), correlation };
}
