/** What /metrics tells of alerts and budgets. */
import type { Metrics, Sample } from '../ingest/metrics.js';
import type { AlertsShown } from './shown.js';
import type { State } from './state.js';
import type { Teller } from './teller.js';

export interface Told {
  readonly state: () => State;
  readonly standing: () => Pick<AlertsShown, 'budgets'>;
  readonly failing: () => number;
  readonly tellers: () => readonly Teller[];
}

const groupOf = (group: Readonly<Record<string, string>>): string => Object.entries(group).map(([key, value]) => `${key}=${value}`).join(',');

export function tellMetrics(metrics: Metrics, { state, standing, failing, tellers }: Told): void {
  metrics.gauge({ name: 'joulebook_alert_firing', help: '1 for each alert that fires.', labels: ['alert', 'severity', 'group', 'fingerprint'] }, () =>
    state().incidents.filter(({ status }) => status === 'firing').map(({ rule, severity, labels, fingerprint }) => ({ labels: { alert: rule, severity, group: groupOf(labels), fingerprint }, value: 1 })));
  metrics.gauge({ name: 'joulebook_alert_rules_failing', help: 'Rules that could not be asked the last time.' }, () => [{ value: failing() }]);
  metrics.gauge({ name: 'joulebook_alert_evaluated_seconds', help: 'When rules were last asked: seconds since 1970.' }, () => {
    const { evaluatedAt } = state();
    return evaluatedAt === null ? [] : [{ value: evaluatedAt }];
  });
  metrics.gauge({ name: 'joulebook_alert_untold', help: 'Alerts and resolves that a sink has not taken.', labels: ['sink'] }, () => tellers().map((teller) => ({ labels: { sink: teller.sink.name }, value: teller.waiting() })));
  metrics.gauge({ name: 'joulebook_alert_sink_failures', help: 'How often a sink did not take what it was told, since the start.', labels: ['sink'] }, () => tellers().map((teller) => ({ labels: { sink: teller.sink.name }, value: teller.failures })));

  const ofBudgets = (of: 'share' | 'burnRate' | 'forecast') => (): Sample[] => standing().budgets.flatMap((each) => {
    const value = each[of];
    return value === null ? [] : [{ labels: { budget: each.name, group: groupOf(each.group) }, value }];
  });
  metrics.gauge({ name: 'joulebook_budget_spent_share', help: 'Of the budget of this period, what is spent.', labels: ['budget', 'group'] }, ofBudgets('share'));
  metrics.gauge({ name: 'joulebook_budget_burn_rate', help: 'Share of the budget spent / share of the period that has passed.', labels: ['budget', 'group'] }, ofBudgets('burnRate'));
  metrics.gauge({ name: 'joulebook_budget_forecast', help: 'What the budget comes to at the end of the period at this rate, in its own unit.', labels: ['budget', 'group'] }, ofBudgets('forecast'));
}
