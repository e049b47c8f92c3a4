/**
 * Roll-ups of the embedded store, and which of them a query reads.
 *
 *   asked     ├──────────────────────────────────────────────────────────────┤
 *   read      facts · 1m ····· · 1h ········ · 1d ················· · 1h · 1m · facts
 *
 * A row of a roll-up is the sum of the facts of one group that begin in one cell. It looks like a fact: `from_us` is the
 * earliest of them, so it lies in the cell, and rows of any level may be added to each other.
 * A cell that facts were added to since it was summed is `touched`: it is read from a finer level until it is summed anew.
 */
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { ReadFrom, Resolution } from './store.js';

export interface Level {
  /** The end of its tables' names: `energy_minute`. */
  readonly name: 'minute' | 'hour' | 'day';
  readonly micros: number;
  readonly resolution: ReadFrom['resolution'];
}
/** Finest first. Each is summed from the one before it. */
export const LEVELS = [
  { name: 'minute', micros: 60e6, resolution: '1m' },
  { name: 'hour', micros: 3_600e6, resolution: '1h' },
  { name: 'day', micros: 86_400e6, resolution: '1d' },
] as const satisfies readonly Level[];

/** Which cells are not summed, and since when the finer rows are kept. */
export interface Standing {
  /** By level, in any order; a cell by its beginning. */
  readonly touched: Readonly<Record<Level['name'], readonly number[]>>;
  /** Facts that begin before were deleted; of minutes likewise, and never later; then of hours and days. 0: all are kept. */
  readonly factsSince: number;
  readonly minutesSince: number;
  readonly hoursSince: number;
}

export interface Range {
  readonly from: number;
  readonly to: number;
}
/** `level` undefined: the facts themselves. */
export interface Segment extends Range {
  readonly level: Level | undefined;
}
export interface Plan {
  readonly segments: readonly Segment[];
  /** True where what is kept of the range is too coarse for its ends or its step: those were moved back to a cell's beginning. */
  readonly rounded: boolean;
  readonly moved: Resolution['moved'];
  readonly keptSince?: EpochMicros;
}

/** No fact begins later: 2^53 µs is the year 2255. */
const FOREVER = Number.MAX_SAFE_INTEGER;

export const cellOf = (micros: number, level: Pick<Level, 'micros'>): number => Math.floor(micros / level.micros) * level.micros;

/** The longest that divides both; of 0 and another the other. */
export const commonStep = (one: number, other: number): number => (other === 0 ? one : commonStep(other, one % other));

