/**
 * Conditions of blocks → columns of the regression.
 *
 *   load, inputLength, outputLength   logarithm: a share more of it goes with a share more of the figure
 *   cachedShare, temperature          as they are
 *   load, temperature, of many blocks also a bend: a natural cubic spline with three knots (Harrell 2015, §2.4.4). Idle power is
 *                                     shared by the tokens, and leakage rises from where fans no longer keep up: both are curves.
 */
import { COVARIATES, type Block, type Covariate, type Reason } from './block.js';
import { deviationOf, meanOf, quantilesOf, type Weighed } from './overlap.js';

export interface Condition {
  readonly covariate: Covariate;
  /** Of A's blocks and of B's, transformed. */
  readonly a: Weighed;
  readonly b: Weighed;
  /** Centred, in deviations; A's blocks and then B's. */
  readonly columns: readonly Float64Array[];
  /** Change of the logarithm of the figure per unit of the transformed condition, from the columns' coefficients. */
  readonly slope: (coefficients: readonly number[]) => number;
}

const IN_LOGARITHMS: ReadonlySet<Covariate> = new Set(['load', 'inputLength', 'outputLength']);
const CURVED: ReadonlySet<Covariate> = new Set(['load', 'temperature']);
/** Blocks of both sides that a bend can be told from. */
const MANY = 200;
const KNOTS = [0.1, 0.5, 0.9];
/** Of the blocks: where more do not tell a condition, what is adjusted for is a guess. */
const MOST_UNKNOWN = 0.1;
/** In logarithms 0.1 %, and as much of a degree or a share: less is no difference, and its slope no figure. */
const CONSTANT = 1e-3;
/** Pieces per column: each takes from what the error is told from. */
const PIECES_PER_COLUMN = 4;

export const transformed = (covariate: Covariate): ((value: number) => number) => (IN_LOGARITHMS.has(covariate) ? Math.log : (value) => value);
export const restored = (covariate: Covariate): ((value: number) => number) => (IN_LOGARITHMS.has(covariate) ? Math.exp : (value) => value);

/** Undefined where too few blocks tell; where some do not, what the one before told. */
function valuesOf(blocks: readonly Block[], covariate: Covariate): Float64Array | undefined {
  const transform = transformed(covariate);
  const values = Float64Array.from(blocks, ({ covariates }) => transform(covariates[covariate] ?? Number.NaN));
  const unknown = values.reduce((count, value) => (Number.isFinite(value) ? count : count + 1), 0);
  if (unknown > MOST_UNKNOWN * values.length || unknown === values.length) return undefined;
  let last = values.find(Number.isFinite) ?? Number.NaN;
  return values.map((value) => (last = Number.isFinite(value) ? value : last));
}

const weighed = (values: Float64Array, blocks: readonly Block[]): Weighed => ({ values, weights: Float64Array.from(blocks, ({ denominator }) => denominator) });
const joined = (a: Float64Array, b: Float64Array): Float64Array => {
  const all = new Float64Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
};
const both = (a: Weighed, b: Weighed): Weighed => ({ values: joined(a.values, b.values), weights: joined(a.weights, b.weights) });

function scaled(of: Weighed): Float64Array {
  const [mean, deviation] = [meanOf(of), deviationOf(of)];
  return of.values.map((value) => (value - mean) / deviation);
}

const cube = (value: number): number => Math.max(0, value) ** 3;

/** Straight outside of the outer knots (Hastie, Tibshirani and Friedman 2009, eq. 5.4 and 5.5); undefined where knots fall together. */
function bendOf([low = 0, middle = 0, high = 0]: readonly number[]): ((value: number) => number) | undefined {
  if (!(low < middle && middle < high)) return undefined;
  const part = (value: number, knot: number): number => (cube(value - knot) - cube(value - high)) / (high - knot);
  return (value) => part(value, low) - part(value, middle);
}

function conditionOf(covariate: Covariate, a: Weighed, b: Weighed): Condition {
  const all = both(a, b);
  const knots = quantilesOf(all.values, KNOTS);
  const bend = CURVED.has(covariate) && all.values.length >= MANY ? bendOf(knots) : undefined;
  const bent: Weighed | undefined = bend && { ...all, values: all.values.map(bend) };
  const [low = 0, , high = 0] = knots;
  const perUnit = [1 / deviationOf(all), ...(bend && bent ? [(bend(high) - bend(low)) / ((high - low) * deviationOf(bent))] : [])];
  return { covariate, a, b, columns: [scaled(all), ...(bent ? [scaled(bent)] : [])], slope: (coefficients) => perUnit.reduce((sum, each, index) => sum + each * (coefficients[index] ?? 0), 0) };
}

export interface Conditions {
  /** That vary, whether or not there is room for them. */
  readonly known: readonly Condition[];
  readonly taken: readonly Condition[];
  readonly reasons: readonly Reason[];
}

/** @param pieces how many the error is told from */
export function conditionsOf(a: readonly Block[], b: readonly Block[], asked: readonly Covariate[], pieces: number): Conditions {
  const known: Condition[] = [];
  const taken: Condition[] = [];
  const reasons: Reason[] = [];
  let room = Math.floor((pieces - 2) / PIECES_PER_COLUMN);
  for (const covariate of COVARIATES.filter((each) => asked.includes(each))) {
    const [ofA, ofB] = [valuesOf(a, covariate), valuesOf(b, covariate)];
    if (!ofA || !ofB) {
      reasons.push({ code: 'CONDITION_UNKNOWN', detail: `Not adjusted for ${covariate}: too few blocks of ${ofA ? 'B' : ofB ? 'A' : 'either side'} tell it.` });
      continue;
    }
    const [first, second] = [weighed(ofA, a), weighed(ofB, b)];
    if (deviationOf(both(first, second)) < CONSTANT) continue;
    const condition = conditionOf(covariate, first, second);
    known.push(condition);
    if (condition.columns.length > room) {
      reasons.push({ code: 'TOO_FEW_TO_ADJUST', detail: `Not adjusted for ${covariate}: there are too few blocks to tell its part.` });
      continue;
    }
    room -= condition.columns.length;
    taken.push(condition);
  }
  return { known, taken, reasons };
}
