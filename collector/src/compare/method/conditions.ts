/**
 * Conditions of blocks → columns of the regression.
 *
 *   load, inputLength, outputLength   logarithm: a share more of it goes with a share more of the figure
 *   cachedShare, temperature          as they are
 *   load, temperature, of many blocks also a bend: a natural cubic spline with three knots (Harrell 2015, §2.4.4). Idle power is
 *                                     shared by the tokens, and leakage rises from where fans no longer keep up: both are curves.
 */
import { CONDITION_NAMES, COVARIATES, type Adjustment, type Block, type Covariate, type Reason } from './block.js';
import { float64 } from './regression.js';
import { quantilesOf, spreadOf, type Spread, type Weighed } from './overlap.js';

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


/** Undefined where too few blocks tell; where some do not, what the one before told. */
function valuesOf(blocks: readonly Block[], covariate: Covariate): Float64Array | undefined {
  const inLogarithms = IN_LOGARITHMS.has(covariate);
  const values = float64(blocks, ({ covariates }) => {
    const told = covariates[covariate] ?? Number.NaN;
    return inLogarithms ? Math.log(told) : told;
  });
  const unknown = values.reduce((count, value) => (Number.isFinite(value) ? count : count + 1), 0);
  if (unknown === 0) return values;
  if (unknown > MOST_UNKNOWN * values.length || unknown === values.length) return undefined;
  let last = values.find(Number.isFinite) ?? Number.NaN;
  return values.map((value) => (last = Number.isFinite(value) ? value : last));
}

const weightsOf = (blocks: readonly Block[]): Float64Array => float64(blocks, ({ denominator }) => denominator);
const joined = (a: Float64Array, b: Float64Array): Float64Array => {
  const all = new Float64Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
};
const both = (a: Weighed, b: Weighed): Weighed => ({ values: joined(a.values, b.values), weights: joined(a.weights, b.weights) });

const scaled = (values: Float64Array, { mean, deviation }: Spread): Float64Array => values.map((value) => (value - mean) / deviation);

const cube = (value: number): number => (value > 0 ? value * value * value : 0);

/** Straight outside of the outer knots (Hastie, Tibshirani and Friedman 2009, eq. 5.4 and 5.5); undefined where knots fall together. */
function bendOf([low = 0, middle = 0, high = 0]: readonly number[]): ((value: number) => number) | undefined {
  if (!(low < middle && middle < high)) return undefined;
  const part = (value: number, knot: number): number => (cube(value - knot) - cube(value - high)) / (high - knot);
  return (value) => part(value, low) - part(value, middle);
}

/** Undefined where it hardly varies. */
function conditionOf(covariate: Covariate, a: Weighed, b: Weighed): Condition | undefined {
  const all = both(a, b);
  const spread = spreadOf(all);
  if (spread.deviation < CONSTANT) return undefined;
  const straight = { column: scaled(all.values, spread), slope: 1 / spread.deviation };
  const parts = [straight, ...(CURVED.has(covariate) && all.values.length >= MANY ? bent(all) : [])];
  return { covariate, a, b, columns: parts.map(({ column }) => column), slope: (coefficients) => parts.reduce((sum, { slope }, index) => sum + slope * (coefficients[index] ?? 0), 0) };
}

/** Its slope is the mean one between the outer knots. */
function bent(all: Weighed): { readonly column: Float64Array; readonly slope: number }[] {
  const knots = quantilesOf(all.values, KNOTS);
  const bend = bendOf(knots);
  if (!bend) return [];
  const values = all.values.map(bend);
  const spread = spreadOf({ ...all, values });
  const [low = 0, , high = 0] = knots;
  return [{ column: scaled(values, spread), slope: (bend(high) - bend(low)) / ((high - low) * spread.deviation) }];
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
  const [ofEachA, ofEachB] = [weightsOf(a), weightsOf(b)];
  let room = Math.floor((pieces - 2) / PIECES_PER_COLUMN);
  for (const covariate of COVARIATES.filter((each) => asked.includes(each))) {
    const [ofA, ofB] = [valuesOf(a, covariate), valuesOf(b, covariate)];
    if (!ofA || !ofB) {
      reasons.push({ code: 'CONDITION_UNKNOWN', detail: `Not adjusted for ${CONDITION_NAMES[covariate]}: too few blocks of ${ofA ? 'B' : ofB ? 'A' : 'either side'} tell it.` });
      continue;
    }
    const condition = conditionOf(covariate, { values: ofA, weights: ofEachA }, { values: ofB, weights: ofEachB });
    if (!condition) continue;
    known.push(condition);
    if (condition.columns.length > room) {
      reasons.push({ code: 'TOO_FEW_TO_ADJUST', detail: `Not adjusted for ${CONDITION_NAMES[covariate]}: there are too few blocks to tell its part.` });
      continue;
    }
    room -= condition.columns.length;
    taken.push(condition);
  }
  return { known, taken, reasons };
}

const OF_SHARE = { factor: 1, words: 'per 1 % more' };
const PER: Readonly<Record<Covariate, { readonly factor: number; readonly words: string }>> = {
  load: OF_SHARE, inputLength: OF_SHARE, outputLength: OF_SHARE,
  cachedShare: { factor: 1, words: 'per point more' }, temperature: { factor: 100, words: 'per K more' },
};

/** Means of both sides, in the condition's own unit. */
export function meansOf({ covariate, a, b }: Condition): string {
  const mean = (side: Weighed): string => Number((IN_LOGARITHMS.has(covariate) ? Math.exp(spreadOf(side).mean) : spreadOf(side).mean).toPrecision(3)).toString();
  return `A ${mean(a)}, B ${mean(b)} on average`;
}

/** @param coefficients of all columns of all conditions, in their order */
export function adjustmentsOf(taken: readonly Condition[], coefficients: readonly number[]): Adjustment[] {
  let column = 0;
  return taken.map((condition) => {
    const { covariate, columns, slope } = condition;
    const coefficient = slope(coefficients.slice(column, column + columns.length));
    column += columns.length;
    return { covariate, coefficient, detail: `${CONDITION_NAMES[covariate]}: the figure changes by ${(coefficient * PER[covariate].factor).toFixed(2).replace('-', '−')} % ${PER[covariate].words} (${meansOf(condition)})` };
  });
}
