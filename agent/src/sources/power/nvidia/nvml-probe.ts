/**
 * How often a board's values change, found by looking: instant power and the energy counter are read some hundred times
 * a second, for two seconds at most, and the median time between changes is taken. An idle board may show the same power
 * for long, so its changes are only believed when there are enough of them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { INSTANT_FIELD, type Refresh } from './nvml-board.js';
import type { Nvml, NvmlHandle } from './nvml-library.js';

const LONGEST_SECONDS = 2;
const STEP_MS = 2;
/** So many intervals make a median. */
const FEWEST = 5;
const ENOUGH = 9;

interface Watch {
  readonly ask: () => number | bigint | undefined;
  value: number | bigint | undefined;
  changedAt: number | undefined;
  readonly intervals: number[];
}

const watching = (ask: Watch['ask']): Watch => ({ ask, value: undefined, changedAt: undefined, intervals: [] });

function look(watch: Watch, at: number): void {
  const value = watch.ask();
  if (value === undefined || value === watch.value) return;
  // The first value was not seen to change; the first change begins the first whole interval.
  if (watch.value !== undefined) {
    if (watch.changedAt !== undefined) watch.intervals.push(at - watch.changedAt);
    watch.changedAt = at;
  }
  watch.value = value;
}

function median(intervals: readonly number[]): Seconds | undefined {
  if (intervals.length < FEWEST) return undefined;
  return seconds(Math.round(intervals.toSorted((a, b) => a - b)[Math.floor(intervals.length / 2)] ?? 0) / 1000);
}

/** @returns for each board what could be told, in the order of the handles */
export async function probeRefresh(nvml: Nvml, handles: readonly NvmlHandle[]): Promise<Refresh[]> {
  const boards = handles.map((handle) => ({
    instant: watching(() => {
      const answer = nvml.fields(handle, [INSTANT_FIELD]);
      const value = answer.ok ? answer.value[0] : undefined;
      return value?.ok ? value.value : undefined;
    }),
    counter: watching(() => {
      const answer = nvml.energy(handle);
      return answer.ok ? answer.value : undefined;
    }),
  }));
  const watches = boards.flatMap(({ instant, counter }) => [instant, counter]);
  const began = performance.now();
  while (performance.now() - began < LONGEST_SECONDS * 1000 && watches.some(({ intervals }) => intervals.length < ENOUGH)) {
    for (const watch of watches) if (watch.intervals.length < ENOUGH) look(watch, performance.now());
    await sleep(STEP_MS);
  }
  return boards.map(({ instant, counter }) => {
    const [shown, counted] = [median(instant.intervals), median(counter.intervals)];
    return { ...(shown !== undefined && { instant: shown }), ...(counted !== undefined && { counter: counted }) };
  });
}
