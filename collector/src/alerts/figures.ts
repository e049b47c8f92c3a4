/** Thresholds of figures, and targets with what was before them. Any figure of the table, over a time that ends now. */
import { UsageError } from '@joulebook/shared/errors.js';
import { epochMicros } from '@joulebook/shared/units.js';
import type { AlertOf, Target } from '../book/alerting.js';
import { FIGURES } from '../figures/table.js';
import { parseTime } from '../join/times.js';
import type { Store } from '../store/store.js';
import { groupText, number, paceOf, percent, requestOf, rowsOver, sameGroup, settledAt, type Condition, type Rule, type TargetStanding, type Terms } from './condition.js';

export function figureRule(rule: AlertOf<'figure'>, { book, defaults }: Terms): Rule {
  const request = requestOf(`alerts.${rule.name}`, rule, defaults);
  const { title, unit } = FIGURES[rule.figure];
  const limit = rule.above ?? rule.below ?? Number.NaN;
  const side = rule.above === undefined ? 'below' : 'above';
  return {
    name: rule.name, kind: 'figure', every: paceOf(rule.over), for: rule.for, keepFiring: rule.keepFiring, absent: 'unknown',
    async evaluate(at, store) {
      const to = settledAt(at);
      const rows = await rowsOver(store, book, request, { from: epochMicros(to - rule.over * 1e6), to });
      return { conditions: rows.map(({ labels, row }): Condition => {
        const value = row[rule.figure];
        return {
          labels: { ...labels, figure: rule.figure }, severity: rule.severity, value, holds: value === null ? null : side === 'above' ? value > limit : value < limit,
          summary: `${title}${groupText(labels)} over ${rule.over / 60} min: ${value === null ? 'not known' : `${number(value)} ${unit.replace('money', book.currency)}`}; alert ${side} ${number(limit)}.`,
        };
      }) };
    },
  };
}

function limits({ severity, atMost, atLeast, deviation, figure }: Target, currency: string, { group, value, baseline, change }: TargetStanding): Condition[] {
  const { title, unit } = FIGURES[figure];
  const told = `${title}${groupText(group)}: ${value === null ? 'not known' : `${number(value)} ${unit.replace('money', currency)}`}`;
  const condition = (target: string, holds: boolean | null, summary: string): Condition => ({ labels: { ...group, figure, target }, severity, value, holds, summary });
  return [
    ...(atMost === undefined ? [] : [condition('atMost', value === null ? null : value > atMost, `${told}; the target is at most ${number(atMost)}.`)]),
    ...(atLeast === undefined ? [] : [condition('atLeast', value === null ? null : value < atLeast, `${told}; the target is at least ${number(atLeast)}.`)]),
    ...(deviation === undefined ? [] : [condition('deviation', change === null ? null : Math.abs(change) > deviation, `${told}; ${change === null || baseline === null ? 'what it was in the baseline period is not known' : `${percent(Math.abs(change))} ${change < 0 ? 'below' : 'above'} its baseline of ${number(baseline)}`}; alert from ${percent(deviation)} on.`)]),
  ];
}

function met({ atMost, atLeast }: Target, value: number | null): boolean | null {
  if (value === null || (atMost === undefined && atLeast === undefined)) return null;
  return value <= (atMost ?? Infinity) && value >= (atLeast ?? -Infinity);
}

/** @throws UsageError for a baseline period that is none */
function baselineOf(target: Target, { book, defaults }: Terms): (store: Store) => Promise<(labels: Readonly<Record<string, string>>) => number | null> {
  const { baseline } = target;
  if (baseline === undefined || typeof baseline === 'number') return () => Promise.resolve(() => baseline ?? null);
  const [from, to] = [parseTime(baseline.from), parseTime(baseline.to)];
  if (from === undefined || to === undefined || from >= to) throw new UsageError([`targets.${target.name}.baseline: '${baseline.from}' to '${baseline.to}' is no period; write two times as ISO 8601 with a zone, the earlier one first`]);
  const request = requestOf(`targets.${target.name}`, target, defaults);
  return async (store) => {
    const rows = await rowsOver(store, book, request, { from, to });
    return (labels) => rows.find((each) => sameGroup(each.labels, labels))?.row[target.figure] ?? null;
  };
}

/** Facts of a baseline period may still come, e.g. from a spool: it is read again once a day. */
const BASELINE_SECONDS = 86_400;

export function targetRule(target: Target, terms: Terms): Rule {
  const { book, defaults } = terms;
  const request = requestOf(`targets.${target.name}`, target, defaults);
  const read = baselineOf(target, terms);
  let known: { readonly at: number; readonly of: Awaited<ReturnType<typeof read>> } | undefined;
  return {
    name: target.name, kind: 'target', every: paceOf(target.over), for: target.for, keepFiring: target.keepFiring, absent: 'unknown',
    async evaluate(at, store) {
      const to = settledAt(at);
      if (!known || Math.abs(at - known.at) >= BASELINE_SECONDS) known = { at, of: await read(store) };
      const before = known.of;
      const standings = (await rowsOver(store, book, request, { from: epochMicros(to - target.over * 1e6), to })).map(({ labels, row }): TargetStanding => {
        const value = row[target.figure];
        const baseline = before(labels);
        return {
          name: target.name, group: labels, figure: target.figure, value, baseline, change: value === null || baseline === null || baseline === 0 ? null : value / baseline - 1,
          atMost: target.atMost ?? null, atLeast: target.atLeast ?? null, met: met(target, value),
        };
      });
      return { targets: standings, conditions: standings.flatMap((standing) => limits(target, book.currency, standing)) };
    },
  };
}
