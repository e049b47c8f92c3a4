/**
 * How idle energy was idle. Each joule is in one kind:
 *
 *     empty         next to nothing in the GPU's memory
 *     at work       utilisation of a half or more, or half as much power again as the same GPU draws when it idles quietly
 *     clocks high   the SM clock near the highest it has
 *     loaded        a deployment, or memory in use, and none of the above
 *     not told      neither a deployment nor a gauge of memory
 *
 * Gauges hold their value for up to a minute and clocks need a moment to fall, so the GPU must have been idle for a minute before.
 */
import type { Cell, Device, Entry } from './cells.js';
import { GAUGES, type IdleKind } from './kinds.js';

/** A context of CUDA and what the driver keeps for itself are a few hundred MiB; a model that is served is more. */
const EMPTY_MIB = 2048;
const WHOLLY = 0.95;
const SETTLED_MICROS = 60e6;
const BUSY = 0.5;
/** Of its highest. */
const HIGH_CLOCK = 0.8;
const QUIET_TIMES = 1.5;
/** The level of a GPU is that of its quietest tenth; of fewer steps there is none. */
const FEWEST_QUIET = 10;

const total = (entries: readonly Entry[], of: (entry: Entry) => number): number => entries.reduce((sum, entry) => sum + of(entry), 0);

function isWhole({ entries }: Cell): boolean {
  const asked = total(entries, ({ sum }) => sum.sums.askedSeconds);
  return asked > 0 && total(entries, ({ phase, sum }) => (phase === 'idle' ? sum.sums.askedSeconds : 0)) >= WHOLLY * asked;
}

function wattsOf({ entries }: Cell): number | undefined {
  const seconds = total(entries, ({ sum }) => sum.sums.seconds);
  return seconds > 0 ? total(entries, ({ sum }) => Number(sum.sums.microjoules)) / 1e6 / seconds : undefined;
}

/** W of the GPU when it idles and nothing else; undefined where it was not idle long enough to tell. */
function quietWatts(cells: readonly Cell[]): number | undefined {
  const idle = cells.filter(isWhole).flatMap((cell) => wattsOf(cell) ?? []).toSorted((a, b) => a - b);
  return idle.length < FEWEST_QUIET ? undefined : idle[Math.floor(idle.length / 10)];
}

/** Whether each step was idle throughout, as was the minute before it. */
function settled(cells: readonly Cell[], step: number): ReadonlySet<Cell> {
  const found = new Set<Cell>();
  let [since, next] = [Number.POSITIVE_INFINITY, Number.NaN];
  for (const cell of cells) {
    since = !isWhole(cell) ? Number.POSITIVE_INFINITY : cell.step === next && since <= cell.step ? since : cell.step;
    next = cell.step + step;
    if (cell.step - since >= SETTLED_MICROS) found.add(cell);
  }
  return found;
}

function howIdle({ gauges }: Cell, watts: number | undefined, quiet: number | undefined): IdleKind | undefined {
  const [utilization, clock, highest] = [gauges.get(GAUGES.utilization), gauges.get(GAUGES.clock), gauges.get(GAUGES.highestClock)];
  if (utilization !== undefined && utilization >= BUSY) return 'idleBusyLoop';
  if (clock !== undefined && highest !== undefined && highest > 0 && clock >= HIGH_CLOCK * highest) return 'idleClocksHigh';
  return watts !== undefined && quiet !== undefined && watts >= QUIET_TIMES * quiet ? 'idleBusyLoop' : undefined;
}

/** @returns of each entry of the device's steps that is idle its kind; none for what served, or is unknown */
export function idleKinds({ cells }: Device, step: number): ReadonlyMap<Entry, IdleKind> {
  const kinds = new Map<Entry, IdleKind>();
  const quiet = quietWatts(cells);
  const still = settled(cells, step);
  for (const cell of cells) {
    const memory = cell.gauges.get(GAUGES.memory);
    const isEmpty = memory !== undefined && memory < EMPTY_MIB;
    const how = still.has(cell) ? howIdle(cell, wattsOf(cell), quiet) : undefined;
    for (const entry of cell.entries) {
      const owned = entry.said('deployment') !== null;
      // Nobody says what an empty GPU without a deployment does, and nobody has to.
      if (isEmpty && (entry.phase === 'idle' || (entry.phase === 'unknown' && !owned))) kinds.set(entry, 'idleEmpty');
      else if (entry.phase === 'idle') kinds.set(entry, how ?? (owned || memory !== undefined ? 'idleLoaded' : 'idleUntold'));
    }
  }
  return kinds;
}
