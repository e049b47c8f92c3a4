/** What is told of alerts: zod shapes, because a running collector answers them over HTTP. */
import { z } from 'zod';
import { instant, toIso } from '@joulebook/shared/units.js';
import { fingerprintOf, shownIncident, type Incident } from './incident.js';
import type { Answer, Rule } from './condition.js';

const texts = z.record(z.string(), z.string());
const known = z.number().nullable();

const alertShown = z.object({
  /** `firing`, `pending` until it has held for as long as its rule says, or `resolved` and not yet told to everybody. */
  status: z.enum(['pending', 'firing', 'resolved']),
  alert: z.string(),
  kind: z.string(),
  severity: z.enum(['info', 'warning', 'critical']),
  labels: texts,
  summary: z.string(),
  value: known,
  startsAt: z.string().nullable(),
  endsAt: z.string().nullable(),
  fingerprint: z.string(),
});
export const alertsShown = z.object({
  /** When rules were last asked; null before the first time. */
  at: z.string().nullable(),
  alerts: z.array(alertShown),
  budgets: z.array(z.object({ name: z.string(), group: texts, of: z.string(), amount: z.number(), from: z.string(), to: z.string(), spent: known, share: known, passed: z.number(), burnRate: known, forecast: known })),
  targets: z.array(z.object({ name: z.string(), group: texts, figure: z.string(), value: known, baseline: known, change: known, atMost: known, atLeast: known, met: z.boolean().nullable() })),
  /** Rules that could not be asked, and why. */
  faults: z.array(z.object({ rule: z.string(), message: z.string() })),
  /** Alerts and resolves that a sink has not taken yet. */
  sinks: z.array(z.object({ name: z.string(), kind: z.string(), waiting: z.number(), failures: z.number() })),
});
export type AlertsShown = z.infer<typeof alertsShown>;

export interface Asked {
  readonly rule: Rule;
  /** undefined: it could not be asked. */
  readonly answer: Answer | undefined;
  readonly fault: string | undefined;
}

const SEVERITY = ['critical', 'warning', 'info'];
const worstFirst = (a: { severity: string; alert: string }, b: { severity: string; alert: string }): number => SEVERITY.indexOf(a.severity) - SEVERITY.indexOf(b.severity) || (a.alert < b.alert ? -1 : 1);

export const showStanding = (asked: readonly Asked[]): Pick<AlertsShown, 'budgets' | 'targets' | 'faults'> => ({
  budgets: asked.flatMap(({ answer }) => (answer?.budgets ?? []).map((each) => ({ ...each, group: { ...each.group } }))),
  targets: asked.flatMap(({ answer }) => (answer?.targets ?? []).map((each) => ({ ...each, group: { ...each.group } }))),
  faults: asked.flatMap(({ rule, fault }) => (fault === undefined ? [] : [{ rule: rule.name, message: fault }])),
});

export const showIncidents = (incidents: readonly Incident[]): AlertsShown['alerts'] => incidents.map(shownIncident).toSorted(worstFirst);

/** What holds at one moment, asked once: how long it has held nobody knows, so none is pending. */
export function showCheck(asked: readonly Asked[], at: number): AlertsShown {
  const alerts = asked.flatMap(({ rule, answer }) => (answer?.conditions ?? []).filter(({ holds }) => holds === true).map(({ labels, severity, summary, value }) => (
    { status: 'firing' as const, alert: rule.name, kind: rule.kind, severity, labels: { ...labels }, summary, value, startsAt: null, endsAt: null, fingerprint: fingerprintOf(rule.name, labels) })));
  return { at: toIso(instant(at)), alerts: alerts.toSorted(worstFirst), ...showStanding(asked), sinks: [] };
}
