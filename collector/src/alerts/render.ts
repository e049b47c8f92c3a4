/** Alerts for people: what fires, then how budgets and targets stand. */
import Table from 'cli-table3';
import { count, figure, percent, printable } from '../report/columns.js';
import type { AlertsShown } from './shown.js';

const group = (labels: Readonly<Record<string, string>>): string => printable(Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(' '));

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  const table = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  for (const row of rows) table.push([...row]);
  return [table.toString()];
}

export function renderAlerts({ at, alerts, budgets, targets, faults, sinks }: AlertsShown): string {
  const waiting = sinks.filter((sink) => sink.waiting > 0);
  return [
    at === null ? 'No rule has been asked yet.' : `As of ${at}: ${alerts.length === 0 ? 'nothing fires.' : `${count(alerts.filter(({ status }) => status === 'firing').length)} firing.`}`,
    ...tableOf(['status', 'severity', 'alert', 'of', 'since'], alerts.map(({ status, severity, alert, labels, startsAt }) => [status, severity, alert, group(labels), startsAt ?? ''])),
    ...alerts.map(({ alert, summary }) => `  ${alert}: ${printable(summary)}`),
    ...tableOf(['budget', 'of', 'spent', 'amount', 'share', 'passed', 'burn rate', 'forecast', 'until'], budgets.map((each) => [each.name, group(each.group), figure(each.spent), `${figure(each.amount)} ${each.of}`, percent(each.share), percent(each.passed), figure(each.burnRate), figure(each.forecast), each.to])),
    ...tableOf(['target', 'of', 'figure', 'value', 'at most', 'at least', 'baseline', 'change', 'met'], targets.map((each) => [each.name, group(each.group), each.figure, figure(each.value), figure(each.atMost), figure(each.atLeast), figure(each.baseline), each.change === null ? '–' : `${each.change < 0 ? '−' : '+'}${percent(Math.abs(each.change))}`, each.met === null ? '–' : each.met ? 'yes' : 'NO'])),
    ...faults.map(({ rule, message }) => `Could not be asked: ${rule}: ${printable(message)}`),
    ...waiting.map(({ name, waiting: untold }) => `Not told yet to ${name}: ${count(untold)}.`),
    '',
  ].join('\n');
}
