/** What may be said of an experiment, from a command line or a query string: unknown text in, a request or every fault at once out. */
import { UsageError } from '@joulebook/shared/errors.js';
import { parseDuration } from '@joulebook/shared/settings.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { DEFAULT_METRIC, kindOf, METRICS, whyNoMetric } from '../compare/metrics.js';
import { DEFAULT_PRECISION, parseShare } from '../compare/question.js';
import { keyName } from '../join/flags.js';
import { filters, parseTargets, Reading, type Said } from '../report/request.js';
import { divides, type Filter } from '../store/store.js';
import { parseGuardrail } from './guardrail.js';
import type { Definition } from './mark.js';

export const START_OPTIONS = ['name', 'at', 'label', 'nodes', 'against', 'where', 'metric', 'precision', 'guardrail', 'slo', 'settle', 'before'] as const;
type Option = (typeof START_OPTIONS)[number];
const SEVERAL = ['label', 'nodes', 'against', 'where', 'guardrail'] as const satisfies Option[];

/** Thermal masses of servers settle in minutes; a week holds each hour of each day once. */
const SETTLE_SECONDS = 600;
const BEFORE_SECONDS = 7 * 86_400;
const NAME = /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,63}$/u;

type Reader = Reading<Option>;

export interface NameRequest {
  readonly name: string;
  /** Undefined is now. */
  readonly at: EpochMicros | undefined;
}
export interface StartRequest extends NameRequest {
  /** Of what was said, all else by default; `nodes` empty: all that have facts of `where`. */
  readonly definition: Definition;
  /** Options that were said: one that goes on is what it was. */
  readonly said: readonly (keyof Definition)[];
}

const listOf = (texts: readonly string[] | undefined): string[] => [...new Set((texts ?? []).flatMap((text) => text.split(',')).map((text) => text.trim()).filter((text) => text !== ''))];

function nameOf(reading: Reader): string {
  const name = reading.said['name']?.at(-1) ?? '';
  if (!NAME.test(name)) reading.fault('name', name === '' ? 'say what the experiment is called' : `'${name}' is no name; up to 64 letters, digits, dots, dashes and underscores`);
  return name;
}

function labels(reading: Reader): Record<string, string> {
  const pairs = (reading.said['label'] ?? []).map((text) => {
    const cut = text.indexOf('=');
    if (cut < 1) reading.fault('label', `'${text}' is not key=value`);
    return [text.slice(0, cut).trim(), text.slice(cut + 1)] as const;
  });
  return Object.fromEntries(pairs);
}

/** Filters that some facts of the metric can't follow would leave those whole. */
function checkWhere(reading: Reader, where: readonly Filter[], metric: string): void {
  const found = METRICS.get(metric);
  const kinds = found ? [found.numerator, found.denominator].map(kindOf) : [];
  for (const { key } of where) {
    if (key === 'node' || kinds.some((kind) => key === 'phase' || !divides(kind, key))) reading.fault('where', key === 'node' ? `say the nodes with ${reading.prefix}nodes` : `${keyName(key)} does not divide all that ${metric} is made of; choose by deployment, model, site, tenant or a label`);
  }
}

function guardrails(reading: Reader): string[] {
  const texts = (reading.said['guardrail'] ?? []).flatMap((text) => text.split(',')).map((text) => text.trim());
  for (const text of texts) {
    const read = parseGuardrail(text);
    if (typeof read === 'string') reading.fault('guardrail', `'${text}' ${read}`);
  }
  return texts;
}

const OF_DEFINITION: Readonly<Record<keyof Definition, Option>> = { labels: 'label', nodes: 'nodes', against: 'against', where: 'where', metric: 'metric', precision: 'precision', guardrails: 'guardrail', slo: 'slo', settle: 'settle', before: 'before' };
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the names of a literal are its own
const FIELDS = Object.keys(OF_DEFINITION) as readonly (keyof Definition)[];
export const optionOf = (field: keyof Definition): string => OF_DEFINITION[field];

/**
 * @param prefix what stands before an option's name in faults
 * @throws UsageError with every fault
 */
export function parseStart(said: Said, prefix: '--' | ''): StartRequest {
  const reading: Reader = new Reading<Option>(said, prefix);
  reading.options(START_OPTIONS, SEVERAL);
  const metric = said['metric']?.at(-1) ?? DEFAULT_METRIC;
  if (!METRICS.has(metric)) reading.fault('metric', `'${metric}' ${whyNoMetric(metric)}`);
  const where = said['where'] ?? [];
  checkWhere(reading, filters(reading, 'where', where), metric);
  const seconds = (option: 'settle' | 'before', least: number): number | undefined => reading.one(option, (text) => {
    const length = parseDuration(text);
    return length === undefined || length < least ? undefined : length;
  }, `is not a duration${least > 0 ? ` of at least ${least / 60} min` : ''}; write 10m, 2h or 7d`);
  const [nodes, against] = [listOf(said['nodes']), listOf(said['against'])];
  for (const node of nodes.filter((each) => against.includes(each))) reading.fault('against', `'${node}' can't be changed and stay as it is`);
  reading.one('slo', parseTargets, 'names no targets; write ttft=2s,tpot=50ms, or one of them');
  const definition: Definition = {
    labels: labels(reading), nodes, against, where: [...where], metric,
    precision: reading.one('precision', parseShare, 'is no share between 0 and 1; write 2% or 0.02') ?? DEFAULT_PRECISION,
    guardrails: guardrails(reading), slo: said['slo']?.at(-1) ?? null,
    settle: seconds('settle', 0) ?? SETTLE_SECONDS, before: seconds('before', 60) ?? BEFORE_SECONDS,
  };
  const request = { name: nameOf(reading), at: reading.time('at'), definition, said: FIELDS.filter((field) => said[OF_DEFINITION[field]] !== undefined) };
  if (reading.faults.length > 0) throw new UsageError(reading.faults);
  return request;
}

/** @throws UsageError with every fault */
export function parseName(said: Said, prefix: '--' | '', withTime: boolean): NameRequest {
  const reading: Reader = new Reading<Option>(said, prefix);
  reading.options(withTime ? ['name', 'at'] : ['name'], []);
  const request = { name: nameOf(reading), at: withTime ? reading.time('at') : undefined };
  if (reading.faults.length > 0) throw new UsageError(reading.faults);
  return request;
}
