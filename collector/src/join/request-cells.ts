/** Requests of one group, whatever their outcome: the cells that rows are made of. */
import type { Phase } from '@joulebook/shared/slice.js';
import { epochMicros } from '@joulebook/shared/units.js';
import type { GroupSum, Key, MeteredRequests, RequestCounts, RequestSums } from '../store/store.js';
import { hull, identity, type Group } from './groups.js';
import type { Flag } from './report.js';
import type { GroupFacts, Window } from './row.js';

export const REQUEST_PHASES = ['prefill', 'decode'] as const satisfies readonly Phase[];
export type RequestPhase = (typeof REQUEST_PHASES)[number];

/** All requests of a group, whatever their outcome. */
export interface Cell extends Group, Window {
  readonly outcomes: ReadonlyMap<string, number>;
  readonly counts: RequestCounts;
  readonly metered: MeteredRequests | null;
}

/** The keys of a question: all of them, and but phase those that requests and those that energy can be divided by. */
export interface Keys {
  readonly all: readonly Key[];
  readonly requests: readonly Key[];
  readonly energy: readonly Key[];
}

/** A row before its flags and ratios. */
export interface Draft extends Group, Window {
  readonly facts: Omit<GroupFacts, 'span' | 'askedOfWindow'>;
  readonly flags: readonly Flag[];
}

const sumCounts = <T extends RequestCounts>(a: T, b: T): RequestCounts => ({
  requests: a.requests + b.requests,
  inputTokens: a.inputTokens + b.inputTokens,
  cachedInputTokens: a.cachedInputTokens + b.cachedInputTokens,
  outputTokens: a.outputTokens + b.outputTokens,
});

function sumMetered(a: MeteredRequests | null, b: MeteredRequests | null): MeteredRequests | null {
  if (!a || !b) return a ?? b;
  return { ...sumCounts(a, b), prefillMicrojoules: a.prefillMicrojoules + b.prefillMicrojoules, decodeMicrojoules: a.decodeMicrojoules + b.decodeMicrojoules };
}

export function cellsOf(sums: readonly GroupSum<'requests'>[]): Cell[] {
  const cells = new Map<string, Cell>();
  for (const sum of sums) {
    const group = { step: sum.step, values: sum.values.slice(0, -1) };
    const outcome = [sum.values.at(-1) ?? '', sum.sums.requests] as const;
    const known = cells.get(identity(group));
    cells.set(identity(group), {
      ...group,
      ...(known ? (hull([known, sum]) ?? known) : { from: sum.from, to: sum.to }),
      outcomes: new Map([...(known?.outcomes ?? []), outcome]),
      counts: known ? sumCounts(known.counts, sum.sums) : sum.sums,
      metered: sumMetered(known?.metered ?? null, sum.sums.metered),
    });
  }
  return [...cells.values()];
}

export const ofPhase = (metered: MeteredRequests, phase: RequestPhase): bigint => (phase === 'prefill' ? metered.prefillMicrojoules : metered.decodeMicrojoules);

const NOTHING: RequestSums = { requests: 0, inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, metered: null };
/** The whole is a row even when no request fits. */
export const NOBODY: Cell = { step: epochMicros(0), values: [], from: epochMicros(0), to: epochMicros(0), outcomes: new Map(), counts: NOTHING, metered: null };
