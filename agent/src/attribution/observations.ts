/**
 * Power and work brought side by side, to learn from: for each second of what a sensor shows, the work that it shows. A
 * sensor shows late and blurred, so the work is taken as late and as blurred:
 *
 *   work     ▁▁▇▇▁▁▃▃▃▃▁▁         in cells of 50 ms
 *   blurred   ▁▂▅▅▂▁▂▃▃▂▁▁        the mean over the time that the sensor averages
 *   power      ▁▂▅▅▂▁▂▃▃▂▁▁       as late as the sensor and the clocks are
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { Block, PowerModel } from './power-model.js';
import { NO_LOAD, plus, times, type Load, type Stretch } from './work.js';

export interface Observations {
  /** Time starts anew, maybe earlier. */
  rewind(): void;
  /** What ran; stretches in order. */
  work(stretches: readonly Stretch[]): void;
  device(blur: number): DeviceObservations;
}

export interface DeviceObservations {
  /** What was drawn, in order. @param lag how late it is shown, in s, besides the blur */
  drawn(from: Instant, to: Instant, joules: number, lag: number): void;
}

const CELL_SECONDS = 0.05;
const BLOCK_SECONDS = 1;
/** Where it is only known how much ran in a window, and not when. */
const GROUP_BLOCK_SECONDS = 5;
/** Work is kept for so long: power that is shown later than that teaches nothing. */
const KEEP_CELLS = 1_200 / CELL_SECONDS;

/** Blocks of power that wait for evidence about their time. */
const MOST_WAITING = 2_000;

/** Sums over time up to the end of a cell. */
interface Sums {
  readonly load: Load;
  readonly idle: number;
  /** Of each phase, as it would have been alone. */
  readonly prefill: Load;
  readonly decode: Load;
  /** Seconds for which it is known what ran. */
  readonly known: number;
}
const NOTHING: Sums = { load: NO_LOAD, idle: 0, prefill: NO_LOAD, decode: NO_LOAD, known: 0 };

const add = (one: Sums, other: Sums): Sums => ({ load: plus(one.load, other.load), idle: one.idle + other.idle, prefill: plus(one.prefill, other.prefill), decode: plus(one.decode, other.decode), known: one.known + other.known });
const scaled = (sums: Sums, factor: number): Sums => ({ load: times(sums.load, factor), idle: sums.idle * factor, prefill: times(sums.prefill, factor), decode: times(sums.decode, factor), known: sums.known * factor });

/** Per second of the stretch. */
function rateOf({ state, work }: Stretch): Sums {
  if (state === 'idle') return { ...NOTHING, idle: 1, known: 1 };
  if (state !== 'work') return NOTHING;
  return {
    load: work.reduce((sum, { ran }) => plus(sum, ran), NO_LOAD),
    idle: 0,
    prefill: work.reduce((sum, { prefill }) => (prefill ? plus(sum, prefill) : sum), NO_LOAD),
    decode: work.reduce((sum, { decode }) => (decode ? plus(sum, decode) : sum), NO_LOAD),
    known: 1,
  };
}

