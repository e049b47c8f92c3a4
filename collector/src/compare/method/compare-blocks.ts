/**
 * Is B better than A, by how much, how sure: the whole method in one call.
 *
 *   blocks ▶ pieces (pieces.ts) ▶ conditions (conditions.ts, overlap.ts) ▶ regression ▶ robust-error ▶ limits ▶ effect, verdict
 *
 * docs/comparisons.md says how far it is to be trusted, with a table of simulated comparisons whose truth is known.
 */
import { CONDITION_NAMES, type Block, type BlockAnswer, type BlockQuestion, type Reason, type Side } from './block.js';
import { adjustmentsOf, conditionsOf, type Condition } from './conditions.js';
import { effectOf, seenOnly, verdictOf } from './effect.js';
import { incomparable, leastPieces, reservations, tooFew, unseenBy, type Unseen } from './limits.js';
import { piecesOf, unitsOf } from './pieces.js';
import { minimumDetectableEffect, reachOf, timesFor, withKnown, type Precision } from './power.js';
import { moments, regress, regressors, type Fit, type Regressors } from './regression.js';
import { errorOf, influences, type ErrorOf } from './robust-error.js';
import { estimateOf, sideOf, withoutInterval } from './side.js';

export type { Adjustment, Block, BlockAnswer, BlockQuestion, Covariate, Design, Effect, Interval, Reason, Side, Verdict } from './block.js';
export { CONDITION_NAMES, COVARIATES } from './block.js';

const CONFIDENCE = 0.95;
/** Column of the side: 0 in A, 1 in B; and of the first condition. */
const SIDE = 1;
const CONDITIONS = 2;
/** Of the variance of a logarithm: rounding and a fit that has converged leave as much. */
const SMALLEST = 1e-18;

const noFigure = (name: string): Reason => ({ code: 'NO_FIGURE', detail: `There is no figure above zero of side ${name}, so no ratio to it.` });
const notSeparable: Reason = { code: 'NOT_SEPARABLE', detail: 'What the sides differ by can not be told from what single stretches of time differ by: one of them has all the work of a side.' };
const constant: Reason = { code: 'CONSTANT_DATA', detail: 'Every block of both sides has the same figure: what was measured varies, so these are no measurements, and no error can be told from them.' };

export function compareBlocks(question: BlockQuestion): BlockAnswer {
  const { a, b, design, confidence = CONFIDENCE } = question;
  const alpha = 1 - confidence;
  const [first, second] = [estimateOf(a) ?? 0, estimateOf(b) ?? 0];
  if (first <= 0 || second <= 0) return refused(question, [withoutInterval(a), withoutInterval(b)], [...(first <= 0 ? [noFigure('A')] : []), ...(second <= 0 ? [noFigure('B')] : [])]);
  const pieces = piecesOf(a, b, design);
  const few = tooFew(question, pieces);
  if (few.length > 0) return refused(question, [withoutInterval(a), withoutInterval(b)], few);

  const sides = [sideOf(a, pieces, 0, alpha), sideOf(b, pieces, a.length, alpha)] as const;
  const conditions = conditionsOf(a, b, question.covariates, pieces.count);
  const apart = incomparable(conditions);
  if (apart.length > 0) return refused(question, sides, apart);
  const found = fitted(a, b, conditions.taken);
  const influence = found && influences(moments(found.data, found.fit.fitted, pieces.count, pieces.pieceOf), SIDE);
  if (!influence) return refused(question, sides, [notSeparable]);
  const inTime = errorOf(influence, pieces.strata, pieces.memory);
  if (!(inTime.variance > SMALLEST)) return refused(question, sides, [constant]);

  const error = widened(found, question, inTime, alpha);
  const unseen = unseenBy(question, pieces);
  const seen: Precision = { variance: error.variance, degreesOfFreedom: error.degreesOfFreedom, alpha, sequential: question.sequential };
  const precision = withKnown(seen, unseen.variance);
  const effect = effectOf(found.fit.coefficients[SIDE] ?? 0, precision, found.taken.length > 0, second / first - 1);
  return {
    a: sides[0], b: sides[1], effect,
    verdict: verdictOf(effect, question),
    minimumDetectableEffect: minimumDetectableEffect(precision),
    blocksFor: (wanted) => (error === inTime ? blocksFor(question, seen, unseen, wanted) : betweenUnits(question, seen, wanted)),
    reasons: [...conditions.reasons, ...found.reasons, ...reservations(question, pieces, unseen, inTime)],
    adjustments: adjustmentsOf(found.taken, found.fit.coefficients.slice(CONDITIONS)),
    effectiveBlocks: inTime.effective,
  };
}

/** Of sides that something outside of their blocks stands against: what is seen, and nothing that is concluded from it. */
export const notCompared = (question: BlockQuestion): BlockAnswer => refused(question, [withoutInterval(question.a), withoutInterval(question.b)], []);

function refused({ a, b }: BlockQuestion, [ofA, ofB]: readonly [Side, Side], reasons: readonly Reason[]): BlockAnswer {
  const [first, second] = [estimateOf(a), estimateOf(b)];
  return {
    a: ofA, b: ofB, effect: seenOnly(first && second !== null ? second / first - 1 : null), verdict: 'not-comparable',
    minimumDetectableEffect: null, blocksFor: () => null, reasons, adjustments: [], effectiveBlocks: 0,
  };
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
  return last && fitted(a, b, taken.slice(0, -1), [...reasons, { code: 'CONDITION_NOT_SEPARABLE', detail: `Not adjusted for ${CONDITION_NAMES[last.covariate]}: it goes with the other conditions or with the side.` }]);
}

/** Where each side ran on several nodes, how nodes differ from each other is part of the error. The wider of the two counts. */
function widened({ data, fit }: Found, { a, b, design }: BlockQuestion, inTime: ErrorOf, alpha: number): ErrorOf {
  const units = design === 'parallel' ? unitsOf(a, b) : undefined;
  const influence = units && influences(moments(data, fit.fitted, units.count, units.pieceOf), SIDE);
  if (!units || !influence) return inTime;
  const between = errorOf(influence, units.strata, units.memory);
  const reach = (error: ErrorOf): number => reachOf({ ...error, alpha, sequential: false });
  return reach(between) > reach(inTime) ? between : inTime;
}

/** Of two sides of unlike length, the equal ones that say as much; null where more time says no more, because the rest is not in time. */
function blocksFor({ a, b, design }: BlockQuestion, seen: Precision, { variance, seenFrom }: Unseen, wanted: number): number | null {
  const shown = Number.isFinite(seenFrom);
  const times = timesFor(seen, shown ? 0 : variance, wanted);
  return Number.isFinite(times) ? Math.max(leastPieces(design), shown ? seenFrom : 0, Math.ceil((2 * times) / (1 / a.length + 1 / b.length))) : null;
}

/** How nodes differ shows after a while, and no better later on. */
function betweenUnits({ a, b }: BlockQuestion, seen: Precision, wanted: number): number | null {
  return reachOf(seen) <= Math.log1p(wanted) ? Math.min(a.length, b.length) : null;
}
