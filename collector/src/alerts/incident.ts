/**
 * From conditions to alerts that fire and are resolved: a pure function of what stood before and what was found now.
 *
 *     holds          ┌────── for ──────▶ firing ──────────────┐
 *     ───────▶ pending ── over ▶ gone     │  ▲ holds again    │ over for `keepFiring`
 *                                         └──┘                ▼
 *                                                          resolved ─ everybody was told, or a day passed ▶ gone
 *
 * What can't be told (no data, a store that does not answer) changes nothing for 3 hours; then an alert is resolved, saying so.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { instant, toIso } from '@joulebook/shared/units.js';
import type { Condition, Rule } from './condition.js';

const UNKNOWN_SECONDS = 3 * 3600;
const TOLD_SECONDS = 86_400;

/** Times in seconds since 1970. */
export const incident = z.object({
  /** Of rule and labels: the same each time it fires. */
  fingerprint: z.string(),
  rule: z.string(),
  kind: z.string(),
  severity: z.enum(['info', 'warning', 'critical']),
  labels: z.record(z.string(), z.string()),
  summary: z.string(),
  value: z.number().nullable(),
  status: z.enum(['pending', 'firing', 'resolved']),
  /** When its condition began to hold; when it fired; since when the condition is over. */
  since: z.number(),
  startsAt: z.number().nullable(),
  overSince: z.number().nullable(),
  endsAt: z.number().nullable(),
  /** When something was last known of it. */
  knownAt: z.number(),
});
export type Incident = z.infer<typeof incident>;

/** A rule that could be asked, and what it answered. */
export interface Found {
  readonly rule: Pick<Rule, 'name' | 'kind' | 'for' | 'keepFiring' | 'absent'>;
  readonly conditions: readonly Condition[];
}

export function fingerprintOf(rule: string, labels: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify([rule, sorted])).digest('hex').slice(0, 16);
}
/** One firing of it. */
export const idOf = ({ fingerprint, startsAt }: Pick<Incident, 'fingerprint' | 'startsAt'>): string => `${fingerprint}-${startsAt ?? 0}`;

export const timeOf = (at: number | null): string | null => (at === null ? null : toIso(instant(at)));

/** As it is told. */
export const shownIncident = (one: Incident) => ({
  status: one.status, alert: one.rule, kind: one.kind, severity: one.severity, labels: one.labels, summary: one.summary, value: one.value,
  startsAt: timeOf(one.startsAt), endsAt: timeOf(one.endsAt), fingerprint: one.fingerprint,
});

const resolved = (one: Incident, now: number, why = ''): Incident[] => (one.status === 'firing' ? [{ ...one, status: 'resolved', endsAt: now, summary: why === '' ? one.summary : `${one.summary} ${why}` }] : []);

function begun({ rule, condition, now }: { readonly rule: Found['rule']; readonly condition: Condition; readonly now: number }, fingerprint: string): Incident {
  const { labels, severity, summary, value } = condition;
  const fires = rule.for <= 0;
  return { fingerprint, rule: rule.name, kind: rule.kind, severity, labels: { ...labels }, summary, value, status: fires ? 'firing' : 'pending', since: now, startsAt: fires ? now : null, overSince: null, endsAt: null, knownAt: now };
}

function going(one: Incident, condition: Condition, rule: Found['rule'], now: number): Incident {
  const { severity, summary, value } = condition;
  const said = { ...one, severity, summary, value, knownAt: now, overSince: null };
  return one.status === 'pending' && now - one.since >= rule.for ? { ...said, status: 'firing', startsAt: now } : said;
}

function over(one: Incident, rule: Found['rule'], now: number): Incident[] {
  if (one.status === 'pending') return [];
  const overSince = one.overSince ?? now;
  return now - overSince >= rule.keepFiring ? resolved({ ...one, overSince }, now) : [{ ...one, overSince, knownAt: now }];
}

function unknown(one: Incident, now: number): Incident[] {
  if (now - one.knownAt < UNKNOWN_SECONDS) return [one];
  return resolved(one, now, 'Nothing is known of it any more.');
}

function after(one: Incident, condition: Condition | undefined, rule: Found['rule'], now: number): Incident[] {
  const holds = condition ? condition.holds : rule.absent === 'over' ? false : null;
  if (holds === null) return unknown(one, now);
  return holds && condition ? [going(one, condition, rule, now)] : over(one, rule, now);
}

/**
 * @param rules names of all rules that there are, asked now or not
 * @param isTold whether everybody has been told that it is resolved
 */
export function advance(before: readonly Incident[], found: readonly Found[], rules: ReadonlySet<string>, now: number, isTold: (one: Incident) => boolean): Incident[] {
  const open = new Map(before.filter(({ status }) => status !== 'resolved').map((one) => [one.fingerprint, one]));
  const ended = before.filter((one) => one.status === 'resolved' && !isTold(one) && now - (one.endsAt ?? 0) < TOLD_SECONDS);
  const next: Incident[] = [...ended];
  for (const { rule, conditions } of found) {
    const byFingerprint = new Map(conditions.map((condition) => [fingerprintOf(rule.name, condition.labels), condition]));
    for (const [fingerprint, condition] of byFingerprint) if (!open.has(fingerprint) && condition.holds === true) next.push(begun({ rule, condition, now }, fingerprint));
    for (const one of open.values()) if (one.rule === rule.name) next.push(...after(one, byFingerprint.get(one.fingerprint), rule, now));
  }
  const asked = new Set(found.map(({ rule }) => rule.name));
  for (const one of open.values()) {
    if (asked.has(one.rule)) continue;
    next.push(...(rules.has(one.rule) ? [one] : resolved(one, now, 'Its rule is no longer in the book.')));
  }
  return next;
}