export function observations(model: PowerModel): Observations {
  /** Running sums at the end of each cell, from cell `first` on. */
  let cells: Sums[] = [];
  let first = 0;
  let open: { cell: number; sums: Sums } | undefined;
  let group: { from: number; to: number; end: number; sums: Sums } | undefined;
  let grouped = false;

  function put(from: number, to: number, rate: Sums): void {
    let at = from;
    open ??= { cell: Math.floor(from / CELL_SECONDS), sums: NOTHING };
    if (from / CELL_SECONDS - open.cell > KEEP_CELLS) {
      cells = [];
      open = { cell: Math.floor(from / CELL_SECONDS), sums: NOTHING };
    }
    while (at < to) {
      const cell = Math.max(open.cell, Math.floor(at / CELL_SECONDS + 1e-9));
      while (open.cell < cell) {
        if (cells.length === 0) first = open.cell;
        cells.push(add(cells.at(-1) ?? NOTHING, open.sums));
        open = { cell: open.cell + 1, sums: NOTHING };
      }
      const until = Math.min(to, (cell + 1) * CELL_SECONDS);
      open.sums = add(open.sums, scaled(rate, until - at));
      at = Math.max(until, at + 1e-9);
    }
    if (cells.length > 2 * KEEP_CELLS) {
      cells = cells.slice(KEEP_CELLS);
      first += KEEP_CELLS;
    }
  }

  /** A window of counts is one piece: the order in it is nobody's claim. */
  function work(stretches: readonly Stretch[]): void {
    for (const stretch of stretches) {
      const { from, to, groupEnd, window } = stretch;
      const rate = window ? NOTHING : rateOf(stretch);
      if (groupEnd === undefined) {
        endGroup();
        if (stretch.state === 'work') grouped = false;
        put(from, to, rate);
        continue;
      }
      grouped = true;
      group ??= { from, to, end: groupEnd, sums: NOTHING };
      group = { ...group, to, sums: add(group.sums, scaled(rate, to - from)) };
      if (to >= group.end) endGroup();
    }
  }

  function endGroup(): void {
    if (group) put(group.from, group.to, scaled(group.sums, 1 / (group.to - group.from)));
    group = undefined;
  }

  /** Sums up to a moment; undefined: not kept, or not yet said. */
  function upTo(at: number): Sums | undefined {
    const place = at / CELL_SECONDS - first;
    const before = Math.floor(place);
    const [low, high] = [cells[before - 1], cells[before]];
    return low && high ? add(scaled(low, 1 - (place - before)), scaled(high, place - before)) : undefined;
  }

  /** What ran in the blurred image of a piece of time. */
  function imageOf(from: number, to: number, blur: number): Sums | undefined {
    if (blur < CELL_SECONDS) return difference(upTo(to), upTo(from));
    const steps = Math.max(2, Math.round((to - from) / CELL_SECONDS));
    let sum = NOTHING;
    for (let step = 0; step < steps; step += 1) {
      const end = from + ((to - from) * (step + 0.5)) / steps;
      const seen = difference(upTo(end), upTo(end - blur));
      if (!seen) return undefined;
      sum = add(sum, scaled(seen, (to - from) / steps / blur));
    }
    return sum;
  }

  function device(blur: number): DeviceObservations {
    let block: { from: number; to: number; joules: number } | undefined;
    return {
      drawn(from, to, joules, lag) {
        if (!block || Math.abs(from - block.to) > 1e-6) block = { from, to: from, joules: 0 };
        block = { from: block.from, to, joules: block.joules + joules };
        const seconds = block.to - block.from;
        if (seconds < (grouped ? GROUP_BLOCK_SECONDS : BLOCK_SECONDS)) return;
        waiting.push({ ...block, lag, blur });
        block = undefined;
        teach();
      },
    };
  }

  /** Power may be said before the evidence about its time. */
  const waiting: { from: number; to: number; joules: number; lag: number; blur: number }[] = [];
  function teach(): void {
    const said = (first + cells.length) * CELL_SECONDS;
    for (let next = waiting[0]; next && next.to - next.lag < said; next = waiting[0]) {
      const { from, to, joules, lag, blur } = next;
      waiting.shift();
      const ran = imageOf(from - lag, to - lag, blur);
      // What nobody knows teaches nothing, and neither does what lies beside it in the same image.
      if (!ran || ran.known < 0.999 * (to - from) || joules <= 0) continue;
      const learnt: Block = { at: to, seconds: to - from, joules, idle: ran.idle, load: ran.load, prefill: ran.prefill, decode: ran.decode };
      model.learn(learnt);
    }
    if (waiting.length > MOST_WAITING) waiting.splice(0, MOST_WAITING / 2);
  }

  return {
    work,
    device,
    rewind() {
      cells = [];
      open = undefined;
      group = undefined;
      waiting.length = 0;
    },
  };
}

const difference = (end: Sums | undefined, begin: Sums | undefined): Sums | undefined => end && begin && add(end, scaled(begin, -1));
