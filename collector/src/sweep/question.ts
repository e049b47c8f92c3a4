/** What may be asked of a sweep, from a command line or a query string: unknown text in, a question or every fault at once out. */
import { UsageError } from '@joulebook/shared/errors.js';
import type { Boundary } from '@joulebook/shared/slice.js';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { METRICS, whyNoMetric, type Metric } from '../compare/metrics.js';
import { parseShare } from '../compare/question.js';
import { keyName } from '../join/flags.js';
import type { Targets } from '../join/usefulness.js';
import { filters, guess, parseTargets, Reading, stepMicros, type Defaults, type Said } from '../report/request.js';
import { divides, type Filter } from '../store/store.js';

export const SWEEP_OPTIONS = ['over', 'metric', 'slo', 'inside', 'from', 'to', 'where', 'boundary', 'step', 'price', 'pue', 'carbon'] as const;
type Option = (typeof SWEEP_OPTIONS)[number];

/** What was turned up or down, by intent or by traffic. */
export type Axis =
  /** Output tokens/s. */
  | { readonly kind: 'load' }
  /** Of requests, by how many ran beside them at most. */
  | { readonly kind: 'band' }
  | { readonly kind: 'gauge'; readonly gauge: string }
  | { readonly kind: 'key'; readonly key: 'deployment' | 'model' | 'node' | 'site' | { readonly label: string }; readonly name: string };

export interface SweepRequest {
  readonly axis: Axis;
  /** As it was said. */
  readonly over: string;
  /** What stands before an option's name in faults. */
  readonly prefix: '--' | '';
  /** The first decides what is best. */
  readonly metrics: readonly [Metric, ...Metric[]];
  readonly where: readonly Filter[];
  readonly from: EpochMicros | undefined;
  readonly to: EpochMicros | undefined;
  readonly boundary: Boundary | undefined;
  readonly step: EpochMicros | undefined;
  readonly slo: Targets | undefined;
  /** Of the requests of a point, the share that has to be inside the targets. */
  readonly inside: number;
  readonly price: number | null;
  readonly pue: number | null;
  readonly carbon: number | null;
}

const DEFAULT_METRICS = ['joulesPerToken', 'tokensPerWattSecond'];
const DEFAULT_INSIDE = 0.95;
export const RUNNING_GAUGE = 'serving.requests.running';
const FIXED = ['deployment', 'model', 'node', 'site'] as const;

/** Gauges have a dot in their name; so may labels, which are asked for as `label:NAME`. */
function axisOf(text: string): Axis {
  if (text === 'load') return { kind: 'load' };
  if (text === 'concurrencyBand') return { kind: 'band' };
  if (text === 'concurrency') return { kind: 'gauge', gauge: RUNNING_GAUGE };
  const fixed = FIXED.find((name) => name === text);
  if (fixed) return { kind: 'key', key: fixed, name: fixed };
  if (text.startsWith('label:')) return { kind: 'key', key: { label: text.slice('label:'.length) }, name: text.slice('label:'.length) };
  return text.includes('.') ? { kind: 'gauge', gauge: text } : { kind: 'key', key: { label: text }, name: text };
}

const isOfRequests = ({ numerator, denominator }: Metric): boolean => [numerator, denominator].every((amount) => amount === 'joules' || amount === 'output');

/**
 * @param defaults prices and factors to use where the question names none
 * @param prefix what stands before an option's name in faults
 * @throws UsageError with every fault
 */
export function parseSweep(said: Said, defaults: Defaults, prefix: '--' | ''): SweepRequest {
  const reading = new Reading<Option>(said, prefix);
  reading.options(SWEEP_OPTIONS, ['metric', 'where']);
  const over = said['over']?.at(-1)?.trim() ?? '';
  if (over === '') reading.fault('over', "say what was turned up or down: load, concurrency, concurrencyBand, a gauge (gpu.power.limit, gpu.clock.sm) or a label");
  const axis = axisOf(over);
  const names = (said['metric'] ?? DEFAULT_METRICS).flatMap((text) => text.split(',')).map((name) => name.trim());
  const metrics = [...new Set(names)].flatMap((name) => METRICS.get(name) ?? reading.fault('metric', `'${name}' ${whyNoMetric(name)}`) ?? []);
  const foreign = axis.kind === 'band' ? metrics.find((metric) => !isOfRequests(metric)) : undefined;
  if (foreign) reading.fault('metric', `${foreign.name} is not known of single requests, which alone have a concurrencyBand; joulesPerToken and tokensPerWattSecond are, or sweep over concurrency`);
  const [from, to] = [reading.time('from'), reading.time('to')];
  if (from !== undefined && to !== undefined && from >= to) reading.fault('to', `must be later than ${prefix}from`);
  const where = filters(reading, 'where', said['where'] ?? []);
  // Of single requests all keys of theirs; else what energy and tokens both follow.
  for (const { key } of where) if (axis.kind === 'band' ? !divides('requests', key) : !divides('booked', key) || !divides('tokens', key)) reading.fault('where', `${keyName(key)} does not divide all that this is made of; choose by deployment, model, node, site, tenant or a label`);
  const request = {
    axis, over, prefix, where, from, to,
    boundary: reading.one('boundary', (text) => BOUNDARIES.find((known) => known === text), `is no boundary; ${guess(said['boundary']?.at(-1) ?? '', BOUNDARIES)}`),
    step: reading.one('step', stepMicros, 'is not a duration of at least 1 ms; write 30s, 1m or 15m'),
    slo: reading.one('slo', parseTargets, 'names no targets; write ttft=2s,tpot=50ms, or one of them'),
    inside: reading.one('inside', parseShare, 'is no share between 0 and 1; write 95% or 0.95') ?? DEFAULT_INSIDE,
    price: reading.number('price', 0) ?? defaults.price ?? null, pue: reading.number('pue', 1) ?? defaults.pue ?? null, carbon: reading.number('carbon', 0) ?? defaults.carbon ?? null,
  };
  const [first, ...more] = metrics;
  if (reading.faults.length > 0 || !first) throw new UsageError(reading.faults);
  return { ...request, metrics: [first, ...more] };
}
