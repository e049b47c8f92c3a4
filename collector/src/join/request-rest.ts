/** What was measured and belongs to no request that was told of: prefill and decode that are left, and the phases that have no request. */
import type { Phase } from '@joulebook/shared/slice.js';
import { microjoulesToJoules } from '@joulebook/shared/units.js';
import type { EnergySums, GroupSum } from '../store/store.js';
import { hull, identity, project, type Group } from './groups.js';
import { onePhase } from './phases.js';
import type { Flag } from './report.js';
import { ofPhase, type Cell, type Draft, type Keys, type RequestPhase } from './request-cells.js';
import { isRequestKey, type Rest } from './request-keys.js';
import type { RequestWorth } from './request-worth.js';
import type { RowEnergy, Terms, Window } from './row.js';

/** What belongs to no request has neither tokens nor requests of its own. */
const factsOfRest = (energy: RowEnergy, counted: RowEnergy | undefined, phase: Phase | null, worth: Draft['facts']['worth']): Draft['facts'] =>
  ({ energy, counted, ...(worth && { worth }), phases: onePhase(null, undefined), tokens: 'unasked', countedTokens: 'unasked', requests: 'unasked', phase });

const APART = ['active', 'idle', 'unknown'] as const satisfies readonly Phase[];

interface Left extends Group, Window {
  readonly microjoules: Map<RequestPhase, bigint>;
}

/** Measured prefill and decode − Σ requests, by the keys that both have. */
function leftOf(measured: readonly GroupSum<'energy'>[], cells: readonly Cell[], keys: Keys, phases: readonly RequestPhase[]): Left[] {
  const left = new Map<string, Left>();
  const add = (group: Group & Window, phase: RequestPhase, microjoules: bigint): void => {
    const known = left.get(identity(group));
    const all = known?.microjoules ?? new Map<RequestPhase, bigint>();
    all.set(phase, (all.get(phase) ?? 0n) + microjoules);
    left.set(identity(group), { step: group.step, values: group.values, ...(known ? (hull([known, group]) ?? known) : { from: group.from, to: group.to }), microjoules: all });
  };
  for (const { step, values, from, to, sums } of measured) {
    const phase = phases.find((known) => known === values.at(-1));
    if (phase) add({ step, values: values.slice(0, -1), from, to }, phase, sums.microjoules);
  }
  for (const cell of cells) {
    const { metered } = cell;
    if (metered) for (const phase of phases) add({ ...project(cell, keys.requests, keys.energy), from: cell.from, to: cell.to }, phase, -ofPhase(metered, phase));
  }
  return [...left.values()];
}

const below = (phase: RequestPhase, microjoules: bigint): Flag => ({
  code: 'MORE_THAN_MEASURED',
  detail: `The requests here drew ${microjoulesToJoules(-microjoules).toFixed(3)} J more in ${phase} than was measured in these slices: they began before them, or ran on GPUs that are not in them. The rest is below zero, so that the rows add up.`,
});

/** The values of a rest's row: of the keys that energy has its own, of those that only requests have the name of the rest. */
const restValues = ({ all, energy }: Keys, values: readonly (string | null)[], rest: Rest, phase: Phase | null): (string | null)[] =>
  all.map((key) => (key === 'phase' ? phase : isRequestKey(key) ? rest : (values[energy.indexOf(key)] ?? null)));

/** One row per group and, where asked by phase, per phase; none where nothing is left. */
function leftDrafts(left: readonly Left[], keys: Keys, worth: RequestWorth | undefined): Draft[] {
  const byPhase = keys.all.includes('phase');
  const draft = (each: Left, parts: readonly (readonly [RequestPhase, bigint])[], phase: RequestPhase | null): Draft[] => {
    const microjoules = parts.reduce((sum, [, part]) => sum + part, 0n);
    const flags = parts.flatMap(([name, part]) => (part < 0n ? [below(name, part)] : []));
    const valued = worth?.ofRest(each, parts.map(([name]) => name), microjoules);
    if (microjoules === 0n && flags.length === 0 && valued?.isNothing !== false) return [];
    return [{ step: each.step, from: each.from, to: each.to, values: restValues(keys, each.values, '(other requests)', phase), facts: factsOfRest({ microjoules }, { microjoules }, phase, valued?.worth), flags }];
  };
  return left.flatMap((each) => {
    const parts = [...each.microjoules];
    return byPhase ? parts.flatMap((part) => draft(each, [part], part[0])) : draft(each, parts, null);
  });
}

function phasesApart(measured: readonly GroupSum<'energy'>[], keys: Keys, { basis }: Terms, worth: RequestWorth | undefined): Draft[] {
  const counts = (phase: Phase, sums: EnergySums): EnergySums | undefined => (basis === 'all' || phase === 'active' ? sums : undefined);
  return measured.flatMap(({ step, values, from, to, sums }) => {
    const phase = APART.find((known) => known === values.at(-1));
    if (!phase) return [];
    const counted = counts(phase, sums);
    const valued = worth?.ofPhase({ step, values: values.slice(0, -1) }, phase, sums.microjoules, counted !== undefined);
    return [{ step, from, to, values: restValues(keys, values, `(${phase})`, phase), facts: factsOfRest(sums, counted, phase, valued), flags: [] }];
  });
}

export const restDrafts = (measured: readonly GroupSum<'energy'>[], cells: readonly Cell[], keys: Keys, phases: readonly RequestPhase[], terms: Terms, worth: RequestWorth | undefined): Draft[] =>
  [...leftDrafts(leftOf(measured, cells, keys, phases), keys, worth), ...phasesApart(measured, keys, terms, worth)];
