/**
 * A question → a comparison:
 *
 *   glance ▶ tell (the reports of both sides) ▶ cells ▶ blocks ▶ method ▶ answer
 *      └───────── refusals at every step, each a reason ─────────┘
 */
import { EMPTY_BOOK, type Book } from '../book/book.js';
import { remembering } from '../store/remembering.js';
import type { Store } from '../store/store.js';
import type { Comparison, Reason } from './answer.js';
import { answerOf, nothingToTell } from './assemble.js';
import { blocksFrom } from './blocks.js';
import { conditionsOf } from './conditions.js';
import { designOf } from './design.js';
import { totalOf, type Compared, type Measured, type Pair } from './found.js';
import { gridOf, type Grid } from './grid.js';
import { gridOfKept, turnsNotKept } from './kept.js';
import { compareBlocks, notCompared, type BlockQuestion, type Covariate, type Design } from './method/compare-blocks.js';
import { metricPer, PER, type Amount, type Metric } from './metrics.js';
import { outcomesApart } from './outcomes.js';
import type { CompareRequest } from './question.js';
import { badlyCovered, beyondTheSensor, emptyRuns, emptySides, measuredOtherwise, otherMachines, overlapping, sharedDevices, withoutFigure } from './refusals.js';
import { cellsOfSide, glance, tell, type Glance, type Told } from './sides.js';

/** Where every request was useful, a task is a request. */
const isRequest = ({ sums: { requests, usefulRequests } }: Measured): boolean => requests === usefulRequests;

const isSame = (one: Metric, other: Metric): boolean => one.name === other.name && one.per === other.per;

/** The same change per token, per request and per task: they need not agree. */
function othersOf({ metric, measures }: CompareRequest): Metric[] {
  const others = PER.flatMap((per) => metricPer(metric, per) ?? []);
  return others.filter((each, index) => !measures.some((asked) => isSame(asked, each)) && others.findIndex((other) => isSame(other, each)) === index);
}

const amountsOf = (metrics: readonly Metric[]): ReadonlySet<Amount> => new Set(metrics.flatMap(({ numerator, denominator }) => [numerator, denominator]));

const RUNS_BESIDE_TIME: Reason = { code: 'RUNS_BESIDE_TIME', detail: 'Some of this is a table of runs without times, the rest was measured over time: they are not of one kind. Tell them apart by a label or by --from.' };

const againstMetric = (sides: Pair<Measured>, metric: Metric): Reason[] => [...beyondTheSensor([sides[0].told, sides[1].told], metric), ...withoutFigure(sides, metric)];

/** What stands against any answer, the plainest first. */
async function refusalsOf(store: Store, { metric }: CompareRequest, book: Book, sides: Pair<Measured>, { kind, step }: Grid, design: Design): Promise<Reason[]> {
  const told: Pair<Told> = [sides[0].told, sides[1].told];
  return [
    ...(await overlapping(store, told, book)),
    ...(design === 'parallel' ? await sharedDevices(told, step) : []),
    ...(kind === 'mixed' ? [RUNS_BESIDE_TIME] : []),
    ...measuredOtherwise(told, design),
    ...badlyCovered(told),
    ...againstMetric(sides, metric),
    ...(kind === 'runs' ? emptyRuns([sides[0].blocks, sides[1].blocks]) : []),
  ];
}

export async function compare(plain: Store, request: CompareRequest, book: Book = EMPTY_BOOK): Promise<Comparison> {
  const store = remembering(plain);
  const { metric, measures } = request;
  const seen: Pair<Glance> = await Promise.all([glance(store, request, request.a, book), glance(store, request, request.b, book)]);
  const gone = await turnsNotKept(seen);
  if (gone.length > 0) return nothingToTell(request, book, seen, gone);
  const empty = await emptySides(store, seen);
  if (empty.length > 0) return nothingToTell(request, book, seen, empty);
  const told: Pair<Told> = await Promise.all([tell(store, seen[0], measures, book), tell(store, seen[1], measures, book)]);

  const { grid, notes } = await gridOfKept(told, gridOf(told, request.step));
  const step = grid.kind === 'runs' ? null : grid.step;
  const conditions = await conditionsOf(store, request, told, grid.kind === 'runs');
  const others = othersOf(request);
  const measured = async (side: Told): Promise<Measured> => {
    const cells = await cellsOfSide(side, book, { ...grid, wanted: amountsOf([...measures, ...others]), temperature: conditions.gauge });
    const blocksOf = blocksFrom(cells, step, conditions.covariates);
    return { told: side, cells, blocksOf, blocks: blocksOf(metric), sums: totalOf(cells) };
  };
  // What the store sums for one side while the other's cells are made costs no time.
  const sides: Pair<Measured> = await Promise.all([measured(told[0]), measured(told[1])]);

  const design = designOf(sides[0].blocks, sides[1].blocks);
  const refused = await refusalsOf(store, request, book, sides, grid, design);
  const isKnown = (name: Covariate): boolean => sides.every(({ blocks }) => blocks.some(({ covariates }) => covariates[name] !== undefined));
  const covariates = request.adjust === undefined ? conditions.covariates.filter(isKnown) : conditions.covariates;
  const answered = (each: Metric, against: readonly Reason[]): Compared => {
    const question: BlockQuestion = { a: sides[0].blocksOf(each), b: sides[1].blocksOf(each), design, sequential: request.sequential, covariates, lowerIsBetter: each.lowerIsBetter };
    // What stands against the sides stands against them by every measure: nothing is concluded, not even in passing.
    return { metric: each, refused: against, answer: refused.length > 0 || against.length > 0 ? notCompared(question) : compareBlocks(question) };
  };
  const further = measures.slice(1).map((each) => answered(each, againstMetric(sides, each)));
  const also = others.filter((each) => withoutFigure(sides, each).length === 0 && !(each.per === 'task' && sides.every(isRequest))).map((each) => answered(each, []));
  return answerOf({ request, book, sides, design, step, main: answered(metric, refused), others: [...further, ...also], notes: [...notes, ...conditions.notes, ...outcomesApart(sides, [...measures, ...also.map((each) => each.metric)]), ...otherMachines(told, design)] });
}
