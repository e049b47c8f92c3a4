import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Condition } from './condition.js';
import { advance, fingerprintOf, incident, type Found, type Incident } from './incident.js';

const RULE = { name: 'hot', kind: 'figure', for: 120, keepFiring: 300, absent: 'unknown' } as const;
const condition = (holds: boolean | null, labels = {}): Condition => ({ labels, severity: 'warning', holds, value: 1, summary: 'Hot.' });
const found = (rule: Found['rule'], ...conditions: Condition[]): Found => ({ rule, conditions });
const NAMES = new Set(['hot']);
const never = (): boolean => false;

/** What stands after each minute, of a rule that finds these one after the other. */
function minutes(rule: Found['rule'], holds: readonly (boolean | null | undefined)[], isTold = never): Incident[][] {
  let before: Incident[] = [];
  return holds.map((each, minute) => (before = advance(before, [found(rule, ...(each === undefined ? [] : [condition(each)]))], NAMES, 1000 + 60 * minute, isTold)));
}
const statuses = (all: readonly Incident[][]): string[] => all.map((one) => one.map(({ status }) => status).join(' '));

describe('an alert', () => {
  it('fires once its condition has held for as long as its rule says, and is resolved once it is over for as long', () => {
    const all = minutes(RULE, [true, true, true, false, false, true, false, false, false, false, false, false]);
    expect(statuses(all)).toEqual(['pending', 'pending', 'firing', 'firing', 'firing', 'firing', 'firing', 'firing', 'firing', 'firing', 'firing', 'resolved']);
    expect(all.at(-1)?.[0]).toMatchObject({ since: 1000, startsAt: 1120, endsAt: 1660 });
    expect(new Set(all.flat().map(({ fingerprint }) => fingerprint)).size).toBe(1);
  });

  it('does not fire for what is over before', () => {
    expect(statuses(minutes(RULE, [true, true, false, true, true, false]))).toEqual(['pending', 'pending', '', 'pending', 'pending', '']);
  });

  it('stays as it is while nothing is known, and is resolved after three hours of that', () => {
    const all = minutes({ ...RULE, for: 0 }, [true, ...Array.from({ length: 179 }, () => null), null]);
    expect(statuses(all).slice(0, 180)).toEqual(Array.from({ length: 180 }, () => 'firing'));
    expect(all.at(-1)).toMatchObject([{ status: 'resolved', summary: 'Hot. Nothing is known of it any more.' }]);
  });

  it('is over where a rule that names all of its cases no longer names it, and not known where it names some', () => {
    expect(statuses(minutes({ ...RULE, for: 0, keepFiring: 0, absent: 'over' }, [true, undefined]))).toEqual(['firing', 'resolved']);
    expect(statuses(minutes({ ...RULE, for: 0, keepFiring: 0 }, [true, undefined]))).toEqual(['firing', 'firing']);
  });

  it('is left alone while its rule is not asked, and resolved when the rule is gone', () => {
    const [firing = []] = minutes({ ...RULE, for: 0 }, [true]);
    expect(advance(firing, [], NAMES, 2000, never)).toEqual(firing);
    expect(advance(firing, [], new Set(), 2000, never)).toMatchObject([{ status: 'resolved', endsAt: 2000 }]);
    const [pending = []] = minutes(RULE, [true]);
    expect(advance(pending, [], new Set(), 2000, never)).toEqual([]);
  });

  it('is forgotten once everybody was told that it is resolved, or after a day', () => {
    const [firing = []] = minutes({ ...RULE, for: 0, keepFiring: 0 }, [true]);
    const resolved = advance(firing, [found({ ...RULE, keepFiring: 0 }, condition(false))], NAMES, 2000, never);
    expect(advance(resolved, [], NAMES, 2060, never)).toEqual(resolved);
    expect(advance(resolved, [], NAMES, 2060, () => true)).toEqual([]);
    expect(advance(resolved, [], NAMES, 2000 + 86_400, never)).toEqual([]);
  });

  it('is one for each group, whatever the order of its labels', () => {
    expect(fingerprintOf('hot', { a: '1', b: '2' })).toBe(fingerprintOf('hot', { b: '2', a: '1' }));
    expect(fingerprintOf('hot', { a: '1' })).not.toBe(fingerprintOf('hot', { a: '2' }));
    expect(advance([], [found({ ...RULE, for: 0 }, condition(true, { node: 'a' }), condition(true, { node: 'b' }), condition(null, { node: 'c' }))], NAMES, 1, never)).toHaveLength(2);
  });

  it('is never open twice, and ends after it began, whatever is found', () => {
    const minute = fc.record({ holds: fc.option(fc.option(fc.boolean(), { nil: null }), { nil: undefined }), restarts: fc.boolean() });
    fc.assert(fc.property(fc.array(minute, { maxLength: 60 }), fc.nat(300), fc.nat(600), (said, wait, keepFiring) => {
      let before: Incident[] = [];
      for (const [index, { holds, restarts }] of said.entries()) {
        before = advance(before, [found({ ...RULE, for: wait, keepFiring }, ...(holds === undefined ? [] : [condition(holds)]))], NAMES, 60 * index, never);
        if (restarts) before = incident.array().parse(JSON.parse(JSON.stringify(before)));
        const open = before.filter(({ status }) => status !== 'resolved');
        expect(new Set(open.map(({ fingerprint }) => fingerprint)).size).toBe(open.length);
        expect(before.filter(({ startsAt, endsAt }) => endsAt !== null && !(endsAt >= (startsAt ?? Infinity)))).toEqual([]);
      }
    }));
  });
});
