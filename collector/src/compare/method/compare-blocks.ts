/**
 * Is B better than A, by how much, how sure: the whole method in one call.
 *
 *   blocks ▶ pieces (pieces.ts) ▶ conditions (conditions.ts, overlap.ts) ▶ regression ▶ robust-error ▶ interval ▶ verdict
 *
 * docs/comparisons.md says how far it is to be trusted, with a table of simulated comparisons whose truth is known.
 */
import type { Adjustment, Block, BlockAnswer, BlockQuestion, Covariate, Effect, Interval, Reason, Side, Verdict } from './block.js';
import { conditionsOf, restored, type Condition } from './conditions.js';
import { alwaysValidDeviations, alwaysValidTail } from './confidence-sequence.js';
import { leastPieces, reservations, tooFew, unseenBy, type Unseen } from './limits.js';
import { distanceOf, LEAST_OVERLAP, meanOf, MOST_DISTANT, overlapOf } from './overlap.js';
import { piecesOf, unitsOf, type Pieces } from './pieces.js';
import { deviationsOf, minimumDetectableEffect, timesFor, type Precision } from './power.js';
import { moments, regress, regressors, type Fit, type Regressors } from './regression.js';
import { errorOf, influences, type ErrorOf } from './robust-error.js';
import { twoSidedQuantile, twoSidedTail } from './student.js';

export type { Adjustment, Block, BlockAnswer, BlockQuestion, Covariate, Design, Effect, Interval, Reason, Side, Verdict } from './block.js';
export { COVARIATES } from './block.js';

const CONFIDENCE = 0.95;
/** Column of the side: 0 in A, 1 in B. */
const SIDE = 1;

const sum = (blocks: readonly Block[], of: 'numerator' | 'denominator'): number => blocks.reduce((whole, block) => whole + block[of], 0);
const estimateOf = (blocks: readonly Block[]): number | null => (sum(blocks, 'denominator') > 0 ? sum(blocks, 'numerator') / sum(blocks, 'denominator') : null);
const around = (logarithm: number, reach: number): Interval => [Math.expm1(logarithm - reach), Math.expm1(logarithm + reach)];
const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;

export function compareBlocks(question: BlockQuestion): BlockAnswer {
  const { a, b, design, confidence = CONFIDENCE } = question;
  const alpha = 1 - confidence;
  const estimates = [estimateOf(a), estimateOf(b)];
  const [first, second] = estimates;
  if (!first || !second || first < 0 || second < 0) {
    return refused(question, [bare(a), bare(b)], [{ code: 'NO_FIGURE', detail: `There is no figure above zero of side ${first ? 'B' : 'A'}, so no ratio of the two.` }]);
  }
  const pieces = piecesOf(a, b, design);
  const few = tooFew(question, pieces);
  if (few.length > 0) return refused(question, [bare(a), bare(b)], few);
  const sides = [sideOf(a, pieces, 0, alpha), sideOf(b, pieces, a.length, alpha)] as const;
  const { known, taken, reasons } = conditionsOf(a, b, question.covariates, pieces.count);
  const apart = [...known.filter(({ a: ofA, b: ofB }) => overlapOf(ofA, ofB) < LEAST_OVERLAP).map(littleOverlap), ...known.filter((each) => !taken.includes(each) && distanceOf(each.a, each.b) > MOST_DISTANT).map(leftDifferent)];
  if (apart.length > 0) return refused(question, sides, apart);

  const found = fitted(a, b, taken);
  const influence = found && influences(moments(found.data, found.fit.fitted, pieces.count, pieces.pieceOf), SIDE);
  if (!found || !influence) return refused(question, sides, [{ code: 'NOT_SEPARABLE', detail: 'What the sides differ in can not be told from what their conditions differ in.' }]);
  const inTime = errorOf(influence, pieces.strata, pieces.memory);
  if (!(inTime.variance > SMALLEST)) return refused(question, sides, [{ code: 'CONSTANT_DATA', detail: 'Every block has the same figure: data without any spread are not measured, and no error can be told from them.' }]);
  const error = widened(found, question, inTime, alpha);
  const unseen = unseenBy(question, pieces);
  const seen: Precision = { variance: error.variance, degreesOfFreedom: error.degreesOfFreedom, alpha, sequential: question.sequential };
  const precision = { ...seen, variance: error.variance + unseen.variance };
  const effect = effectOf(found.fit.coefficients[SIDE] ?? 0, precision, taken.length > 0, second / first - 1);
  return {
    a: sides[0], b: sides[1], effect,
    verdict: verdictOf(effect, question),
    minimumDetectableEffect: minimumDetectableEffect(precision),
    blocksFor: (wanted) => (error === inTime ? blocksFor(question, seen, unseen, wanted) : betweenUnits(question, seen, wanted)),
    reasons: [...reasons, ...found.reasons, ...reservations(question, pieces, unseen, inTime)],
    adjustments: adjustmentsOf(found),
    effectiveBlocks: inTime.effective,
  };
}

