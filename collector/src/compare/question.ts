/** What may be asked of a comparison, from a command line or a query string: unknown text in, a question or every fault at once out. */
import { UsageError } from '@joulebook/shared/errors.js';
import { BOUNDARIES, type Boundary } from '@joulebook/shared/slice.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { keyName } from '../join/flags.js';
import type { Targets } from '../join/usefulness.js';
import { filters, guess, parseTargets, Reading, stepMicros, type Defaults, type ReportRequest, type Said } from '../report/request.js';
import { divides, type Extent, type Filter } from '../store/store.js';
import { COVARIATES, type Covariate } from './method/compare-blocks.js';
import { DEFAULT_METRIC, kindOf, METRICS, metricPer, PER, whyNoMetric, type Metric, type Per } from './metrics.js';

/** As on a command line and in a query string. */
export const COMPARE_OPTIONS = [
  'a', 'b', 'a-from', 'a-to', 'b-from', 'b-to', 'from', 'to', 'where', 'metric', 'per', 'boundary', 'step', 'adjust', 'sequential', 'precision', 'slo', 'price', 'pue', 'carbon',
] as const;
type Option = (typeof COMPARE_OPTIONS)[number];
const SEVERAL = ['a', 'b', 'where', 'metric'] as const satisfies Option[];

export interface SideText {
  /** Its own filters and those of both. */
  readonly where: readonly Filter[];
  readonly from: EpochMicros | undefined;
  readonly to: EpochMicros | undefined;
  /** Of that only these ranges, in order and apart: turns of an experiment. */
  readonly within?: readonly Extent[];
  /** As it was said, for people: `quantization=int8`, `before 2026-03-01`. */
  readonly name: string;
}

export interface CompareRequest {
  readonly a: SideText;
  readonly b: SideText;
  readonly metric: Metric;
  /** All that were asked for, `metric` first: a verdict on any of them has to hold for all of them together. */
  readonly measures: readonly Metric[];
  readonly boundary: Boundary | undefined;
  /** Undefined: as fits the time that there is. */
  readonly step: EpochMicros | undefined;
  /** Undefined: what the design calls for. */
  readonly adjust: readonly Covariate[] | undefined;
  readonly sequential: boolean;
  /** Half the width that the interval should have, e.g. 0.02 for ± 2 %. */
  readonly precision: number;
  readonly slo: Targets | undefined;
  readonly price: number | null;
  readonly pue: number | null;
  readonly carbon: number | null;
}

export const DEFAULT_PRECISION = 0.02;

/** `a=1,b=x,y=2`: a comma before the next key parts, one inside a value does not. */
const pairsOf = (texts: readonly string[]): string[] => texts.flatMap((text) => text.split(/,(?=[^,=]+=)/));

type Reader = Reading<Option>;

/** Filters that some facts of the metric can't follow would leave those whole. */
function checkFilters(reading: Reader, option: Option, own: readonly Filter[], { numerator, denominator, name }: Metric): void {
  const kinds = [...new Set([numerator, denominator].map(kindOf))];
  for (const { key } of own) {
    if (key === 'phase') reading.fault(option, 'tokens have no phase; compare joulesPerPromptToken or joulesPerOutputToken instead, which are of one phase each');
    const kind = kinds.find((each) => key !== 'phase' && !divides(each, key));
    if (kind !== undefined) reading.fault(option, `${kind} can't be divided by ${keyName(key)}, and ${name} needs them; choose by deployment, model, node, site, tenant or a label`);
  }
}

function nameOf(pairs: readonly string[], from: string | undefined, to: string | undefined): string {
  const time = from !== undefined && to !== undefined ? `${from} – ${to}` : from !== undefined ? `from ${from}` : to !== undefined ? `before ${to}` : '';
  return [pairs.join(', '), time].filter((part) => part !== '').join(', ');
}

function side(reading: Reader, option: 'a' | 'b', shared: readonly Filter[]): SideText {
  const { said } = reading;
  const pairs = pairsOf(said[option] ?? []);
  const own = filters(reading, option, pairs);
  const [from, to] = [reading.time(`${option}-from`), reading.time(`${option}-to`)];
  const [begin, end] = [from ?? reading.time('from'), to ?? reading.time('to')];
  if (begin !== undefined && end !== undefined && begin >= end) reading.fault(to === undefined ? 'to' : `${option}-to`, 'must be later than where the side begins');
  if (pairs.length === 0 && said[`${option}-from`] === undefined && said[`${option}-to`] === undefined) reading.fault(option, `say what side ${option.toUpperCase()} is: key=value (a label, deployment, node …), or a time with ${reading.prefix}${option}-from and ${reading.prefix}${option}-to`);
  return { where: [...own, ...shared], from: begin, to: end, name: nameOf(pairs, said[`${option}-from`]?.at(-1), said[`${option}-to`]?.at(-1)) };
}