/** Neighbouring cells as one range. */
export function runsOf(cells: readonly number[], length: number): Range[] {
  const runs: { from: number; to: number }[] = [];
  for (const cell of [...new Set(cells)].toSorted((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && cell <= last.to) last.to = Math.max(last.to, cell + length);
    else runs.push({ from: cell, to: cell + length });
  }
  return runs;
}

/** What of `range` lies in none of `holes`, which are in order and apart. */
function without(range: Range, holes: readonly Range[]): Range[] {
  const rest: Range[] = [];
  let { from } = range;
  for (const hole of holes) {
    if (hole.to <= from || hole.from >= range.to) continue;
    if (hole.from > from) rest.push({ from, to: hole.from });
    from = Math.max(from, hole.to);
  }
  if (from < range.to) rest.push({ from, to: range.to });
  return rest;
}

/** Each run is a condition that every row is held against. */
const MOST_RUNS = 100;

/**
 * Ranges of a level that are not summed: its own touched cells and those of finer levels in it. Where these lie scattered,
 * as after a late import, whole cells of the next level: more is read from finer rows than must be, in one go.
 */
const dirtyRuns = (standing: Standing, index: number): Range[] => {
  const cells = LEVELS.slice(0, index + 1).flatMap(({ name }) => standing.touched[name]);
  let runs: Range[] = [];
  for (const { micros } of LEVELS.slice(index)) {
    runs = runsOf(cells.map((cell) => cellOf(cell, { micros })), micros);
    if (runs.length <= MOST_RUNS) break;
  }
  return runs;
};

/** The range from the coarsest of the levels that are whole there; what none of them has comes from `finest`. */
function cover(range: Range, levels: readonly number[], standing: Standing, finest: Level | undefined): Segment[] {
  let open = [range];
  const segments: Segment[] = [];
  for (const index of levels.toReversed()) {
    const level = LEVELS[index];
    if (!level) continue;
    const dirty = dirtyRuns(standing, index);
    open = open.flatMap(({ from, to }) => {
      const inner = { from: cellOf(from + level.micros - 1, level), to: cellOf(to, level) };
      const taken = inner.from < inner.to ? without(inner, dirty) : [];
      segments.push(...taken.map((part) => ({ ...part, level })));
      return without({ from, to }, taken);
    });
  }
  segments.push(...open.map((part) => ({ ...part, level: finest })));
  return segments.toSorted((a, b) => a.from - b.from);
}

export interface Asked {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly step?: number | undefined;
  /** Only of these ranges, which are in order and apart. */
  readonly within?: readonly Range[] | undefined;
}

/** Plans of ranges that are apart, as one. */
function joinedPlan(plans: readonly Plan[]): Plan {
  const keptSince = plans.find((plan) => plan.keptSince !== undefined)?.keptSince;
  const [from, to] = [plans[0]?.moved.from, plans.at(-1)?.moved.to];
  return {
    segments: plans.flatMap(({ segments }) => segments), rounded: plans.some(({ rounded }) => rounded),
    moved: { ...(from !== undefined && { from }), ...(to !== undefined && { to }) }, ...(keptSince !== undefined && { keptSince }),
  };
}

/**
 * @param usable levels that may stand in for facts, by name
 * @param finestKept levels to read where facts are no longer kept: they need not be exact, only there
 */
export function planOf({ from = 0, to = FOREVER, step, within }: Asked, standing: Standing, usable: readonly Level['name'][]): Plan {
  if (within) return joinedPlan(within.map((range) => ({ from: Math.max(from, range.from), to: Math.min(to, range.to) })).filter((range) => range.from < range.to).map((range) => planOf({ ...range, step }, standing, usable)));
  const { factsSince, minutesSince, hoursSince } = standing;
  const [minute, hour] = LEVELS;
  const onStep = (level: Level): boolean => step === undefined || step % level.micros === 0;
  const allowed = LEVELS.flatMap((level, index) => (usable.includes(level.name) && onStep(level) ? [index] : []));
  // Where facts are gone the finest that is left stands in for them, on its own grid.
  const moved = (time: number): number => (time < minutesSince ? cellOf(time, hour) : time < factsSince ? cellOf(time, minute) : time);
  const [begin, end] = [moved(from), moved(to)];
  const part = (least: number, most: number, levels: readonly number[], finest: Level | undefined): Segment[] => {
    const range = { from: Math.max(begin, least), to: Math.min(end, most) };
    return range.from < range.to ? cover(range, levels, standing, finest) : [];
  };
  const segments = [
    ...part(0, minutesSince, allowed.filter((index) => index >= 1), hour),
    ...part(minutesSince, factsSince, allowed, minute),
    ...part(factsSince, FOREVER, allowed, undefined),
  ];
  const stepLost = segments.some(({ level }) => level !== undefined && !onStep(level));
  const moves = { ...(begin !== from && { from: epochMicros(begin) }), ...(end !== to && { to: epochMicros(end) }) };
  return { segments, rounded: begin !== from || end !== to || stepLost, moved: moves, ...(from > 0 && from < hoursSince && { keptSince: epochMicros(hoursSince) }) };
}

/** What was read, coarsest last; seconds within `known`, since a question may be open-ended. */
export function resolutionOf({ segments, ...told }: Plan, known: Range): Resolution {
  const seconds = new Map<ReadFrom['resolution'], number>();
  for (const { level, from, to } of segments) {
    const length = Math.min(to, known.to) - Math.max(from, known.from);
    const name = level?.resolution ?? 'facts';
    if (length > 0) seconds.set(name, (seconds.get(name) ?? 0) + length / 1e6);
  }
  const order: readonly ReadFrom['resolution'][] = ['facts', ...LEVELS.map(({ resolution }) => resolution)];
  return { read: order.flatMap((resolution) => (seconds.has(resolution) ? [{ resolution, seconds: seconds.get(resolution) ?? 0 }] : [])), ...told, wallTimeByCell: false };
}