/** Of the logarithm: rounding alone makes as much. */
const SMALLEST = 1e-24;

const bare = (blocks: readonly Block[]): Side => ({ estimate: estimateOf(blocks), ci95: null, blocks: blocks.length });

function refused({ a, b }: BlockQuestion, [ofA, ofB]: readonly [Side, Side], reasons: readonly Reason[]): BlockAnswer {
  const [first, second] = [estimateOf(a), estimateOf(b)];
  const effect: Effect = { relative: null, ci95: null, alwaysValid: null, pValue: null, standardError: null, adjusted: false, unadjusted: first && second !== null ? second / first - 1 : null };
  return { a: ofA, b: ofB, effect, verdict: 'not-comparable', minimumDetectableEffect: null, blocksFor: () => null, reasons, adjustments: [], effectiveBlocks: 0 };
}

const littleOverlap = ({ covariate, a, b }: Condition): Reason => {
  const back = restored(covariate);
  return { code: 'LITTLE_OVERLAP', detail: `Only ${percent(overlapOf(a, b))} of the work of one side was done at a ${covariate} that the other side saw as well (A ${number(back(meanOf(a)))}, B ${number(back(meanOf(b)))} on average; at least ${percent(LEAST_OVERLAP)} is needed): no adjustment can stand for what was never seen. Let both sides run under the same conditions.` };
};
const leftDifferent = ({ covariate, a, b }: Condition): Reason => {
  const back = restored(covariate);
  return { code: 'CONDITIONS_DIFFER', detail: `The sides differ in ${covariate} (A ${number(back(meanOf(a)))}, B ${number(back(meanOf(b)))} on average), and there are too few blocks to adjust for it. Measure longer, or under the same conditions.` };
};
const number = (value: number): string => Number(value.toPrecision(3)).toString();

/** A side by itself: the same error of its pooled ratio, without the other side and without conditions. */
function sideOf(blocks: readonly Block[], { pieceOf, memory }: Pieces, offset: number, alpha: number): Side {
  const estimate = estimateOf(blocks);
  const numbers = new Map<number, number>();
  const own = Int32Array.from(blocks, (_, index) => {
    const piece = pieceOf[offset + index] ?? 0;
    if (!numbers.has(piece)) numbers.set(piece, numbers.size);
    return numbers.get(piece) ?? 0;
  });
  const data = regressors(blocks, []);
  const fit = regress(data);
  const influence = fit && influences(moments(data, fit.fitted, numbers.size, own), 0);
  if (!influence || estimate === null) return bare(blocks);
  const { variance, degreesOfFreedom } = errorOf(influence, [{ first: 0, count: numbers.size }], memory === 'none' ? 'none' : 'drift');
  const [low, high] = around(0, twoSidedQuantile(alpha, degreesOfFreedom) * Math.sqrt(variance));
  return { ...bare(blocks), ci95: [estimate * (1 + low), estimate * (1 + high)] };
}

interface Found {
  readonly data: Regressors;
  readonly fit: Fit;
  readonly taken: readonly Condition[];
  readonly reasons: readonly Reason[];
}

