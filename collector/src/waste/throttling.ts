/**
 * What throttling cost in tokens. A deployment is held against itself: what its GPUs make in a second of work in steps without any
 * throttling, against what they made in the time that was throttled.
 *
 *     not produced   rate without × seconds throttled − made in them       (at most: had they made nothing)
 *
 * GPUs that wait for a throttled one beside them are not counted: each is taken for itself.
 */
import { seconds, tokens, type EpochMicros, type Seconds, type Tokens } from '@joulebook/shared/units.js';
import { gpuHoursLost, tokensAtMost, tokensNotProduced, tokensPerGpuSecond, type TokensPerGpuSecond } from '../figures/waste.js';
import type { Cell, Device, Entry } from './cells.js';
import { GAUGES, THROTTLE_KINDS, type ThrottleKind } from './kinds.js';

/** A counter that moved by a microsecond did not hold anything back. */
const FREE = 0.02;

export interface Throttled {
  readonly kind: ThrottleKind;
  readonly entry: Entry;
  /** Of the GPU; and of those in which it served. */
  readonly seconds: Seconds;
  readonly working: Seconds;
  /** Output in them. */
  readonly made: Tokens;
}

const isServing = ({ phase }: Entry): boolean => phase === 'prefill' || phase === 'decode' || phase === 'active';
const nameOf = ({ said }: Entry): string | null => said('deployment');

/** @param output tokens that a deployment made in a step */
export type Output = (deployment: string | null, step: EpochMicros) => number;

interface Work {
  working: number;
  readonly step: EpochMicros;
  /** The most that any GPU was held back; undefined where one does not tell. */
  throttled: number | undefined;
}

function mostThrottled({ gauges }: Cell): number | undefined {
  const told = THROTTLE_KINDS.flatMap((kind) => gauges.get(GAUGES[kind]) ?? []);
  return told.length === 0 ? undefined : Math.max(...told);
}

/** Seconds of GPUs at work by deployment and step. */
function workOf(devices: readonly Device[]): ReadonlyMap<string | null, ReadonlyMap<EpochMicros, Work>> {
  const all = new Map<string | null, Map<EpochMicros, Work>>();
  for (const cell of devices.flatMap(({ cells }) => cells)) {
    const most = mostThrottled(cell);
    for (const entry of cell.entries.filter(isServing)) {
      const steps = all.get(nameOf(entry)) ?? new Map<EpochMicros, Work>();
      all.set(nameOf(entry), steps);
      const work = steps.get(cell.step) ?? { working: 0, step: cell.step, throttled: 0 };
      steps.set(cell.step, work);
      work.working += entry.sum.sums.askedSeconds;
      work.throttled = work.throttled === undefined || most === undefined ? undefined : Math.max(work.throttled, most);
    }
  }
  return all;
}

export interface Throttling {
  readonly throttled: readonly Throttled[];
  /** Of a deployment, without throttling; null where there was no such time. */
  readonly rateOf: (deployment: string | null) => TokensPerGpuSecond | null;
}

export function throttlingOf(devices: readonly Device[], output: Output): Throttling {
  const work = workOf(devices);
  const rates = new Map<string | null, TokensPerGpuSecond | null>();
  for (const [deployment, steps] of work) {
    const free = [...steps.values()].filter(({ throttled }) => throttled !== undefined && throttled <= FREE);
    const made = free.reduce((sum, { step }) => sum + output(deployment, step), 0);
    rates.set(deployment, deployment === null ? null : tokensPerGpuSecond(tokens(made), seconds(free.reduce((sum, { working }) => sum + working, 0))));
  }
  const throttled: Throttled[] = [];
  for (const cell of devices.flatMap(({ cells }) => cells)) {
    for (const kind of THROTTLE_KINDS) {
      const share = Math.min(1, cell.gauges.get(GAUGES[kind]) ?? 0);
      if (share <= 0) continue;
      for (const entry of cell.entries) {
        const held = share * entry.sum.sums.askedSeconds;
        const all = work.get(nameOf(entry))?.get(cell.step)?.working ?? 0;
        const made = isServing(entry) && all > 0 ? (output(nameOf(entry), cell.step) * held) / all : 0;
        throttled.push({ kind, entry, seconds: seconds(held), working: seconds(isServing(entry) ? held : 0), made: tokens(made) });
      }
    }
  }
  return { throttled, rateOf: (deployment) => rates.get(deployment) ?? null };
}

export interface Missing {
  readonly tokens: Tokens | null;
  readonly atMost: Tokens | null;
  readonly gpuHours: number | null;
}

/** Of one deployment, all its throttled time together: more made in one second makes up for less in another. */
export function missingOf(throttled: readonly Pick<Throttled, 'working' | 'made'>[], rate: TokensPerGpuSecond | null): Missing {
  const working = seconds(throttled.reduce((sum, each) => sum + each.working, 0));
  const missing = tokensNotProduced(rate, working, tokens(throttled.reduce((sum, { made }) => sum + made, 0)));
  return { tokens: missing, atMost: tokensAtMost(rate, working), gpuHours: gpuHoursLost(missing, rate) };
}
