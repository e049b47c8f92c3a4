/** All rules of a book, ready to be asked. */
import { UsageError } from '@joulebook/shared/errors.js';
import type { Alert } from '../book/alerting.js';
import { budgetRule } from './budgets.js';
import type { Rule, Terms } from './condition.js';
import { figureRule, targetRule } from './figures.js';
import { anomalyRule, lengthsRule } from './patterns.js';
import { booksRule, silentRule } from './watched.js';

function alertRule(alert: Alert, terms: Terms): Rule {
  switch (alert.kind) {
    case 'figure':
      return figureRule(alert, terms);
    case 'anomaly':
      return anomalyRule(alert, terms);
    case 'lengths':
      return lengthsRule(alert, terms);
    case 'books':
      return booksRule(alert);
    case 'silent':
      return silentRule(alert);
    default:
      return alert satisfies never;
  }
}

/** @throws UsageError with every fault, each naming its rule */
export function rulesOf(terms: Terms): Rule[] {
  const { budgets, targets, alerts } = terms.book;
  const faults: string[] = [];
  const make = <T>(entries: readonly T[], rule: (entry: T) => Rule): Rule[] => entries.flatMap((entry) => {
    try {
      return [rule(entry)];
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      faults.push(...error.faults);
      return [];
    }
  });
  const rules = [...make(budgets, (each) => budgetRule(each, terms)), ...make(targets, (each) => targetRule(each, terms)), ...make(alerts, (each) => alertRule(each, terms))];
  const twice = rules.find(({ name }, index) => rules.findIndex((other) => other.name === name) < index);
  if (twice) faults.push(`'${twice.name}' is the name of two of budgets, targets and alerts: alerts are told apart by it`);
  if (faults.length > 0) throw new UsageError(faults);
  return rules;
}
