/** Reservations: what the facts themselves say, and what the join has to add. */
import type { Key, GroupSum } from '../store/store.js';
import { identity, project, type Group } from './groups.js';
import type { Flag } from './report.js';

const TOLD_PER_CODE = 5;
/** A flag that says "count of `of`" matters when it holds for half of them or more. */
const NOTEWORTHY = 0.5;
export const LOW_COVERAGE = 0.95;

export const keyName = (key: Key): string => (typeof key === 'string' ? key : key.label);

interface Cases {
  readonly told: Map<string, number>;
  untoldDetails: number;
  untoldCount: number;
  /** Flags that concern a part of something, by detail. */
  readonly parts: Map<string, { count: number; of: number }>;
}

function collect(sums: readonly GroupSum<'flag'>[]): Map<string, Cases> {
  const byCode = new Map<string, Cases>();
  for (const { code, detail, details, count, countOf, of } of sums.map((group) => group.sums)) {
    const cases = byCode.get(code) ?? { told: new Map<string, number>(), untoldDetails: 0, untoldCount: 0, parts: new Map<string, { count: number; of: number }>() };
    byCode.set(code, cases);
    if (of > 0) {
      const part = cases.parts.get(detail ?? '') ?? { count: 0, of: 0 };
      cases.parts.set(detail ?? '', { count: part.count + countOf, of: part.of + of });
    }
    if (count === 0) continue;
    if (detail !== null && (cases.told.has(detail) || cases.told.size < TOLD_PER_CODE)) cases.told.set(detail, (cases.told.get(detail) ?? 0) + count);
    else {
      cases.untoldDetails += details;
      cases.untoldCount += count;
    }
  }
  return byCode;
}

/** Sums of flag facts → flags, by code: the first few details each, then how many more. */
function tellFlags(sums: readonly GroupSum<'flag'>[]): Flag[] {
  return [...collect(sums)].toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([code, cases]) => {
    const flags: Flag[] = [];
    for (const [detail, { count, of }] of cases.parts) {
      if (count / of >= NOTEWORTHY) flags.push({ code, detail: `${detail} (${count} of ${of})` });
    }
    for (const [detail, count] of cases.told) flags.push({ code, detail, count });
    if (cases.untoldDetails > 0) flags.push({ code, detail: `and ${cases.untoldDetails} more of this kind`, count: cases.untoldCount });
    return flags;
  });
}

/** A flag fits a row unless it carries a key of the row with another value: one without a deployment holds for all of them. */
const fits = (sum: GroupSum<'flag'>, flagKeys: readonly Key[], values: ReadonlyMap<Key, string | null>): boolean =>
  flagKeys.every((key, index) => {
    const said = sum.values[index] ?? null;
    return said === null || said === values.get(key);
  });

/** Each step and each combination of what flags carry is looked at once: there may be very many rows. */
export function flagsByGroup(flags: readonly GroupSum<'flag'>[], flagKeys: readonly Key[], by: readonly Key[]): (group: Group) => readonly Flag[] {
  const ofSteps = new Map<number, GroupSum<'flag'>[]>();
  for (const flag of flags) {
    const ofStep = ofSteps.get(flag.step);
    if (ofStep) ofStep.push(flag);
    else ofSteps.set(flag.step, [flag]);
  }
  const told = new Map<string, readonly Flag[]>();
  return (group) => {
    const own = project(group, by, flagKeys);
    const key = identity(own);
    const values = new Map(flagKeys.map((each, index) => [each, own.values[index] ?? null]));
    const found = told.get(key) ?? tellFlags((ofSteps.get(group.step) ?? []).filter((flag) => fits(flag, flagKeys, values)));
    told.set(key, found);
    return found;
  };
}

/** Energy that came late is seen beside its time: a little more than asked is no fault. */
const MOST_COVERAGE = 1.05;

export const overCoverage = (coverage: number | null): Flag[] =>
  coverage !== null && coverage > MOST_COVERAGE
    ? [{ code: 'SEEN_LONGER_THAN_ASKED', detail: `Facts say that ${(coverage * 100).toFixed(0)} % of the time asked was observed: energy that came late for another time is booked here, or who sent them is wrong.` }]
    : [];

export const lowCoverage = (coverage: number | null): Flag[] =>
  coverage !== null && coverage < LOW_COVERAGE
    ? [{ code: 'LOW_COVERAGE', detail: `Only ${(coverage * 100).toFixed(1)} % of the time asked was observed; the rest was not measured and is in no total.` }]
    : [];
