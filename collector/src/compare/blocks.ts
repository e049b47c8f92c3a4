/**
 * Cells of time as the blocks that are compared:
 *
 *   cells    │ 610 J, 49 tok │ 580 J, 0 tok │ 602 J, 47 tok │        580 J are the bill of the tokens around them: a cell without
 *   blocks   │      1190 J, 49 tok         │ 602 J, 47 tok │         a denominator joins the one before it (a run never does)
 */
import type { EpochMicros } from '@joulebook/shared/units.js';
import { added, pooled, type Cell, type CellSums } from './cells.js';
import { COVARIATES, type Block, type Covariate } from './method/compare-blocks.js';
import type { Amount, Metric } from './metrics.js';

const ratio = (numerator: number | undefined, denominator: number | undefined): number | undefined =>
  numerator === undefined || denominator === undefined || denominator <= 0 ? undefined : numerator / denominator;

/** load: output tokens/s; lengths: tokens of the requests that were answered, for what came of the others is an outcome; cachedShare: of all prompt tokens. */
const CONDITIONS: Readonly<Record<Covariate, (sums: CellSums, seconds: number) => number | undefined>> = {
  load: ({ output }, seconds) => ratio(output, seconds),
  inputLength: ({ answeredInput, answeredRequests }) => ratio(answeredInput, answeredRequests),
  outputLength: ({ answeredOutput, answeredRequests }) => ratio(answeredOutput, answeredRequests),
  cachedShare: ({ cachedInput, input }) => ratio(cachedInput ?? 0, input),
  temperature: ({ degreeSeconds, degreeTime }) => ratio(degreeSeconds, degreeTime),
};

type Conditions = Block['covariates'];

/** A cell, or several as one, with the conditions that it had. */
export interface Piece {
  readonly cell: Cell;
  /** s that its cells last, without what lies between them. */
  readonly seconds: number;
  readonly conditions: Conditions;
}

/** Requests are answered in few of the minutes of a small deployment: until one is, that of the last ones is the best that is known. */
function conditionsOf(sums: CellSums, seconds: number, names: readonly Covariate[], before: Conditions): Conditions {
  const conditions: Partial<Record<Covariate, number>> = {};
  for (const name of names) {
    const value = CONDITIONS[name](sums, seconds) ?? before[name];
    if (value !== undefined) conditions[name] = value;
  }
  return conditions;
}

const lasting = ({ from, to }: Cell): number => (to - from) / 1e6;

/** The same for all metrics of a side. @param names conditions to tell, as far as they are known; @param cells of one node, or of all as one */
function piecesOf(cells: readonly Cell[], names: readonly Covariate[]): Piece[] {
  // Where no engine told of cached prompts, a share of 0 would be made up.
  const told = names.filter((name) => name !== 'cachedShare' || cells.some(({ sums }) => sums.cachedInput !== undefined));
  const first: Partial<Record<Covariate, number>> = {};
  for (const name of told) {
    const known = cells.find((cell) => CONDITIONS[name](cell.sums, lasting(cell)) !== undefined);
    const value = known && CONDITIONS[name](known.sums, lasting(known));
    if (value !== undefined) first[name] = value;
  }
  let before: Conditions = first;
  return cells.map((cell) => {
    before = conditionsOf(cell.sums, lasting(cell), told, before);
    return { cell, seconds: lasting(cell), conditions: before };
  });
}

function joinedTo(one: Piece, other: Piece, inTime: boolean): Piece {
  const from = inTime && other.cell.from < one.cell.from ? other.cell.from : one.cell.from;
  const to = inTime && other.cell.to > one.cell.to ? other.cell.to : one.cell.to;
  const [sums, seconds] = [added(one.cell.sums, other.cell.sums), one.seconds + other.seconds];
  return { cell: { ...one.cell, from, to, sums }, seconds, conditions: conditionsOf(sums, seconds, COVARIATES.filter((name) => one.conditions[name] !== undefined), one.conditions) };
}

/** Cells apart by more than one step have something else, or nothing, between them. */
const isNext = (before: Piece, { cell }: Piece, step: number): boolean => cell.from - before.cell.to <= step;

/** Each with a denominator; where there is none at all, one piece without. */
function withDenominators(all: readonly Piece[], { denominator }: Metric, step: number): readonly Piece[] {
  const has = ({ cell }: Piece): boolean => (cell.sums[denominator] ?? 0) > 0;
  if (all.every(has)) return all;
  const pieces: Piece[] = [];
  let waiting: Piece | undefined;
  for (const piece of all) {
    const last = pieces.at(-1);
    if (has(piece)) {
      pieces.push(waiting ? joinedTo(piece, waiting, isNext(waiting, piece, step)) : piece);
      waiting = undefined;
    } else if (last && isNext(last, piece, step)) pieces[pieces.length - 1] = joinedTo(last, piece, true);
    else waiting = waiting ? joinedTo(waiting, piece, isNext(waiting, piece, step)) : piece;
  }
  if (!waiting) return pieces;
  const last = pieces.at(-1);
  return last ? [...pieces.slice(0, -1), joinedTo(last, waiting, false)] : [waiting];
}

const hasAny = (pieces: readonly Piece[], amount: Amount): boolean => pieces.some(({ cell }) => (cell.sums[amount] ?? 0) > 0);

/** Blocks of any metric from the cells of a side. */
export type Blocks = (metric: Metric) => readonly Block[];

/**
 * @param step null: each cell is a run of its own
 * @param names conditions to tell, as far as they are known
 */
export function blocksFrom(cells: readonly Cell[], step: EpochMicros | null, names: readonly Covariate[]): Blocks {
  const units = [...new Set(cells.map(({ unit }) => unit))].map((unit) => piecesOf(cells.filter((cell) => cell.unit === unit), names));
  let whole: readonly Piece[][] | undefined;
  return (metric) => {
    // Of a model on several nodes, one counts all tokens: such nodes have no figure each.
    const each = units.length === 1 || units.every((pieces) => hasAny(pieces, metric.numerator) && hasAny(pieces, metric.denominator));
    const told = each ? units : (whole ??= [piecesOf(pooled(cells), names)]);
    return told.flatMap((pieces) => (step === null ? pieces : withDenominators(pieces, metric, step)).map(({ cell: { from, to, unit, sums }, conditions }): Block => ({
      from, to, numerator: (sums[metric.numerator] ?? 0) * metric.factor, denominator: sums[metric.denominator] ?? 0, covariates: conditions, ...(unit !== undefined && { unit }),
    })));
  };
}
