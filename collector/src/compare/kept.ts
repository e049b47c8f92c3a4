/**
 * What retention left of the sides' time, where facts were deleted and only their sums are kept:
 *
 *   facts        10:05 ▮▮▮▮▮ turn of B ▮▮▮▮▮ 10:55          told by the minute
 *   sums         10:00 ▮▮▮ hour with A and B in it ▮▮▮ 11:00      a block is an hour, and the turn can't be taken out of it
 */
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { scopeOf } from '../report/gather.js';
import { stepMicros, type ReportRequest } from '../report/request.js';
import { inBoundary, type ReadFrom, type Resolution } from '../store/store.js';
import type { Reason } from './answer.js';
import type { Pair } from './found.js';
import type { Grid } from './grid.js';
import { lasting } from './sentence.js';
import type { Glance } from './sides.js';

const MINUTE = epochMicros(60e6);
const HOUR = 3600e6;

async function readOf({ store, boundary }: Glance, request: ReportRequest): Promise<Resolution | undefined> {
  const scope = scopeOf('energy', request);
  return store.resolution?.({ kind: 'energy', by: [], step: request.step, ...scope, where: [...scope.where, ...(boundary === null ? [] : [inBoundary(boundary)])] });
}

const lengthOf = ({ resolution }: ReadFrom): number => (resolution === 'facts' ? 0 : (stepMicros(resolution) ?? 0));

export interface KeptGrid {
  readonly grid: Grid;
  readonly notes: readonly Reason[];
}

/** Blocks that are no shorter than what is kept, on both sides: an hour that is told as a minute would be counted as one. */
export async function gridOfKept(sides: Pair<Glance>, grid: Grid): Promise<KeptGrid> {
  if (grid.kind !== 'time') return { grid, notes: [] };
  const read = await Promise.all(sides.map((side) => readOf(side, { ...side.request, step: grid.step })));
  // Sums that are read though the facts are there fit the step.
  const longest = Math.max(0, ...read.flatMap((each) => (each?.rounded === true ? each.read.map(lengthOf) : [])));
  if (longest === 0 || grid.step % longest === 0) return { grid, notes: [] };
  const step: EpochMicros = epochMicros(Math.ceil(grid.step / longest) * longest);
  return { grid: { ...grid, step }, notes: [{ code: 'SUMS_ARE_LEFT', detail: `Of some of this time only sums by ${longest === HOUR ? 'the hour' : 'the minute'} are kept, so a block is ${lasting(step / 1e6)} and not ${lasting(grid.step / 1e6)}.` }] };
}

/** Ranges that begin and end inside of hours whose facts are gone: their sums have both sides in them, or what was left out for settling. */
export async function turnsNotKept(sides: Pair<Glance>): Promise<Reason[]> {
  const told = await Promise.all(sides.map(async (side, index): Promise<Reason[]> => {
    const { within, ...whole } = side.request;
    if (within === undefined || (await readOf(side, { ...side.request, step: undefined }))?.rounded !== true) return [];
    const left = await readOf(side, { ...whole, from: within[0]?.from, to: within.at(-1)?.to, step: MINUTE });
    if (left?.read.some((each) => lengthOf(each) >= HOUR) !== true) return [];
    const name = index === 0 ? 'A' : 'B';
    return [{ code: 'TURNS_NOT_KEPT', detail: `The facts of some of the time of side ${name} were deleted and only sums by the hour are kept. Its turns begin and end inside of hours, whose sums have what lies beyond a turn in them as well: what ${name} drew can't be told from them any more. Keep facts or sums by the minute for as long as experiments are asked about.` }];
  }));
  return told.flat();
}
