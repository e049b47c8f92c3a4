/**
 * Cells of time with a value on the axis → points of the curve.
 *
 *   steps      300 300 300 400 400 401 …      few values, each held for long (a power limit): a point each
 *   doubling   0.3 │ 1 │ 2–3 │ 4–7 │ 8–15 │   counts of requests
 *   even       0–20 │ 20–40 │ 40–60 │ …       all else: of the middle 98 %, about eight
 */
import { scaleLinear } from 'd3-scale';
import { figure } from '../report/columns.js';

export interface Valued<T> {
  readonly value: number;
  /** s. */
  readonly seconds: number;
  readonly of: T;
}
export interface Bin<T> {
  readonly name: string;
  /** Mean over the time. */
  readonly value: number;
  readonly cells: readonly T[];
}
export interface Binned<T> {
  /** In order of their values. */
  readonly bins: readonly Bin<T>[];
  /** s of cells between or beyond them. */
  readonly left: number;
}

const MOST_STEPS = 12;
/** Of the time: a value that is held for less is on its way from one to another. */
const HELD = 0.02;
const BINS = 8;
const TRIMMED = 0.01;

const lasting = (cells: readonly Valued<unknown>[]): number => cells.reduce((sum, { seconds }) => sum + seconds, 0);
const mean = (cells: readonly Valued<unknown>[]): number => cells.reduce((sum, { value, seconds }) => sum + value * seconds, 0) / lasting(cells);
const binOf = <T>(name: string, cells: readonly Valued<T>[]): Bin<T> => ({ name, value: mean(cells), cells: cells.map(({ of }) => of) });

function grouped<T, K>(cells: readonly Valued<T>[], keyOf: (value: number) => K): Map<K, Valued<T>[]> {
  const groups = new Map<K, Valued<T>[]>();
  for (const cell of cells) {
    const key = keyOf(cell.value);
    const known = groups.get(key);
    if (known) known.push(cell);
    else groups.set(key, [cell]);
  }
  return groups;
}

const finished = <T>(all: readonly Valued<T>[], bins: readonly Bin<T>[]): Binned<T> => {
  const taken = new Set(bins.flatMap(({ cells }) => cells));
  return { bins: bins.toSorted((a, b) => a.value - b.value), left: lasting(all.filter(({ of }) => !taken.has(of))) };
};

/** Of a value: what is nearer to the next one is held at the same, wavering around it; as far as it may waver. */
const NEAR = 0.01;
const WAVERS = 0.06;

/** Undefined where values are not held, or are too many. */
function steps<T>(cells: readonly Valued<T>[]): Binned<T> | undefined {
  const groups: Valued<T>[][] = [];
  for (const cell of cells.toSorted((a, b) => a.value - b.value)) {
    const last = groups.at(-1);
    const before = last?.at(-1)?.value ?? Number.NEGATIVE_INFINITY;
    if (last && cell.value - before <= NEAR * Math.abs(cell.value)) last.push(cell);
    else groups.push([cell]);
  }
  const whole = lasting(cells);
  const held = groups.filter((group) => lasting(group) >= HELD * whole);
  const waver = held.some((group) => (group.at(-1)?.value ?? 0) - (group[0]?.value ?? 0) > WAVERS * Math.abs(mean(group)));
  if (waver || held.length === 0 || held.length > MOST_STEPS || held.reduce((sum, group) => sum + lasting(group), 0) < (1 - 5 * HELD) * whole) return undefined;
  return finished(cells, held.map((group) => binOf(figure(Number(mean(group).toPrecision(3))), group)));
}

const bandName = (band: number): string => (band < 0 ? 'below 0.5' : band === 0 ? '1' : `${2 ** band}–${2 ** (band + 1) - 1}`);

function doubling<T>(cells: readonly Valued<T>[]): Binned<T> {
  const groups = grouped(cells, (value) => (value < 0.5 ? -1 : Math.floor(Math.log2(Math.max(1, value)))));
  return finished(cells, [...groups].map(([band, group]) => binOf(bandName(band), group)));
}

function even<T>(cells: readonly Valued<T>[]): Binned<T> {
  const sorted = cells.map(({ value }) => value).toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  const [low, high] = [at(TRIMMED), at(1 - TRIMMED)];
  const edges = scaleLinear([low, high], [0, 1]).nice(BINS).ticks(BINS);
  if (edges.length < 2) return finished(cells, [binOf(figure(mean(cells)), cells)]);
  const bins = edges.slice(1).flatMap((to, index) => {
    const from = edges[index] ?? to;
    const inside = cells.filter(({ value }) => value >= from && (index === edges.length - 2 ? value <= to : value < to));
    return inside.length === 0 ? [] : [binOf(`${figure(from)}–${figure(to)}`, inside)];
  });
  return finished(cells, bins);
}

export type Rule = 'steps' | 'counts' | 'even';

export function binned<T>(cells: readonly Valued<T>[], rule: Rule): Binned<T> {
  if (cells.length === 0) return { bins: [], left: 0 };
  if (rule === 'even') return even(cells);
  return rule === 'counts' ? doubling(cells) : (steps(cells) ?? even(cells));
}
