/**
 * Budgets: money, kWh, CO2e or tokens of a day, week or month of a zone.
 *
 *     burn rate   share of the amount spent / share of the period that has passed: at 1 it lasts exactly
 *     forecast    amount × burn rate: what it comes to if the rest goes on like this
 *
 * Two kinds of alerts: shares of the amount that were spent (50, 80 and 100 % where not said), and burn rates over two windows at a time
 * as Google's Site Reliability Workbook has them: `fast` over 1 h, `slow` over 6 h, each with a window of a twelfth beside it, so that an
 * alert ends soon after its cause. 14.4 and 6 are there 2 % and 5 % of a month in such a window.
 */
import { JOULES_PER_KWH, epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { Budget } from '../book/alerting.js';
import type { Row } from '../join/report.js';
import { formatTime } from '../join/times.js';
import { periodAround } from '../rates/local-time.js';
import type { Store } from '../store/store.js';
import { groupText, number, percent, requestOf, rowsOver, sameGroup, settledAt, type BudgetStanding, type Condition, type Rule, type Terms } from './condition.js';

const EVERY_SECONDS = 300;
/** Of a shorter period an hour is a larger part. */
const FACTORS = { month: { fast: 14.4, slow: 6 }, week: { fast: 14.4, slow: 6 }, day: { fast: 6, slow: 3 } } as const satisfies Record<Budget['per'], object>;
const WINDOWS = [{ name: 'fast', seconds: 3600, severity: 'critical' }, { name: 'slow', seconds: 6 * 3600, severity: 'warning' }] as const;
const CONFIRMED_BY = 12;

/** `money` stands for the currency of the book. */
const UNITS: Readonly<Record<Budget['of'], string>> = { energyCost: 'money', allInCost: 'money', kwh: 'kWh at the meter', carbonGrams: 'g CO2e', carbonGramsMarket: 'g CO2e', tokens: 'tokens', outputTokens: 'output tokens' };

/** Null is not known, and never 0. */
function spentIn({ facilityJoules, tokens, ...row }: Row, of: Budget['of']): number | null {
  if (of === 'kwh') return facilityJoules === null ? null : facilityJoules / JOULES_PER_KWH;
  if (of === 'tokens') return tokens.input === null && tokens.output === null ? null : (tokens.input ?? 0) + (tokens.output ?? 0);
  return of === 'outputTokens' ? tokens.output : row[of];
}

export function standingOf({ name, of, amount }: Pick<Budget, 'name' | 'of' | 'amount'>, group: Record<string, string>, spent: number | null, { from, to }: { from: EpochMicros; to: EpochMicros }, at: EpochMicros): BudgetStanding {
  const passed = Math.min(1, (at - from) / (to - from));
  const share = spent === null ? null : spent / amount;
  const burnRate = share === null || passed <= 0 ? null : share / passed;
  return { name, group, of, amount, from: formatTime(from), to: formatTime(to), spent, share, passed, burnRate, forecast: burnRate === null ? null : burnRate * amount };
}

/** The highest share that was reached is critical from the whole amount on. */
function thresholds({ at: shares, amount, of, per }: Budget, currency: string, { group, spent, share, passed, forecast }: BudgetStanding): Condition[] {
  const unit = UNITS[of].replace('money', currency);
  return shares.map((threshold) => ({
    labels: { ...group, threshold: percent(threshold) },
    severity: threshold >= 1 ? 'critical' : threshold >= 0.8 ? 'warning' : 'info',
    holds: share === null ? null : share >= threshold,
    value: share,
    summary: share === null || spent === null ? `What was spent of the budget of the ${per}${groupText(group)} is not known.` : `${number(spent)} of ${number(amount)} ${unit} a ${per}${groupText(group)} are spent (${percent(share)}) after ${percent(passed)} of it; at this rate ${forecast === null ? 'nobody knows how many' : number(forecast)} by its end.`,
  }));
}

interface Burnt {
  readonly labels: Record<string, string>;
  readonly rate: number | null;
}

export function budgetRule(budget: Budget, { book, defaults }: Terms): Rule {
  const request = requestOf(`budgets.${budget.name}`, budget, defaults);
  const usual = FACTORS[budget.per];

  async function burnt(store: Store, to: EpochMicros, seconds: number, period: number): Promise<Burnt[]> {
    const rows = await rowsOver(store, book, request, { from: epochMicros(to - seconds * 1e6), to });
    return rows.map(({ labels, row }) => {
      const spent = spentIn(row, budget.of);
      return { labels, rate: spent === null ? null : (spent / budget.amount) * (period / seconds) };
    });
  }

  async function burning(store: Store, to: EpochMicros, period: number): Promise<Condition[]> {
    const conditions: Condition[] = [];
    for (const { name, seconds, severity } of WINDOWS) {
      const factor = budget.burn?.[name] ?? usual[name];
      
      const long = await burnt(store, to, seconds, period);
      const short = long.some(({ rate }) => rate !== null && rate > factor) ? await burnt(store, to, seconds / CONFIRMED_BY, period) : [];
      for (const { labels, rate } of long) {
        // Nothing in the short window is nothing burnt.
        const lately = short.find((each) => sameGroup(each.labels, labels))?.rate ?? 0;
        conditions.push({
          labels: { ...labels, burn: name }, severity, value: rate, holds: rate === null ? null : rate > factor && lately > factor,
          summary: rate === null ? `How fast the budget${groupText(labels)} burns is not known.` : `The budget of the ${budget.per}${groupText(labels)} burns ${number(rate)} times as fast as it lasts over ${seconds / 3600} h${rate > factor ? ` (${number(lately)} times in the last ${seconds / CONFIRMED_BY / 60} min)` : ''}; ${number(factor)} is the limit.`,
        });
      }
    }
    return conditions;
  }

  return {
    name: budget.name, kind: 'budget', every: EVERY_SECONDS, for: 0, keepFiring: budget.keepFiring, absent: 'unknown',
    async evaluate(at, store) {
      const to = settledAt(at);
      const period = periodAround(budget.per, budget.zone, to);
      const rows = to > period.from ? await rowsOver(store, book, request, { from: period.from, to }) : [];
      const standings = rows.map(({ labels, row }) => standingOf(budget, labels, spentIn(row, budget.of), period, to));
      return { budgets: standings, conditions: [...standings.flatMap((standing) => thresholds(budget, book.currency, standing)), ...(await burning(store, to, (period.to - period.from) / 1e6))] };
    },
  };
}
