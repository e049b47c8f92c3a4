/** Rules that compare with what was: energy per token out of the ordinary, and lengths of requests that shift. */
import { UsageError } from '@joulebook/shared/errors.js';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { AlertOf } from '../book/alerting.js';
import { divides, type GroupSum, type Scope, type Store } from '../store/store.js';
import { isTimeKey } from '../store/time-classes.js';
import { ALARM, STEP_MICROS, judge, learntAt, modelAt, type Model } from './anomaly.js';
import { checkKnown, groupText, keyName, labelsOf, number, percent, requestOf, settledAt, type Condition, type Rule, type Terms } from './condition.js';
import { History, checkPointKeys } from './history.js';
import { shiftOfBands, shiftOfMeans, type Shift } from './shift.js';

export function anomalyRule(rule: AlertOf<'anomaly'>, { defaults }: Terms): Rule {
  const request = requestOf(`alerts.${rule.name}`, rule, defaults);
  checkPointKeys(`alerts.${rule.name}`, request);
  const history = new History(request);
  const models = new Map<string, { readonly learnt: number; readonly model: Model | null }>();
  return {
    name: rule.name, kind: 'anomaly', every: STEP_MICROS / 1e6, for: rule.for, keepFiring: rule.keepFiring, absent: 'unknown',
    async evaluate(at, store) {
      await checkKnown(store, request);
      const to = settledAt(at, STEP_MICROS);
      const conditions: Condition[] = [];
      for (const { labels, points } of await history.upTo(to, store)) {
        const name = JSON.stringify(labels);
        const known = models.get(name);
        const { model } = known?.learnt === learntAt(to) ? known : { model: modelAt(points, to) };
        models.set(name, { learnt: learntAt(to), model });
        // An hour that has no point at its end is not known yet, or any more.
        const judged = model && points.at(-1)?.at === to - STEP_MICROS ? judge(model, points) : null;
        conditions.push({
          labels, severity: rule.severity, holds: judged && judged.isAnomaly, value: judged && judged.value,
          summary: judged
            ? `Energy per token${groupText(labels)} in the last hour: ${number(judged.value)} J/token, ${percent(Math.abs(judged.effect))} ${judged.effect < 0 ? 'below' : 'above'} what its load and this hour make ordinary (${number(judged.expected)}); ${number(Math.abs(judged.score))} robust standard deviations, alarm from ${ALARM.score} on.`
            : `Whether energy per token${groupText(labels)} is ordinary can't be told: ${model ? 'the last hour has too few points, or a load that was never seen' : 'there are not three days to learn from yet'}.`,
        });
      }
      return { conditions };
    },
  };
}

const LENGTHS_EVERY = 3600;
const HOUR = 3600e6;
/** The mean of fewer is that of a few people. */
const LEAST_AN_HOUR = 20;

export function lengthsRule(rule: AlertOf<'lengths'>, { defaults }: Terms): Rule {
  const request = requestOf(`alerts.${rule.name}`, rule, defaults);
  const odd = [...request.by, ...request.where.map(({ key }) => key)].find((key) => isTimeKey(key) || !divides('requests', key));
  if (odd !== undefined) throw new UsageError([`alerts.${rule.name}: requests can't be told by '${keyName(odd)}'`]);

  interface Sample {
    readonly means: Map<string, number[]>;
    readonly bands: Map<string, Map<string, number>>;
  }
  const mean = ({ sums }: GroupSum<'requests'>): number => (rule.of === 'inputTokens' ? sums.inputTokens + sums.cachedInputTokens : sums.outputTokens) / sums.requests;

  async function sampleOf(store: Store, from: EpochMicros, to: EpochMicros): Promise<Sample> {
    const scope: Scope = { where: request.where, from, to };
    const means = new Map<string, number[]>();
    for (const group of await store.sum({ kind: 'requests', by: request.by, step: epochMicros(HOUR), ...scope })) {
      const name = JSON.stringify(group.values);
      if (group.sums.requests >= LEAST_AN_HOUR) means.set(name, [...(means.get(name) ?? []), mean(group)]);
    }
    const bands = new Map<string, Map<string, number>>();
    for (const { values, sums } of rule.of === 'inputTokens' ? await store.sum({ kind: 'requests', by: [...request.by, 'inputBand'], ...scope }) : []) {
      const [name, band = null] = [JSON.stringify(values.slice(0, -1)), values.at(-1)];
      if (band !== null) bands.set(name, (bands.get(name) ?? new Map<string, number>()).set(band, sums.requests));
    }
    return { means, bands };
  }

  function conditionOf(name: string, labels: Record<string, string>, before: Sample, now: Sample): Condition {
    const banded = shiftOfBands(before.bands.get(name) ?? new Map(), now.bands.get(name) ?? new Map());
    const shift: Shift | null = banded ?? shiftOfMeans(before.means.get(name) ?? [], now.means.get(name) ?? []);
    const what = `${rule.of === 'inputTokens' ? 'Prompt tokens' : 'Output tokens'} per request${groupText(labels)}`;
    const change = shift?.change === null || shift === null ? '' : `, ${percent(Math.abs(shift.change))} ${shift.change < 0 ? 'shorter' : 'longer'} in the median of hours`;
    return {
      labels: { ...labels, of: rule.of }, severity: rule.severity, value: shift && shift.value, holds: shift && shift.shifted,
      summary: shift ? `${what} over ${rule.over / 3600} h against the ${rule.against / 86_400} days before: ${shift.statistic} ${number(shift.value)}, alarm from ${number(shift.limit)} on${change}.` : `${what}: too few to compare with what was before.`,
    };
  }

  return {
    name: rule.name, kind: 'lengths', every: LENGTHS_EVERY, for: rule.for, keepFiring: rule.keepFiring, absent: 'unknown',
    async evaluate(at, store) {
      await checkKnown(store, request);
      const to = settledAt(at, HOUR);
      const between = epochMicros(to - rule.over * 1e6);
      const before = await sampleOf(store, epochMicros(between - rule.against * 1e6), between);
      const now = await sampleOf(store, between, to);
      return { conditions: [...new Set([...now.means.keys(), ...now.bands.keys()])].map((name) => conditionOf(name, labelsOf(request.by, valuesOf(name)), before, now)) };
    },
  };
}

const valuesOf = (name: string): (string | null)[] => {
  const parsed: unknown = JSON.parse(name);
  return Array.isArray(parsed) ? parsed.map((value) => (typeof value === 'string' ? value : null)) : [];
};