/** Without the conditions, from the last one on, that say nothing that those before do not. */
function fitted(a: readonly Block[], b: readonly Block[], taken: readonly Condition[], reasons: readonly Reason[] = []): Found | undefined {
  const side = new Float64Array(a.length + b.length).fill(1, a.length);
  const data = regressors([...a, ...b], [side, ...taken.flatMap(({ columns }) => columns)]);
  const fit = regress(data);
  if (fit) return { data, fit, taken, reasons };
  const last = taken.at(-1);
  return last && fitted(a, b, taken.slice(0, -1), [...reasons, { code: 'CONDITION_NOT_SEPARABLE', detail: `Not adjusted for ${last.covariate}: it goes with the other conditions or with the side.` }]);
}

/** Where each side ran on several nodes, how nodes differ from each other is part of the error. The wider of the two counts. */
function widened({ data, fit }: Found, { a, b, design }: BlockQuestion, inTime: ErrorOf, alpha: number): ErrorOf {
  const units = design === 'parallel' ? unitsOf(a, b) : undefined;
  const influence = units && influences(moments(data, fit.fitted, units.count, units.pieceOf), SIDE);
  if (!units || !influence) return inTime;
  const between = errorOf(influence, units.strata, units.memory);
  const reach = ({ variance, degreesOfFreedom }: ErrorOf): number => twoSidedQuantile(alpha, degreesOfFreedom) * Math.sqrt(variance);
  return reach(between) > reach(inTime) ? between : inTime;
}

function effectOf(logarithm: number, { variance, degreesOfFreedom, alpha, sequential }: Precision, adjusted: boolean, unadjusted: number): Effect {
  const standardError = Math.sqrt(variance);
  return {
    relative: Math.expm1(logarithm),
    ci95: around(logarithm, twoSidedQuantile(alpha, degreesOfFreedom) * standardError),
    alwaysValid: around(logarithm, alwaysValidDeviations(variance, degreesOfFreedom, alpha) * standardError),
    pValue: sequential ? alwaysValidTail(logarithm, variance, degreesOfFreedom) : twoSidedTail(logarithm / standardError, degreesOfFreedom),
    standardError, adjusted, unadjusted,
  };
}

function verdictOf({ ci95, alwaysValid }: Effect, { sequential, lowerIsBetter }: BlockQuestion): Verdict {
  const interval = sequential ? alwaysValid : ci95;
  if (!interval || (interval[0] <= 0 && interval[1] >= 0)) return 'no-difference-shown';
  return interval[1] < 0 === lowerIsBetter ? 'b-better' : 'a-better';
}

/** Of two sides of unlike length, the equal ones that say as much; null where more time says no more, because the rest is not in time. */
function blocksFor({ a, b, design }: BlockQuestion, seen: Precision, { variance, seenFrom }: Unseen, wanted: number): number | null {
  const shown = Number.isFinite(seenFrom);
  const times = timesFor(seen, shown ? 0 : variance, wanted);
  return Number.isFinite(times) ? Math.max(leastPieces(design), shown ? seenFrom : 0, Math.ceil((2 * times) / (1 / a.length + 1 / b.length))) : null;
}

/** How nodes differ shows after a while, and no better later on. */
function betweenUnits({ a, b }: BlockQuestion, seen: Precision, wanted: number): number | null {
  return deviationsOf(seen) * Math.sqrt(seen.variance) <= Math.log1p(wanted) ? Math.min(a.length, b.length) : null;
}

function adjustmentsOf({ fit, taken }: Found): Adjustment[] {
  let column = SIDE + 1;
  return taken.map(({ covariate, a, b, columns, slope }) => {
    const coefficient = slope(fit.coefficients.slice(column, column + columns.length));
    column += columns.length;
    const back = restored(covariate);
    const per = PER[covariate];
    return { covariate, coefficient, detail: `${covariate}: the figure changes by ${(coefficient * per.factor).toFixed(2)} % ${per.words}; on average A ran at ${number(back(meanOf(a)))}, B at ${number(back(meanOf(b)))}` };
  });
}

const OF_SHARE = { factor: 1, words: 'per 1 % more' };
const PER: Readonly<Record<Covariate, { readonly factor: number; readonly words: string }>> = {
  load: OF_SHARE, inputLength: OF_SHARE, outputLength: OF_SHARE,
  cachedShare: { factor: 1, words: 'per point more' }, temperature: { factor: 100, words: 'per K more' },
};
