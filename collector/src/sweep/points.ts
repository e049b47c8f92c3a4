/**
 * Points with the blocks behind them → figures with intervals, the best of those inside the targets, and how far it is told apart
 * from each of the others. The best is chosen by the data that judge it: Holm's correction over all others keeps that honest.
 */
import type { Cell } from '../compare/cells.js';
import { blocksFrom } from '../compare/blocks.js';
import { designOf } from '../compare/design.js';
import { secondsOf, totalOf } from '../compare/found.js';
import { COVARIATES, compareBlocks, type Block, type BlockAnswer, type Covariate } from '../compare/method/compare-blocks.js';
import { holm } from '../compare/method/holm.js';
import { piecesOf } from '../compare/method/pieces.js';
import { sideOf } from '../compare/method/side.js';
import type { Metric } from '../compare/metrics.js';
import type { Evidence, Point, SweepAnswer } from './answer.js';
import type { Gathered } from './gather.js';
import type { SweepRequest } from './question.js';

/** Stretches of time, or runs, without which nothing can be said of how a point varies. */
const LEAST_BLOCKS = 8;
const LEAST_RUNS = 3;
const ERROR = 0.05;

const least = (step: number | null): number => (step === null ? LEAST_RUNS : LEAST_BLOCKS);

type Place = Gathered['bins'][number];

/** What the axis moves by itself is no condition to be made equal. */
function covariatesFor({ axis, over }: SweepRequest, step: number | null): readonly Covariate[] {
  if (step === null) return [];
  const moved = axis.kind === 'load' || axis.kind === 'band' || over === 'concurrency' || /requests\.(?:running|waiting)$/.test(over);
  return COVARIATES.filter((name) => name !== 'temperature' && !(moved && name === 'load'));
}

interface Measured {
  readonly place: Place;
  readonly blocks: (metric: Metric) => ReturnType<ReturnType<typeof blocksFrom>>;
}

const estimateOf = (cells: readonly Cell[], { numerator, denominator, factor }: Metric): number | null => {
  const sums = totalOf(cells);
  const [above, below] = [sums[numerator], sums[denominator]];
  return above === undefined || below === undefined || below <= 0 ? null : (above * factor) / below;
};

function held(a: Measured, b: Measured, metric: Metric, covariates: readonly Covariate[]): BlockAnswer {
  const [first, second] = [a.blocks(metric), b.blocks(metric)];
  const known = covariates.filter((name) => [first, second].every((blocks) => blocks.some(({ covariates: told }) => told[name] !== undefined)));
  return compareBlocks({ a: first, b: second, design: designOf(first, second), sequential: false, covariates: known, lowerIsBetter: metric.lowerIsBetter });
}

const pair = (interval: readonly [number, number] | null): [number, number] | null => (interval === null ? null : [interval[0], interval[1]]);

function insideOf({ cells }: Place): number | null {
  const { requests, usefulRequests } = totalOf(cells);
  return requests === undefined || usefulRequests === undefined || requests <= 0 ? null : usefulRequests / requests;
}

/** Of a point by itself: its time in pieces of one length, or its runs. */
function intervalOf(blocks: readonly Block[], step: number | null): [number, number] | null {
  if (blocks.length < least(step)) return null;
  return pair(sideOf(blocks, piecesOf(blocks, blocks, step === null ? 'runs' : 'before-after'), 0, ERROR).ci95);
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
    thin: blocks < least(step),
  };
}

function evidenceOf(best: Measured, others: readonly Measured[], metric: Metric, covariates: readonly Covariate[]): Evidence[] {
  const answers = others.map((other) => held(best, other, metric, covariates));
  const told = answers.filter(({ effect }) => effect.pValue !== null);
  const adjusted = holm(told.map(({ effect }) => effect.pValue ?? 1));
  return answers.map((answer, index): Evidence => {
    const pValue = adjusted[told.indexOf(answer)] ?? null;
    const { relative, ci95 } = answer.effect;
    const worse = pValue !== null && pValue < ERROR && relative !== null && relative > 0 === metric.lowerIsBetter;
    return {
      point: others[index]?.place.name ?? '', relative, ci95: pair(ci95), pValue, verdict: answer.verdict === 'not-comparable' ? 'not-comparable' : worse ? 'worse' : 'not-told-apart',
      reasons: answer.reasons.map(({ code, detail }) => ({ code, detail })), adjustments: answer.adjustments.map(({ detail }) => detail),
    };
  });
}

export interface Curve {
  readonly points: readonly Point[];
  readonly best: SweepAnswer['best'];
}

/** @param targeted whether there are latency targets that requests were held against */
export function curveOf({ bins, step }: Pick<Gathered, 'bins' | 'step'>, request: SweepRequest, targeted: boolean): Curve {
  const [metric] = request.metrics;
  const covariates = covariatesFor(request, step);
  const all = bins.map((place): Measured => ({ place, blocks: blocksFrom(place.cells, step, covariates) }));
  const points = all.map((each) => pointOf(each, request, targeted, step));
  const figureOf = (point: Point): number => point.figures[metric.name]?.estimate ?? Number.NaN;
  const better = (a: Point, b: Point): number => (metric.lowerIsBetter ? figureOf(a) - figureOf(b) : figureOf(b) - figureOf(a));
  const eligible = points.filter((point) => !point.thin && point.inside !== false && !(targeted && point.inside === null) && Number.isFinite(figureOf(point))).toSorted(better);
  const [best, second] = eligible;
  if (!best) return { points, best: null };
  const measured = (point: Point): Measured[] => all.filter(({ place }) => place.name === point.name);
  const [of] = measured(best);
  const evidence = of ? evidenceOf(of, eligible.slice(1).flatMap(measured), metric, covariates) : [];
  const against = evidence.find(({ point }) => point === second?.name);
  return { points, best: { point: best.name, runnerUp: second?.name ?? null, toldApart: against ? against.verdict === 'worse' : null, evidence } };
}
