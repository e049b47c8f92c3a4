import { expect, it } from 'vitest';
import { quantity } from '@joulebook/shared/units.js';
import type { Sums } from '../figures/sums.js';
import { FIGURES } from '../figures/table.js';
import { metricPer, METRICS, whyNoMetric, type Amount, type Metric } from './metrics.js';

/** Every amount another prime, so that no two ratios are equal by chance. */
const AMOUNTS: Readonly<Record<Amount, number>> = {
  joules: 7919, prefill: 1019, decode: 5003, facility: 9049, energyCost: 0.0353, allInCost: 2.0389, carbon: 0.977, wall: 61, output: 2003, computedInput: 4001, useful: 1501,
  requestOutput: 2011, requests: 23, usefulRequests: 17, ttft: 11, ttftRequests: 19, tpot: 0.5, tpotRequests: 19,
};
const SUMS: Sums = {
  joules: quantity(AMOUNTS.joules), counted: quantity(AMOUNTS.joules), prefill: quantity(AMOUNTS.prefill), decode: quantity(AMOUNTS.decode), wall: quantity(AMOUNTS.wall), observed: quantity(60), asked: quantity(60), gpu: quantity(60),
  facility: quantity(AMOUNTS.facility), energyCost: quantity(AMOUNTS.energyCost), countedCost: quantity(AMOUNTS.energyCost), location: quantity(AMOUNTS.carbon), market: quantity(0), otherCost: quantity(AMOUNTS.allInCost - AMOUNTS.energyCost),
  over: quantity(AMOUNTS.output), output: quantity(AMOUNTS.output), computedInput: quantity(AMOUNTS.computedInput), cachedInput: quantity(0), cachedInputAll: quantity(0),
  useful: quantity(AMOUNTS.useful), usefulRequests: quantity(AMOUNTS.usefulRequests), requests: quantity(AMOUNTS.requests), requestOutput: quantity(AMOUNTS.requestOutput),
};
const ofAmounts = ({ numerator, denominator, factor }: Metric): number => (AMOUNTS[numerator] * factor) / AMOUNTS[denominator];

it.each([...METRICS.values()].filter(({ name }) => name in FIGURES).map((metric) => [metric.name, metric] as const))('%s is the figure of that name', (name, metric) => {
  const figure = Object.entries(FIGURES).find(([known]) => known === name)?.[1];
  expect(ofAmounts(metric) / (figure?.of(SUMS) ?? Number.NaN)).toBeCloseTo(1, 12);
  expect(metric.unit).toBe(figure?.unit);
});

const named = (name: string): Metric => METRICS.get(name) ?? expect.fail(name);

it('exchanges tokens for requests and tasks, and takes the metric that is known for it', () => {
  expect(metricPer(named('joulesPerToken'), 'request')?.name).toBe('joulesPerRequest');
  expect(metricPer(named('joulesPerUsefulToken'), 'task')?.name).toBe('joulesPerUsefulRequest');
  expect(metricPer(named('joulesPerRequest'), 'token')?.name).toBe('joulesPerToken');
  expect(metricPer(named('energyCostPerToken'), 'request')).toMatchObject({ numerator: 'energyCost', denominator: 'requests', title: 'energy cost per request', unit: 'money/request', per: 'request' });
  expect(metricPer(named('tokensPerWattSecond'), 'task')).toMatchObject({ numerator: 'usefulRequests', denominator: 'joules', title: 'tasks per watt-second', lowerIsBetter: false });
  expect(metricPer(named('watts'), 'request')).toBeUndefined();
});

it('names the nearest metric, and says of a figure that is no ratio why it is none', () => {
  expect(whyNoMetric('joulePerTokn')).toBe("is no metric; did you mean 'joulesPerToken'?");
  expect(whyNoMetric('costPerMeaningfulResponse')).toMatch(/^is no ratio of two sums.*joulesPerToken/);
});