function measures(reading: Reader): Metric[] {
  const names = (reading.said['metric'] ?? []).flatMap((text) => text.split(',').map((name) => name.trim()));
  const found = (names.length === 0 ? [DEFAULT_METRIC] : names).flatMap((name) => metric(reading, name) ?? []);
  return [...new Map(found.map((each) => [`${each.name} ${each.per}`, each])).values()];
}

function metric(reading: Reader, name: string): Metric | undefined {
  const found = METRICS.get(name);
  if (!found) return reading.fault('metric', `'${name}' ${whyNoMetric(name)}`);
  const per = reading.one('per', (text): Per | undefined => PER.find((known) => known === text), `is none; ${guess(reading.said['per']?.at(-1) ?? '', PER)}`);
  return per === undefined ? found : (metricPer(found, per) ?? reading.fault('per', `${name} is not over tokens or requests, so there is none of it per ${per}`));
}

function covariates(text: string): Covariate[] | undefined {
  if (text.trim() === 'none') return [];
  const names = text.split(',').map((name) => name.trim());
  const found = names.flatMap((name) => COVARIATES.find((known) => known === name) ?? []);
  return found.length === names.length ? [...new Set(found)] : undefined;
}

/** `2%` or `0.02`; up to all of it. */
export function parseShare(text: string): number | undefined {
  const [, digits, percent] = /^(\d*\.?\d+)\s*(%?)$/.exec(text.trim()) ?? [];
  const value = Number(digits) / (percent === '%' ? 100 : 1);
  return value > 0 && value <= 1 ? value : undefined;
}

/** On a command line the option alone says yes. */
const yes = (text: string): boolean | undefined => (['', 'true', '1', 'on'].includes(text) ? true : ['false', '0', 'off'].includes(text) ? false : undefined);

/**
 * @param defaults prices and factors to use where the question names none
 * @param prefix what stands before an option's name in faults
 * @throws UsageError with every fault
 */
export function parseCompare(said: Said, defaults: Defaults, prefix: '--' | ''): CompareRequest {
  const reading: Reader = new Reading<Option>(said, prefix);
  reading.options(COMPARE_OPTIONS, SEVERAL);
  const shared = filters(reading, 'where', said['where'] ?? []);
  const [a, b] = [side(reading, 'a', shared), side(reading, 'b', shared)];
  const asked = measures(reading);
  const near = guess((said['adjust']?.at(-1) ?? '').split(',').find((name) => covariates(name) === undefined) ?? '', COVARIATES);
  const request = {
    a, b,
    boundary: reading.one('boundary', (text) => BOUNDARIES.find((known) => known === text), `is no boundary; ${guess(said['boundary']?.at(-1) ?? '', BOUNDARIES)}`),
    step: reading.one('step', stepMicros, 'is not a duration of at least 1 ms; write 30s, 1m or 15m'),
    adjust: reading.one('adjust', covariates, `names what can't be adjusted for; ${near}; or write none`),
    sequential: reading.one('sequential', yes, 'is neither true nor false') ?? false,
    precision: reading.one('precision', parseShare, 'is no share above 0 and up to 1; write 2% or 0.02') ?? DEFAULT_PRECISION,
    slo: reading.one('slo', parseTargets, 'names no targets; write ttft=2s,tpot=50ms, or one of them'),
    price: reading.number('price', 0) ?? defaults.price ?? null,
    pue: reading.number('pue', 1) ?? defaults.pue ?? null,
    carbon: reading.number('carbon', 0) ?? defaults.carbon ?? null,
  };
  // The same times are read for both sides.
  for (const each of asked) for (const [option, { where }] of [['a', a], ['b', b], ['where', { where: shared }]] as const) checkFilters(reading, option, option === 'where' ? where : where.filter((filter) => !shared.includes(filter)), each);
  const [first] = asked;
  if (reading.faults.length > 0 || !first) throw new UsageError([...new Set(reading.faults)]);
  return { ...request, metric: first, measures: asked };
}

/** A side as a question for a report. */
export const requestOf = ({ slo, price, pue, carbon }: Pick<CompareRequest, 'slo' | 'price' | 'pue' | 'carbon'>, { where, from, to, within }: Pick<SideText, 'where' | 'from' | 'to' | 'within'>, boundary: Boundary | undefined, step?: EpochMicros): ReportRequest =>
  ({ where, from, to, ...(within && { within }), boundary, step, by: [], basis: 'all', slo, price, pue, carbon });
