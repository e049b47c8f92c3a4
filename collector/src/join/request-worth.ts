/**
 * What single requests, and what was measured beside them, are worth where that changes over time. A request's fact stands where it
 * ended: it is worth what energy was worth then. The rest bears the difference, so that the rows add up in money as they do in joules:
 *
 *     measured 3 J at 0.1 and 3 J at 0.3     1.2
 *     request  4 J, ended at 0.3             1.2
 *     rest     2 J                           0
 */
import { microjoulesToJoules } from '@joulebook/shared/units.js';
import type { GroupSum, Weighed } from '../store/store.js';
import { addWeighed } from '../store/time-classes.js';
import { identity, project, type Group } from './groups.js';
import type { Flag } from './report.js';
import type { Keys, RequestPhase } from './request-cells.js';
import type { GroupFacts } from './row.js';
import { UNVALUED, valuedBy } from './worth.js';

export interface RequestWeights {
  /** By the keys of the question but phase. */
  readonly requests: readonly GroupSum<'weighedRequests'>[];
  /** By those of them that divide energy, then `phase`. */
  readonly measured: readonly GroupSum<'weighed'>[];
}

type WorthOf = GroupFacts['worth'];
export interface RequestWorth {
  /** @param group by the keys of the question but phase */
  ofRequests(group: Group, phases: readonly RequestPhase[], microjoules: bigint): WorthOf;
  /** @param group by the keys that divide energy */
  ofRest(group: Group, phases: readonly RequestPhase[], microjoules: bigint): { readonly worth: WorthOf; readonly isNothing: boolean };
  /** @param isCounted whether ratios count it */
  ofPhase(group: Group, phase: string, microjoules: bigint, isCounted: boolean): WorthOf;
}

export const PRICED_AT_END: Flag = { code: 'REQUESTS_PRICED_AT_END', detail: 'What energy is worth changes in this time. A request is given what it was worth when the request ended; (other requests) bears the difference, so that all rows add up.' };

/** Of sums of doubles. */
const ROUNDING = 1e-9;

const sumOf = (parts: readonly (readonly Weighed[])[]): readonly Weighed[] => parts.reduce((sum, part) => (sum.length === 0 ? part : part.length === 0 ? sum : addWeighed(sum, part)), []);

function worthOf(weighed: readonly Weighed[], microjoules: bigint, isCounted = true): WorthOf {
  const all = weighed.length === 0 ? UNVALUED : valuedBy({ weighed }, microjoulesToJoules(microjoules));
  return { all, counted: isCounted ? all : UNVALUED };
}

export function requestWorth({ requests, measured }: RequestWeights, keys: Keys): RequestWorth {
  const told = new Map(requests.map((sum) => [identity(sum), sum.sums]));
  const drawn = new Map<string, Map<string, readonly Weighed[]>>();
  const taken = new Map<string, Map<RequestPhase, readonly Weighed[]>>();
  for (const { step, values, sums } of measured) {
    const key = identity({ step, values: values.slice(0, -1) });
    const phases = drawn.get(key) ?? new Map<string, readonly Weighed[]>();
    drawn.set(key, phases.set(values.at(-1) ?? '', sums.weighed));
  }
  for (const sum of requests) {
    const key = identity(project(sum, keys.requests, keys.energy));
    const phases = taken.get(key) ?? new Map<RequestPhase, readonly Weighed[]>();
    taken.set(key, phases);
    for (const phase of ['prefill', 'decode'] as const) phases.set(phase, sumOf([phases.get(phase) ?? [], sum.sums[phase]]));
  }
  return {
    ofRequests(group, phases, microjoules) {
      const own = told.get(identity(group));
      return worthOf(own ? sumOf(phases.map((phase) => own[phase])) : [], microjoules);
    },
    ofRest(group, phases, microjoules) {
      const key = identity(group);
      const whole = sumOf(phases.map((phase) => drawn.get(key)?.get(phase) ?? []));
      const part = sumOf(phases.map((phase) => taken.get(key)?.get(phase) ?? []));
      // Of one side alone, the other is nothing.
      const nothing = (whole.length === 0 ? part : whole).map(() => ({ sum: 0, unknown: 0n }));
      const left = addWeighed(whole.length === 0 ? nothing : whole, part, -1);
      const isNothing = left.every(({ sum, unknown }, index) => unknown === 0n && Math.abs(sum) <= ROUNDING * (Math.abs(whole[index]?.sum ?? 0) + Math.abs(part[index]?.sum ?? 0)));
      return { worth: worthOf(left, microjoules), isNothing };
    },
    ofPhase: (group, phase, microjoules, isCounted) => worthOf(drawn.get(identity(group))?.get(phase) ?? [], microjoules, isCounted),
  };
}
