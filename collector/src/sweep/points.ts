/**
 * Points with the blocks behind them → figures with intervals, what stands against each of them, and the best of those that nothing
 * stands against (best.ts).
 */
import type { Reason } from '../compare/answer.js';
import { blocksFrom } from '../compare/blocks.js';
import type { Cell } from '../compare/cells.js';
import { secondsOf, totalOf } from '../compare/found.js';
import { COVARIATES, type Block, type Covariate } from '../compare/method/compare-blocks.js';
import { piecesOf } from '../compare/method/pieces.js';
import { sideOf } from '../compare/method/side.js';
import type { Metric } from '../compare/metrics.js';
import { badlyCovered, beyondTheSensor, emptyRuns, withoutFigure } from '../compare/refusals.js';
import type { Point, SweepAnswer } from './answer.js';
import { bestOf, ERROR, type Measured } from './best.js';
import type { Gathered, Place } from './gather.js';
import type { SweepRequest } from './question.js';

/** Stretches of time, or runs, without which nothing can be said of how a point varies. */
const LEAST_BLOCKS = 8;
const LEAST_RUNS = 3;

const least = (step: number | null): number => (step === null ? LEAST_RUNS : LEAST_BLOCKS);

/** What the axis moves by itself is no condition to be made equal. */
function covariatesFor({ axis, over }: SweepRequest, step: number | null): readonly Covariate[] {
  if (step === null) return [];
  const moved = axis.kind === 'load' || axis.kind === 'band' || over === 'concurrency' || /requests\.(?:running|waiting)$/.test(over);
  return COVARIATES.filter((name) => name !== 'temperature' && !(moved && name === 'load'));
}

const estimateOf = (cells: readonly Cell[], { numerator, denominator, factor }: Metric): number | null => {
  const sums = totalOf(cells);
  const [above, below] = [sums[numerator], sums[denominator]];
  return above === undefined || below === undefined || below <= 0 ? null : (above * factor) / below;
};

function insideOf({ cells }: Place): number | null {
  const { requests, usefulRequests } = totalOf(cells);
  return requests === undefined || usefulRequests === undefined || requests <= 0 ? null : usefulRequests / requests;
}

/** Of the figure: rounding leaves as much. */
const NO_WIDTH = 1e-8;

/** Of a point by itself: its time in pieces of one length, or its runs. Null where all blocks have the same figure, from which no error can be told. */
function intervalOf(blocks: readonly Block[], step: number | null): [number, number] | null {
  if (blocks.length < least(step)) return null;
  const { ci95 } = sideOf(blocks, piecesOf(blocks, blocks, step === null ? 'runs' : 'before-after'), 0, ERROR);
  return ci95 === null || ci95[1] - ci95[0] < NO_WIDTH * Math.abs(ci95[1]) ? null : [ci95[0], ci95[1]];
}

function otherBoundary({ told: { methods, boundary }, name }: Place): Reason[] {
  const measured = [...new Set(methods.flatMap(({ values: [each] }) => each ?? []))];
  if (boundary === null || measured.length === 0 || measured.includes(boundary)) return [];
  return [{ code: 'BOUNDARY_DIFFERS', detail: `The energy of ${name} was measured at ${measured.join(', ')} and not at ${boundary}, which this is about: boundaries contain different things. Choose one that all points have with --boundary.` }];
}

/** What stands against a point whatever it is held against, as in a comparison. */
function refusalsOf({ place, blocks }: Measured, metric: Metric, step: number | null): Reason[] {
  const elsewhere = otherBoundary(place);
  if (elsewhere.length > 0) return elsewhere;
  const [names, sides, sums] = [[place.name, place.name], [place.told, place.told], totalOf(place.cells)] as const;
  const [own, runs] = [{ sums }, blocks(metric)];
  const reasons = [...withoutFigure([own, own], metric, names), ...badlyCovered(sides, names), ...beyondTheSensor(sides, metric, names), ...(step === null ? emptyRuns([runs, runs], names) : [])];
  return [...new Map(reasons.map((reason) => [reason.detail, reason])).values()];
}

function pointOf(each: Measured, request: SweepRequest, targeted: boolean, step: number | null): Point {
  const { place } = each;
  const [metric] = request.metrics;
  const blocks = each.blocks(metric).filter(({ denominator }) => denominator > 0).length;
  const share = insideOf(place);
  const seconds = step === null ? null : secondsOf(place);
  const output = totalOf(place.cells).output;
  return {
    name: place.name, value: place.value, seconds, blocks, tokensPerSecond: seconds === null || output === undefined || seconds <= 0 ? null : output / seconds,
    figures: Object.fromEntries(request.metrics.map((one) => [one.name, { estimate: estimateOf(place.cells, one), ci95: intervalOf(each.blocks(one).filter(({ denominator }) => denominator > 0), step) }])),
    insideShare: share, inside: !targeted || share === null ? null : share >= request.inside,
    thin: blocks < least(step), reasons: refusalsOf(each, metric, step),
  };
}

export type Curve = Pick<SweepAnswer, 'points' | 'best' | 'unchosen'>;

/** @param targeted whether there are latency targets that requests were held against */
export async function curveOf({ bins, step }: Pick<Gathered, 'bins' | 'step'>, request: SweepRequest, targeted: boolean): Promise<Curve> {
  const [metric] = request.metrics;
  const covariates = covariatesFor(request, step);
  const all = bins.map((place) => {
    const measured: Measured = { place, blocks: blocksFrom(place.cells, step, covariates) };
    return { measured, point: pointOf(measured, request, targeted, step) };
  });
  const figureOf = ({ point }: (typeof all)[number]): number => point.figures[metric.name]?.estimate ?? Number.NaN;
  const eligible = all
    .filter(({ point: { thin, reasons, inside } }) => !thin && reasons.length === 0 && inside !== false && !(targeted && inside === null))
    .toSorted((a, b) => (metric.lowerIsBetter ? figureOf(a) - figureOf(b) : figureOf(b) - figureOf(a)));
  return { points: all.map(({ point }) => point), ...(await bestOf(eligible, metric, { covariates, step, byKey: request.axis.kind === 'key' })) };
}
